//! Records that arrive, made so that faults must not change what they cause.
//!
//! A live run and a replay may differ where an event arrives later than `grace` after a change by time (T6), and where
//! records of one customer arrive in different orders (T7). The load avoids both, and nothing else:
//!
//! * *What a worker can learn late.* It may know the end of one partition as it was `STALE` ago, and another's as it
//!   is: it was suspended for up to 2.4 s, perhaps twice, fetches were not answered for up to 2.5 s, one took up to 0.5
//!   s, a transaction upstream held a record back for up to 0.3 s. (A worker that was away for longer is no longer a
//!   member and publishes nothing. With one input topic fetches may fail for longer: nothing but ticks raises the
//!   watermark meanwhile, and they are held back after 2 s.)
//! * *No deadline fires too early.* An event's time is 450 to 700 ms before its arrival. When it is processed, the
//!   watermark is at most (its arrival + `STALE` - 450) - `grace` by other topics' records, and at most (its arrival +
//!   2,300 + 400) - `grace` by ticks, 400 being the error of a clock. With a `grace` of 4 s for one topic and 8 s for
//!   several, neither is later than the event's time. Because the time is more than 400 ms before the arrival,
//!   `min(t, a)` is the event's time on every clock.
//! * *One order for each customer.* A customer's records arrive through one topic, or through several with more than
//!   `STALE` in between. What is there before the first worker starts may arrive through any topic at any moment: there
//!   a worker must find the order by arrival.
//! * Events that are late by hours belong to customers without deadlines in the near future.
//! * New rules evaluate a customer at its clock as it is when they come (R6): they come after the records of the first
//!   part are committed.

use shoal::engine::decode::{Partitioner, partition_of};
use shoal::random::Random;

/// When the world begins: half past midnight, 2025-01-01 UTC.
pub const BEGIN: i64 = 1_735_691_400_000;
/// When all workers are restarted with other rules, and when records arrive again after that.
pub const RULES_CHANGE: i64 = 40_000;
pub const SECOND_PART: i64 = 80_000;
/// Longer than the ends of any two partitions can be known apart.
const STALE: i64 = 7_700;

/// How a record becomes visible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Upstream {
    Plain,
    /// In a transaction that ends after this many milliseconds.
    Commits(i64),
    Aborts(i64),
}

/// A record with the moment, in milliseconds since the beginning, at which it is appended.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub moment: i64,
    pub topic: u16,
    pub shard: u32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub upstream: Upstream,
}

impl Arrival {
    pub fn timestamp(&self) -> i64 {
        BEGIN + self.moment
    }
}

struct Customer {
    id: String,
    shard: u32,
    topic: u16,
    /// Its records arrive through all topics.
    roams: bool,
    /// It has only views and searches, and some of its events are late by hours.
    visits: bool,
    last: i64,
    /// Number of its last event.
    number: u64,
}

/// Records of one part. The first part begins with what is there before any worker starts.
pub fn draw(random: &mut Random, inputs: u16, shards: u32, part: u64) -> Vec<Arrival> {
    let begin = part as i64 * SECOND_PART;
    let mut customers = customers(random, inputs, shards);
    let mut drawn = Vec::new();
    let mut number = part * 10_000;
    if part == 0 {
        let mut moments: Vec<i64> = (0..random.below(60)).map(|_| random.between(-100_000, -1_000)).collect();
        moments.sort_unstable();
        for moment in moments {
            number += 1;
            let topic = random.below(u64::from(inputs)) as u16;
            let customer = &customers[random.below(customers.len() as u64) as usize];
            let topic = if customer.roams { topic } else { customer.topic };
            drawn.push(record(random, shards, customer, topic, moment, number));
        }
    }
    let end = begin + random.between(3_000, if part == 0 { 14_000 } else { 5_000 });
    let count = 20 + random.below(100);
    let mut moments: Vec<i64> = (0..count).map(|_| random.between(begin, end)).collect();
    moments.sort_unstable();
    for moment in moments {
        number += 1;
        let index = random.below(customers.len() as u64) as usize;
        roam(random, inputs, &mut customers[index], moment);
        let customer = &customers[index];
        let mut arrival = record(random, shards, customer, customer.topic, moment, number);
        arrival.upstream = upstream(random);
        drawn.push(arrival);
        customers[index].last = moment;
        customers[index].number = number;
    }
    drawn
}

fn customers(random: &mut Random, inputs: u16, shards: u32) -> Vec<Customer> {
    let count = 6 + random.below(14);
    let customer = |number: u64| {
        let id = format!("c-{number}");
        let shard = partition_of(Partitioner::Murmur2, id.as_bytes(), shards);
        let topic = (number % u64::from(inputs)) as u16;
        Customer {
            id,
            shard,
            topic,
            roams: number.is_multiple_of(3),
            visits: number.is_multiple_of(5),
            last: -1_000_000,
            number: 0,
        }
    };
    (1..=count).map(customer).collect()
}

/// A customer that roams changes to another topic once enough time has passed.
fn roam(random: &mut Random, inputs: u16, customer: &mut Customer, moment: i64) {
    if customer.roams && moment > customer.last + STALE {
        customer.topic = random.below(u64::from(inputs)) as u16;
    }
}

fn upstream(random: &mut Random) -> Upstream {
    match random.below(40) {
        0 => Upstream::Commits(random.between(1, 300)),
        1 => Upstream::Aborts(random.between(1, 300)),
        _ => Upstream::Plain,
    }
}

fn record(random: &mut Random, shards: u32, customer: &Customer, topic: u16, moment: i64, number: u64) -> Arrival {
    let time = BEGIN + moment - random.between(450, 700);
    let id = &customer.id;
    let value = event(random, customer, time, number);
    let (shard, key) = (customer.shard, Some(id.as_bytes().to_vec()));
    let arrival = Arrival { moment, topic, shard, key, value: Some(value.into_bytes()), upstream: Upstream::Plain };
    match random.below(60) {
        0 => Arrival { value: Some(b"{\"type\":".to_vec()), ..arrival },
        1 => Arrival { key: None, ..arrival },
        2 => Arrival { shard: (arrival.shard + 1) % shards, ..arrival },
        3 => Arrival { value: None, ..arrival },
        _ => arrival,
    }
}

fn event(random: &mut Random, customer: &Customer, time: i64, number: u64) -> String {
    let of = |time: i64, kind: &str, rest: &str| {
        format!(r#"{{"event_id":"e-{number}","type":"{kind}","time":{time}{rest}}}"#)
    };
    if customer.visits {
        let hours = [0, 0, 0, 2, 30][random.below(5) as usize];
        return of(time - hours * 3_600_000, ["view", "search"][random.below(2) as usize], "");
    }
    match random.below(100) {
        0..30 => {
            let (euros, order) = (1 + random.below(60), number);
            of(time, "purchase", &format!(r#","order_id":"o-{order}","amount":"{euros}.50""#))
        }
        30..50 => of(time, "view", r#","category":"shoes""#),
        50..70 => of(time, "cart_add", &format!(r#","cart_total":"{}""#, 1 + random.below(90))),
        70..76 => of(time, "cart_remove", r#","cart_total":"0""#),
        76..82 => of(time, "cancel", &format!(r#","order_id":"o-{}""#, random.below(number) + 1)),
        82..84 => of(time, "amend", &format!(r#","order_id":"o-{}","amount":9"#, random.below(number) + 1)),
        84..88 => of(time, "refund", r#","amount":"5""#),
        88..92 => {
            // An event id that was used before, with other fields.
            let again = number.saturating_sub(random.below(20));
            let again = if number.is_multiple_of(3) { again } else { customer.number };
            format!(r#"{{"event_id":"e-{again}","type":"view","time":{time}}}"#)
        }
        92..95 => of(time, "profile", &format!(r#","attributes":{{"country":"N{}"}}"#, random.below(3))),
        95..97 => of(time, "erase", ""),
        97..98 => of(time, "opt_out", ""),
        _ => of(time, "opt_in", ""),
    }
}
