//! The open cart (B3), exact even when events come late and orders are cancelled.
//!
//! Only cart events that can still change the result are stored, by (time, arrival). Let V be the latest event that has
//! a total, and A the latest `cart_add` at or before V. Nothing before A can matter again, nor anything before the
//! latest total of 0, because no cart reaches back over it. After A, an event that is neither a `cart_add` nor V only
//! bridges a gap, and is removed when its neighbours are less than 30 days apart. `cart_add`s after A stay: each may
//! open the cart for a total that comes late.
//!
//! Most of these `cart_add`s are the newest of their hour. The hours have their times, so only the others are stored
//! here (see [`super::events`]). The latest `cart_add` and the events after it are always stored, so the hours are read
//! only for a late event, or for a total that is older than that `cart_add`.

use super::events::{ADD, EVENTS_MAX, Events, TOTAL, ZERO, is, last, time, word};
use crate::engine::event::{DAY, Event, EventType, HOUR, Millis};
use crate::engine::profile::activity;
use crate::engine::profile::row::{BlockHandle, NONE, Row};
use crate::engine::profile::storage::{Blocks, Section};

/// A cart closes this long after its latest event.
pub const OPEN: Millis = 30 * DAY;

/// Whether events of the type concern the cart.
pub fn concerns(event_type: EventType) -> bool {
    matches!(event_type, EventType::CART_ADD | EventType::CART_REMOVE | EventType::CHECKOUT)
}

/// The stored events with a new one: made before the hours count the new event, written afterwards.
pub struct CartChange {
    events: Events,
    /// Whether `events` includes those that only the hours have, so that they must be left out when it is written.
    with_hours: bool,
    /// Events removed at the bound.
    removed: u32,
}

impl CartChange {
    pub fn new(blocks: &Blocks, handle: BlockHandle, event: &Event<'_>, at: Millis) -> Self {
        let mut stored = Events::stored(blocks, handle);
        if append(&mut stored, event, at) {
            return Self { events: stored, with_hours: false, removed: 0 };
        }
        let mut events = Events::with_hours(blocks, handle);
        insert(&mut events, event);
        let removed = reduce(&mut events);
        Self { events, with_hours: true, removed }
    }

    /// Returns how many events were removed at the bound. [`refresh`] must follow.
    pub fn write(&self, blocks: &mut Blocks, handle: &mut BlockHandle) -> u32 {
        if self.with_hours {
            self.events.write_without_hours(blocks, handle);
        } else {
            self.events.write(blocks, handle);
        }
        self.removed
    }
}

/// Adds an event to the stored ones if it is later than all of them, so that the hours need not be read.
fn append(stored: &mut Events, event: &Event<'_>, at: Millis) -> bool {
    let Some(add) = last(stored.words(), ADD) else { return false };
    let latest = stored.length - 1;
    if stored.length == EVENTS_MAX || event.time <= time(stored.words[latest]) {
        return false;
    }
    if event.cart_total.is_some() {
        stored.drop_before(add);
        insert(stored, event);
        reduce(stored);
        return true;
    }
    let only_bridges = latest > add && stored.words[latest] & (ADD | TOTAL | ZERO) == 0;
    if only_bridges && event.time - time(stored.words[latest - 1]) < OPEN {
        stored.remove(latest);
    }
    if event.event_type == EventType::CART_ADD && is_left_to_hours(stored, add, event.time, at) {
        stored.remove(add);
    }
    insert(stored, event);
    true
}

/// Whether the latest `cart_add` need not be stored once there is a later one, because its hour has it.
fn is_left_to_hours(stored: &Events, add: usize, later: Millis, at: Millis) -> bool {
    let (event, moment) = (stored.words[add], time(stored.words[add]));
    let hour = moment.div_euclid(HOUR);
    let same_time = |beside: Option<&u64>| beside.is_some_and(|&beside| time(beside) == moment);
    let alone = !same_time(stored.words()[..add].last()) && !same_time(stored.words().get(add + 1));
    let begins = add == 0 && stored.is_complete();
    event == word(moment, ADD) && alone && !begins && hour != later.div_euclid(HOUR) && !activity::is_past(hour, at)
}

/// Inserts an event in order of time, behind those of the same time.
fn insert(events: &mut Events, event: &Event<'_>) {
    let index = events.words().iter().rposition(|&known| time(known) <= event.time).map_or(0, |index| index + 1);
    let mut flags = if event.event_type == EventType::CART_ADD { ADD } else { 0 };
    if let Some(total) = event.cart_total {
        let latest = last(events.words(), TOTAL);
        if latest.is_none_or(|latest| latest < index) {
            if let Some(latest) = latest {
                events.words[latest] &= !TOTAL;
            }
            flags |= TOTAL;
            events.total = total as u64;
        }
        if total == 0 {
            flags |= ZERO;
        }
    }
    events.insert(index, word(event.time, flags));
}

/// Removes events that cannot matter again; returns how many were removed at the bound.
fn reduce(events: &mut Events) -> u32 {
    let mut from = last(events.words(), ZERO).unwrap_or(0);
    if let Some(total) = last(events.words(), TOTAL) {
        let add = last(&events.words()[..=total], ADD);
        from = from.max(add.unwrap_or(0));
    }
    let mut kept = 0;
    for index in from..events.length {
        let event = events.words[index];
        let bridges = kept > 0 && index + 1 < events.length && event & (ADD | TOTAL | ZERO) == 0;
        if bridges && time(events.words[index + 1]) - time(events.words[kept - 1]) < OPEN {
            continue;
        }
        events.words[kept] = event;
        kept += 1;
    }
    events.length = kept;
    let removed = kept.saturating_sub(EVENTS_MAX);
    events.drop_before(removed);
    removed as u32
}

/// Updates the row's cart after a cart event, or after an order began or ceased to count.
pub fn refresh(row: &mut Row, blocks: &Blocks) {
    (row.cart_until, row.cart_value_known) = (NONE, false);
    if blocks.count(row.block, Section::Cart) == 0 {
        return;
    }
    let stored = Events::stored(blocks, row.block);
    let Some(add) = last(stored.words(), ADD) else { return };
    let opened = &stored.words()[add..];
    if row.last_order >= time(opened[0]) || opened.iter().any(|&event| is(event, ZERO)) {
        return;
    }
    let mut reached = time(opened[0]);
    for &event in &opened[1..] {
        if time(event) - reached >= OPEN {
            break;
        }
        reached = time(event);
    }
    row.cart_until = reached + OPEN;
    row.cart_value_known = value_known(&stored, row, blocks);
}

/// Whether the latest total belongs to the open cart: whether a `cart_add` at or before it opened that cart or kept it
/// open.
fn value_known(stored: &Events, row: &Row, blocks: &Blocks) -> bool {
    let events = stored.words();
    let Some(total) = last(events, TOTAL) else { return false };
    let Some(add) = last(&events[..=total], ADD) else { return false };
    if row.last_order >= time(events[add]) || events[add..].iter().any(|&event| is(event, ZERO)) {
        return false;
    }
    let latest_add = events[last(events, ADD).expect("there is one")];
    time(latest_add) - time(events[add]) < OPEN || is_unbroken(&Events::with_hours(blocks, row.block))
}

/// Whether no gap of 30 days lies between the `cart_add` of the latest total and the latest one.
fn is_unbroken(all: &Events) -> bool {
    let events = all.words();
    let between = last(events, TOTAL).and_then(|total| last(&events[..=total], ADD)).zip(last(events, ADD));
    let Some((add, latest_add)) = between else { return false };
    events[add..=latest_add].windows(2).all(|pair| time(pair[1]) - time(pair[0]) < OPEN)
}
