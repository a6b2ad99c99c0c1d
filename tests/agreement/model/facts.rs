//! What follows from one customer's accepted events: computed again from the first event after each one.
//!
//! Only results that depend on the order of arrival are stored (refunds of orders, sessions, categories seen);
//! everything else is computed from the events when it is needed.

use super::decode::{AttributeValue, Event};
use super::feature::REMEMBERED;
use super::value::{HOUR, MINUTE, Value};
use std::collections::BTreeMap;

/// Refunds and cancellations that wait for their order, per customer (O6).
const WAITING_MAX: usize = 16;
/// Pairs of hour and category per customer (B5).
const PAIRS_MAX: usize = 64;
/// A pause longer than this starts a session (B2).
const SESSION_PAUSE: i64 = 30 * MINUTE;

/// An accepted event, and the instant at which it was applied: the later of the clock and its own time.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub event: Event,
    pub at: i64,
    /// The counts of one's own for which it is counted (B8).
    pub counts: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Order {
    pub id: Option<String>,
    pub time: i64,
    pub arrival: usize,
    pub amount: i64,
    pub given_back: i64,
    pub refunds: usize,
    pub cancelled: bool,
    pub discounted: bool,
    pub categories: Vec<String>,
    pub channel: Option<String>,
}

impl Order {
    pub fn net(&self) -> i64 {
        self.amount - self.given_back
    }

    /// O4.
    pub fn counts(&self) -> bool {
        !self.cancelled && (self.amount == 0 || self.net() > 0)
    }
}

/// Events of one type (or with one category) in one UTC hour (B1).
#[derive(Clone, Debug)]
struct Hour {
    of: String,
    hour: i64,
    newest: i64,
    count: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub events: Vec<Accepted>,
    /// Decimals of the base currency.
    pub decimals: u32,
    orders: Vec<Order>,
    /// Time and amount of all refunds.
    given_back: Vec<(i64, i64)>,
    /// Time and amount of refunds without an order (O7).
    loose: Vec<(i64, i64)>,
    hours: Vec<Hour>,
    category_hours: Vec<Hour>,
    attributes: Vec<(String, i64, AttributeValue)>,
    /// How often each numbered rule decided something.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Facts {
    fn note(&mut self, rule: &'static str) {
        *self.seen.entry(rule).or_default() += 1;
    }

    pub fn of(events: Vec<Accepted>, decimals: u32) -> Facts {
        let mut facts = Facts { decimals, ..Facts::default() };
        let mut waiting: Vec<(usize, Accepted)> = Vec::new();
        let mut latest_browsing = None;
        for (arrival, accepted) in events.iter().enumerate() {
            let event = &accepted.event;
            match event.kind.as_str() {
                "purchase" => facts.purchase(arrival, accepted, &mut waiting),
                "refund" | "cancel" => facts.refund(arrival, accepted, &mut waiting),
                "profile" => facts.profile(event),
                kind => add(&mut facts.hours, kind, event.time),
            }
            for count in &accepted.counts {
                add(&mut facts.hours, count, event.time);
                facts.note("B8");
            }
            if event.kind == "view" {
                facts.categories_seen(event);
            }
            if event.browsing {
                if latest_browsing.is_none_or(|latest| event.time - latest > SESSION_PAUSE) {
                    add(&mut facts.hours, "session", event.time);
                    facts.note("B2");
                }
                latest_browsing = latest_browsing.max(Some(event.time));
            }
        }
        facts.note_totals(events.last().map_or(0, |last| last.at));
        facts.events = events;
        facts
    }

    fn note_totals(&mut self, now: i64) {
        let orders = self.orders.iter();
        let old = orders.clone().filter(|order| now - order.time > REMEMBERED).count();
        let uncounted = orders.filter(|order| !order.counts()).count();
        let shared = self.hours.iter().filter(|hour| hour.count > 1).count();
        for (rule, count) in [
            ("O3", old),
            ("O4", uncounted),
            ("O7", self.loose.len()),
            ("O8", self.given_back.len()),
            ("B1", shared),
            ("B5", self.category_hours.len()),
        ] {
            *self.seen.entry(rule).or_default() += count as u64;
        }
    }

    /// Whether a purchase repeats a remembered order (O2).
    pub fn is_known_order(&self, id: &str, at: i64) -> bool {
        self.remembered(id, at).is_some()
    }

    fn remembered(&self, id: &str, at: i64) -> Option<usize> {
        self.orders.iter().position(|order| order.id.as_deref() == Some(id) && at - order.time <= REMEMBERED)
    }

    fn purchase(&mut self, arrival: usize, accepted: &Accepted, waiting: &mut Vec<(usize, Accepted)>) {
        let event = accepted.event.clone();
        self.orders.push(Order {
            id: event.order_id,
            time: event.time,
            arrival,
            amount: event.amount.expect("a purchase has an amount"),
            given_back: 0,
            refunds: 0,
            cancelled: false,
            // Amounts are rounded (O1): a discount below half a minor unit is none.
            discounted: event.discount.is_some_and(|discount| discount > 0),
            categories: event.categories,
            channel: event.channel,
        });
        let order = self.orders.len() - 1;
        if accepted.at - event.time > REMEMBERED {
            return;
        }
        waiting.sort_by_key(|(arrival, _)| *arrival);
        let (mine, others) = waiting.drain(..).partition(|(_, other)| {
            self.orders[order].id.is_some()
                && other.event.order_id == self.orders[order].id
                && accepted.at - other.event.time <= REMEMBERED
        });
        *waiting = others;
        let mine: Vec<(usize, Accepted)> = mine;
        for (_, refund) in mine {
            self.note("O6");
            self.give_back(order, &refund.event);
        }
    }

    fn refund(&mut self, arrival: usize, accepted: &Accepted, waiting: &mut Vec<(usize, Accepted)>) {
        let event = &accepted.event;
        let Some(id) = &event.order_id else {
            let amount = event.amount.expect("a refund without order has an amount");
            self.loose.push((event.time, amount));
            self.given_back.push((event.time, amount));
            return;
        };
        if let Some(order) = self.remembered(id, accepted.at) {
            return self.give_back(order, event);
        }
        waiting.push((arrival, accepted.clone()));
        if waiting.len() > WAITING_MAX {
            waiting.sort_by_key(|(arrival, other)| (other.event.time, *arrival));
            waiting.remove(0);
            self.note("O6 bound");
        }
    }

    /// O5: at most what is left; of a cancelled order nothing.
    fn give_back(&mut self, order: usize, event: &Event) {
        let order = &mut self.orders[order];
        if event.kind == "cancel" {
            order.cancelled = true;
            return;
        }
        let left = if order.cancelled { 0 } else { order.net() };
        let amount = event.amount.unwrap_or(left).min(left);
        let capped = event.amount != Some(amount);
        order.given_back += amount;
        order.refunds += 1;
        self.given_back.push((event.time, amount));
        if capped {
            self.note("O5");
        }
    }

    /// B6: the latest by time wins, of equal times the one that came last; null too.
    fn profile(&mut self, event: &Event) {
        for (name, value) in &event.attributes {
            *self.seen.entry("B6").or_default() += 1;
            match self.attributes.iter_mut().find(|(known, ..)| known == name) {
                Some((_, time, _)) if event.time < *time => *self.seen.entry("B6 late").or_default() += 1,
                Some(known) => *known = (name.clone(), event.time, value.clone()),
                None => self.attributes.push((name.clone(), event.time, value.clone())),
            }
        }
    }

    /// B5.
    fn categories_seen(&mut self, event: &Event) {
        for category in &event.categories {
            add(&mut self.category_hours, category, event.time);
        }
        while self.category_hours.len() > PAIRS_MAX {
            self.category_hours.sort_by(|one, other| (one.hour, &one.of).cmp(&(other.hour, &other.of)));
            self.category_hours.remove(0);
            self.note("B5 bound");
        }
    }

    pub fn money(&self, minor: i64) -> Value {
        Value::Money { minor, decimals: self.decimals }
    }

    /// All accepted purchases in a window.
    pub fn placed(&self, window: Option<i64>, now: i64) -> Vec<&Order> {
        self.orders.iter().filter(|order| is_within(order.time, window, now)).collect()
    }

    pub fn counting(&self, window: Option<i64>, now: i64) -> Vec<&Order> {
        self.placed(window, now).into_iter().filter(|order| order.counts()).collect()
    }

    pub fn latest_order(&self, now: i64) -> Option<&Order> {
        self.counting(None, now).into_iter().max_by_key(|order| (order.time, order.arrival))
    }

    pub fn revenue(&self, window: Option<i64>, now: i64) -> i64 {
        let orders: i64 = self.counting(window, now).iter().map(|order| order.net()).sum();
        orders - sum(&self.loose, window, now)
    }

    pub fn refunded(&self, window: Option<i64>, now: i64) -> i64 {
        sum(&self.given_back, window, now)
    }

    /// The latest time of the events of a type, or of those counted for a count of one's own.
    pub fn latest_of(&self, kind: &str) -> Option<i64> {
        let is_of = |accepted: &&Accepted| accepted.event.kind == kind || accepted.counts.iter().any(|of| of == kind);
        self.events.iter().filter(is_of).map(|accepted| accepted.event.time).max()
    }

    /// The latest time of the selected events.
    pub fn latest(&self, which: impl Fn(&Event) -> bool) -> Option<i64> {
        self.events.iter().filter(|accepted| which(&accepted.event)).map(|accepted| accepted.event.time).max()
    }

    pub fn count(&self, kind: &str, window: i64, now: i64) -> usize {
        total(&self.hours, kind, window, now)
    }

    pub fn views_in(&self, category: &str, window: i64, now: i64) -> usize {
        total(&self.category_hours, category, window, now)
    }

    pub fn attribute(&self, name: &str) -> Option<Value> {
        let (_, _, value) = self.attributes.iter().find(|(known, ..)| known == name)?;
        match value.clone() {
            AttributeValue::Removed => None,
            AttributeValue::Text(text) => Some(Value::Text(text)),
            AttributeValue::Number(number) => Some(Value::Double(number)),
            AttributeValue::Boolean(boolean) => Some(Value::Boolean(boolean)),
            AttributeValue::Moment(moment) => Some(Value::Moment(moment)),
        }
    }
}

/// `(now - window, now]`
fn is_within(time: i64, window: Option<i64>, now: i64) -> bool {
    time <= now && window.is_none_or(|window| time > now - window)
}

fn sum(amounts: &[(i64, i64)], window: Option<i64>, now: i64) -> i64 {
    amounts.iter().filter(|(time, _)| is_within(*time, window, now)).map(|(_, amount)| amount).sum()
}

fn add(hours: &mut Vec<Hour>, of: &str, time: i64) {
    let hour = time.div_euclid(HOUR);
    match hours.iter_mut().find(|known| known.of == of && known.hour == hour) {
        Some(known) => {
            known.newest = known.newest.max(time);
            known.count += 1;
        }
        None => hours.push(Hour { of: of.into(), hour, newest: time, count: 1 }),
    }
}

fn total(hours: &[Hour], of: &str, window: i64, now: i64) -> usize {
    hours.iter().filter(|hour| hour.of == of && is_within(hour.newest, Some(window), now)).map(|hour| hour.count).sum()
}
