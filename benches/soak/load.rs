//! Events of a fixed set of customers: first each once, then drawn; as fast as the service follows, then steadily.
//!
//! A customer without events for a while is `idle`, a change caused by time only; its next event ends that. So both
//! kinds of changes come all the time, and nothing is kept of an event for longer than its hour but what is bounded.

use super::support::Broker;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use shoal::random::Random;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the load pauses for.
const PAUSE: Duration = Duration::from_millis(1);
/// Events sent between two looks at the clock.
const BURST: u64 = 500;

/// How fast events are sent.
#[derive(Default)]
pub struct Pace {
    /// 0: as fast as possible.
    pub per_second: AtomicU64,
    pub is_held_up: AtomicBool,
    /// Events sent so far.
    pub sent: AtomicU64,
    stop: AtomicBool,
}

/// Events that are being sent.
pub struct Load {
    pub pace: Arc<Pace>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub fn start(broker: &Broker, topic: &str, customers: u64) -> Self {
        let mut config = broker.client();
        config.set("partitioner", "murmur2_random").set("linger.ms", "5").set("compression.type", "lz4");
        // Every event once: customers' sequences are compared.
        config.set("enable.idempotence", "true");
        let producer: BaseProducer = config.set("delivery.report.only.error", "true").create().expect("producer");
        let pace = Arc::new(Pace::default());
        let mut sender = Sender {
            producer,
            topic: topic.to_owned(),
            customers,
            random: Random(0x5eed),
            pace: Arc::clone(&pace),
            key: String::new(),
            text: String::new(),
        };
        Self { pace, thread: Some(std::thread::spawn(move || sender.send_all())) }
    }

    /// Ends it, once all that was sent is written.
    pub fn finish(mut self) {
        self.pace.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is ended once").join().expect("the load is sent");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.pace.stop.store(true, Ordering::Relaxed);
    }
}

struct Sender {
    producer: BaseProducer,
    topic: String,
    customers: u64,
    random: Random,
    pace: Arc<Pace>,
    key: String,
    text: String,
}

impl Sender {
    fn send_all(&mut self) {
        let mut sent = 0;
        // The time and the event from which on the rate applies.
        let mut steady = (Instant::now(), 0, 0);
        while !self.pace.stop.load(Ordering::Relaxed) {
            let per_second = self.pace.per_second.load(Ordering::Relaxed);
            if steady.2 != per_second {
                steady = (Instant::now(), sent, per_second);
            }
            let due = match per_second {
                0 => sent + BURST,
                _ => steady.1 + (steady.0.elapsed().as_secs_f64() * per_second as f64) as u64,
            };
            if due == sent || self.pace.is_held_up.load(Ordering::Relaxed) {
                self.producer.poll(PAUSE);
                continue;
            }
            let until = due.min(sent + BURST);
            (sent..until).for_each(|number| self.send(number));
            sent = until;
            self.pace.sent.store(sent, Ordering::Relaxed);
            self.producer.poll(Duration::ZERO);
        }
        self.producer.flush(Duration::from_secs(60)).expect("all events are written");
    }

    /// The time of the event is now.
    fn send(&mut self, number: u64) {
        let customer = if number < self.customers { number } else { self.random.below(self.customers) };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock of our time").as_millis();
        let event_type = match self.random.below(100) {
            0..70 => "view",
            70..85 => "search",
            85..95 => "cart_add",
            95..99 => "checkout",
            _ => "profile",
        };
        self.key.clear();
        self.text.clear();
        write!(self.key, "customer-{customer:07}").expect("memory");
        write!(
            self.text,
            r#"{{"event_id":"{number:016}","customer_id":"{}","type":"{event_type}","time":{time},"channel":"app","page":"/products/{}","device":"phone","app_version":"7.12.0"}}"#,
            self.key,
            number % 100_000
        )
        .expect("memory");
        let mut record = BaseRecord::<str, str>::to(&self.topic).key(&self.key).payload(&self.text);
        while let Err((error, again)) = self.producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            self.producer.poll(Duration::from_millis(10));
            record = again;
        }
    }
}
