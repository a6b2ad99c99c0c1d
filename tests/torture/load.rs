//! The load: random events, written directly to the broker by a plain producer while faults are injected.
//!
//! It includes late events, duplicates, refunds, erasures and invalid records. A header, which Shoal does not read,
//! marks the invalid ones. The independent run reads what is in the topics at the end, because a producer whose broker
//! is killed may write a record twice.

use crate::support::Broker;
use crate::support::events::{Line, RULES, Random, event, hostile};
use crate::support::wait::wait_until_moment;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;
/// 2017-01-01T00:00:00Z.
pub const OPENING: i64 = 1_483_228_800_000;
/// The events span this time; [`NOW`] is later than all of them.
const SPAN: i64 = 8 * 365 * DAY;
/// The clock of the independent run; it only caps later timestamps.
pub const NOW: &str = "2026-01-01T00:00:00Z";
/// Time between two events; shorter if the span would not suffice.
const STEP_MAX: i64 = 10 * 60_000;
pub const CUSTOMERS: u64 = 1_500;
/// A duplicate repeats one of this many latest records.
const RECENT: usize = 40;
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval at which events are written.
const BEAT: Duration = Duration::from_millis(20);

/// Rules without time and windows. With several inputs, the order in which records of different topics are read depends
/// on timing, and so do changes caused by time; changes caused by a customer's own events do not.
const RULES_WITHOUT_TIME: &str = r#"
include = ["revenue", "orders"]
[time]
clock = "events"
[dedup]
horizon = "9600h"
[segmentation.buyer]
segments = [
  { name = "prospect", when = "orders = 0" },
  { name = "new", when = "orders = 1" },
  { name = "regular", when = "orders <= 6" },
  { name = "fan" },
]
[segmentation.value]
segments = [
  { name = "high", when = "revenue >= 500" },
  { name = "low" },
]
[audience.from_n1]
when = "country = 'N1'"
"#;

/// Makes shards publish the census. The events are years old, so the alert never fires.
const ALERT: &str = r#"
[alert.much_value]
segmentation = "value"
to = "high"
above = 2
window = "1h"
"#;

/// Amount and destination of the load.
#[derive(Clone)]
pub struct LoadOptions {
    pub seed: u64,
    pub topics: Vec<String>,
    pub partitions: u32,
    pub events_per_second: u32,
    /// Upper bound of the number of events.
    pub events_max: u64,
}

impl LoadOptions {
    pub fn rules(&self) -> String {
        let rules = if self.topics.len() == 1 { RULES } else { RULES_WITHOUT_TIME };
        [rules, ALERT].concat()
    }
}

/// Header with the reason for which a record is invalid.
pub const REASON: &str = "torture_reason";

/// Summary of the load.
#[derive(Default)]
pub struct Written {
    /// All changes caused by time up to this moment must be published.
    pub until: i64,
    pub kinds: BTreeMap<&'static str, u64>,
}

/// While this is set, only events without effect are written, at a moment that does not advance: there is always
/// something to commit, and never an output that would cause a commit at once.
pub type Calm = Arc<AtomicBool>;

/// Writes events at a steady rate on its own thread until it is finished.
pub struct Load {
    pub calm: Calm,
    end: Sender<()>,
    thread: JoinHandle<std::io::Result<Written>>,
}

impl Load {
    pub fn start(broker: &Broker, options: &LoadOptions) -> std::io::Result<Self> {
        let mut config = broker.client();
        let producer = config.set("enable.idempotence", "true").set("linger.ms", "5").set("compression.type", "lz4");
        let calm = Calm::default();
        let writer = Writer::new(producer.create().expect("producer"), options.clone(), Arc::clone(&calm));
        let (end, ended) = channel();
        let thread = std::thread::Builder::new().name("load".into()).spawn(move || writer.run(&ended))?;
        Ok(Self { calm, end, thread })
    }

    /// Stops writing and waits until the broker has acknowledged everything.
    pub fn finish(self) -> Result<Written, String> {
        drop(self.end);
        let done = self.thread.join().map_err(|_| "the load panicked")?;
        done.map_err(|error| format!("the load: {error}"))
    }
}

struct Writer {
    producer: ThreadedProducer<DefaultProducerContext>,
    options: LoadOptions,
    random: Random,
    step: i64,
    written: u64,
    calm: Calm,
    /// Number of events written in calm moments.
    without_effect: u64,
    recent: VecDeque<(usize, Line)>,
    result: Written,
}

impl Writer {
    fn new(producer: ThreadedProducer<DefaultProducerContext>, options: LoadOptions, calm: Calm) -> Self {
        Self {
            producer,
            random: Random(options.seed),
            step: (SPAN / options.events_max.max(1) as i64).min(STEP_MAX),
            written: 0,
            calm,
            without_effect: 0,
            recent: VecDeque::new(),
            options,
            result: Written::default(),
        }
    }

    fn run(mut self, ended: &Receiver<()>) -> std::io::Result<Written> {
        let per_beat = u64::from(self.options.events_per_second) * BEAT.as_millis() as u64 / 1_000;
        while ended.try_recv() == Err(TryRecvError::Empty) {
            wait_until_moment(Instant::now() + BEAT);
            for _ in 0..per_beat.max(1).min(self.options.events_max.saturating_sub(self.written)) {
                self.write_next();
            }
        }
        self.write_last();
        self.producer.flush(PATIENCE).map_err(std::io::Error::other)?;
        Ok(self.result)
    }

    fn now(&self) -> i64 {
        OPENING + self.written as i64 * self.step
    }

    fn write_next(&mut self) {
        if self.calm.load(Ordering::Relaxed) {
            self.without_effect += 1;
            let (topic, line) = self.without_effect(format!("q-{}", self.without_effect), self.now());
            return self.write_usable("without effect", topic, &line);
        }
        self.written += 1;
        match self.random.below(1_000) {
            0..12 => self.write_unusable(),
            12..32 if !self.recent.is_empty() => {
                let index = self.random.below(self.recent.len() as u64) as usize;
                let (topic, line) = self.recent[index].clone();
                self.write_usable("duplicate", topic, &line)
            }
            kind => {
                let is_late = kind < 80;
                let lateness = if is_late { self.random.below(3 * DAY as u64) as i64 } else { 0 };
                let (topic, line) = self.event(self.now() - lateness);
                self.recent.push_back((topic, line.clone()));
                self.recent.drain(..self.recent.len().saturating_sub(RECENT)).for_each(drop);
                self.write_usable(if is_late { "late" } else { "in order" }, topic, &line)
            }
        }
    }

    /// Every other event has a type that no rule uses.
    fn event(&mut self, time: i64) -> (usize, Line) {
        let n = self.written;
        if self.random.below(2) == 0 {
            return self.without_effect(format!("e-{n}"), time);
        }
        let customer = self.customer();
        let value = event(&mut self.random, n as usize, customer, time);
        self.of(customer, time, value)
    }

    fn without_effect(&mut self, id: String, time: i64) -> (usize, Line) {
        let customer = self.customer();
        let value = format!(r#"{{"event_id":"{id}","customer_id":"c-{customer:05}","time":{time},"type":"open"}}"#);
        self.of(customer, time, value)
    }

    /// A skewed choice: few customers have most of the events.
    fn customer(&mut self) -> u64 {
        self.random.below(CUSTOMERS) * self.random.below(CUSTOMERS) / CUSTOMERS
    }

    /// All events of a customer go to the same topic.
    fn of(&self, customer: u64, time: i64, value: String) -> (usize, Line) {
        let topic = customer as usize % self.options.topics.len();
        let key = format!("c-{customer:05}").into_bytes();
        (topic, Line { time, key: Some(key), value: Some(value.into_bytes()) })
    }

    fn write_usable(&mut self, kind: &'static str, topic: usize, line: &Line) {
        *self.result.kinds.entry(kind).or_default() += 1;
        self.send(topic, line.partition(self.options.partitions), line, None);
    }

    fn write_unusable(&mut self) {
        *self.result.kinds.entry("unusable").or_default() += 1;
        let (topic, line) = self.event(self.now());
        let partitions = self.options.partitions;
        if self.random.below(20) == 0 && partitions > 1 {
            let elsewhere = (line.partition(partitions) + 1) % partitions;
            return self.send(topic, elsewhere, &line, Some("partition"));
        }
        let customer = String::from_utf8_lossy(line.key.as_deref().unwrap_or_default()).into_owned();
        let mut choices = hostile(&customer);
        let (reason, line) = choices.swap_remove(self.random.below(choices.len() as u64) as usize);
        self.send(topic, line.partition(partitions), &line, Some(reason));
    }

    /// Writes one more event to each partition, long after all others, so that all changes caused by time happen before
    /// it.
    fn write_last(&mut self) {
        let until = self.now() + 4 * DAY;
        self.result.until = until;
        let partitions = self.options.partitions;
        let mut left: Vec<u32> = (0..partitions).collect();
        let mut n = 0;
        while !left.is_empty() {
            n += 1;
            // The watermark is `grace` behind the latest event.
            let (key, time) = (format!("last-{n}"), until + 1_000);
            let value = format!(r#"{{"customer_id":"{key}","event_id":"last","type":"view","time":{time}}}"#);
            let line = Line { time, key: Some(key.into_bytes()), value: Some(value.into_bytes()) };
            if let Some(index) = left.iter().position(|partition| *partition == line.partition(partitions)) {
                left.remove(index);
                self.write_usable("last", 0, &line);
            }
        }
    }

    /// Queues one record; waits while the queue is full.
    fn send(&self, topic: usize, partition: u32, line: &Line, reason: Option<&str>) {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.options.topics[topic]).partition(partition as i32);
        record = record.timestamp(line.time);
        (record.key, record.payload) = (line.key.as_deref(), line.value.as_deref());
        if let Some(reason) = reason {
            record = record.headers(OwnedHeaders::new().insert(Header { key: REASON, value: Some(reason) }));
        }
        while let Err((error, again)) = self.producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            self.producer.poll(BEAT);
            record = again;
        }
    }
}
