//! When the broker last answered for a partition, derived from librdkafka's statistics.
//!
//! A partition without records must be distinguished from one whose leader is unavailable: time may pass for the first
//! only. Each statistics event says how many fetches were sent to each broker and how many responses came from it. A
//! broker has one fetch in flight at a time. So if two more fetches were sent and two more responses received since an
//! event of moment `m`, over one connection, then a fetch that was sent after `m` has been answered, and its records
//! are in the queues: everything that the broker had at `m` can be read. [`Answers::latest`] returns `m`. The moment at
//! which bytes arrived would be wrong: after the process was stopped for a while, an answer from before waits in the
//! socket.
//!
//! What a fetch has shown counts until the partition's leader changes or the connection to it breaks (T7). The client
//! logs a broken connection at once; the statistics show both a moment later. From then on [`Answers::is_unbroken`] is
//! false, until a fetch that was sent later has been answered.

use super::statistics::{BrokerCounts, Statistics};
use crate::kafka::client::{Logging, stop};
use crate::kafka::{ClientReport, Failure};
use crate::repeats::Repeats;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Events whose counts are remembered, per broker.
const EVENTS_REMEMBERED: usize = 16;
/// How often the watching thread checks whether it has to stop.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Facility of the client's log lines about connections that break or cannot be made.
const BROKEN: &str = "FAIL";

static UNREADABLE: Repeats = Repeats::new();

/// When the broker last answered for one partition.
#[derive(Default)]
pub struct Answers {
    /// Monotonic milliseconds plus 1; 0: never.
    latest: AtomicU64,
    /// When the connection last broke or the leader changed; likewise.
    broken: AtomicU64,
    /// Monotonic milliseconds at which the partition was started.
    started: u64,
}

impl Answers {
    /// A moment, in monotonic milliseconds, up to which everything that the broker had of the partition is in its
    /// queue.
    pub fn latest(&self) -> Option<u64> {
        self.latest.load(Ordering::Acquire).checked_sub(1)
    }

    /// Whether the connection has not broken and the leader not changed since the fetch that was answered last.
    pub fn is_unbroken(&self) -> bool {
        self.latest.load(Ordering::Acquire) >= self.broken.load(Ordering::Acquire)
    }

    fn note_break(&self, moment: u64) {
        self.broken.fetch_max(moment + 1, Ordering::AcqRel);
    }
}

/// Context of the consumer that fetches.
pub struct WatchContext {
    clock: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watched: HashMap<(String, u32), Watched>,
    brokers: HashMap<i32, VecDeque<Counts>>,
    report: ClientReport,
    /// Microseconds from librdkafka's clock to ours, the smallest seen: an event is received some time after its
    /// moment.
    clock_offset: Option<i64>,
}

struct Watched {
    answers: Arc<Answers>,
    /// Where the partition is fetched from.
    source: Option<FetchSource>,
}

#[derive(Clone, Copy)]
struct FetchSource {
    broker: i32,
    leader: i32,
    /// Since which moment.
    since: u64,
}

/// The counts of one broker in one event.
#[derive(Clone, Copy)]
struct Counts {
    moment: u64,
    connects: u64,
    sent: u64,
    received: u64,
}

impl WatchContext {
    pub const INTERVAL_MS: u32 = 500;

    pub fn new(clock: Instant) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Begins to watch a partition.
    pub fn watch(&self, name: &str, partition: u32) -> Arc<Answers> {
        let started = self.clock.elapsed().as_millis() as u64;
        let answers = Arc::new(Answers { started, ..Answers::default() });
        let watched = Watched { answers: Arc::clone(&answers), source: None };
        self.state().watched.insert((name.to_owned(), partition), watched);
        answers
    }

    pub fn unwatch(&self, name: &str, partition: u32) {
        self.state().watched.remove(&(name.to_owned(), partition));
    }

    /// The client has lost its connection to this broker.
    fn note_break(&self, broker: i32) {
        let now = self.clock.elapsed().as_millis() as u64;
        for watched in self.state().watched.values() {
            if watched.source.is_none_or(|source| source.broker == broker) {
                watched.answers.note_break(now);
            }
        }
    }

    fn update(&self, statistics: &Statistics) {
        let now = self.clock.elapsed().as_micros() as i64;
        let mut state = self.state();
        let offset = state.clock_offset.map_or(now - statistics.ts, |known| known.min(now - statistics.ts));
        state.clock_offset = Some(offset);
        let moment = u64::try_from((statistics.ts + offset) / 1_000).unwrap_or(0);
        let (answered, broken) = state.answered_by_brokers(statistics, moment);
        state.note_answers(statistics, moment, &answered, &broken);
        state.report = statistics.report();
    }

    /// What the last statistics event says of the client.
    pub fn client_report(&self) -> ClientReport {
        self.state().report.clone()
    }
}

impl State {
    /// The moment up to which each connected broker has answered, and the brokers whose connection has broken.
    fn answered_by_brokers(&mut self, statistics: &Statistics, moment: u64) -> (HashMap<i32, u64>, HashSet<i32>) {
        let (mut answered, mut broken) = (HashMap::new(), HashSet::new());
        for (id, counted) in statistics.by_number() {
            let BrokerCounts { is_up, connects, fetches: sent, received } = counted;
            let now = Counts { moment, connects, sent, received };
            let history = self.brokers.entry(id).or_default();
            if !is_up || history.back().is_some_and(|last| last.connects != connects) {
                // Later responses may be those of handshakes, and earlier requests may never be answered.
                history.clear();
                broken.insert(id);
            }
            if !is_up {
                continue;
            }
            let is_past = |then: &&Counts| sent >= then.sent + 2 && received >= then.received + 2;
            if let Some(then) = history.iter().rev().find(is_past) {
                answered.insert(id, then.moment);
            }
            history.push_back(now);
            if history.len() > EVENTS_REMEMBERED {
                history.pop_front();
            }
        }
        (answered, broken)
    }

    fn note_answers(
        &mut self,
        statistics: &Statistics,
        moment: u64,
        answered: &HashMap<i32, u64>,
        broken: &HashSet<i32>,
    ) {
        for ((name, partition), watched) in &mut self.watched {
            let topic = statistics.topics.get(name);
            let found = topic.and_then(|topic| topic.partitions.get(&(*partition as i32)));
            let active = found.filter(|found| found.fetch_state == "active");
            let before = watched.source;
            watched.source = active.map(|found| match before {
                Some(source) if (source.broker, source.leader) == (found.broker, found.leader) => source,
                _ => FetchSource { broker: found.broker, leader: found.leader, since: moment },
            });
            let is_other = |source: FetchSource| {
                watched.source.is_none_or(|now| now.since != source.since) || broken.contains(&source.broker)
            };
            if before.is_some_and(is_other) {
                watched.answers.note_break(moment);
            }
            let Some(FetchSource { broker, since, .. }) = watched.source else { continue };
            let since = since.max(watched.answers.started);
            if let Some(&answered) = answered.get(&broker).filter(|&&answered| answered >= since) {
                watched.answers.latest.fetch_max(answered + 1, Ordering::AcqRel);
            }
        }
    }
}

/// The number of the broker that a message of the client is about: `…: host:port/NUMBER: what happened`. Connections to
/// coordinators and to the first address have none, and nothing is fetched over them.
fn broker_of(message: &str) -> Option<i32> {
    message.split(": ").find_map(|part| part.rsplit_once('/')?.1.parse().ok())
}

impl ClientContext for WatchContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(broker) = broker_of(message).filter(|_| facility == BROKEN) {
            self.note_break(broker);
        }
        Logging.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logging.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(statistics) => self.update(&statistics),
            Err(error) => UNREADABLE.log("statistics", |left_out| {
                tracing::error!(
                    target: "kafka",
                    left_out,
                    %error,
                    "statistics of the Kafka client cannot be read; changes by time are held back"
                );
            }),
        }
    }
}

impl ConsumerContext for WatchContext {}

/// The thread that polls the consumer for its events: statistics, errors, logs.
pub struct Watch {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub fn spawn(consumer: Arc<BaseConsumer<WatchContext>>) -> Result<Self, Failure> {
        let stopped = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stopped);
        let poll = move || {
            while !until.load(Ordering::Acquire) {
                if let Some(Err(error)) = consumer.poll(POLL_WAIT) {
                    tracing::debug!(target: "kafka", %error, "an error of the fetching consumer");
                }
            }
        };
        let thread = std::thread::Builder::new().name("kafka-watch".into()).spawn(poll);
        let thread = thread.map_err(stop("the watching thread cannot be started"))?;
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

    /// One event: its moment in milliseconds, the broker's state, the numbers of fetches sent and responses received.
    fn event(context: &WatchContext, moment: u64, state: &str, sent: u64, received: u64, fetch_state: &str) {
        let mut watched = context.state();
        let text = format!(
            r#"{{"ts":{ts},"brokers":{{"b":{{"nodeid":1,"state":"{state}","rx":{received},"connects":1,"req":{{"Fetch":{sent}}}}}}},
               "topics":{{"in":{{"partitions":{{"0":{{"broker":1,"fetch_state":"{fetch_state}"}},
                                               "-1":{{"broker":-1,"fetch_state":"none"}}}}}}}}}}"#,
            ts = moment * 1_000
        );
        let statistics: Statistics = serde_json::from_str(&text).unwrap();
        let (answered, broken) = watched.answered_by_brokers(&statistics, moment);
        watched.note_answers(&statistics, moment, &answered, &broken);
    }

    #[test]
    fn what_was_shown_counts_until_the_connection_breaks_and_then_from_the_next_answer_on() {
        let context = WatchContext::new(Instant::now());
        let answers = context.watch("in", 0);
        assert!(answers.is_unbroken(), "it was just started");
        event(&context, 1_000, "UP", 10, 10, "active");
        event(&context, 1_500, "UP", 15, 15, "active");
        assert!(answers.is_unbroken() && answers.latest() == Some(1_000));
        event(&context, 2_000, "CONNECT", 15, 15, "active");
        assert!(!answers.is_unbroken(), "the connection has broken");
        event(&context, 2_500, "UP", 20, 20, "active");
        assert!(!answers.is_unbroken(), "nothing was asked since then, as far as is known");
        event(&context, 3_000, "UP", 25, 25, "active");
        assert!(answers.is_unbroken() && answers.latest() == Some(2_500));
        event(&context, 3_500, "UP", 30, 30, "offset-query");
        assert!(!answers.is_unbroken(), "it is not fetched");
    }

    #[test]
    fn a_broken_connection_counts_at_once_for_the_partitions_of_its_broker() {
        let context = WatchContext::new(Instant::now().checked_sub(Duration::from_millis(10)).unwrap());
        let answers = context.watch("in", 0);
        event(&context, 0, "UP", 10, 10, "active");
        event(&context, 0, "UP", 15, 15, "active");
        let told = |number: i32| {
            let message = format!("[thrd:127.0.0.1:9092/{number}]: 127.0.0.1:9092/{number}: Disconnected (after 9ms)");
            context.log(RDKafkaLogLevel::Info, "FAIL", &message);
            answers.is_unbroken()
        };
        assert!(told(2), "another broker");
        assert!(!told(1));
        assert_eq!(broker_of("[thrd:GroupCoordinator]: GroupCoordinator: 127.0.0.1:9092: Connect failed"), None);
    }

    #[test]
    fn an_answer_counts_for_the_moment_before_its_fetch_was_sent() {
        let context = WatchContext::new(Instant::now());
        let answers = context.watch("in", 0);
        event(&context, 1_000, "UP", 10, 10, "active");
        assert_eq!(answers.latest(), None, "nothing to compare with");
        event(&context, 1_500, "UP", 11, 11, "active");
        assert_eq!(answers.latest(), None, "the one answer may be to an earlier fetch");
        event(&context, 2_000, "UP", 16, 16, "active");
        assert_eq!(answers.latest(), Some(1_500));
        // The process was stopped for ten seconds: the answer that waited in the socket is old.
        event(&context, 12_000, "UP", 17, 17, "active");
        assert_eq!(answers.latest(), Some(1_500));
        event(&context, 12_500, "UP", 22, 22, "active");
        assert_eq!(answers.latest(), Some(12_000));
    }

    #[test]
    fn an_unavailable_broker_and_a_partition_that_is_not_fetched_do_not_answer() {
        let context = WatchContext::new(Instant::now());
        let answers = context.watch("in", 0);
        event(&context, 1_000, "UP", 10, 10, "active");
        event(&context, 1_500, "UP", 15, 15, "active");
        assert_eq!(answers.latest(), Some(1_000));
        // The broker does not answer; then there is another connection, on which handshakes are responses too.
        event(&context, 2_000, "UP", 16, 15, "active");
        assert_eq!(answers.latest(), Some(1_000));
        event(&context, 2_500, "CONNECT", 16, 15, "active");
        event(&context, 3_000, "UP", 20, 20, "active");
        assert_eq!(answers.latest(), Some(1_000));
        event(&context, 3_500, "UP", 40, 40, "offset-query");
        event(&context, 4_000, "UP", 45, 45, "active");
        assert_eq!(answers.latest(), Some(1_000), "the partition is fetched again only since 4000");
        event(&context, 4_500, "UP", 50, 50, "active");
        assert_eq!(answers.latest(), Some(4_000));
        context.unwatch("in", 0);
        event(&context, 5_000, "UP", 60, 60, "active");
        assert_eq!(answers.latest(), Some(4_000));
    }
}
