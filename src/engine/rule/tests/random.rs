//! Random customers and random conditions, from a seed that is printed.

use super::{START, World, event, purchase};
use crate::engine::event::{AttributeValue, DAY, Event, EventType, HOUR, MINUTE, Millis};
use crate::random::Random;

/// The part of a file that random conditions need.
pub const HEAD: &str = "[attributes]\nplan = \"text\"\nage = \"number\"\nvip = \"boolean\"\nsigned_up = \"time\"\n[events]\nsurvey = \"other\"\n";

pub const WINDOWS: [(&str, Millis); 6] =
    [("1h", HOUR), ("24h", DAY), ("3d", 3 * DAY), ("30d", 30 * DAY), ("90d", 90 * DAY), ("400d", 400 * DAY)];
pub const DAYS: [&str; 9] = ["0", "0.5", "1", "2.25", "7", "30", "60.1", "180", "399.5"];
pub const MINUTES: [&str; 5] = ["0", "1.5", "30", "120", "43199"];
const COUNTS: [&str; 15] = [
    "orders",
    "orders_placed",
    "orders_returned",
    "discounted_orders",
    "views",
    "searches",
    "cart_adds",
    "cart_removes",
    "checkouts",
    "sessions",
    "opens",
    "clicks",
    "exposures",
    "orders",
    "views",
];
const DURATIONS: [&str; 10] = [
    "recency_days",
    "inactive_days",
    "tenure_days",
    "since('view')",
    "since('checkout')",
    "since('purchase')",
    "since('survey')",
    "since('profile')",
    "days_since(signed_up)",
    "first_order_days",
];
const OPERATORS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

fn count(random: &mut Random) -> String {
    let days = random.pick(&[1, 7, 30, 400]);
    match random.below(35) {
        0 => format!("orders_in('shoes', {days})"),
        1 => format!("orders_via('store', {days})"),
        2 => format!("views_in('shoes', {days})"),
        3 => format!("events('survey', {days})"),
        4 => format!("events('view', {days})"),
        5 => "orders".into(),
        6 => "bucket('salt', 4)".into(),
        _ => format!("{}_{}", random.pick(&COUNTS), random.pick(&WINDOWS).0),
    }
}

fn money(random: &mut Random) -> String {
    match random.below(4) {
        0 => random.pick(&["revenue", "refunded", "last_order_value", "cart_value", "avg_order_value"]).into(),
        1 => format!("refunded_{}", random.pick(&WINDOWS).0),
        2 => format!("avg_order_value_{}", random.pick(&WINDOWS).0),
        _ => format!("revenue_{}", random.pick(&WINDOWS).0),
    }
}

/// A comparison of any shape.
pub fn comparison(random: &mut Random) -> String {
    let operator = random.pick(&OPERATORS);
    let not = random.pick(&["", "NOT "]);
    let small = random.below(5);
    let duration = random.pick(&DURATIONS);
    let days = random.pick(&DAYS);
    match random.below(24) {
        0..4 => format!("{} {operator} {small}", count(random)),
        4 => format!("{small} {operator} {}", count(random)),
        5 => format!("{} {not}BETWEEN {small} AND {}", count(random), small + random.below(3)),
        6 => format!("{} {not}IN ({small}, {})", count(random), small + 2),
        7 | 8 => format!("{} {operator} {}", money(random), random.pick(&["0", "1.5", "10", "25.005", "-3"])),
        9..12 => format!("{duration} {operator} {days}"),
        12 => format!("{duration} {not}BETWEEN {days} AND {}", random.pick(&DAYS)),
        13 => {
            format!("{duration} {not}IN ({days}, {}, {})", random.pick(&DAYS), random.pick(&["NULL", "gap_days", "1"]))
        }
        14 => format!("cart_idle_minutes {operator} {}", random.pick(&MINUTES)),
        15 => random
            .pick(&["cart_open", "vip", "COALESCE(vip, cart_open)", "cart_value IS NULL", "cart_open IS NOT TRUE"])
            .into(),
        16 => format!("overdue_ratio {operator} {}", random.pick(&["0.3", "1", "1.5", "2"])),
        17 => random
            .pick(&[
                "top_category = 'shoes'",
                "top_category LIKE 's%'",
                "top_channel IS NULL",
                "top_channel <> 'store'",
            ])
            .into(),
        18 => format!("{duration} {operator} {}", random.pick(&DURATIONS)),
        19 => format!("{} {operator} {}", count(random), count(random)),
        20 => format!("days_to_anniversary(signed_up) {operator} {}", random.pick(&["0", "1", "20.5", "364", "365"])),
        21 => random
            .pick(&[
                "days_to_anniversary(signed_up) IN (0, 3, 30)",
                "days_to_anniversary(signed_up) NOT BETWEEN 1 AND 40",
                "days_to_anniversary(signed_up) IS NULL",
                "last_order_at > signed_up",
                "last_seen_at BETWEEN first_order_at AND DATE '2023-11-01'",
            ])
            .into(),
        _ => linear(random, operator),
    }
}

/// Arithmetic with features that move.
fn linear(random: &mut Random, operator: &str) -> String {
    let (duration, days) = (random.pick(&DURATIONS), random.pick(&DAYS));
    match random.below(9) {
        0 => format!("recency_days {operator} gap_days * 1.5"),
        1 => format!("2 * recency_days - tenure_days {operator} {days}"),
        2 => format!("{duration} / 7 {operator} {}", count(random)),
        3 => format!("COALESCE({duration}, 999) {operator} {days}"),
        4 => format!("{duration} * 3 {operator} inactive_days + {days}"),
        5 => format!("{duration} BETWEEN since('view') AND {days}"),
        6 => format!("cart_idle_minutes / 60 {operator} recency_days"),
        7 => format!("{} - {} * 10 {operator} 5", money(random), count(random)),
        _ => format!("overdue_ratio + recency_days / 30 {operator} {}", random.pick(&["1", "2.5"])),
    }
}

/// A customer with up to `events` events of some months, late ones and boundaries of hours among them.
pub fn populate(world: &mut World, events: u64, random: &mut Random) {
    let types = [EventType::VIEW, EventType::SEARCH, EventType::CART_ADD, EventType::CART_REMOVE, EventType::CHECKOUT];
    let others = [EventType::OPEN, EventType::CLICK, EventType::EXPOSURE, EventType::declared(0)];
    for number in 0..random.below(events) + 1 {
        let ago = random.pick(&[10 * MINUTE, 3 * HOUR, 2 * DAY, 40 * DAY, 200 * DAY]);
        let mut time = START - random.below(ago as u64) as Millis;
        if random.chance(20) {
            time -= time % HOUR;
        }
        match random.below(10) {
            0..4 => {
                let mut event = purchase(time, random.below(3_000) as i64);
                event.order_id = Some(format!("o{number}").into());
                event.discount = random.chance(30).then_some(1);
                event.categories.add(random.pick(&["shoes", "socks", "hats"]).into());
                event.channel = Some(random.pick(&["store", "web"]).into());
                world.apply(&event);
            }
            4 => {
                let order_id = random.chance(70).then(|| format!("o{}", random.below(number + 1)).into());
                let amount = (order_id.is_none() || random.chance(70)).then(|| random.below(1_000) as i64 + 1);
                world.apply(&Event { order_id, amount, ..event(EventType::REFUND, time) });
            }
            5 if random.chance(30) => {
                let order_id = Some(format!("o{}", random.below(number + 1)).into());
                world.apply(&Event { order_id, ..event(EventType::CANCEL, time) });
            }
            5 => {
                let attributes = vec![
                    (3, AttributeValue::Boolean(random.chance(50))),
                    (4, AttributeValue::Time(time + random.below(60 * DAY as u64) as Millis - 30 * DAY)),
                ];
                world.apply(&Event { attributes, ..event(EventType::PROFILE, time) });
            }
            6 => world.apply(&event(random.pick(&others), time)),
            _ => {
                let mut event = event(random.pick(&types), time);
                event.cart_total = random.chance(40).then(|| random.below(2) as i64 * 2_500);
                event.categories.add(random.pick(&["shoes", "socks"]).into());
                world.apply(&event);
            }
        }
    }
}
