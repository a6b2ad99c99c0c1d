//! The log of a run with many failures: it consists of JSON lines and contains no id, key, event or order of a
//! customer.

use super::pipeline::{produce, settings, wait_until_done};
use super::service::Service;
use crate::support;
use crate::support::events::{Line, OPENING, hostile, shop};
use serde_json::Value;
use std::path::Path;

const PARTITIONS: u32 = 2;
/// Customers of the shop are c-00000 and so on, its events e-0, its orders o-0; the others are those of the invalid
/// records and of the record that ends the process.
const IDS: [&str; 5] = ["c-0", "e-", "o-", "c-hostile", "c-deadly"];

/// All lines; each must be an object with the fields that every line has.
fn lines(log: &str) -> Vec<Value> {
    let objects: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    for line in &objects {
        let has = |name: &str| line[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(has("timestamp") && has("level") && has("message") && has("target"), "{line}");
        assert!(["ERROR", "WARN", "INFO"].contains(&line["level"].as_str().unwrap()), "{line}");
    }
    objects
}

/// The log of a service without the line of a deliberate crash.
fn log_in(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("logs.log")).unwrap();
    log.lines().filter(|line| !line.ends_with("as SHOAL_CRASH_AT says")).map(|line| format!("{line}\n")).collect()
}

fn expect_nobody(log: &str) {
    for id in IDS {
        // Not within another word, such as "one-".
        let mut found = log.match_indices(id).map(|(index, _)| &log[..index]);
        assert!(!found.any(|before| !before.ends_with(|c: char| c.is_alphanumeric())), "{id:?} is in the log:\n{log}");
    }
}

#[test]
fn logs_contain_no_customer_ids() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(broker, folder.path(), "logs", PARTITIONS as i32);
    settings.snapshots.url = folder.path().join("snapshots").to_str().unwrap().to_owned();
    let mut events = shop(81, 30, 600);
    events.extend(hostile("c-hostile").into_iter().map(|(_, line)| line));
    let deadly = format!(r#"{{"customer_id":"c-deadly","type":"view","time":{}}}"#, OPENING + 1);
    events.push(Line { time: OPENING, key: Some("c-deadly".into()), value: Some(deadly.into_bytes()) });
    let all = events.len() as i64;
    produce(broker, &settings.kafka.inputs[0], &events, PARTITIONS);

    // The process dies of a record, tries records in small groups, and skips the record; then it starts from a
    // snapshot.
    let is_done = || broker.committed(&settings.kafka.group, &settings.kafka.inputs[0], 2).iter().sum::<i64>() == all;
    let mut logs = Vec::new();
    let as_it_comes = ("SHOAL__LOG__FORMAT", "auto");
    let dies_of = [as_it_comes, ("SHOAL_CRASH_AT", "apply/c-deadly")];
    while Service::start_with(folder.path(), &settings, "logs", 0, &dies_of).dies_before(is_done) {
        logs.push(log_in(folder.path()));
    }
    logs.push(log_in(folder.path()));
    let last = Service::start_with(folder.path(), &settings, "logs", 0, &[as_it_comes]);
    last.wait_until_logged("shard recovered");
    wait_until_done(broker, &settings.kafka, PARTITIONS);
    logs.push(last.log());
    last.stop();
    // A second process that is refused: its error message is a JSON line as well.
    let other = ("SHOAL__KAFKA__INPUTS", "logs-other");
    broker.create_topic("logs-other", PARTITIONS as i32, &[("retention.ms", "-1")]);
    let refused = Service::start_with(folder.path(), &settings, "logs", 0, &[as_it_comes, other]).refused();
    assert!(lines(&refused).last().is_some_and(|line| line["level"] == "ERROR"), "{refused}");

    assert!(logs.len() >= 4, "deaths, the end, and a start: {}", logs.len());
    logs.iter().for_each(|log| expect_nobody(log));
    let all: Vec<Value> = logs.iter().flat_map(|log| lines(log)).collect();
    let output = |level: &str, message: &str| {
        all.iter().any(|line| line["level"] == level && line["message"].as_str().unwrap().contains(message))
    };
    assert!(output("ERROR", "a record ends the process each time") && output("WARN", "a process died"), "{all:?}");
    assert!(output("INFO", "shard recovered"), "{all:?}");
    let rejected: Vec<&Value> =
        all.iter().filter(|line| line["message"].as_str().unwrap().starts_with("records are rejected")).collect();
    assert!(rejected.iter().any(|line| line["reason"] == "decode"), "{all:?}");
    for line in rejected {
        let has_place = line["topic"] == "logs-events" && line["partition"].is_u64() && line["offset"].is_i64();
        let is_told = line["count"].as_u64() > Some(0) && line["error"].as_str().is_some_and(|error| !error.is_empty());
        assert!(line["level"] == "WARN" && has_place && is_told, "{line}");
    }
    let recovered = all.iter().find(|line| line["message"] == "shard recovered").unwrap();
    assert!(recovered["shard"].is_u64() && recovered["transactions"].is_u64(), "fields stand at the top: {recovered}");
}
