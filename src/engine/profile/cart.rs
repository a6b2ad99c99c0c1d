//! The open cart (B3), exact when events come late and orders are cancelled (C8).
//!
//! Kept are the cart events that may still decide something, by (time, arrival), as words: the time and what it was.
//! The first word of the section is the latest `cart_total`. With V the latest event that has a total, and A the latest
//! `cart_add` at or before V, nothing before A can matter again, nor anything before the latest total of 0 (the events
//! after it do not reach back over it). In between, an event that is neither a `cart_add` nor V only bridges: it goes
//! when its neighbours are less than 30 days apart. `cart_add`s after A stay: each may open the cart for a total that
//! comes late.

use super::blocks::{Blocks, Handle};
use super::row::{NONE, Row};
use super::section::Section;
use crate::engine::event::{DAY, Event, EventType, Millis};

/// A cart is abandoned for good this long after its latest event.
pub(super) const OPEN: Millis = 30 * DAY;
/// Events kept per customer.
const EVENTS_MAX: usize = 64;

const ADD: u64 = 1;
/// The latest event that has a total.
const TOTAL: u64 = 2;
/// An event with a total of 0.
const ZERO: u64 = 4;
const FLAGS: u32 = 3;

fn time(event: u64) -> Millis {
    (event >> FLAGS) as Millis
}

fn is(event: u64, flag: u64) -> bool {
    event & flag != 0
}

/// Whether events of the type concern the cart.
pub(super) fn concerns(event_type: EventType) -> bool {
    matches!(event_type, EventType::CART_ADD | EventType::CART_REMOVE | EventType::CHECKOUT)
}

/// The events while one is added: the section's, plus one.
struct Events {
    words: [u64; EVENTS_MAX + 1],
    length: usize,
}

impl Events {
    fn all(&self) -> &[u64] {
        &self.words[..self.length]
    }

    fn insert(&mut self, place: usize, event: u64) {
        self.words.copy_within(place..self.length, place + 1);
        self.words[place] = event;
        self.length += 1;
    }

    /// Forgets what cannot matter again; returns how many events were cut off at the bound.
    fn reduce(&mut self) -> u32 {
        let mut from = self.all().iter().rposition(|&event| is(event, ZERO)).unwrap_or(0);
        if let Some(total) = self.all().iter().rposition(|&event| is(event, TOTAL)) {
            let add = self.all()[..=total].iter().rposition(|&event| is(event, ADD));
            from = from.max(add.unwrap_or(0));
        }
        let mut kept = 0;
        for place in from..self.length {
            let event = self.words[place];
            let bridges = kept > 0 && place + 1 < self.length && event & (ADD | TOTAL | ZERO) == 0;
            if bridges && time(self.words[place + 1]) - time(self.words[kept - 1]) < OPEN {
                continue;
            }
            self.words[kept] = event;
            kept += 1;
        }
        self.length = kept;
        if kept <= EVENTS_MAX {
            return 0;
        }
        self.words.copy_within(1..kept, 0);
        self.length = EVENTS_MAX;
        1
    }
}

/// Adds a cart event; returns how many were cut off at the bound. [`refresh`] must follow.
pub(super) fn add(blocks: &mut Blocks, handle: &mut Handle, event: &Event<'_>) -> u32 {
    let section = blocks.section(*handle, Section::Cart);
    let old = section.len();
    let mut total = section.first().copied().unwrap_or(0);
    let mut events = Events { words: [0; EVENTS_MAX + 1], length: old.saturating_sub(1) };
    if let Some(known) = section.get(1..) {
        events.words[..known.len()].copy_from_slice(known);
    }
    let place = events.all().iter().rposition(|&known| time(known) <= event.time).map_or(0, |place| place + 1);
    let mut word = (event.time as u64) << FLAGS;
    if event.event_type == EventType::CART_ADD {
        word |= ADD;
    }
    if let Some(new_total) = event.cart_total {
        let latest = events.all().iter().rposition(|&known| is(known, TOTAL));
        if latest.is_none_or(|latest| latest < place) {
            if let Some(latest) = latest {
                events.words[latest] &= !TOTAL;
            }
            word |= TOTAL;
            total = new_total as u64;
        }
        if new_total == 0 {
            word |= ZERO;
        }
    }
    events.insert(place, word);
    let cut = events.reduce();
    blocks.splice(handle, Section::Cart, 0, old, events.length + 1);
    let section = blocks.section_mut(*handle, Section::Cart);
    section[0] = total;
    section[1..].copy_from_slice(events.all());
    cut
}

/// Brings the row's cart up to date after a cart event, or after an order began or ceased to count.
pub(super) fn refresh(row: &mut Row, blocks: &Blocks) {
    (row.cart_until, row.cart_value_known) = (NONE, false);
    let section = blocks.section(row.block, Section::Cart);
    let Some(events) = section.get(1..) else { return };
    let Some(add) = events.iter().rposition(|&event| is(event, ADD)) else { return };
    if row.last_order >= time(events[add]) || events[add..].iter().any(|&event| is(event, ZERO)) {
        return;
    }
    let mut reached = time(events[add]);
    for &event in &events[add + 1..] {
        if time(event) - reached >= OPEN {
            break;
        }
        reached = time(event);
    }
    row.cart_until = reached + OPEN;
    row.cart_value_known = value_known(events, add, row.last_order);
}

/// Whether the latest total is one of the cart that was opened, or kept open, by the `cart_add` at `latest_add`.
fn value_known(events: &[u64], latest_add: usize, last_order: Millis) -> bool {
    let Some(total) = events.iter().rposition(|&event| is(event, TOTAL)) else { return false };
    let Some(add) = events[..=total].iter().rposition(|&event| is(event, ADD)) else { return false };
    let unbroken = events[add..=latest_add.max(add)].windows(2).all(|pair| time(pair[1]) - time(pair[0]) < OPEN);
    last_order < time(events[add]) && unbroken && !events[add..].iter().any(|&event| is(event, ZERO))
}
