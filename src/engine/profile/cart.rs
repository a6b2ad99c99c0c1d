//! The open cart (B3), exact when events come late and orders are cancelled (C8).
//!
//! Only cart events that may still decide something are known, by (time, arrival). With V the latest event that has a
//! total, and A the latest `cart_add` at or before V, nothing before A can matter again, nor anything before the latest
//! total of 0 (no cart reaches back over it). In between, an event that is neither a `cart_add` nor V only bridges: it
//! goes when its neighbours are less than 30 days apart. `cart_add`s after A stay: each may open the cart for a total
//! that comes late.
//!
//! Most of these `cart_add`s are the newest of their hour, and the hours have their times already, so only the others
//! are kept here, one word each: the time and what it was, and after V a word with its total. The latest `cart_add` is
//! always kept, as the cart may outlive the hours, and so is the first event if there is an A or a total of 0: it says
//! from where on the hours count.

use super::blocks::{Blocks, Handle};
use super::hours;
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
const FLAGS_MASK: u64 = (1 << FLAGS) - 1;

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

/// The cart events that may matter, by (time, arrival); the last place is for one more.
pub(super) struct Events {
    words: [u64; EVENTS_MAX + 1],
    length: usize,
    /// Total of the event marked with it.
    total: u64,
}

impl Events {
    /// The events of the section and, of the hours, at most the latest that there is room for.
    pub fn read(blocks: &Blocks, handle: Handle) -> Self {
        let mut events = Self { words: [0; EVENTS_MAX + 1], length: 0, total: 0 };
        let section = blocks.section(handle, Section::Cart);
        if section.is_empty() {
            return events;
        }
        let mut kept = [0; EVENTS_MAX];
        let mut count = 0;
        let mut words = section.iter();
        while let Some(&word) = words.next() {
            kept[count] = word;
            count += 1;
            if is(word, TOTAL) {
                events.total = *words.next().expect("the total follows");
            }
        }
        let begin = if has_begin(&kept[..count]) { time(kept[0]) } else { Millis::MIN };
        events.merge(&kept[..count], hours::after(blocks.hours(handle), EventType::CART_ADD, begin));
        events
    }

    /// Merges the kept events with the hours' `cart_add`s, which come latest first, from the end.
    fn merge(&mut self, mut kept: &[u64], hours: impl Iterator<Item = (Millis, u64)>) {
        let mut from = EVENTS_MAX;
        for (newest, _) in hours {
            while let Some((&last, others)) = kept.split_last()
                && time(last) > newest
                && from > 0
            {
                from -= 1;
                (self.words[from], kept) = (last, others);
            }
            if from == 0 {
                break;
            }
            if kept.last().is_none_or(|&last| time(last) != newest) {
                from -= 1;
                self.words[from] = (newest as u64) << FLAGS | ADD;
            }
        }
        let rest = kept.len().min(from);
        self.words[from - rest..from].copy_from_slice(&kept[kept.len() - rest..]);
        self.words.copy_within(from - rest..EVENTS_MAX, 0);
        self.length = EVENTS_MAX - (from - rest);
    }

    /// Keeps in the section what the hours do not have.
    fn write(&self, blocks: &mut Blocks, handle: &mut Handle) {
        let (mut words, mut count) = ([0; EVENTS_MAX + 1], 0);
        let events = self.all();
        let latest_add = events.iter().rposition(|&event| is(event, ADD));
        let mut hours = hours::after(blocks.hours(*handle), EventType::CART_ADD, Millis::MIN).map(|hour| hour.0);
        let mut hour = hours.next();
        for (place, &event) in events.iter().enumerate().rev() {
            while hour.is_some_and(|newest| newest > time(event)) {
                hour = hours.next();
            }
            let alone = [place.wrapping_sub(1), place + 1]
                .iter()
                .all(|&beside| events.get(beside).is_none_or(|&beside| time(beside) != time(event)));
            let begins = place == 0 && has_begin(events);
            let implied = event & FLAGS_MASK == ADD && hour == Some(time(event)) && alone;
            if implied && !begins && latest_add != Some(place) {
                continue;
            }
            if is(event, TOTAL) {
                words[count] = self.total;
                count += 1;
            }
            words[count] = event;
            count += 1;
        }
        drop(hours);
        let old = blocks.count(*handle, Section::Cart);
        blocks.splice(handle, Section::Cart, 0, old, count);
        words[..count].reverse();
        blocks.section_mut(*handle, Section::Cart).copy_from_slice(&words[..count]);
    }

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

/// Whether nothing before the first of the events matters: it is the latest total of 0, or the last `cart_add` at or
/// before the latest total.
fn has_begin(events: &[u64]) -> bool {
    let total = events.iter().rposition(|&event| is(event, TOTAL));
    events.iter().any(|&event| is(event, ZERO))
        || total.is_some_and(|total| events[..=total].iter().any(|&event| is(event, ADD)))
}

/// Adds a cart event to those read before the hours counted it; returns how many were cut off at the bound.
/// [`refresh`] must follow.
pub(super) fn add(mut events: Events, blocks: &mut Blocks, handle: &mut Handle, event: &Event<'_>) -> u32 {
    let place = events.all().iter().rposition(|&known| time(known) <= event.time).map_or(0, |place| place + 1);
    let mut word = (event.time as u64) << FLAGS;
    if event.event_type == EventType::CART_ADD {
        word |= ADD;
    }
    if let Some(total) = event.cart_total {
        let latest = events.all().iter().rposition(|&known| is(known, TOTAL));
        if latest.is_none_or(|latest| latest < place) {
            if let Some(latest) = latest {
                events.words[latest] &= !TOTAL;
            }
            word |= TOTAL;
            events.total = total as u64;
        }
        if total == 0 {
            word |= ZERO;
        }
    }
    events.insert(place, word);
    let cut = events.reduce();
    events.write(blocks, handle);
    cut
}

/// Brings the row's cart up to date after a cart event, or after an order began or ceased to count.
pub(super) fn refresh(row: &mut Row, blocks: &Blocks) {
    (row.cart_until, row.cart_value_known) = (NONE, false);
    let events = Events::read(blocks, row.block);
    let events = events.all();
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

/// The latest total.
pub(super) fn total(blocks: &Blocks, handle: Handle) -> Option<i64> {
    let section = blocks.section(handle, Section::Cart);
    let mut place = 0;
    while !is(*section.get(place)?, TOTAL) {
        place += 1;
    }
    section.get(place + 1).map(|&total| total as i64)
}

/// Whether the latest total is one of the cart that was opened, or kept open, by the `cart_add` at `latest_add`.
fn value_known(events: &[u64], latest_add: usize, last_order: Millis) -> bool {
    let Some(total) = events.iter().rposition(|&event| is(event, TOTAL)) else { return false };
    let Some(add) = events[..=total].iter().rposition(|&event| is(event, ADD)) else { return false };
    let unbroken = events[add..=latest_add.max(add)].windows(2).all(|pair| time(pair[1]) - time(pair[0]) < OPEN);
    last_order < time(events[add]) && unbroken && !events[add..].iter().any(|&event| is(event, ZERO))
}
