//! Writes golden files: all topics and snapshots of a small run on a real broker, for tests of later versions.
//!
//! `SHOAL_GOLDEN=journal-5 cargo test --test integration golden` writes them to `tests/golden/journal-5`. Without the
//! variable they are written to a temporary folder and read back, so that the tool keeps working;
//! `tests/integration/worker/upgrade.rs` uses the committed ones.

use super::pipeline::{produced, settings};
use super::service::Service;
use crate::support::events::{Line, RULES, hostile, shop};
use crate::support::golden::{self, Golden};
use crate::support::wait::{wait_for_ok, wait_until};
use crate::support::{self, Broker, Received, memory};
use shoal::kafka::KafkaSettings;
use shoal::worker::journal::{JournalRecord, Operation, SEMANTICS};
use std::time::Duration;

const PARTITIONS: u32 = 2;
/// An alert in the rules, so that shards publish their census.
const ALERT: &str = "[alert.leaving]\nsegmentation = \"lifecycle\"\nto = \"dormant\"\nabove = 3\nwindow = \"1h\"\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// A year of a small shop, with records among it that cannot be used.
fn lines() -> Vec<Line> {
    let mut lines = shop(51, 24, 150);
    let bad = hostile("c-00007").into_iter().map(|(_, line)| line);
    let small = bad.filter(|line| line.value.as_ref().is_none_or(|value| value.len() < 1_000));
    lines.splice(40..40, small.take(6));
    lines
}

/// Writes every other line to either topic.
fn produce(broker: &Broker, kafka: &KafkaSettings, lines: &[Line]) {
    for (index, topic) in kafka.inputs.iter().enumerate() {
        let own = lines.iter().skip(index).step_by(2);
        broker.produce(topic, own.map(|line| produced(line, PARTITIONS)));
    }
}

fn wait_until_done(broker: &Broker, kafka: &KafkaSettings) {
    let ends = |topic: &String| (0..PARTITIONS as i32).map(|p| broker.end(topic, p)).collect::<Vec<_>>();
    let expected: Vec<_> = kafka.inputs.iter().map(ends).collect();
    wait_for_ok("the group is at the end of the inputs", PATIENCE, || {
        let committed = |topic: &String| broker.committed(&kafka.group, topic, PARTITIONS as i32);
        let found: Vec<_> = kafka.inputs.iter().map(committed).collect();
        if found == expected { Ok(()) } else { Err(format!("it is at {found:?}, they end at {expected:?}")) }
    });
}

/// Advances time after all records were read, so that due deadlines fire.
fn wait_for_ticks(broker: &Broker, kafka: &KafkaSettings) {
    wait_until("a tick, and a census after it", PATIENCE, || {
        let operations = operations(&broker.read_committed(&kafka.topics.journal));
        operations.iter().any(|operation| matches!(operation, Operation::Census(_)))
    });
}

fn operations(journal: &[Received]) -> Vec<Operation> {
    let operations = |record: &Received| JournalRecord::read(record.value.as_deref().unwrap()).unwrap().operations;
    journal.iter().flat_map(operations).collect()
}

#[test]
fn golden_files_can_be_made_and_read() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(broker, folder.path(), "golden", PARTITIONS as i32);
    let snapshots = folder.path().join("snapshots");
    settings.snapshots.url = snapshots.to_str().unwrap().to_owned();
    broker.create_topic("golden-visits", PARTITIONS as i32, &[("retention.ms", "-1")]);
    settings.kafka.inputs.push("golden-visits".into());
    let lines = lines();
    let rules = RULES.replace("clock = \"events\"", "clock = \"wall\"") + ALERT;
    let renamed = rules.replace("dormant", "asleep");
    for (rules, lines) in [(&rules, &lines[..100]), (&renamed, &lines[100..])] {
        std::fs::write(&settings.rules, rules).unwrap();
        produce(broker, &settings.kafka, lines);
        let service = Service::start(folder.path(), &settings, "golden", 0);
        wait_until_done(broker, &settings.kafka);
        wait_for_ticks(broker, &settings.kafka);
        service.stop();
    }
    let mut made = Golden::of_broker(broker, &settings.kafka, PARTITIONS, SEMANTICS);
    let kept = std::env::var("SHOAL_GOLDEN").ok().map(|name| golden::folder(&name));
    let to = kept.unwrap_or_else(|| folder.path().join("golden"));
    golden::keep_snapshots(&snapshots, &to);
    made.fingerprints = memory::fingerprints(&made, &golden::objects(&to));
    made.write(&to);

    let read = Golden::read(&to);
    assert!(read.records == made.records && read.offsets == made.offsets);
    let operations = operations(&broker.read_committed(&settings.kafka.topics.journal));
    let is_there = |is_of: fn(&Operation) -> bool| operations.iter().any(is_of);
    assert!(is_there(|operation| matches!(operation, Operation::Step { parts, .. } if parts.len() == 2)));
    assert!(is_there(|operation| matches!(operation, Operation::Tick(_))));
    assert!(is_there(|operation| matches!(operation, Operation::Control(_))));
    assert!(is_there(|operation| matches!(operation, Operation::Sweep { .. })));
    assert!(is_there(|operation| matches!(operation, Operation::Fire(_))));
    assert!(is_there(|operation| matches!(operation, Operation::Census(_))));
}
