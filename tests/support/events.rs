//! A small shop, derived from a seed: native events of some customers over a year, and rules for them.

use shoal::engine::decode::{Partitioner, partition_of};
pub use shoal::random::Random;

pub const DAY: i64 = 86_400_000;
/// 2025-01-01T00:00:00Z: when the shop opens.
pub const OPENING: i64 = 1_735_689_600_000;

/// Rules with windows, dwell, audiences and time-caused changes.
pub const RULES: &str = r#"
include = ["revenue", "orders", "top_category"]
[time]
clock = "events"
[segmentation.lifecycle]
segments = [
  { name = "prospect", when = "orders = 0" },
  { name = "new", when = "orders = 1 AND recency_days <= 30" },
  { name = "active", when = "recency_days <= 60" },
  { name = "at_risk", when = "recency_days <= 180" },
  { name = "dormant" },
]
[segmentation.value]
segments = [
  { name = "high", when = "revenue_90d >= 300" },
  { name = "low" },
]
min_dwell = "7d"
[audience.browsing]
when = "views_7d >= 3"
[audience.cart_abandoner]
when = "cart_open AND cart_idle_minutes >= 30"
"#;

/// An input record.
#[derive(Clone, Debug)]
pub struct Line {
    pub time: i64,
    pub key: Option<Vec<u8>>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
}

impl Line {
    /// The partition that the key's murmur2 gives; 0 without a key.
    pub fn partition(&self, partitions: u32) -> u32 {
        self.key.as_deref().map_or(0, |key| partition_of(Partitioner::Murmur2, key, partitions))
    }
}

/// Events of this many customers over a year, in order of time except for some late ones.
pub fn shop(seed: u64, customers: u64, count: usize) -> Vec<Line> {
    let mut random = Random(seed);
    let step = 365 * DAY / count as i64;
    (0..count)
        .map(|n| {
            let customer = random.below(customers);
            let mut time = OPENING + n as i64 * step + random.below(step.max(1) as u64) as i64;
            if random.below(20) == 0 {
                time -= random.below(3 * DAY as u64) as i64;
            }
            let key = format!("c-{customer:05}").into_bytes();
            let value = event(&mut random, n, customer, time).into_bytes();
            Line { time, key: Some(key), value: Some(value) }
        })
        .collect()
}

/// The n-th event of a shop, of this customer and at this time.
pub fn event(random: &mut Random, n: usize, customer: u64, time: i64) -> String {
    let head = format!(r#"{{"event_id":"e-{n}","customer_id":"c-{customer:05}","time":{time},"type""#);
    let category = ["shoes", "hats", "bags"][random.below(3) as usize];
    match random.below(100) {
        0..30 => {
            let (order, cents) = (n, 500 + random.below(20_000));
            let amount = format!("{}.{:02}", cents / 100, cents % 100);
            format!(r#"{head}:"purchase","order_id":"o-{order}","amount":"{amount}","category":"{category}"}}"#)
        }
        30..60 => format!(r#"{head}:"view","category":"{category}"}}"#),
        60..75 => format!(r#"{head}:"cart_add","cart_total":"{}"}}"#, 10 + random.below(90)),
        75..80 => format!(r#"{head}:"cart_remove","cart_total":"0"}}"#),
        80..88 => format!(r#"{head}:"cancel","order_id":"o-{}"}}"#, random.below(n as u64 + 1)),
        88..93 => format!(r#"{head}:"refund","amount":"{}.50"}}"#, 1 + random.below(20)),
        93..97 => format!(r#"{head}:"profile","attributes":{{"country":"N{}"}}}}"#, random.below(3)),
        97..98 => format!(r#"{head}:"erase"}}"#),
        98..99 => format!(r#"{head}:"opt_out"}}"#),
        _ => format!(r#"{head}:"opt_in"}}"#),
    }
}

/// Invalid records, each with the reason for which it must be rejected.
pub fn hostile(customer: &str) -> Vec<(&'static str, Line)> {
    let of = |rest: &str| format!(r#"{{"customer_id":"{customer}",{rest}}}"#).into_bytes();
    let of_purchase = |rest: &str| of(&format!(r#""type":"purchase","time":{},{rest}"#, OPENING + DAY));
    let of_view = |rest: &str| of(&format!(r#""type":"view",{rest}"#));
    let long = "x".repeat(257);
    let time = format!("\"time\":{}", OPENING + DAY);
    let keyed: Vec<(&str, Vec<u8>)> = vec![
        ("too_large", vec![b' '; 70_000]),
        ("decode", b"not json".to_vec()),
        ("decode", b"".to_vec()),
        ("decode", b"[1,2,3]".to_vec()),
        ("decode", vec![b'{', b'"', 0xff, 0xfe, b'"', b':', b'1', b'}']),
        ("decode", br#"{"a":1,"a":2}"#.to_vec()),
        ("decode", br#"{"a":"\ud800"}"#.to_vec()),
        ("decode", [b"{\"a\":".as_slice(), "[".repeat(100).as_bytes()].concat()),
        ("key", format!(r#"{{"customer_id":"somebody else","type":"view",{time}}}"#).into_bytes()),
        ("key", format!(r#"{{"customer_id":7,"type":"view",{time}}}"#).into_bytes()),
        ("type", of(&time)),
        ("type", of(&format!(r#""type":"teleport",{time}"#))),
        ("schema", of(r#""type":"view""#)),
        ("schema", of_view(&format!(r#"{time},"event_id":"{long}""#))),
        ("schema", of(&format!(r#""type":"cancel",{time}"#))),
        ("schema", of_view(&format!("{time}.5"))),
        ("time", of_view(r#""time":"yesterday""#)),
        ("time", of_view(r#""time":"1969-01-01T00:00:00Z""#)),
        ("time_unit", of_view(r#""time":1735689600"#)),
        ("time_future", of_view(r#""time":"2099-01-01T00:00:00Z""#)),
        ("amount", of_purchase(r#""amount":"-1""#)),
        ("amount", of_purchase(&format!(r#""amount":"1.{}""#, "1".repeat(63)))),
        ("currency", of_purchase(r#""amount":"1","currency":"XXX""#)),
    ];
    let line =
        |key: Option<&str>, value| Line { time: OPENING + DAY, key: key.map(|key| key.as_bytes().to_vec()), value };
    let keyed = keyed.into_iter().map(|(reason, value)| (reason, line(Some(customer), Some(value))));
    let others = [("decode", line(Some(customer), None)), ("key", line(None, Some(of_view(&time))))];
    keyed.chain(others).collect()
}
