//! Support for the tests that use `KafkaLog` without a worker: settings with separate topics, group events, and records
//! as plain values.

use crate::support::wait::wait_for;
use crate::support::{self, Broker, Produced};
use shoal::kafka::{
    Batch, GroupEvent, InputOffset, KafkaBatch, KafkaLog, KafkaSettings, Log, OutRecord, Own, Position, Topic,
    create_or_check_topics,
};
use std::time::Duration;

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Topic, partition, offset, value.
pub type Seen = (Topic, u32, i64, String);

/// Settings with separate topics for the test, which are created with two partitions.
pub fn settings(broker: &Broker, test: &str, inputs: &[&str]) -> KafkaSettings {
    let mut settings = KafkaSettings {
        brokers: broker.address.clone(),
        group: test.into(),
        instance: "test".into(),
        inputs: inputs.iter().map(|input| format!("{test}-{input}")).collect(),
        ..KafkaSettings::default()
    };
    support::prefix_own_topics(&mut settings, test);
    for input in &settings.inputs {
        broker.create_topic(input, 2, &[("retention.ms", "-1")]);
    }
    create_or_check_topics(&settings, 2).unwrap();
    settings
}

pub fn joined(settings: &KafkaSettings) -> KafkaLog {
    let mut log = KafkaLog::join(settings, 0).unwrap();
    assert_eq!(group_event(&mut log), GroupEvent::Assigned(vec![0, 1]));
    log.fence().unwrap();
    log
}

/// Polls until there is a group event.
pub fn group_event(log: &mut KafkaLog) -> GroupEvent {
    until("a group event", || match log.poll(Duration::from_millis(20)).unwrap() {
        GroupEvent::None => None,
        event => Some(event),
    })
}

/// Repeats until there is a value.
pub fn until<T>(what: &str, get: impl FnMut() -> Option<T>) -> T {
    wait_for(what, PATIENCE, get)
}

/// Reads these partitions to their ends.
pub fn take_all(log: &mut KafkaLog, partitions: &[(Topic, u32)]) -> Vec<Seen> {
    let mut all = Vec::new();
    until("the end of all partitions", || {
        assert_eq!(log.poll(Duration::from_millis(20)).unwrap(), GroupEvent::None);
        all.extend(partitions.iter().flat_map(|&(topic, partition)| take(log, topic, partition)));
        partitions.iter().all(|&(topic, partition)| log.partition_status(topic, partition).is_at_end).then_some(())
    });
    all
}

pub fn take(log: &mut KafkaLog, topic: Topic, partition: u32) -> Vec<Seen> {
    let mut batch = KafkaBatch::default();
    let taken = log.read(topic, partition, 4_096, &mut batch).unwrap();
    assert_eq!(taken, batch.len());
    contents(&batch).into_iter().map(|(offset, value)| (topic, partition, offset, value)).collect()
}

pub fn contents(batch: &KafkaBatch) -> Vec<(i64, String)> {
    let value = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or(b"<null>")).into_owned();
    (0..batch.len()).map(|index| batch.record(index)).map(|record| (record.offset, value(record.value))).collect()
}

pub fn to(topic: Own, partition: u32, value: &str) -> OutRecord<'_> {
    OutRecord { topic, partition, key: Some(b"k"), value: Some(value.as_bytes()), headers: 0..0 }
}

pub fn at(topic: u16, partition: u32, offset: i64) -> InputOffset {
    InputOffset { topic, partition, offset }
}

pub fn position(topic: u16, partition: u32, offset: i64) -> Position {
    Position { topic: Topic::Input(topic), partition, offset }
}

pub fn produced(partition: i32, value: &str) -> Produced<'_> {
    Produced { partition: Some(partition), timestamp: Some(1), key: Some(b"k"), value: Some(value.as_bytes()) }
}
