//! Every feature of the table as a loop over the facts of a customer at one instant.

use super::cart::Cart;
use super::expression::Scalar;
use super::facts::{Facts, Order};
use super::moment;
use super::value::{DAY, HOUR, MINUTE, Value};
use xxhash_rust::xxh64::xxh64;

/// How far `since()` and the top features look back.
pub const REMEMBERED: i64 = 400 * DAY;
/// A cart is closed after this long without a cart event (B3).
pub const CART_LASTS: i64 = 30 * DAY;

/// Counts with a name of their own, and the type that they count.
const COUNTS: [(&str, &str); 9] = [
    ("views", "view"),
    ("searches", "search"),
    ("cart_adds", "cart_add"),
    ("cart_removes", "cart_remove"),
    ("checkouts", "checkout"),
    ("sessions", "session"),
    ("opens", "open"),
    ("clicks", "click"),
    ("exposures", "exposure"),
];

/// A window's length; `None` is the whole lifetime.
type Window = Option<i64>;

#[derive(Clone, Debug, PartialEq)]
pub enum Feature {
    Orders(Window),
    OrdersPlaced(Window),
    OrdersReturned(Window),
    DiscountedOrders(Window),
    LastOrderValue,
    LargestOrder(Window),
    Revenue(Window),
    AvgOrderValue(Window),
    Refunded(Window),
    RecencyDays,
    InactiveDays,
    Since(String),
    DaysSince(String),
    TenureDays,
    GapDays,
    OverdueRatio,
    /// Events of a type, or sessions under the name `session`.
    Count(String, i64),
    CartOpen,
    CartIdleMinutes,
    CartValue,
    OrdersIn(String, i64),
    ViewsIn(String, i64),
    OrdersVia(String, i64),
    RevenueIn(String, i64),
    Bucket(String, u64),
    TopCategory,
    TopChannel,
    FirstOrderDays,
    FirstOrderAt,
    LastOrderAt,
    FirstSeenAt,
    LastSeenAt,
    DaysToAnniversary(String),
    CustomerId,
    OrdersBetween([i64; 2]),
    RevenueBetween([i64; 2]),
    EventsBetween(String, [i64; 2]),
    Attribute(String),
    /// `orders_in`, `views_in`, `orders_via` or `revenue_in` of the text that a feature or segment() gives.
    Of {
        name: String,
        source: Box<Scalar>,
        window: i64,
    },
    /// The category of most views in a window.
    TopViewed(i64),
    /// Of an event, in conditions of counts of one's own.
    HasCategory(String),
    /// Whether an attribute of type `texts` has a text.
    Has(String, String),
}

impl Feature {
    /// A feature without parentheses; a name that is not in the table is an attribute.
    pub fn named(name: &str) -> Feature {
        let (stem, window) = stem_and_window(name);
        match (stem, window) {
            ("orders", _) => Feature::Orders(window),
            ("orders_placed", _) => Feature::OrdersPlaced(window),
            ("orders_returned", _) => Feature::OrdersReturned(window),
            ("discounted_orders", _) => Feature::DiscountedOrders(window),
            ("largest_order", _) => Feature::LargestOrder(window),
            ("revenue", _) => Feature::Revenue(window),
            ("avg_order_value", _) => Feature::AvgOrderValue(window),
            ("refunded", _) => Feature::Refunded(window),
            ("last_order_value", None) => Feature::LastOrderValue,
            ("recency_days", None) => Feature::RecencyDays,
            ("inactive_days", None) => Feature::InactiveDays,
            ("tenure_days", None) => Feature::TenureDays,
            ("gap_days", None) => Feature::GapDays,
            ("overdue_ratio", None) => Feature::OverdueRatio,
            ("cart_open", None) => Feature::CartOpen,
            ("cart_idle_minutes", None) => Feature::CartIdleMinutes,
            ("cart_value", None) => Feature::CartValue,
            ("top_category", None) => Feature::TopCategory,
            ("top_channel", None) => Feature::TopChannel,
            ("first_order_days", None) => Feature::FirstOrderDays,
            ("first_order_at", None) => Feature::FirstOrderAt,
            ("last_order_at", None) => Feature::LastOrderAt,
            ("first_seen_at", None) => Feature::FirstSeenAt,
            ("last_seen_at", None) => Feature::LastSeenAt,
            ("customer_id", None) => Feature::CustomerId,
            ("top_viewed_category", Some(window)) => Feature::TopViewed(window),
            (stem, Some(window)) if COUNTS.iter().any(|(name, _)| *name == stem) => {
                let (_, kind) = COUNTS.iter().find(|(name, _)| *name == stem).expect("just found");
                Feature::Count(kind.to_string(), window)
            }
            _ => Feature::Attribute(name.into()),
        }
    }

    pub fn called(name: &str, arguments: &[Scalar]) -> Feature {
        match (name, arguments) {
            ("since", [Scalar::Literal(Value::Text(of))]) => Feature::Since(of.clone()),
            ("has_category", [Scalar::Literal(Value::Text(of))]) => Feature::HasCategory(of.clone()),
            ("has", [Scalar::Feature(Feature::Attribute(of)), Scalar::Literal(Value::Text(text))]) => {
                Feature::Has(of.clone(), text.clone())
            }
            ("days_since", [Scalar::Feature(Feature::Attribute(of))]) => Feature::DaysSince(of.clone()),
            ("days_to_anniversary", [Scalar::Feature(Feature::Attribute(of))]) => {
                Feature::DaysToAnniversary(of.clone())
            }
            (_, [Scalar::Literal(Value::Text(from)), Scalar::Literal(Value::Text(to))]) => {
                let between = [moment::written(from), moment::written(to)];
                if name == "orders_between" {
                    Feature::OrdersBetween(between)
                } else {
                    Feature::RevenueBetween(between)
                }
            }
            (
                "events_between",
                [
                    Scalar::Literal(Value::Text(of)),
                    Scalar::Literal(Value::Text(from)),
                    Scalar::Literal(Value::Text(to)),
                ],
            ) => Feature::EventsBetween(of.clone(), [moment::written(from), moment::written(to)]),
            (_, [source @ (Scalar::Feature(_) | Scalar::Segment(_)), Scalar::Literal(Value::Integer(n))]) => {
                Feature::Of { name: name.into(), source: Box::new(source.clone()), window: n * DAY }
            }
            (_, [Scalar::Literal(Value::Text(of)), Scalar::Literal(Value::Integer(n))]) => match name {
                "events" => Feature::Count(of.clone(), n * DAY),
                "orders_in" => Feature::OrdersIn(of.clone(), n * DAY),
                "views_in" => Feature::ViewsIn(of.clone(), n * DAY),
                "orders_via" => Feature::OrdersVia(of.clone(), n * DAY),
                "revenue_in" => Feature::RevenueIn(of.clone(), n * DAY),
                "bucket" => Feature::Bucket(of.clone(), *n as u64),
                other => panic!("no function: {other}"),
            },
            other => panic!("no function: {other:?}"),
        }
    }

    /// The name in the table; `_w` stands for any window.
    pub fn name(&self) -> String {
        let windowed = |name: &str, window: &Window| format!("{name}{}", if window.is_some() { "_w" } else { "" });
        match self {
            Feature::Orders(window) => windowed("orders", window),
            Feature::OrdersPlaced(window) => windowed("orders_placed", window),
            Feature::OrdersReturned(window) => windowed("orders_returned", window),
            Feature::DiscountedOrders(window) => windowed("discounted_orders", window),
            Feature::LargestOrder(window) => windowed("largest_order", window),
            Feature::Revenue(window) => windowed("revenue", window),
            Feature::AvgOrderValue(window) => windowed("avg_order_value", window),
            Feature::Refunded(window) => windowed("refunded", window),
            Feature::LastOrderValue => "last_order_value".into(),
            Feature::RecencyDays => "recency_days".into(),
            Feature::InactiveDays => "inactive_days".into(),
            Feature::Since(_) => "since".into(),
            Feature::DaysSince(_) => "days_since".into(),
            Feature::TenureDays => "tenure_days".into(),
            Feature::GapDays => "gap_days".into(),
            Feature::OverdueRatio => "overdue_ratio".into(),
            Feature::Count(kind, _) => match COUNTS.iter().find(|(_, of)| of == kind) {
                Some((name, _)) => name.to_string(),
                None => "events".into(),
            },
            Feature::CartOpen => "cart_open".into(),
            Feature::CartIdleMinutes => "cart_idle_minutes".into(),
            Feature::CartValue => "cart_value".into(),
            Feature::OrdersIn(..) => "orders_in".into(),
            Feature::ViewsIn(..) => "views_in".into(),
            Feature::OrdersVia(..) => "orders_via".into(),
            Feature::RevenueIn(..) => "revenue_in".into(),
            Feature::Bucket(..) => "bucket".into(),
            Feature::TopCategory => "top_category".into(),
            Feature::TopChannel => "top_channel".into(),
            Feature::FirstOrderDays => "first_order_days".into(),
            Feature::FirstOrderAt => "first_order_at".into(),
            Feature::LastOrderAt => "last_order_at".into(),
            Feature::FirstSeenAt => "first_seen_at".into(),
            Feature::LastSeenAt => "last_seen_at".into(),
            Feature::DaysToAnniversary(_) => "days_to_anniversary".into(),
            Feature::CustomerId => "customer_id".into(),
            Feature::OrdersBetween(_) => "orders_between".into(),
            Feature::RevenueBetween(_) => "revenue_between".into(),
            Feature::EventsBetween(..) => "events_between".into(),
            Feature::Attribute(name) => name.clone(),
            Feature::TopViewed(_) => "top_viewed_category".into(),
            Feature::Of { source, .. } => match **source {
                Scalar::Segment(_) => "of_segment".into(),
                _ => "of_feature".into(),
            },
            Feature::HasCategory(_) => "has_category".into(),
            Feature::Has(..) => "has".into(),
        }
    }

    /// How long after an event's time the value can jump although nothing happens.
    pub fn jumps_after(&self) -> Option<i64> {
        match self {
            Feature::Orders(window)
            | Feature::OrdersPlaced(window)
            | Feature::OrdersReturned(window)
            | Feature::DiscountedOrders(window)
            | Feature::LargestOrder(window)
            | Feature::Revenue(window)
            | Feature::AvgOrderValue(window)
            | Feature::Refunded(window) => *window,
            Feature::Count(_, window)
            | Feature::OrdersIn(_, window)
            | Feature::ViewsIn(_, window)
            | Feature::OrdersVia(_, window)
            | Feature::RevenueIn(_, window)
            | Feature::TopViewed(window)
            | Feature::Of { window, .. } => Some(*window),
            Feature::Since(_) | Feature::TopCategory | Feature::TopChannel => Some(REMEMBERED),
            Feature::CartOpen | Feature::CartIdleMinutes | Feature::CartValue => Some(CART_LASTS),
            _ => None,
        }
    }

    /// What is counted in an absolute interval, and the interval.
    pub fn interval(&self) -> Option<(String, [i64; 2])> {
        match self {
            Feature::OrdersBetween(between) | Feature::RevenueBetween(between) => Some(("purchase".into(), *between)),
            Feature::EventsBetween(kind, between) => Some((kind.clone(), *between)),
            _ => None,
        }
    }

    /// Whether the value can jump at every midnight.
    pub fn jumps_at_midnight(&self) -> bool {
        matches!(self, Feature::DaysToAnniversary(_))
    }

    /// The feature with the text that its source gives.
    pub fn with_text(&self, text: &str) -> Feature {
        let Feature::Of { name, window, .. } = self else { panic!("no source: {self:?}") };
        let days = Scalar::Literal(Value::Integer(window / DAY));
        Feature::called(name, &[Scalar::Literal(Value::Text(text.into())), days])
    }

    pub fn value(&self, facts: &Facts, id: &str, now: i64) -> Option<Value> {
        match self {
            Feature::Orders(window) => count(facts.counting(*window, now).len()),
            Feature::OrdersPlaced(window) => count(facts.placed(*window, now).len()),
            Feature::OrdersReturned(window) => {
                count(facts.placed(*window, now).iter().filter(|order| order.cancelled || order.refunds > 0).count())
            }
            Feature::DiscountedOrders(window) => {
                count(facts.counting(*window, now).iter().filter(|order| order.discounted).count())
            }
            Feature::OrdersIn(category, window) => count(
                facts.counting(Some(*window), now).iter().filter(|order| order.categories.contains(category)).count(),
            ),
            Feature::OrdersVia(channel, window) => count(
                facts
                    .counting(Some(*window), now)
                    .iter()
                    .filter(|order| order.channel.as_ref() == Some(channel))
                    .count(),
            ),
            Feature::LargestOrder(window) => Some(facts.money(facts.largest(*window, now)?)),
            Feature::RevenueIn(category, window) => {
                let orders = facts.counting(Some(*window), now);
                let of_it = orders.iter().filter(|order| order.categories.contains(category));
                Some(facts.money(of_it.map(|order| order.net()).sum()))
            }
            Feature::LastOrderValue => Some(facts.money(facts.latest_order(now)?.net())),
            Feature::Revenue(window) => Some(facts.money(facts.revenue(*window, now))),
            Feature::AvgOrderValue(window) => average(facts, *window, now),
            Feature::Refunded(window) => Some(facts.money(facts.refunded(*window, now))),
            Feature::RecencyDays => Some(Value::days(now - facts.latest_order(now)?.time)),
            Feature::InactiveDays => Some(Value::days(now - facts.latest(|event| event.activity)?)),
            Feature::Since(kind) => {
                let latest = facts.latest_of(kind)?;
                (latest > now - REMEMBERED).then(|| Value::days(now - latest))
            }
            Feature::DaysSince(attribute) => match facts.attribute(attribute)? {
                Value::Moment(moment) => Some(Value::days(now - moment)),
                _ => None,
            },
            Feature::TenureDays => Some(Value::days(now - facts.earliest()?)),
            Feature::FirstOrderDays => Some(Value::days(now - facts.first_order(now)?)),
            Feature::FirstOrderAt => Some(Value::Moment(facts.first_order(now)?)),
            Feature::LastOrderAt => Some(Value::Moment(facts.latest_order(now)?.time)),
            Feature::FirstSeenAt => Some(Value::Moment(facts.earliest()?)),
            Feature::LastSeenAt => Some(Value::Moment(facts.latest(|event| event.activity)?)),
            Feature::DaysToAnniversary(attribute) => match facts.attribute(attribute)? {
                Value::Moment(of) => Some(Value::Integer(moment::days_to_anniversary(now, facts.utc_offset, of))),
                _ => None,
            },
            Feature::CustomerId => Some(Value::Text(id.into())),
            Feature::OrdersBetween(between) => count(facts.orders_between(*between).len()),
            Feature::RevenueBetween(between) => {
                Some(facts.money(facts.orders_between(*between).iter().map(|order| order.net()).sum()))
            }
            Feature::EventsBetween(kind, between) => count(facts.events_between(kind, *between)),
            Feature::GapDays => {
                let (span, gaps) = span_and_gaps(facts, now)?;
                Some(Value::Double(span as f64 / (DAY * gaps) as f64))
            }
            Feature::OverdueRatio => overdue_ratio(facts, now),
            Feature::Count(kind, window) => count(facts.count(kind, *window, now)),
            Feature::ViewsIn(category, window) => count(facts.views_in(category, *window, now)),
            Feature::CartOpen => Some(Value::Boolean(Cart::at(facts, now).is_some())),
            Feature::CartIdleMinutes => {
                Some(Value::Duration { milliseconds: now - Cart::at(facts, now)?.latest, unit: MINUTE })
            }
            Feature::CartValue => Some(facts.money(Cart::at(facts, now)?.value?)),
            Feature::Bucket(salt, n) => {
                let text = [salt.as_bytes(), &[0], id.as_bytes()].concat();
                Some(Value::Integer((xxh64(&text, 0) % n) as i64))
            }
            Feature::TopCategory => top(facts, now, |order| order.categories.clone()),
            Feature::TopChannel => top(facts, now, |order| order.channel.iter().cloned().collect()),
            Feature::Attribute(name) => facts.attribute(name),
            Feature::TopViewed(window) => facts.top_viewed(*window, now).map(Value::Text),
            Feature::Of { .. } => panic!("its text is found first"),
            Feature::HasCategory(_) => panic!("a column of an event"),
            Feature::Has(name, text) => match facts.attribute(name)? {
                Value::Texts(texts) => Some(Value::Boolean(texts.contains(text))),
                other => panic!("no texts: {other:?}"),
            },
        }
    }
}

fn stem_and_window(name: &str) -> (&str, Window) {
    let Some((stem, suffix)) = name.rsplit_once('_') else { return (name, None) };
    let Some(unit) = suffix.chars().last().filter(|unit| "hd".contains(*unit)) else { return (name, None) };
    match suffix[..suffix.len() - 1].parse::<i64>() {
        Ok(n) => (stem, Some(n * if unit == 'h' { HOUR } else { DAY })),
        Err(_) => (name, None),
    }
}

fn count(n: usize) -> Option<Value> {
    Some(Value::Integer(n as i64))
}

fn average(facts: &Facts, window: Window, now: i64) -> Option<Value> {
    let orders = facts.counting(window, now);
    let net: i64 = orders.iter().map(|order| order.net()).sum();
    let parts = 10_i64.pow(facts.decimals) * orders.len() as i64;
    (!orders.is_empty()).then(|| Value::Double(net as f64 / parts as f64))
}

/// Milliseconds between the earliest and the latest order, and the number of gaps; `None` below two orders.
fn span_and_gaps(facts: &Facts, now: i64) -> Option<(i64, i64)> {
    let times: Vec<i64> = facts.counting(None, now).iter().map(|order| order.time).collect();
    let gaps = times.len() as i64 - 1;
    (gaps >= 1).then(|| (times.iter().max().unwrap() - times.iter().min().unwrap(), gaps))
}

fn overdue_ratio(facts: &Facts, now: i64) -> Option<Value> {
    let (span, gaps) = span_and_gaps(facts, now)?;
    let recency = now - facts.latest_order(now)?.time;
    (span != 0).then(|| Value::Double((recency * gaps) as f64 / span as f64))
}

/// The name with the most orders; of several, the one with the latest time of such an order, then the one with the
/// smallest bytes.
fn top(facts: &Facts, now: i64, names: impl Fn(&Order) -> Vec<String>) -> Option<Value> {
    let orders = facts.counting(Some(REMEMBERED), now);
    let mut all: Vec<String> = orders.iter().flat_map(|order| names(order)).collect();
    all.sort();
    all.dedup();
    let rank = |name: &String| {
        let with_it: Vec<_> = orders.iter().filter(|order| names(order).contains(name)).collect();
        (with_it.len(), with_it.iter().map(|order| order.time).max())
    };
    // Of equal maxima `max_by_key` returns the last, so the smallest bytes go to the end.
    all.into_iter().rev().max_by_key(rank).map(Value::Text)
}
