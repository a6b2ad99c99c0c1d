//! A steady load: visitors who look at things, and buyers who put something into a cart and order it some time later.
//!
//! A visitor's event causes no change. A buyer's cart causes one at once and, a while later, two that only time causes;
//! its order, after those, one more. Nothing else comes of a buyer meanwhile, so nothing but the clock can cause them.

use super::Size;
use super::support::Broker;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use shoal::random::Random;
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the changes are made of; see the module.
pub const RULES: &str = r#"
[audience.shopping]
when = "cart_open"
[audience.hesitating]
when = "cart_idle_minutes >= 0.01 AND cart_idle_minutes < 0.02"
"#;
/// [`RULES`] have two changes by time within 1.2 s, which are published after a grace of 1 s; then the order may come.
const ORDER_AFTER: Duration = Duration::from_millis(4_000);
const VISITORS: u64 = 100_000;
/// Part of every delay: how long the producer of the events waits for more before it sends.
pub const LINGER_MS: &str = "5";

/// The moments at which buyers' events were sent, in nanoseconds of the clock of [`Load`]; 0: not yet.
pub struct Sent {
    pub carts: Vec<AtomicU64>,
    pub orders: Vec<AtomicU64>,
}

/// Events that are being sent.
pub struct Load {
    pub sent: Arc<Sent>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Duration>>,
}

impl Load {
    /// `clock` is where the moments are counted from; at most `longest` is sent for so long.
    pub fn start(broker: &Broker, topic: &str, size: Size, clock: Instant, longest: Duration) -> Self {
        let mut config = broker.client();
        config.set("partitioner", "murmur2_random").set("linger.ms", LINGER_MS).set("compression.type", "lz4");
        // At most five requests under way: batches grow where the broker is slow, instead of requests that wait there.
        config.set("enable.idempotence", "true");
        let producer: BaseProducer = config.set("delivery.report.only.error", "true").create().expect("producer");
        let buyers = longest.as_secs() * size.events_per_second / size.change_every + 1;
        let none = || (0..buyers).map(|_| AtomicU64::new(0)).collect();
        let sent = Arc::new(Sent { carts: none(), orders: none() });
        let stop = Arc::new(AtomicBool::new(false));
        let mut sender = Sender {
            producer,
            topic: topic.to_owned(),
            sent: Arc::clone(&sent),
            clock,
            random: Random(0x5eed),
            number: 0,
            carts: 0,
            shopping: VecDeque::new(),
            text: String::new(),
        };
        let until = Arc::clone(&stop);
        let thread = std::thread::spawn(move || sender.send_until(&until, size));
        Self { sent, stop, thread: Some(thread) }
    }

    /// Ends the load. Returns the longest delay of an event behind the steady load.
    pub fn finish(mut self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is ended once").join().expect("the load is sent")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Sender {
    producer: BaseProducer,
    topic: String,
    sent: Arc<Sent>,
    clock: Instant,
    random: Random,
    number: u64,
    carts: usize,
    /// Buyers with a cart, and when it was sent.
    shopping: VecDeque<(usize, Instant)>,
    text: String,
}

impl Sender {
    fn send_until(&mut self, stop: &AtomicBool, size: Size) -> Duration {
        let begin = Instant::now();
        let mut latest = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let elapsed = begin.elapsed();
            let due = (elapsed.as_nanos() * u128::from(size.events_per_second) / 1_000_000_000) as u64;
            if self.number < due {
                let due = Duration::from_nanos(self.number * 1_000_000_000 / size.events_per_second);
                latest = latest.max(elapsed.saturating_sub(due));
            }
            while self.number < due {
                self.send_next(size);
            }
            // Waits until the next events are due: nothing is reported but failures.
            self.producer.poll(Duration::from_millis(1));
        }
        self.producer.flush(Duration::from_secs(30)).expect("all events are written");
        latest
    }

    fn send_next(&mut self, size: Size) {
        self.number += 1;
        if !self.number.is_multiple_of(size.change_every) {
            let visitor = self.random.below(VISITORS);
            self.send("visitor", visitor, r#""type":"view""#);
            return;
        }
        let now = Instant::now();
        let nanoseconds = now.duration_since(self.clock).as_nanos() as u64;
        let may_order = self.shopping.front().is_some_and(|(_, since)| now.duration_since(*since) > ORDER_AFTER);
        // In turns, once the first may order.
        let is_turn = (self.number / size.change_every).is_multiple_of(2);
        if is_turn
            && may_order
            && let Some((buyer, _)) = self.shopping.pop_front()
        {
            self.sent.orders[buyer].store(nanoseconds, Ordering::Release);
            self.send("buyer", buyer as u64, r#""type":"purchase","amount":"19.90""#);
        } else {
            let buyer = self.carts;
            self.carts += 1;
            self.shopping.push_back((buyer, now));
            self.sent.carts[buyer].store(nanoseconds, Ordering::Release);
            self.send("buyer", buyer as u64, r#""type":"cart_add""#);
        }
    }

    /// The time of the event is now.
    fn send(&mut self, kind: &str, customer: u64, fields: &str) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock of our time").as_millis();
        let number = self.number;
        self.text.clear();
        write!(
            self.text,
            r#"{{"event_id":"{number:016}","customer_id":"{kind}-{customer:07}",{fields},"time":{time},"category":"shoes","channel":"app","page":"/products/{number}","device":"phone","app_version":"7.12.0"}}"#
        )
        .expect("memory");
        let key = format!("{kind}-{customer:07}");
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).key(key.as_bytes()).payload(self.text.as_bytes());
        while let Err((error, again)) = self.producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            self.producer.poll(Duration::from_millis(10));
            record = again;
        }
    }
}
