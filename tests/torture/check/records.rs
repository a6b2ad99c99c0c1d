//! Reads a topic to its end as a read-committed consumer does. The other files of the checker compare these records.

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// Long enough for the broker to end transactions that were left open.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }

    pub fn location(&self) -> String {
        format!("{}[{}] at {}", self.topic, self.partition, self.offset)
    }
}

/// All records of a topic, by partition and offset.
pub fn read_committed(brokers: &str, topic: &str) -> Result<Vec<Record>, String> {
    let consumer = client(brokers, "read_committed")?;
    let mut ends = ends(brokers, topic)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..ends.len() {
        list.add_partition_offset(topic, partition as i32, Offset::Beginning).map_err(context(topic))?;
    }
    consumer.assign(&list).map_err(context(topic))?;
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while ends.iter().any(|&end| end > 0) {
        if Instant::now() > deadline {
            return Err(format!("{topic} is not read to its end within {PATIENCE:?}: is a transaction still open?"));
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => records.push(record(topic, &message)),
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => return Err(format!("{topic}: {error}")),
        }
        // Compares positions: a partition may end with a transaction marker, which consumers do not receive.
        for element in consumer.position().map_err(context(topic))?.elements() {
            let end = &mut ends[element.partition() as usize];
            if matches!(element.offset(), Offset::Offset(offset) if offset >= *end) {
                *end = 0;
            }
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// The end offsets of all partitions, including open transactions.
fn ends(brokers: &str, topic: &str) -> Result<Vec<i64>, String> {
    let client = client(brokers, "read_uncommitted")?;
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).map_err(context(topic))?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    if partitions == 0 {
        return Err(format!("the topic {topic} does not exist"));
    }
    let end = |partition| client.fetch_watermarks(topic, partition as i32, PATIENCE).map(|(_, end)| end);
    (0..partitions).map(end).collect::<Result<_, _>>().map_err(context(topic))
}

fn client(brokers: &str, isolation: &str) -> Result<BaseConsumer, String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("isolation.level", isolation).set("group.id", "torture-check");
    config.set("enable.auto.commit", "false").set("enable.partition.eof", "true").set("fetch.queue.backoff.ms", "5");
    config.create().map_err(context("client"))
}

fn context<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String + '_ {
    move |error| format!("{what}: {error}")
}

fn record(topic: &str, message: &impl Message) -> Record {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
    });
    Record {
        topic: topic.to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
