//! Requests about the topics at regular intervals: is an input silent, has it got more partitions, was one deleted?
//!
//! A topic is *silent* if it has had no record for as long as `hold_time_when_silent` says. A source that has stopped
//! sending must not look like customers who have stopped coming. One worker reads only some of the partitions, so a
//! thread requests once a second, for all partitions, the first record of that time. The thread may wait for the
//! answer.

use crate::kafka::admin::Existence;
use crate::kafka::client::{Logging, stop};
use crate::kafka::inbox::Inbox;
use crate::kafka::{Failure, KafkaSettings};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const INTERVAL: Duration = Duration::from_secs(1);
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// The topics are looked at once in this number of rounds, and in each while one of them is not found.
const EXISTENCE_ROUNDS: u32 = 5;

/// What is known of the inputs, and the thread that sends the requests.
pub struct Survey {
    topics: Arc<Vec<SurveyedTopic>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct SurveyedTopic {
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
            // Silent until the broker has answered otherwise.
            SurveyedTopic { name: name.clone(), partitions, hold_ms, is_silent: AtomicBool::new(hold_ms.is_some()) }
        };
        let topics: Arc<Vec<_>> = Arc::new(settings.inputs.iter().map(topic).collect());
        let stopped = Arc::new(AtomicBool::new(false));
        let surveyor = Surveyor {
            topics: Arc::clone(&topics),
            stopped: Arc::clone(&stopped),
            client: Arc::clone(client),
            inbox: Arc::clone(inbox),
            existence: Existence::new(settings, partitions),
        };
        let thread = std::thread::Builder::new().name("kafka-survey".into()).spawn(move || surveyor.run());
        let thread = thread.map_err(stop("the surveying thread cannot be started"))?;
        Ok(Self { topics, stopped, thread: Some(thread) })
    }

    pub fn is_silent(&self, topic: u16) -> bool {
        self.topics[usize::from(topic)].is_silent.load(Ordering::Acquire)
    }
}

/// The thread's side.
struct Surveyor {
    topics: Arc<Vec<SurveyedTopic>>,
    stopped: Arc<AtomicBool>,
    client: Arc<BaseConsumer<Logging>>,
    inbox: Arc<Inbox>,
    existence: Existence,
}

impl Surveyor {
    /// While the broker does not answer, nothing changes.
    fn run(mut self) {
        for round in 0.. {
            for topic in self.topics.iter() {
                if self.stopped.load(Ordering::Acquire) {
                    return;
                }
                topic.check_silence(&self.client);
            }
            if (round % EXISTENCE_ROUNDS == 0 || self.existence.is_in_doubt())
                && let Some(failure) = self.existence.look(&self.client)
            {
                self.inbox.push(Err(failure));
                return;
            }
            std::thread::park_timeout(INTERVAL);
        }
    }
}

impl SurveyedTopic {
    fn check_silence(&self, client: &BaseConsumer<Logging>) {
        let Some(hold_ms) = self.hold_ms else { return };
        match self.has_record_since(client, hold_ms) {
            Ok(has_record) => {
                let was_silent = self.is_silent.swap(!has_record, Ordering::AcqRel);
                if was_silent == has_record {
                    let topic = &self.name;
                    if has_record {
                        tracing::info!(target: "kafka", topic, "an input topic has records again; time passes");
                    } else {
                        tracing::info!(target: "kafka", topic, hold_ms, "an input topic is silent; time is held back");
                    }
                }
            }
            Err(error) => tracing::debug!(
                target: "kafka",
                topic = self.name,
                %error,
                "it is not known whether an input topic is silent; retrying"
            ),
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
