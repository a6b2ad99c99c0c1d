//! How the cart events that matter are stored: one word each, or not at all if the hours have them.
//!
//! A `cart_add` that is the newest of its hour is stored by the hours only, unless it is the latest one (the cart may
//! outlive the hours), another event has the same time, or it is the first event and all before it are removed (then it
//! determines from which time on the hours count). The event with the latest total is followed by a word with that
//! total.

use crate::engine::event::{EventType, Millis};
use crate::engine::profile::activity;
use crate::engine::profile::row::BlockHandle;
use crate::engine::profile::storage::{Blocks, Section};

/// Cart events per customer at most.
pub const EVENTS_MAX: usize = 64;

pub const ADD: u64 = 1;
/// The latest event that has a total.
pub const TOTAL: u64 = 2;
/// An event with a total of 0.
pub const ZERO: u64 = 4;
const FLAGS: u32 = 3;

pub fn word(time: Millis, flags: u64) -> u64 {
    (time as u64) << FLAGS | flags
}

pub fn time(event: u64) -> Millis {
    (event >> FLAGS) as Millis
}

pub fn is(event: u64, flag: u64) -> bool {
    event & flag != 0
}

/// Index of the last event with a flag.
pub fn last(events: &[u64], flag: u64) -> Option<usize> {
    events.iter().rposition(|&event| is(event, flag))
}

/// The latest total.
pub fn total(blocks: &Blocks, handle: BlockHandle) -> Option<i64> {
    let section = blocks.section(handle, Section::Cart);
    let event = section.iter().position(|&event| is(event, TOTAL))?;
    section.get(event + 1).map(|&total| total as i64)
}

/// A stored cart event, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CartEvent {
    pub time: Millis,
    /// It is a `cart_add`.
    pub is_add: bool,
    /// It had a `cart_total` of 0.
    pub is_zero: bool,
    /// Minor units of the latest `cart_total`, on the event that had it.
    pub total: Option<i64>,
}

/// The events in the words of a section.
pub fn unpack(words: &[u64]) -> impl Iterator<Item = CartEvent> {
    let mut words = words.iter();
    std::iter::from_fn(move || {
        let &word = words.next()?;
        let total = is(word, TOTAL).then(|| *words.next().expect("the total follows") as i64);
        Some(CartEvent { time: time(word), is_add: is(word, ADD), is_zero: is(word, ZERO), total })
    })
}

/// The words of an event: the event, then its total if it has one.
pub fn pack(event: CartEvent) -> impl Iterator<Item = u64> {
    let flag = |is: bool, flag: u64| if is { flag } else { 0 };
    let flags = flag(event.is_add, ADD) | flag(event.is_zero, ZERO) | flag(event.total.is_some(), TOTAL);
    std::iter::once(word(event.time, flags)).chain(event.total.map(|total| total as u64))
}

/// Cart events by (time, arrival), with room for one above the bound.
pub struct Events {
    pub words: [u64; EVENTS_MAX + 1],
    pub length: usize,
    /// The total of the event with the flag [`TOTAL`].
    pub total: u64,
}

impl Events {
    /// The events of the section, without those that only the hours have.
    pub fn stored(blocks: &Blocks, handle: BlockHandle) -> Self {
        let mut events = Self { words: [0; EVENTS_MAX + 1], length: 0, total: 0 };
        let mut words = blocks.section(handle, Section::Cart).iter();
        while let Some(&word) = words.next() {
            events.words[events.length] = word;
            events.length += 1;
            if is(word, TOTAL) {
                events.total = *words.next().expect("the total follows");
            }
        }
        events
    }

    /// The events of the section and of the hours: the latest [`EVENTS_MAX`] of them.
    pub fn with_hours(blocks: &Blocks, handle: BlockHandle) -> Self {
        let stored = Self::stored(blocks, handle);
        if stored.length == 0 {
            return stored;
        }
        let begin = if stored.is_complete() { time(stored.words[0]) } else { Millis::MIN };
        stored.merge(activity::after(blocks.hours(handle), EventType::CART_ADD, begin))
    }

    pub fn words(&self) -> &[u64] {
        &self.words[..self.length]
    }

    /// Whether no event before the first one matters, because that is the latest total of 0, or the last `cart_add` at
    /// or before the latest total.
    pub fn is_complete(&self) -> bool {
        let opens = |total: usize| last(&self.words[..=total], ADD).is_some();
        last(self.words(), ZERO).is_some() || last(self.words(), TOTAL).is_some_and(opens)
    }

    pub fn insert(&mut self, index: usize, event: u64) {
        self.words.copy_within(index..self.length, index + 1);
        self.words[index] = event;
        self.length += 1;
    }

    pub fn remove(&mut self, index: usize) {
        self.words.copy_within(index + 1..self.length, index);
        self.length -= 1;
    }

    pub fn drop_before(&mut self, index: usize) {
        self.words.copy_within(index..self.length, 0);
        self.length -= index;
    }

    /// Merges the events with the `cart_add`s of the hours, which come latest first.
    fn merge(&self, hours: impl Iterator<Item = (Millis, u64)>) -> Self {
        let mut merged = Self { words: [0; EVENTS_MAX + 1], length: EVENTS_MAX, total: self.total };
        let (mut stored, mut from) = (self.words(), EVENTS_MAX);
        for (newest, _) in hours {
            while let Some((&last, others)) = stored.split_last()
                && time(last) > newest
                && from > 0
            {
                from -= 1;
                (merged.words[from], stored) = (last, others);
            }
            if from == 0 {
                break;
            }
            if stored.last().is_none_or(|&last| time(last) != newest) {
                from -= 1;
                merged.words[from] = word(newest, ADD);
            }
        }
        let rest = stored.len().min(from);
        merged.words[from - rest..from].copy_from_slice(&stored[stored.len() - rest..]);
        merged.drop_before(from - rest);
        merged
    }

    /// Writes the events to the section.
    pub fn write(&self, blocks: &mut Blocks, handle: &mut BlockHandle) {
        let total = last(self.words(), TOTAL);
        let old = blocks.count(*handle, Section::Cart);
        let new = self.length + usize::from(total.is_some());
        blocks.splice(handle, Section::Cart, 0, old, new);
        let section = blocks.section_mut(*handle, Section::Cart);
        let before = total.map_or(self.length, |total| total + 1);
        section[..before].copy_from_slice(&self.words[..before]);
        if total.is_some() {
            section[before] = self.total;
            section[before + 1..].copy_from_slice(&self.words[before..self.length]);
        }
    }

    /// Writes to the section the events that the hours do not have.
    pub fn write_without_hours(&self, blocks: &mut Blocks, handle: &mut BlockHandle) {
        let mut hours = activity::after(blocks.hours(*handle), EventType::CART_ADD, Millis::MIN).map(|hour| hour.0);
        let mut hour = hours.next();
        let mut kept = Self { words: [0; EVENTS_MAX + 1], length: EVENTS_MAX, total: self.total };
        let (events, mut from) = (self.words(), EVENTS_MAX);
        let (begins, latest_add) = (self.is_complete(), last(events, ADD));
        for (index, &event) in events.iter().enumerate().rev() {
            while hour.is_some_and(|newest| newest > time(event)) {
                hour = hours.next();
            }
            let same_time = |beside: Option<&u64>| beside.is_some_and(|&beside| time(beside) == time(event));
            let alone = !same_time(events[..index].last()) && !same_time(events.get(index + 1));
            let in_hours = hour == Some(time(event)) && event == word(time(event), ADD);
            if in_hours && alone && !(begins && index == 0) && latest_add != Some(index) {
                continue;
            }
            from -= 1;
            kept.words[from] = event;
        }
        drop(hours);
        kept.drop_before(from);
        kept.write(blocks, handle);
    }
}
