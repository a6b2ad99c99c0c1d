//! The open cart (B3), exact when events come late and orders are cancelled.
//!
//! Only cart events that may still decide something are known, by (time, arrival). With V the latest event that has a
//! total, and A the latest `cart_add` at or before V, nothing before A can matter again, nor anything before the latest
//! total of 0 (no cart reaches back over it). In between, an event that is neither a `cart_add` nor V only bridges: it
//! goes when its neighbours are less than 30 days apart. `cart_add`s after A stay: each may open the cart for a total
//! that comes late.
//!
//! Most of these `cart_add`s are the newest of their hour, and the hours have their times already, so only the others
//! are kept here (see [`super::cart_events`]). The latest `cart_add` and what comes after it are always kept, so the
//! hours are looked through only when something comes late, or for a total that is older than that `cart_add`.

use super::blocks::{Blocks, Handle};
use super::cart_events::{ADD, EVENTS_MAX, Events, TOTAL, ZERO, is, last, time, word};
use super::hours;
use super::row::{NONE, Row};
use super::section::Section;
use crate::engine::event::{DAY, Event, EventType, HOUR, Millis};

/// A cart is abandoned for good this long after its latest event.
pub(super) const OPEN: Millis = 30 * DAY;

/// Whether events of the type concern the cart.
pub(super) fn concerns(event_type: EventType) -> bool {
    matches!(event_type, EventType::CART_ADD | EventType::CART_REMOVE | EventType::CHECKOUT)
}

/// A cart event on its way into the customer's block: made before the hours count it, written after.
pub(super) struct Change {
    events: Events,
    /// Whether `events` has those of the hours too; else it is just what is to be kept.
    is_whole: bool,
    /// Events cut off at the bound.
    cut: u32,
}

impl Change {
    pub fn new(blocks: &Blocks, handle: Handle, event: &Event<'_>, at: Millis) -> Self {
        let mut kept = Events::kept(blocks, handle);
        if append(&mut kept, event, at) {
            return Self { events: kept, is_whole: false, cut: 0 };
        }
        let mut events = Events::read(blocks, handle);
        insert(&mut events, event);
        let cut = reduce(&mut events);
        Self { events, is_whole: true, cut }
    }

    /// Returns how many events were cut off at the bound. [`refresh`] must follow.
    pub fn write(&self, blocks: &mut Blocks, handle: &mut Handle) -> u32 {
        if self.is_whole {
            self.events.write_without_hours(blocks, handle);
        } else {
            self.events.write(blocks, handle);
        }
        self.cut
    }
}

/// Adds an event to the kept ones if it is later than all, so that the hours need not be known.
fn append(kept: &mut Events, event: &Event<'_>, at: Millis) -> bool {
    let Some(add) = last(kept.all(), ADD) else { return false };
    let latest = kept.length - 1;
    if kept.length == EVENTS_MAX || event.time <= time(kept.words[latest]) {
        return false;
    }
    if event.cart_total.is_some() {
        kept.drop_before(add);
        insert(kept, event);
        reduce(kept);
        return true;
    }
    let only_bridges = latest > add && kept.words[latest] & (ADD | TOTAL | ZERO) == 0;
    if only_bridges && event.time - time(kept.words[latest - 1]) < OPEN {
        kept.remove(latest);
    }
    if event.event_type == EventType::CART_ADD && leaves_to_hours(kept, add, event.time, at) {
        kept.remove(add);
    }
    insert(kept, event);
    true
}

/// Whether the latest `cart_add` need not be kept once there is a later one at `time`, as its hour has it.
fn leaves_to_hours(kept: &Events, add: usize, later: Millis, at: Millis) -> bool {
    let (event, moment) = (kept.words[add], time(kept.words[add]));
    let hour = moment.div_euclid(HOUR);
    let same_time = |beside: Option<&u64>| beside.is_some_and(|&beside| time(beside) == moment);
    let alone = !same_time(kept.all()[..add].last()) && !same_time(kept.all().get(add + 1));
    let begins = add == 0 && kept.has_begin();
    event == word(moment, ADD) && alone && !begins && hour != later.div_euclid(HOUR) && !hours::is_past(hour, at)
}

/// Puts an event into its place.
fn insert(events: &mut Events, event: &Event<'_>) {
    let place = events.all().iter().rposition(|&known| time(known) <= event.time).map_or(0, |place| place + 1);
    let mut flags = if event.event_type == EventType::CART_ADD { ADD } else { 0 };
    if let Some(total) = event.cart_total {
        let latest = last(events.all(), TOTAL);
        if latest.is_none_or(|latest| latest < place) {
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
    events.insert(place, word(event.time, flags));
}

/// Forgets what cannot matter again; returns how many events were cut off at the bound.
fn reduce(events: &mut Events) -> u32 {
    let mut from = last(events.all(), ZERO).unwrap_or(0);
    if let Some(total) = last(events.all(), TOTAL) {
        let add = last(&events.all()[..=total], ADD);
        from = from.max(add.unwrap_or(0));
    }
    let mut kept = 0;
    for place in from..events.length {
        let event = events.words[place];
        let bridges = kept > 0 && place + 1 < events.length && event & (ADD | TOTAL | ZERO) == 0;
        if bridges && time(events.words[place + 1]) - time(events.words[kept - 1]) < OPEN {
            continue;
        }
        events.words[kept] = event;
        kept += 1;
    }
    events.length = kept;
    let cut = kept.saturating_sub(EVENTS_MAX);
    events.drop_before(cut);
    cut as u32
}

/// Brings the row's cart up to date after a cart event, or after an order began or ceased to count.
pub(super) fn refresh(row: &mut Row, blocks: &Blocks) {
    (row.cart_until, row.cart_value_known) = (NONE, false);
    if blocks.count(row.block, Section::Cart) == 0 {
        return;
    }
    let kept = Events::kept(blocks, row.block);
    let Some(add) = last(kept.all(), ADD) else { return };
    let opened = &kept.all()[add..];
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
    row.cart_value_known = value_known(&kept, row, blocks);
}

/// Whether the latest total is one of the open cart: whether a `cart_add` at or before it opened or kept open the same.
fn value_known(kept: &Events, row: &Row, blocks: &Blocks) -> bool {
    let events = kept.all();
    let Some(total) = last(events, TOTAL) else { return false };
    let Some(add) = last(&events[..=total], ADD) else { return false };
    if row.last_order >= time(events[add]) || events[add..].iter().any(|&event| is(event, ZERO)) {
        return false;
    }
    let latest_add = events[last(events, ADD).expect("there is one")];
    time(latest_add) - time(events[add]) < OPEN || is_unbroken(&Events::read(blocks, row.block))
}

/// Whether no gap of 30 days lies between the `cart_add` of the latest total and the latest one.
fn is_unbroken(whole: &Events) -> bool {
    let events = whole.all();
    let between = last(events, TOTAL).and_then(|total| last(&events[..=total], ADD)).zip(last(events, ADD));
    let Some((add, latest_add)) = between else { return false };
    events[add..=latest_add].windows(2).all(|pair| time(pair[1]) - time(pair[0]) < OPEN)
}
