//! A real broker as a world of scenarios. Its clock is the machine's, so rules are played with `clock = "events"`, and
//! what ticks do elsewhere is done by events of customers of their own, whose changes are left out.

use super::play::Way;
use super::script::Record;
use super::worker::{PACEMAKER, World};
use crate::support::{Broker, Produced, send};
use rdkafka::producer::{DefaultProducerContext, Producer, ThreadedProducer};
use shoal::engine::decode::{Partitioner, partition_of};
use shoal::engine::event::Millis;
use shoal::kafka::{KafkaLog, KafkaSettings, Own, create_or_check_topics};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct OnBroker {
    broker: &'static Broker,
    settings: KafkaSettings,
    producer: ThreadedProducer<DefaultProducerContext>,
    partitions: u32,
}

impl OnBroker {
    /// With topics of its own, whose names begin with `name`.
    pub fn new(broker: &'static Broker, name: &str, partitions: u32) -> Self {
        let mut settings = KafkaSettings {
            brokers: broker.address.clone(),
            group: name.to_owned(),
            inputs: vec![format!("{name}-events")],
            ..KafkaSettings::default()
        };
        settings.topics.changes = format!("{name}-changes");
        settings.topics.membership = format!("{name}-membership");
        settings.topics.rejected = format!("{name}-rejected");
        settings.topics.journal = format!("{name}-journal");
        settings.topics.control = format!("{name}-control");
        settings.topics.census = format!("{name}-census");
        settings.topics.alerts = format!("{name}-alerts");
        // The events are years old: with a retention time the broker would delete them immediately.
        broker.create_topic(&settings.inputs[0], partitions as i32, &[("retention.ms", "-1")]);
        create_or_check_topics(&settings, partitions).expect("topics of our own");
        Self { broker, settings, producer: broker.producer(), partitions }
    }

    fn write(&self, partition: u32, timestamp: Millis, key: Option<&[u8]>, value: &[u8]) {
        let partition = Some(partition as i32);
        let record = Produced { partition, timestamp: Some(timestamp), key, value: Some(value) };
        send(&self.producer, &self.settings.inputs[0], record);
        self.producer.flush(PATIENCE).expect("flush");
    }
}

impl World for OnBroker {
    type Log = KafkaLog;

    fn rules(&self, text: &str) -> String {
        format!("{text}\n[time]\nclock = \"events\"\n")
    }

    fn log(&self, _way: Way) -> KafkaLog {
        KafkaLog::join(&self.settings, 0).expect("the group can be joined")
    }

    fn append(&self, partition: u32, record: &Record) {
        self.write(partition, record.arrival, record.key.as_deref().map(str::as_bytes), &record.value);
    }

    fn set_clock(&mut self, moment: Millis, is_tick: bool) -> usize {
        if !is_tick {
            return 0;
        }
        let value = format!("{{\"type\":\"open\",\"time\":{moment}}}");
        for partition in 0..self.partitions {
            let mut keys = (0..).map(|n| format!("{PACEMAKER}{n}"));
            let is_of = |key: &String| partition_of(Partitioner::Murmur2, key.as_bytes(), self.partitions) == partition;
            let key = keys.find(is_of).expect("endless");
            self.write(partition, moment, Some(key.as_bytes()), value.as_bytes());
        }
        1
    }

    fn published(&self, own: Own) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let received = self.broker.read_committed(self.settings.topics.name(own));
        received.into_iter().map(|record| (record.key.unwrap_or_default(), record.value)).collect()
    }
}
