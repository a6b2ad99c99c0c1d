//! What the reference job must come to, computed as simply as possible: at every moment at which anything can change,
//! every value is computed anew from all of the customer's events.

use crate::stream::{DAY, Event, Kind};
use std::collections::BTreeSet;

/// The segmentation and the audiences, in the order of [`Values`].
pub const NAMES: [&str; 3] = ["lifecycle", "frequent_viewer_7d", "high_value_30d"];

/// A customer's segment, and whether it is in each audience; `None` before its first event.
pub type Values = Option<[&'static str; 3]>;

/// All events, by customer.
pub struct Model {
    events: Vec<Vec<Event>>,
    end: i64,
}

/// What the job comes to.
pub struct Expected {
    pub values: Vec<Values>,
    pub changes: u64,
}

impl Model {
    pub fn new(customers: u64) -> Self {
        Self { events: vec![Vec::new(); customers as usize], end: 0 }
    }

    /// Events come in the order of time.
    pub fn push(&mut self, event: Event) {
        self.events[event.customer as usize].push(event);
        self.end = event.time;
    }

    /// Plays all customers, up to the time of the last event.
    pub fn play(&self) -> Expected {
        let mut changes = 0;
        let values = self.events.iter().map(|events| play(events, self.end, &mut changes)).collect();
        Expected { values, changes }
    }
}

fn play(events: &[Event], end: i64, changes: &mut u64) -> Values {
    let mut values = None;
    let mut evaluate = |known: &[Event], now: i64| {
        let next = values_at(known, now);
        *changes += count_changes(values, next);
        values = Some(next);
    };
    for (index, event) in events.iter().enumerate() {
        let known = &events[..=index];
        evaluate(known, event.time);
        let until = events.get(index + 1).map_or(end, |next| next.time);
        for moment in moments(known, event.time, until) {
            evaluate(known, moment);
        }
    }
    values
}

/// The moments at which time alone can change a value of who has these events: those in `(after, until]`.
fn moments(known: &[Event], after: i64, until: i64) -> BTreeSet<i64> {
    let of = |event: &Event| match event.kind {
        Kind::Purchase => vec![14 * DAY + 1, 30 * DAY + 1, 45 * DAY + 1, 30 * DAY],
        Kind::Refund => vec![30 * DAY],
        Kind::View => vec![7 * DAY],
        Kind::Open => vec![],
    };
    let all = known.iter().flat_map(|event| of(event).into_iter().map(|later| event.time + later));
    all.filter(|&moment| after < moment && moment <= until).collect()
}

fn values_at(known: &[Event], now: i64) -> [&'static str; 3] {
    let of =
        |kind: Kind, days: i64| known.iter().filter(move |event| event.kind == kind && event.time > now - days * DAY);
    let cents = |kind| of(kind, 30).map(|event| i64::from(event.cents)).sum::<i64>();
    let orders = known.iter().filter(|event| event.kind == Kind::Purchase);
    let lifecycle = match (orders.clone().count(), orders.map(|order| now - order.time).min()) {
        (_, None) => "prospect",
        (1, Some(recency)) if recency <= 30 * DAY => "new",
        (_, Some(recency)) if recency <= 14 * DAY => "active",
        (_, Some(recency)) if recency <= 45 * DAY => "at_risk",
        _ => "dormant",
    };
    let audience = |is_in| if is_in { "in" } else { "out" };
    let revenue = cents(Kind::Purchase) - cents(Kind::Refund);
    [lifecycle, audience(of(Kind::View, 7).count() >= 5), audience(revenue > 20_000)]
}

/// The first segment is a change; audiences begin with `out`.
fn count_changes(before: Values, after: [&str; 3]) -> u64 {
    let Some(before) = before else { return 1 + after[1..].iter().filter(|value| **value == "in").count() as u64 };
    before.iter().zip(after).filter(|(before, after)| *before != after).count() as u64
}
