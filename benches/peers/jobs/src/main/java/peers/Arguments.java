package peers;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;

/** What benches/peers/run gives to a job. */
record Arguments(Map<String, String> settings, String brokers, String input, String output, String name, Path folder) {
  static Arguments of(String[] arguments) throws IOException {
    if (arguments.length < 6) {
      throw new IllegalArgumentException("expected SETTINGS BROKERS INPUT OUTPUT NAME FOLDER [SETTING=VALUE]...");
    }
    Properties properties = new Properties();
    try (Reader reader = Files.newBufferedReader(Path.of(arguments[0]))) {
      properties.load(reader);
    }
    Map<String, String> settings = new HashMap<>();
    properties.forEach((key, value) -> settings.put(key.toString(), value.toString().trim()));
    for (String further : Arrays.asList(arguments).subList(6, arguments.length)) {
      String[] parts = further.split("=", 2);
      settings.put(parts[0], parts[1]);
    }
    Path folder = Path.of(arguments[5]).toAbsolutePath();
    return new Arguments(settings, arguments[1], arguments[2], arguments[3], arguments[4], folder);
  }

  /** The settings whose names begin with a prefix, without it. */
  Properties settingsOf(String prefix) {
    Properties found = new Properties();
    settings.forEach((key, value) -> {
      if (key.startsWith(prefix)) {
        found.put(key.substring(prefix.length()), value);
      }
    });
    return found;
  }
}
