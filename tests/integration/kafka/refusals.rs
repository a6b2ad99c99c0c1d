//! A start is refused if the topics do not agree with the journal: status 3, and a message with what to do.

use super::pipeline::{produce, settings, wait_until_done};
use super::service::Service;
use crate::support::events::shop;
use crate::support::{self, Broker, Produced};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use shoal::worker::RunSettings;
use shoal::worker::journal::{FORMAT, SEMANTICS};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

const PARTITIONS: u32 = 2;

/// A service that has done its work and stopped.
fn done(broker: &Broker, folder: &Path, test: &str) -> RunSettings {
    let settings = settings(broker, folder, test, PARTITIONS as i32);
    produce(broker, &settings.kafka.inputs[0], &shop(31, 50, 400), PARTITIONS);
    let service = Service::start(folder, &settings, "only", 0);
    wait_until_done(broker, &settings.kafka, PARTITIONS);
    service.stop();
    settings
}

fn refusal(folder: &Path, settings: &RunSettings) -> String {
    Service::start(folder, settings, "only", 0).refused()
}

#[test]
fn inputs_that_no_longer_reach_back() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = done(broker, folder.path(), "refuse-retention");
    broker.delete_records(&settings.kafka.inputs[0], 1, 10);
    let message = refusal(folder.path(), &settings);
    assert!(message.contains("shard 1, transaction ") && message.contains("which now begins at 10"), "{message}");
    assert!(message.contains("its retention is too short"), "{message}");
}

#[test]
fn an_input_that_was_made_anew() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = done(broker, folder.path(), "refuse-other");
    let input = settings.kafka.inputs[0].clone();
    broker.delete_topic(&input);
    broker.create_topic(&input, PARTITIONS as i32, &[("retention.ms", "-1")]);
    // Even with the same records, whose hash would be equal.
    produce(broker, &input, &shop(31, 50, 400), PARTITIONS);
    let message = refusal(folder.path(), &settings);
    assert!(
        message.contains("was recreated, or this is another cluster: it has id") && message.contains("`shoal rebuild`"),
        "{message}"
    );
    settings.snapshots.url = folder.path().join("snapshots").to_str().unwrap().to_owned();
    let (done, message) = Service::rebuild(&settings, &[]);
    assert!(done, "{message}");
    let service = Service::start(folder.path(), &settings, "only", 0);
    service.wait_until_logged("snapshot loaded");
    service.stop();
}

#[test]
fn group_offsets_ahead_of_the_journal() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = done(broker, folder.path(), "refuse-ahead");
    let input = &settings.kafka.inputs[0];
    let end = broker.end(input, 0);
    let consumer: BaseConsumer = broker.client().set("group.id", &settings.kafka.group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(input, 0, Offset::Offset(end + 5)).unwrap();
    // Static members stay in the group for a while, during which only members may commit.
    broker.delete_group(&settings.kafka.group);
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
    let message = refusal(folder.path(), &settings);
    assert!(
        message.contains("group offsets ahead of the journal") && message.contains(&format!("{}", end + 5)),
        "{message}"
    );
}

#[test]
fn a_journal_of_a_later_version() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = done(broker, folder.path(), "refuse-version");
    let mut record = vec![FORMAT, SEMANTICS as u8 + 1];
    record.extend(xxh3_64(&record).to_le_bytes());
    let later = Produced { partition: Some(0), timestamp: None, key: None, value: Some(&record) };
    broker.produce(&settings.kafka.topics.journal, [later]);
    let message = refusal(folder.path(), &settings);
    let expected = format!(
        "semantics version {}, of a later version of Shoal; this program reads 4 to {SEMANTICS}",
        SEMANTICS + 1
    );
    assert!(message.contains("journal of shard 0") && message.contains(&expected), "{message}");
}

#[test]
fn a_journal_of_other_inputs() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = done(broker, folder.path(), "refuse-inputs");
    broker.create_topic("refuse-inputs-2", PARTITIONS as i32, &[("retention.ms", "-1")]);
    settings.kafka.inputs[0] = "refuse-inputs-2".into();
    let message = refusal(folder.path(), &settings);
    assert!(message.contains("[\"refuse-inputs-events\"] with 2 partitions"), "{message}");
    assert!(message.contains("configured are [\"refuse-inputs-2\"]"), "{message}");
}
