//! Whether an input topic is silent: no record for as long as `hold_time_when_silent` says.
//!
//! A source that has stopped sending must not look like customers who have stopped coming. One worker sees a part of the
//! partitions only, so a small thread asks the broker, once a second, for the first record since then in any of them.

use super::client::{Logging, stop};
use super::{Failure, KafkaSettings};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ASK_AGAIN: Duration = Duration::from_secs(1);
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// A topic that may hold time back.
struct Topic {
    name: String,
    partitions: u32,
    hold_ms: u64,
    /// Until the broker has said something else.
    is_silent: AtomicBool,
}

/// What is known of the inputs' silence, and the thread that asks.
pub struct Silence {
    /// By place of the input; `None`: never holds time back.
    topics: Arc<Vec<Option<Topic>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Silence {
    pub fn watch(
        settings: &KafkaSettings,
        partitions: u32,
        client: &Arc<BaseConsumer<Logging>>,
    ) -> Result<Self, Failure> {
        let topic = |name: &String| {
            let hold = settings.hold_time_when_silent.get(name)?;
            Some(Topic { name: name.clone(), partitions, hold_ms: hold.0, is_silent: AtomicBool::new(true) })
        };
        let topics: Arc<Vec<_>> = Arc::new(settings.inputs.iter().map(topic).collect());
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = if topics.iter().any(Option::is_some) {
            let (client, topics, stopped) = (Arc::clone(client), Arc::clone(&topics), Arc::clone(&stopped));
            let ask = move || {
                while !stopped.load(Ordering::Acquire) {
                    topics.iter().flatten().for_each(|topic| topic.ask(&client));
                    std::thread::park_timeout(ASK_AGAIN);
                }
            };
            let thread = std::thread::Builder::new().name("kafka-silence".into()).spawn(ask);
            Some(thread.map_err(stop("the thread that asks for silence cannot be started"))?)
        } else {
            None
        };
        Ok(Self { topics, stopped, thread })
    }

    pub fn is_silent(&self, topic: u16) -> bool {
        let topic = self.topics[usize::from(topic)].as_ref();
        topic.is_some_and(|topic| topic.is_silent.load(Ordering::Acquire))
    }
}

impl Topic {
    /// While the broker does not answer it stays as it was.
    fn ask(&self, client: &BaseConsumer<Logging>) {
        match self.has_record_since(client) {
            Ok(has_record) => {
                let was_silent = self.is_silent.swap(!has_record, Ordering::AcqRel);
                if was_silent == has_record {
                    let (topic, hold_ms) = (&self.name, self.hold_ms);
                    tracing::info!(target: "kafka", topic, hold_ms, "silent: {}", !has_record);
                }
            }
            Err(error) => tracing::info!(target: "kafka", "is {} silent? {error}; asking again", self.name),
        }
    }

    fn has_record_since(&self, client: &BaseConsumer<Logging>) -> KafkaResult<bool> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let since = now.saturating_sub_unsigned(self.hold_ms).max(0);
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition_offset(&self.name, partition as i32, Offset::Offset(since))?;
        }
        let answer = client.offsets_for_times(list, ANSWER_WAIT)?;
        let elements = answer.elements();
        elements.iter().try_for_each(|found| found.error())?;
        Ok(elements.iter().any(|found| matches!(found.offset(), Offset::Offset(_))))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
