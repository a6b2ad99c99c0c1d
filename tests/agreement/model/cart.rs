//! The open cart (B3) from all cart events of a customer, sorted by time.

use super::facts::{Accepted, Facts};
use super::feature::CART_LASTS;

pub struct Cart {
    /// The latest cart event while it was open.
    pub latest: i64,
    /// Its latest known total.
    pub value: Option<i64>,
}

impl Cart {
    /// The cart that is open at an instant.
    pub fn at(facts: &Facts, now: i64) -> Option<Cart> {
        let mut events: Vec<(usize, &Accepted)> = facts
            .events
            .iter()
            .enumerate()
            .filter(|(_, one)| ["cart_add", "cart_remove", "checkout"].contains(&one.event.kind.as_str()))
            .collect();
        events.sort_by_key(|(arrival, one)| (one.event.time, *arrival));
        let events: Vec<&Accepted> = events.into_iter().map(|(_, one)| one).collect();
        let is_add = |index: &usize| events[*index].event.kind == "cart_add";

        let latest_add = (0..events.len()).rev().find(is_add)?;
        open_from(facts, &events[latest_add..], now)?;
        let opening =
            (0..=latest_add).filter(is_add).find(|add| open_through(facts, &events, *add, latest_add, now))?;
        let open = open_from(facts, &events[opening..], now)?;
        let total = open.iter().rev().find_map(|one| one.event.cart_total);
        Some(Cart { latest: open.last()?.event.time, value: total })
    }
}

/// Whether the cart that was opened by one event is still the same one at another.
fn open_through(facts: &Facts, events: &[&Accepted], add: usize, latest_add: usize, now: i64) -> bool {
    open_from(facts, &events[add..], now).is_some_and(|open| open.len() > latest_add - add)
}

/// The events while the cart opened by the first of them was open, if it still is.
fn open_from<'a>(facts: &Facts, events: &[&'a Accepted], now: i64) -> Option<Vec<&'a Accepted>> {
    let opening = events.first()?.event.time;
    let ordered = facts.counting(None, now).iter().any(|order| order.time >= opening);
    let emptied = events.iter().any(|one| one.event.cart_total == Some(0));
    let mut open: Vec<&Accepted> = Vec::new();
    for one in events {
        if open.last().is_some_and(|before| one.event.time - before.event.time >= CART_LASTS) {
            break;
        }
        open.push(one);
    }
    let expired = now - open.last()?.event.time >= CART_LASTS;
    (!ordered && !emptied && !expired).then_some(open)
}
