//! What follows from one customer's accepted events: computed again from the first event after each one.
//!
//! Only results that depend on the order of arrival are stored (refunds of orders, sessions, categories seen);
//! everything else is computed from the events when it is needed.

use super::decode::{AttributeValue, Event};
use super::feature::REMEMBERED;
use super::value::{HOUR, MINUTE, Value};
use std::collections::BTreeMap;

/// Refunds, cancellations and amendments that wait for their order, per customer (O6).
const WAITING_MAX: usize = 16;
/// Ids of refunds, cancellations and amendments that are known besides the horizon, per customer (E3).
const RETURN_IDS_MAX: usize = 64;
/// Minor units that rounding may leave of an order in another currency (O4).
const DUST: i64 = 5;
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
    /// The amount of the purchase.
    pub purchased: i64,
    /// Amendments in the order in which they came: time and amount.
    pub amendments: Vec<(i64, i64)>,
    /// Whether anything of it was in another currency than the base.
    pub foreign: bool,
    pub given_back: i64,
    pub refunds: usize,
    pub cancelled: bool,
    pub discounted: bool,
    pub categories: Vec<String>,
    pub channel: Option<String>,
}

impl Order {
    /// O9: what it was worth before refunds.
    fn worth(&self) -> i64 {
        let mut worth = (i64::MIN, self.purchased);
        for amendment in &self.amendments {
            if amendment.0 >= worth.0 {
                worth = *amendment;
            }
        }
        worth.1
    }

    pub fn net(&self) -> i64 {
        (self.worth() - self.given_back).max(0)
    }

    /// O4: unless it is cancelled, or refunds have brought it to nothing or to dust.
    pub fn counts(&self) -> bool {
        let is_used_up = self.given_back > 0 && self.net() <= if self.foreign { DUST } else { 0 };
        !self.cancelled && !is_used_up
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

/// Since when an absolute interval is counted: what came before counts only if it was remembered then.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Events accepted before.
    pub events: usize,
    pub at: i64,
}

#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub events: Vec<Accepted>,
    /// Decimals of the base currency.
    pub decimals: u32,
    /// Local time less UTC, for days of the calendar.
    pub utc_offset: i64,
    pub intervals: BTreeMap<(String, [i64; 2]), Known>,
    orders: Vec<Order>,
    /// Time and amount of all refunds.
    given_back: Vec<(i64, i64)>,
    /// Time and amount of refunds without an order (O7).
    loose: Vec<(i64, i64)>,
    hours: Vec<Hour>,
    category_hours: Vec<Hour>,
    /// O6, in the order in which they came.
    waiting: Vec<Accepted>,
    /// E3: order and event ids, in the order in which they came.
    return_ids: Vec<(String, String)>,
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
        let mut latest_browsing = None;
        for (arrival, accepted) in events.iter().enumerate() {
            let event = &accepted.event;
            facts.forget(accepted.at);
            match event.kind.as_str() {
                "purchase" => facts.purchase(arrival, accepted),
                "refund" | "cancel" | "amend" => facts.return_or_amend(accepted),
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
        let uncounted = orders.clone().filter(|order| !order.counts()).count();
        let dust = orders.clone().filter(|order| !order.cancelled && !order.counts() && order.net() > 0).count();
        let overridden = orders.filter(|order| order.amendments.len() > 1).count();
        let shared = self.hours.iter().filter(|hour| hour.count > 1).count();
        for (rule, count) in [
            ("O3", old),
            ("O4", uncounted),
            ("O4-dust", dust),
            ("O9-twice", overridden),
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

    /// Whether a refund, cancellation or amendment has the ids of an earlier one that is still known (E3).
    pub fn is_known_return(&self, order_id: &str, event_id: &str, at: i64) -> bool {
        let is_it = |(order, id): &(String, String)| order == order_id && id == event_id;
        self.return_ids.iter().any(is_it) && self.is_kept(order_id, event_id, at)
    }

    /// Whether the order is remembered, or the event with these ids waits for it.
    fn is_kept(&self, order_id: &str, event_id: &str, at: i64) -> bool {
        let waits = self.waiting.iter().any(|one| {
            one.event.order_id.as_deref() == Some(order_id)
                && one.event.event_id.as_deref() == Some(event_id)
                && at - one.event.time <= REMEMBERED
        });
        waits || self.is_known_order(order_id, at)
    }

    /// Forgets what is no longer waited for (O6), and ids that nothing keeps (E3).
    fn forget(&mut self, at: i64) {
        self.waiting.retain(|one| at - one.event.time <= REMEMBERED);
        let ids = std::mem::take(&mut self.return_ids);
        self.return_ids = ids.into_iter().filter(|(order, id)| self.is_kept(order, id, at)).collect();
    }

    fn purchase(&mut self, arrival: usize, accepted: &Accepted) {
        let event = accepted.event.clone();
        self.orders.push(Order {
            id: event.order_id,
            time: event.time,
            arrival,
            purchased: event.amount.expect("a purchase has an amount"),
            amendments: Vec::new(),
            foreign: event.foreign,
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
        let waiting = std::mem::take(&mut self.waiting);
        let is_mine = |one: &Accepted| one.event.order_id.is_some() && one.event.order_id == self.orders[order].id;
        let (mine, others): (Vec<Accepted>, Vec<Accepted>) = waiting.into_iter().partition(is_mine);
        self.waiting = others;
        for one in mine {
            self.note("O6");
            self.change(order, &one.event);
        }
    }

    fn return_or_amend(&mut self, accepted: &Accepted) {
        let event = &accepted.event;
        let Some(id) = &event.order_id else {
            let amount = event.amount.expect("a refund without order has an amount");
            self.loose.push((event.time, amount));
            self.given_back.push((event.time, amount));
            return;
        };
        match self.remembered(id, accepted.at) {
            Some(order) => self.change(order, event),
            None => self.wait(accepted),
        }
        if let Some(event_id) = &event.event_id {
            self.return_ids.push((id.clone(), event_id.clone()));
        }
        // One that is too old to wait, or gave way at once, keeps no id.
        self.forget(accepted.at);
        if self.return_ids.len() > RETURN_IDS_MAX {
            self.return_ids.remove(0);
            self.note("E3 returns bound");
        }
    }

    fn wait(&mut self, accepted: &Accepted) {
        self.waiting.push(accepted.clone());
        self.waiting.retain(|one| accepted.at - one.event.time <= REMEMBERED);
        if self.waiting.len() > WAITING_MAX {
            let oldest = self.waiting.iter().map(|one| one.event.time).min().expect("seventeen wait");
            let first = self.waiting.iter().position(|one| one.event.time == oldest).expect("it waits");
            self.waiting.remove(first);
            self.note("O6 bound");
        }
    }

    fn change(&mut self, order: usize, event: &Event) {
        self.orders[order].foreign |= event.foreign;
        if event.kind == "amend" {
            self.note("O9");
            let amount = event.amount.expect("an amendment has an amount");
            self.orders[order].amendments.push((event.time, amount));
        } else {
            self.give_back(order, event);
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

    /// The largest net amount of an order.
    pub fn largest(&self, window: Option<i64>, now: i64) -> Option<i64> {
        self.counting(window, now).iter().map(|order| order.net()).max()
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

    pub fn first_order(&self, now: i64) -> Option<i64> {
        self.counting(None, now).into_iter().map(|order| order.time).min()
    }

    /// Orders that count in `[from, to)`.
    pub fn orders_between(&self, between: [i64; 2]) -> Vec<&Order> {
        let known = self.intervals[&("purchase".to_string(), between)];
        let is_in = |order: &&Order| {
            let is_known = order.arrival >= known.events || known.at - order.time <= REMEMBERED;
            order.counts() && between[0] <= order.time && order.time < between[1] && is_known
        };
        self.orders.iter().filter(is_in).collect()
    }

    /// Events of a type in `[from, to)`. Of those before the interval was known, those in hours that were remembered.
    pub fn events_between(&self, kind: &str, between: [i64; 2]) -> usize {
        let known = self.intervals[&(kind.to_string(), between)];
        let is_in = |(arrival, accepted): &(usize, &Accepted)| {
            let (time, hour) = (accepted.event.time, accepted.event.time.div_euclid(HOUR));
            let is_known = *arrival >= known.events || (hour + 1) * HOUR > known.at - REMEMBERED + 1;
            let is_of = accepted.event.kind == kind || accepted.counts.iter().any(|of| of == kind);
            is_of && between[0] <= time && time < between[1] && is_known
        };
        self.events.iter().enumerate().filter(is_in).count()
    }

    /// How much in intervals is no longer remembered singly, and how much does not count because it was not when the
    /// interval came with new rules.
    pub fn seen_in_intervals(&self, now: i64) -> [(&'static str, u64); 3] {
        let mut seen = [("O3 interval", 0), ("B1 interval", 0), ("R6 interval", 0)];
        for ((kind, between), known) in &self.intervals {
            for (arrival, accepted) in self.events.iter().enumerate().filter(|(_, one)| one.event.kind == *kind) {
                let time = accepted.event.time;
                let is_in = between[0] <= time && time < between[1];
                let is_forgotten = |at: i64| at - time > REMEMBERED + HOUR;
                seen[usize::from(kind != "purchase")].1 += u64::from(is_in && is_forgotten(now));
                seen[2].1 += u64::from(is_in && arrival < known.events && is_forgotten(known.at));
            }
        }
        seen
    }

    /// The time of the earliest event.
    pub fn earliest(&self) -> Option<i64> {
        self.events.iter().map(|one| one.event.time).min()
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

    /// The category with the most views in a window; of several that with the latest view, then the smallest bytes.
    pub fn top_viewed(&self, window: i64, now: i64) -> Option<String> {
        let hours: Vec<&Hour> =
            self.category_hours.iter().filter(|hour| is_within(hour.newest, Some(window), now)).collect();
        let mut names: Vec<&String> = hours.iter().map(|hour| &hour.of).collect();
        names.sort();
        names.dedup();
        let rank = |name: &&String| {
            let of: Vec<_> = hours.iter().filter(|hour| hour.of == **name).collect();
            (of.iter().map(|hour| hour.count).sum::<usize>(), of.iter().map(|hour| hour.newest).max())
        };
        names.into_iter().rev().max_by_key(rank).cloned()
    }

    pub fn attribute(&self, name: &str) -> Option<Value> {
        let (_, _, value) = self.attributes.iter().find(|(known, ..)| known == name)?;
        match value.clone() {
            AttributeValue::Removed => None,
            AttributeValue::Text(text) => Some(Value::Text(text)),
            AttributeValue::Number(number) => Some(Value::Double(number)),
            AttributeValue::Boolean(boolean) => Some(Value::Boolean(boolean)),
            AttributeValue::Moment(moment) => Some(Value::Moment(moment)),
            AttributeValue::Texts(mut texts) => {
                texts.sort();
                Some(Value::Texts(texts))
            }
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
