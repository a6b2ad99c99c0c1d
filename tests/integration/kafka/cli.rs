//! The program on Kafka as a person uses it: `shoal produce`, `shoal run` with a settings file and the environment, a
//! signal to stop; the changes are those of `shoal replay` on the same file, byte for byte but for `detected_at`.

use super::pipeline::wait_until_done;
use super::program::{run, shoal};
use crate::support::views::Views;
use crate::support::{self, Broker};
use shoal::kafka::KafkaSettings;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

const RULES: &str = include_str!("../../../config/demo/rules.toml");

/// The orders of the demo, in a file with the name of the topic, so that triggers are equal too.
fn write_events(folder: &Path, broker: &Broker, topic: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mapping = root.join("config/mappings/online-retail.toml");
    let excerpt = root.join("config/demo/online-retail-excerpt.csv.gz");
    let out = run(shoal(folder, broker).arg("convert").arg("--mapping").arg(mapping).arg(excerpt));
    std::fs::write(folder.join(topic), out.stdout).unwrap();
    std::fs::write(folder.join("rules.toml"), RULES.replace("clock = \"wall\"", "clock = \"events\"")).unwrap();
}

#[test]
fn a_run_publishes_what_replay_prints() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (folder, topic) = (folder.path(), "cli-events");
    broker.create_topic(topic, 1, &[("retention.ms", "-1")]);
    write_events(folder, broker, topic);
    let settings = "[kafka]\ngroup = \"cli\"\ninputs = [\"cli-events\"]\n[kafka.topics]\nchanges = \"cli.changes\"\n\
                    membership = \"cli.membership\"\nrejected = \"cli.rejected\"\njournal = \"cli.journal\"\ncontrol = \"cli.control\"\n\
                    census = \"cli.census\"\nalerts = \"cli.alerts\"\n";
    std::fs::write(folder.join("shoal.toml"), settings).unwrap();

    let arguments = ["produce", "--topic", topic, topic];
    let produced = run(shoal(folder, broker).args(arguments).env("SHOAL__LOG__FORMAT", "auto"));
    let output = String::from_utf8_lossy(&produced.stderr).into_owned();
    let messages: Vec<serde_json::Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let written = messages.iter().find(|line| line["message"] == "events written").expect("a line says so");
    assert_eq!((&written["events"], &written["skipped"]), (&6_266.into(), &0.into()), "{output}");

    // The service's watermark stands a second before the latest event: no tick has advanced it.
    let until = ["--until", "2011-12-09T12:49:59Z"];
    let replayed = run(shoal(folder, broker).args(["replay", "--rules", "rules.toml"]).args(until).arg(topic)).stdout;
    let expected = view_of_lines(&replayed);
    let dry = dry_run(folder, broker, replayed.iter().filter(|byte| **byte == b'\n').count());
    view_of_lines(&dry).assert_same(&expected, "the dry run");
    assert!(!broker.topics().iter().any(|topic| topic.starts_with("cli.")), "a dry run makes no topic");

    let mut service =
        shoal(folder, broker).args(["run", "--config", "shoal.toml"]).stderr(Stdio::piped()).spawn().unwrap();
    let kafka = KafkaSettings { group: "cli".into(), inputs: vec![topic.into()], ..KafkaSettings::default() };
    wait_until_done(broker, &kafka, 1);
    assert!(Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap().success());
    assert!(service.wait().unwrap().success(), "a signal to stop is no failure");

    let changes = broker.read_committed("cli.changes");
    let found = changes.iter().map(|record| (record.key.as_deref(), record.value.as_deref()));
    Views::new(found, [].into_iter(), [].into_iter()).assert_same(&expected, "the program");
}

/// Runs `shoal run --dry-run` until it has printed this number of changes.
fn dry_run(folder: &Path, broker: &Broker, changes: usize) -> Vec<u8> {
    let mut command = shoal(folder, broker);
    command.args(["run", "--config", "shoal.toml", "--dry-run"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut service = command.spawn().unwrap();
    let mut printed = BufReader::new(service.stdout.take().unwrap());
    let mut lines = Vec::new();
    (0..changes).for_each(|_| assert!(printed.read_until(b'\n', &mut lines).unwrap() > 0, "it ended early"));
    assert!(Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap().success());
    let output = service.wait_with_output().unwrap();
    printed.read_to_end(&mut lines).unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("6,266 "), "{output:?}");
    lines
}

/// Changes that were printed, by customer.
fn view_of_lines(lines: &[u8]) -> Views {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let keyed: Vec<(String, &[u8])> = lines
        .map(|line| {
            let change: serde_json::Value = serde_json::from_slice(line).unwrap();
            (change["customer_id"].as_str().unwrap().to_owned(), line)
        })
        .collect();
    let changes = keyed.iter().map(|(key, value)| (Some(key.as_bytes()), Some(*value)));
    Views::new(changes, [].into_iter(), [].into_iter())
}

#[test]
fn a_topic_that_would_lose_the_events_is_refused() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (folder, topic) = (folder.path(), "cli-short");
    broker.create_topic(topic, 1, &[("retention.ms", "604800000")]);
    write_events(folder, broker, topic);
    let out = shoal(folder, broker).args(["produce", "--topic", topic, topic]).output().unwrap();
    let output = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(3));
    assert!(output.contains("retention.ms") && output.contains(topic), "{output}");
    assert!(output.contains("keep each input for at least 7 days"), "{output}");
    let missing = shoal(folder, broker).args(["produce", "--topic", "cli-no-such-topic", topic]).output().unwrap();
    assert_eq!(missing.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("does not exist; create it first"));
}

/// What a person sees on a terminal, whatever the format of the service's log is.
#[test]
fn produce_speaks_text_on_a_terminal() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (folder, topic) = (folder.path(), "cli-terminal");
    broker.create_topic(topic, 1, &[("retention.ms", "-1")]);
    let event = |customer: &str| format!("{{\"customer_id\":{customer:?},\"type\":\"view\",\"time\":1704448800000}}\n");
    std::fs::write(folder.join("good"), event("anna") + "junk\n" + &event("ben")).unwrap();
    std::fs::write(folder.join("bad"), "secret junk\nmore\n".to_owned() + &event("anna")).unwrap();
    let on_terminal = |file: &str| {
        let shoal = env!("CARGO_BIN_EXE_shoal");
        let line = format!("{shoal} produce --brokers {} --topic {topic} {file}", broker.address);
        let mut command = Command::new("script");
        let out = command.args(["-qec", &line, "/dev/null"]).env("SHOAL__LOG__FORMAT", "json").current_dir(folder);
        let out = out.stdin(Stdio::null()).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let (status, text) = on_terminal("good");
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("2 events written to cli-terminal in ") && text.contains("1 lines skipped"), "{text}");
    assert!(text.contains("good:2: key: expected") && !text.contains('{'), "{text}");
    let (status, text) = on_terminal("bad");
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("shoal: less than half of the 3 lines could be used") && !text.contains('{'), "{text}");

    // Elsewhere all messages are JSON lines, and none contains a value.
    let mut command = shoal(folder, broker);
    let out = command.args(["produce", "--topic", topic, "bad"]).env("SHOAL__LOG__FORMAT", "auto").output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{text}");
    assert!(
        text.contains("less than half") && text.contains("a line is skipped") && !text.contains("secret"),
        "{text}"
    );
}
