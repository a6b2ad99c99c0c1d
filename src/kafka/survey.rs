//! What the broker is asked about the inputs now and then: is one silent, has one got more partitions, is one gone?
//!
//! *Silent*: no record for as long as `hold_time_when_silent` says. A source that has stopped sending must not look like
//! customers who have stopped coming. One worker sees a part of the partitions only, so a small thread asks, once a second,
//! for the first record since then in any of them. It asks with a client of its own kind, and may wait for an answer.

use super::client::{Logging, stop};
use super::fate;
use super::inbox::Inbox;
use super::{Failure, KafkaSettings};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ASK_AGAIN: Duration = Duration::from_secs(1);
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// Rounds from one question for partitions to the next.
const ROUNDS: u32 = 5;
/// A topic that does not exist so often in turn is gone: a broker that has just started may not know all.
const GONE: u32 = 2;

/// What is known of the inputs, and the thread that asks.
pub struct Survey {
    topics: Arc<Vec<Topic>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Topic {
    name: String,
    /// At the start.
    partitions: u32,
    /// Milliseconds; `None`: it never holds time back.
    hold_ms: Option<u64>,
    is_silent: AtomicBool,
}

impl Survey {
    pub fn spawn(
        settings: &KafkaSettings,
        partitions: u32,
        client: &Arc<BaseConsumer<Logging>>,
        inbox: &Arc<Inbox>,
    ) -> Result<Self, Failure> {
        let topic = |name: &String| {
            let hold_ms = settings.hold_time_when_silent.get(name).map(|hold| hold.0);
            // Until the broker has said something else.
            Topic { name: name.clone(), partitions, hold_ms, is_silent: AtomicBool::new(hold_ms.is_some()) }
        };
        let topics: Arc<Vec<_>> = Arc::new(settings.inputs.iter().map(topic).collect());
        let stopped = Arc::new(AtomicBool::new(false));
        let asking = Asking {
            topics: Arc::clone(&topics),
            stopped: Arc::clone(&stopped),
            client: Arc::clone(client),
            inbox: Arc::clone(inbox),
        };
        let thread = std::thread::Builder::new().name("kafka-survey".into()).spawn(move || asking.run());
        let thread = thread.map_err(stop("the surveying thread cannot be started"))?;
        Ok(Self { topics, stopped, thread: Some(thread) })
    }

    pub fn is_silent(&self, topic: u16) -> bool {
        self.topics[usize::from(topic)].is_silent.load(Ordering::Acquire)
    }
}

/// What the thread works on.
struct Asking {
    topics: Arc<Vec<Topic>>,
    stopped: Arc<AtomicBool>,
    client: Arc<BaseConsumer<Logging>>,
    inbox: Arc<Inbox>,
}

impl Asking {
    /// While the broker does not answer everything stays as it was.
    fn run(self) {
        let mut missed = vec![0; self.topics.len()];
        for round in 0.. {
            for (topic, missed) in self.topics.iter().zip(&mut missed) {
                if self.stopped.load(Ordering::Acquire) {
                    return;
                }
                topic.ask_for_silence(&self.client);
                if round % ROUNDS == 0
                    && let Some(failure) = topic.ask_for_partitions(&self.client, missed)
                {
                    self.inbox.push(Err(failure));
                    return;
                }
            }
            std::thread::park_timeout(ASK_AGAIN);
        }
    }
}

impl Topic {
    fn ask_for_silence(&self, client: &BaseConsumer<Logging>) {
        let Some(hold_ms) = self.hold_ms else { return };
        match self.has_record_since(client, hold_ms) {
            Ok(has_record) => {
                let was_silent = self.is_silent.swap(!has_record, Ordering::AcqRel);
                if was_silent == has_record {
                    let state = if has_record { "has records again" } else { "is silent: time is held back" };
                    tracing::info!(target: "kafka", hold_ms, "the topic {} {state}", self.name);
                }
            }
            Err(error) => tracing::debug!(target: "kafka", "is {} silent? {error}; asking again", self.name),
        }
    }

    fn has_record_since(&self, client: &BaseConsumer<Logging>, hold_ms: u64) -> KafkaResult<bool> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let since = now.saturating_sub_unsigned(hold_ms).max(0);
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition_offset(&self.name, partition as i32, Offset::Offset(since))?;
        }
        let answer = client.offsets_for_times(list, ANSWER_WAIT)?;
        let elements = answer.elements();
        elements.iter().try_for_each(|found| found.error())?;
        Ok(elements.iter().any(|found| matches!(found.offset(), Offset::Offset(_))))
    }

    fn ask_for_partitions(&self, client: &BaseConsumer<Logging>, missed: &mut u32) -> Option<Failure> {
        let metadata = client.fetch_metadata(Some(&self.name), ANSWER_WAIT).ok()?;
        let found = metadata.topics().iter().find(|topic| topic.name() == self.name)?;
        let partitions = found.partitions().len() as u32;
        if partitions > self.partitions {
            return Some(fate::of_growth(&self.name, self.partitions, partitions));
        }
        let is_missing = found.error().is_some_and(|error| fate::is_unknown_topic(error.into()));
        *missed = if is_missing { *missed + 1 } else { 0 };
        (*missed >= GONE).then(|| {
            Failure::Stop(format!("the input topic {} does not exist any more; was it deleted by mistake?", self.name))
        })
    }
}

impl Drop for Survey {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
