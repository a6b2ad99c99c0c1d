//! An ordinary read-committed consumer of changes, which records when it could read each.

use super::support::Broker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use shoal::worker::journal::JournalRecord;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(60);

/// A change that could be read.
#[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
pub struct Seen {
    pub at: Instant,
    /// The same moment on the wall clock, in milliseconds with fraction.
    pub wall_ms: f64,
    pub shard: i32,
    /// Transactional id of the worker that published it; known for the first of a shard in a transaction.
    pub publisher: Option<String>,
    /// When it was handed to the producer, in milliseconds.
    pub produced_ms: Option<i64>,
    pub change: Change,
}

/// What is read of a change.
#[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
#[derive(Deserialize)]
pub struct Change {
    pub customer_id: String,
    pub segmentation: String,
    pub sequence: u64,
    pub to: Option<String>,
    pub cause: String,
    #[serde(rename = "effective_at", deserialize_with = "milliseconds")]
    pub effective_ms: i64,
    #[serde(rename = "detected_at", deserialize_with = "milliseconds")]
    pub detected_ms: i64,
}

fn milliseconds<'de, D: Deserializer<'de>>(text: D) -> Result<i64, D::Error> {
    let moment: Result<jiff::Timestamp, _> = String::deserialize(text)?.parse();
    moment.map(jiff::Timestamp::as_millisecond).map_err(D::Error::custom)
}

pub struct Observer {
    pub seen: Receiver<Seen>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    /// Reads the topic from its beginning, once it exists.
    pub fn start(broker: &Broker, topic: &str) -> Self {
        let mut config = broker.client();
        config.set("group.id", "observer").set("enable.auto.commit", "false").set("isolation.level", "read_committed");
        config.set("fetch.wait.max.ms", "10").set("fetch.queue.backoff.ms", "1");
        let consumer: BaseConsumer = config.create().expect("consumer");
        let deadline = Instant::now() + PATIENCE;
        let partitions = loop {
            let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
            let found = metadata.topics().first().map_or(0, |found| found.partitions().len() as i32);
            if found > 0 {
                break found;
            }
            assert!(Instant::now() < deadline, "{topic} is not made within {PATIENCE:?}");
        };
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("offset");
        }
        consumer.assign(&list).expect("assign");
        let (sender, seen) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = std::thread::spawn(move || observe(&consumer, &sender, &until));
        Self { seen, stop, thread: Some(thread) }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn observe(consumer: &BaseConsumer, sender: &Sender<Seen>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let _ = sender.send(see(&message));
            }
            Some(Err(error)) => eprintln!("the observer: {error}"),
            None => {}
        }
    }
}

fn see(message: &BorrowedMessage<'_>) -> Seen {
    let (at, wall) = (Instant::now(), SystemTime::now());
    let header = |name: &str| message.headers()?.iter().find(|header| header.key == name)?.value;
    let publisher =
        header("shoal_journal").map(|copy| JournalRecord::read(copy).expect("a journal record").transactional_id);
    Seen {
        at,
        wall_ms: wall.duration_since(UNIX_EPOCH).expect("a clock of our time").as_secs_f64() * 1e3,
        shard: message.partition(),
        publisher,
        produced_ms: message.timestamp().to_millis(),
        change: serde_json::from_slice(message.payload().expect("no tombstones")).expect("a change"),
    }
}
