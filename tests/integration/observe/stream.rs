//! A small shop: events of all types as they happen, some of them late, duplicate or invalid, some erasing
//! customers.

use crate::support::rules::lifecycle;
use crate::support::wait::wait_until_moment;
use crate::support::{Broker, Produced, send};
use rdkafka::producer::{DefaultProducerContext, Producer, ThreadedProducer};
use shoal::random::Random;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CUSTOMERS: u64 = 150;
/// Pause between two events.
const PACE: Duration = Duration::from_millis(12);
const PATIENCE: Duration = Duration::from_secs(30);

const MORE_RULES: &str = r#"
[currency]
base = "EUR"
rates = { GBP = "1.17" }
[segmentation.value]
ladder = ["low", "high"]
segments = [{ name = "high", when = "revenue >= 200" }, { name = "low" }]
[audience.cart_abandoner]
when = "cart_open AND cart_idle_minutes >= 0.05"
[audience.browsing]
when = "since('view') <= 0.00005"
[alert.many_idle_carts]
segmentation = "cart_abandoner"
to = "in"
above = 0
window = "1m"
"#;

/// Writes events until it is dropped.
pub struct Stream {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Rules with windows of seconds instead of months.
pub fn rules() -> String {
    lifecycle(["0.00006", "0.00012", "0.00025"]) + MORE_RULES
}

impl Stream {
    /// The last topic is silent: it gets one record only.
    pub fn start(broker: &Broker, topics: [String; 2]) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = is_over.clone();
        let producer = broker.producer();
        let thread = std::thread::spawn(move || {
            let mut random = Random(11);
            let mut n = 0;
            produce(&producer, &topics[1], "c-0", &event(&mut random, n, "c-0"));
            while !ends.load(Ordering::Relaxed) {
                n += 1;
                // Now and then a new customer whose event is late.
                let customer = match random.below(60) {
                    0 => format!("late-{n}"),
                    _ => format!("c-{}", random.below(CUSTOMERS).min(random.below(CUSTOMERS))),
                };
                let value = event(&mut random, n, &customer);
                for _ in 0..if random.one_in(30) { 2 } else { 1 } {
                    produce(&producer, &topics[0], &customer, &value);
                }
                wait_until_moment(Instant::now() + PACE);
            }
            producer.flush(PATIENCE).expect("flush");
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn produce(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, customer: &str, value: &str) {
    let record = Produced { key: Some(customer.as_bytes()), value: Some(value.as_bytes()), ..Produced::default() };
    send(producer, topic, record);
}

/// The n-th event, mostly with the current time.
fn event(random: &mut Random, n: u64, customer: &str) -> String {
    let now = jiff::Timestamp::now().as_millisecond();
    let time = match random.below(25) {
        _ if customer.starts_with("late-") => now - 600_000,
        0 => now - random.between(2_000, 20_000),
        _ => now,
    };
    let head = format!(r#"{{"event_id":"e-{n}","customer_id":"{customer}","time":{time},"type":"#);
    let cents = 500 + random.below(9_000);
    match random.below(100) {
        0..22 => format!(r#"{head}"purchase","order_id":"o-{n}","amount":"{}.{:02}"}}"#, cents / 100, cents % 100),
        22..24 => format!(r#"{head}"purchase","order_id":"o-{customer}","amount":"5","currency":"GBP"}}"#),
        24..55 => format!(r#"{head}"view"}}"#),
        55..68 => format!(r#"{head}"cart_add","cart_total":"30"}}"#),
        68..84 => format!(r#"{head}"exposure","campaign":"autumn","cost":"0.{:02}"}}"#, 1 + random.below(60)),
        84..90 => format!(r#"{head}"refund","amount":"{}"}}"#, 1 + random.below(60)),
        90..94 => format!(r#"{head}"teleport"}}"#),
        94..96 => "not an event".into(),
        96..97 => format!(r#"{head}"erase"}}"#),
        97..98 => format!(r#"{head}"opt_out"}}"#),
        _ => format!(r#"{head}"opt_in"}}"#),
    }
}
