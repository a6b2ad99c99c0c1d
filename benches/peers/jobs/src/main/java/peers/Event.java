package peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.math.BigDecimal;
import java.time.Instant;
import java.time.LocalDate;

/** What the job needs of an event of the input topic. */
public final class Event {
  private static final JsonFactory JSON = new JsonFactory();
  private static final int LENGTH_OF_USUAL_TIME = "2024-03-01T00:00:00.000Z".length();

  public String customerId;
  public String eventId;
  public Type type = Type.OTHER;
  /** Milliseconds since 1970. */
  public long time;
  /** Cents; 0 where the event has no amount. */
  public long amount;

  public enum Type {
    PURCHASE,
    REFUND,
    VIEW,
    OTHER;

    static Type of(String name) {
      return switch (name) {
        case "purchase" -> PURCHASE;
        case "refund" -> REFUND;
        case "view" -> VIEW;
        default -> OTHER;
      };
    }
  }

  /** Reads one JSON object; fields that the job does not use are passed over. */
  public static Event parse(byte[] bytes) {
    Event event = new Event();
    try (JsonParser json = JSON.createParser(bytes)) {
      json.nextToken();
      for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
        JsonToken value = json.nextToken();
        switch (name) {
          case "customer_id" -> event.customerId = json.getText();
          case "event_id" -> event.eventId = json.getText();
          case "type" -> event.type = Type.of(json.getText());
          case "time" -> event.time = milliseconds(json.getText());
          case "amount" -> event.amount = new BigDecimal(json.getText()).movePointRight(2).longValueExact();
          default -> {
            if (value.isStructStart()) {
              json.skipChildren();
            }
          }
        }
      }
    } catch (IOException error) {
      throw new IllegalArgumentException("expected an event as JSON, found " + new String(bytes), error);
    }
    return event;
  }

  /** The usual form is read digit by digit, since Instant.parse takes longer than the rest of the event. */
  private static long milliseconds(String text) {
    if (text.length() != LENGTH_OF_USUAL_TIME || text.charAt(text.length() - 1) != 'Z') {
      return Instant.parse(text).toEpochMilli();
    }
    long days = LocalDate.of(number(text, 0, 4), number(text, 5, 7), number(text, 8, 10)).toEpochDay();
    long minutes = (days * 24 + number(text, 11, 13)) * 60 + number(text, 14, 16);
    return (minutes * 60 + number(text, 17, 19)) * 1000 + number(text, 20, 23);
  }

  private static int number(String text, int from, int to) {
    int number = 0;
    for (int index = from; index < to; index++) {
      number = number * 10 + text.charAt(index) - '0';
    }
    return number;
  }
}
