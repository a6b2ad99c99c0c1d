//! When the broker last answered for a partition, from librdkafka's statistics.
//!
//! A partition without records must be told apart from one whose leader is away: time may pass for the first only. Each
//! statistics event says how many fetches were sent to each broker and how many responses came from it. A broker has one
//! fetch under way at a time. So if two more were sent and two more responses came since an event of moment `m`, over one
//! connection, then a fetch that was sent after `m` has been answered, and its records are in the queues: whatever the
//! broker had at `m` was there to be taken. `m` is what [`Answers::latest`] gives. Taking the moment at which bytes arrived would not do:
//! after the process was stopped for a while, an answer from before the stop waits in the socket.

use super::client::Logging;
use super::{ClientReport, Failure};
use crate::repeats::Repeats;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use serde::Deserialize;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Events of which the counts are remembered, per broker.
const REMEMBERED: usize = 16;
/// As often the watch looks whether it is to stop.
const LISTEN: Duration = Duration::from_millis(100);

static UNREADABLE: Repeats = Repeats::new();

/// When the broker last answered for one partition.
#[derive(Default)]
pub struct Answers {
    /// Monotonic milliseconds and 1; 0: never.
    latest: AtomicU64,
    /// Monotonic milliseconds of when it was started.
    started: u64,
}

impl Answers {
    /// A moment, in monotonic milliseconds, up to which all that the broker had of the partition is in its queue.
    pub fn latest(&self) -> Option<u64> {
        self.latest.load(Ordering::Acquire).checked_sub(1)
    }
}

/// Context of the consumer that fetches.
pub struct Watching {
    clock: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    followed: HashMap<(String, u32), Followed>,
    brokers: HashMap<i32, VecDeque<Counts>>,
    report: ClientReport,
    /// Microseconds from librdkafka's clock to ours, the least that was seen: an event is heard some time after its moment.
    clock_offset: Option<i64>,
}

struct Followed {
    answers: Arc<Answers>,
    /// The broker that is asked, and since which moment.
    asked: Option<(i32, u64)>,
}

#[derive(Clone, Copy)]
struct Counts {
    moment: u64,
    connects: u64,
    sent: u64,
    received: u64,
}

/// What is read of a statistics event; librdkafka's STATISTICS.md describes it.
#[derive(Deserialize)]
struct Statistics {
    /// Microseconds of librdkafka's monotonic clock.
    ts: i64,
    #[serde(default)]
    brokers: HashMap<String, BrokerStatistics>,
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    nodeid: i32,
    state: String,
    /// Responses received.
    rx: u64,
    connects: u64,
    #[serde(default)]
    req: RequestStatistics,
    #[serde(default)]
    rtt: WindowStatistics,
    #[serde(default)]
    throttle: WindowStatistics,
    #[serde(default)]
    req_timeouts: u64,
    #[serde(default)]
    txerrs: u64,
    #[serde(default)]
    rxerrs: u64,
}

/// Of the time since the event before; round trips in microseconds, throttling in milliseconds.
#[derive(Deserialize, Default)]
struct WindowStatistics {
    #[serde(default)]
    p50: i64,
    #[serde(default)]
    p99: i64,
    #[serde(default)]
    max: i64,
    #[serde(default)]
    cnt: i64,
}

#[derive(Deserialize, Default)]
struct RequestStatistics {
    #[serde(rename = "Fetch", default)]
    fetch: u64,
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: HashMap<i32, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    broker: i32,
    fetch_state: String,
}

impl Watching {
    pub const INTERVAL_MS: u32 = 500;

    pub fn new(clock: Instant) -> Self {
        Self { clock, seen: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Begins to look after a partition.
    pub fn follow(&self, name: &str, partition: u32) -> Arc<Answers> {
        let started = self.clock.elapsed().as_millis() as u64;
        let answers = Arc::new(Answers { started, ..Answers::default() });
        let followed = Followed { answers: Arc::clone(&answers), asked: None };
        self.lock().followed.insert((name.to_owned(), partition), followed);
        answers
    }

    pub fn forget(&self, name: &str, partition: u32) {
        self.lock().followed.remove(&(name.to_owned(), partition));
    }

    fn hear(&self, statistics: &Statistics) {
        let now = self.clock.elapsed().as_micros() as i64;
        let mut seen = self.lock();
        let offset = seen.clock_offset.map_or(now - statistics.ts, |known| known.min(now - statistics.ts));
        seen.clock_offset = Some(offset);
        let moment = u64::try_from((statistics.ts + offset) / 1_000).unwrap_or(0);
        let answered = seen.answered_by_brokers(statistics, moment);
        seen.note_answers(statistics, moment, &answered);
        seen.report = statistics.report();
    }

    /// What the last statistics say of the client.
    pub fn client_report(&self) -> ClientReport {
        self.lock().report.clone()
    }
}

impl Statistics {
    fn report(&self) -> ClientReport {
        // The client counts from its beginning; places to begin at are brokers of their own, under a negative number.
        let known = || self.brokers.values().filter(|broker| broker.nodeid >= 0);
        let slowest = known().filter(|broker| broker.rtt.cnt > 0).max_by_key(|broker| broker.rtt.p99);
        ClientReport {
            brokers_up: known().filter(|broker| broker.state == "UP").count() as u64,
            round_trip: slowest.map(|broker| [broker.rtt.p50, broker.rtt.p99].map(|us| us as f64 / 1e6)),
            request_timeouts: self.brokers.values().map(|broker| broker.req_timeouts).sum(),
            request_errors: self.brokers.values().map(|broker| broker.txerrs + broker.rxerrs).sum(),
            reconnects: known().map(|broker| broker.connects.saturating_sub(1)).sum(),
            throttle: known().map(|broker| broker.throttle.max).max().unwrap_or(0) as f64 / 1e3,
            ..ClientReport::default()
        }
    }
}

impl Seen {
    /// Up to which moment each broker that is there has answered.
    fn answered_by_brokers(&mut self, statistics: &Statistics, moment: u64) -> HashMap<i32, u64> {
        let mut answered = HashMap::new();
        for broker in statistics.brokers.values().filter(|broker| broker.nodeid >= 0) {
            let (connects, sent, received) = (broker.connects, broker.req.fetch, broker.rx);
            let now = Counts { moment, connects, sent, received };
            let history = self.brokers.entry(broker.nodeid).or_default();
            if broker.state != "UP" || history.back().is_some_and(|last| last.connects != connects) {
                // What came since is of handshakes, and what was sent may never be answered.
                history.clear();
            }
            if broker.state != "UP" {
                continue;
            }
            let is_past = |then: &&Counts| sent >= then.sent + 2 && received >= then.received + 2;
            if let Some(then) = history.iter().rev().find(is_past) {
                answered.insert(broker.nodeid, then.moment);
            }
            history.push_back(now);
            if history.len() > REMEMBERED {
                history.pop_front();
            }
        }
        answered
    }

    fn note_answers(&mut self, statistics: &Statistics, moment: u64, answered: &HashMap<i32, u64>) {
        for ((name, partition), followed) in &mut self.followed {
            let topic = statistics.topics.get(name);
            let found = topic.and_then(|topic| topic.partitions.get(&(*partition as i32)));
            followed.asked = match (found.filter(|found| found.fetch_state == "active"), followed.asked) {
                (Some(found), Some((broker, since))) if broker == found.broker => Some((broker, since)),
                (Some(found), _) => Some((found.broker, moment)),
                (None, _) => None,
            };
            let Some((broker, since)) = followed.asked else { continue };
            let since = since.max(followed.answers.started);
            if let Some(&answered) = answered.get(&broker).filter(|&&answered| answered >= since) {
                followed.answers.latest.fetch_max(answered + 1, Ordering::AcqRel);
            }
        }
    }
}

impl ClientContext for Watching {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Logging.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logging.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(statistics) => self.hear(&statistics),
            Err(error) => UNREADABLE.say("statistics", |left_out| {
                tracing::error!(target: "kafka", left_out, "statistics that cannot be read: {error}");
            }),
        }
    }
}

impl ConsumerContext for Watching {}

/// The thread that hears the consumer's events: statistics, errors, logs.
pub struct Watch {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub fn spawn(consumer: Arc<BaseConsumer<Watching>>) -> Result<Self, Failure> {
        let stopped = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stopped);
        let listen = move || {
            while !until.load(Ordering::Acquire) {
                if let Some(Err(error)) = consumer.poll(LISTEN) {
                    tracing::debug!(target: "kafka", "fetching: {error}");
                }
            }
        };
        let thread = std::thread::Builder::new().name("kafka-watch".into()).spawn(listen);
        let thread = thread.map_err(super::client::stop("the watching thread cannot be started"))?;
        Ok(Self { stopped, thread: Some(thread) })
    }

    pub fn stop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One event: its moment in milliseconds, the broker's state, how many fetches were sent and responses came.
    fn event(watching: &Watching, moment: u64, state: &str, sent: u64, received: u64, fetch_state: &str) {
        let mut seen = watching.lock();
        let text = format!(
            r#"{{"ts":{ts},"brokers":{{"b":{{"nodeid":1,"state":"{state}","rx":{received},"connects":1,"req":{{"Fetch":{sent}}}}}}},
               "topics":{{"in":{{"partitions":{{"0":{{"broker":1,"fetch_state":"{fetch_state}"}},
                                               "-1":{{"broker":-1,"fetch_state":"none"}}}}}}}}}}"#,
            ts = moment * 1_000
        );
        let statistics: Statistics = serde_json::from_str(&text).unwrap();
        let answered = seen.answered_by_brokers(&statistics, moment);
        seen.note_answers(&statistics, moment, &answered);
    }

    #[test]
    fn an_answer_counts_for_the_moment_before_its_fetch_was_sent() {
        let watching = Watching::new(Instant::now());
        let answers = watching.follow("in", 0);
        event(&watching, 1_000, "UP", 10, 10, "active");
        assert_eq!(answers.latest(), None, "nothing to compare with");
        event(&watching, 1_500, "UP", 11, 11, "active");
        assert_eq!(answers.latest(), None, "the one answer may be to a fetch of before");
        event(&watching, 2_000, "UP", 16, 16, "active");
        assert_eq!(answers.latest(), Some(1_500));
        // The process was stopped for ten seconds: what waited in the socket says nothing of now.
        event(&watching, 12_000, "UP", 17, 17, "active");
        assert_eq!(answers.latest(), Some(1_500));
        event(&watching, 12_500, "UP", 22, 22, "active");
        assert_eq!(answers.latest(), Some(12_000));
    }

    #[test]
    fn a_broker_that_is_away_and_a_partition_that_is_not_fetched_do_not_answer() {
        let watching = Watching::new(Instant::now());
        let answers = watching.follow("in", 0);
        event(&watching, 1_000, "UP", 10, 10, "active");
        event(&watching, 1_500, "UP", 15, 15, "active");
        assert_eq!(answers.latest(), Some(1_000));
        // Nobody answers; then there is another connection, of which handshakes are responses too.
        event(&watching, 2_000, "UP", 16, 15, "active");
        assert_eq!(answers.latest(), Some(1_000));
        event(&watching, 2_500, "CONNECT", 16, 15, "active");
        event(&watching, 3_000, "UP", 20, 20, "active");
        assert_eq!(answers.latest(), Some(1_000));
        event(&watching, 3_500, "UP", 40, 40, "offset-query");
        event(&watching, 4_000, "UP", 45, 45, "active");
        assert_eq!(answers.latest(), Some(1_000), "the partition is fetched again only since 4000");
        event(&watching, 4_500, "UP", 50, 50, "active");
        assert_eq!(answers.latest(), Some(4_000));
        watching.forget("in", 0);
        event(&watching, 5_000, "UP", 60, 60, "active");
        assert_eq!(answers.latest(), Some(4_000));
    }
}
