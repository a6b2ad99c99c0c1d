//! What a run published, as its consumers see it, beside what it must have.

use crate::model::{Expected, NAMES, Values};
use crate::stream::customer_of;
use crate::support::Broker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a topic may take without a record until it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The fields of a change that all systems write.
#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    customer_id: Cow<'a, str>,
    #[serde(borrow)]
    segmentation: Cow<'a, str>,
    #[serde(borrow)]
    to: Option<Cow<'a, str>>,
}

/// Each customer's last values, and how many changes led there.
pub struct Outcome {
    values: Vec<[Option<String>; 3]>,
    pub changes: u64,
}

/// How far an outcome is what was expected.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    pub customers: u64,
    pub alike: u64,
    /// What the others differ by, with how many customers do.
    pub differences: BTreeMap<String, u64>,
    pub changes: u64,
    pub changes_expected: u64,
}

impl Outcome {
    pub fn new(customers: u64) -> Self {
        Self { values: vec![Default::default(); customers as usize], changes: 0 }
    }

    /// Reads a topic with changes to its last committed record.
    pub fn read(broker: &Broker, topic: &str, partitions: i32, customers: u64) -> Self {
        let mut outcome = Self::new(customers);
        let mut config = broker.client();
        config.set("group.id", "peers-outcome").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config.set("isolation.level", "read_committed").set("fetch.queue.backoff.ms", "5");
        let consumer: BaseConsumer = config.create().expect("consumer");
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("offset");
        }
        consumer.assign(&list).expect("assign");
        let (mut ended, mut last) = (0, Instant::now());
        while ended < partitions {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    outcome.take(message.payload().expect("a change has a value"));
                    last = Instant::now();
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => panic!("{topic}: {error}"),
                None => assert!(last.elapsed() < PATIENCE, "{topic}: no record and no end within {PATIENCE:?}"),
            }
        }
        outcome
    }

    pub fn take(&mut self, value: &[u8]) {
        let change: Change<'_> = serde_json::from_slice(value).expect("a change as JSON");
        let customer = customer_of(&change.customer_id).expect("an id of the stream");
        let name = NAMES.iter().position(|name| *name == change.segmentation).expect("a segmentation of the job");
        self.values[customer][name] = change.to.map(Cow::into_owned);
        self.changes += 1;
    }

    pub fn compare(&self, expected: &Expected) -> Agreement {
        let mut agreement = Agreement {
            customers: expected.values.len() as u64,
            changes: self.changes,
            changes_expected: expected.changes,
            ..Agreement::default()
        };
        for (found, expected) in self.values.iter().zip(&expected.values) {
            let differences = differences(found, *expected);
            agreement.alike += u64::from(differences.is_empty());
            for difference in differences {
                *agreement.differences.entry(difference).or_default() += 1;
            }
        }
        agreement
    }
}

fn differences(found: &[Option<String>; 3], expected: Values) -> Vec<String> {
    let mut differences = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        // An audience that was never entered is out without a change.
        let default = if index == 0 { None } else { Some("out") };
        let found = found[index].as_deref().or(if expected.is_some() { default } else { None });
        let expected = expected.map(|values| values[index]);
        if found != expected {
            differences.push(format!("{name} {} in place of {}", found.unwrap_or("none"), expected.unwrap_or("none")));
        }
    }
    differences
}

impl Agreement {
    pub fn percent(&self) -> f64 {
        100.0 * self.alike as f64 / self.customers as f64
    }

    /// The differences that most customers have, in words.
    pub fn in_words(&self) -> String {
        let mut most: Vec<_> = self.differences.iter().collect();
        most.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let words: Vec<String> = most.iter().take(4).map(|(words, count)| format!("{count} {words}")).collect();
        if words.is_empty() { "none".into() } else { words.join("; ") }
    }
}
