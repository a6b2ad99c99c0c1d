//! How the cart events that matter are kept: one word each, and what the hours know already not at all.
//!
//! A `cart_add` that is the newest of its hour is left to the hours, unless it is the latest one (the cart may outlive
//! the hours), something else stands at the same time, or it is the first event and all before it are forgotten (it
//! says from where on the hours count). After the event that has the latest total follows a word with that total.

use super::blocks::{Blocks, Handle};
use super::hours;
use super::section::Section;
use crate::engine::event::{EventType, Millis};

/// Events known per customer.
pub(super) const EVENTS_MAX: usize = 64;

pub(super) const ADD: u64 = 1;
/// The latest event that has a total.
pub(super) const TOTAL: u64 = 2;
/// An event with a total of 0.
pub(super) const ZERO: u64 = 4;
const FLAGS: u32 = 3;

pub(super) fn word(time: Millis, flags: u64) -> u64 {
    (time as u64) << FLAGS | flags
}

pub(super) fn time(event: u64) -> Millis {
    (event >> FLAGS) as Millis
}

pub(super) fn is(event: u64, flag: u64) -> bool {
    event & flag != 0
}

/// Place of the last event with a flag.
pub(super) fn last(events: &[u64], flag: u64) -> Option<usize> {
    events.iter().rposition(|&event| is(event, flag))
}

/// The latest total.
pub(super) fn total(blocks: &Blocks, handle: Handle) -> Option<i64> {
    let section = blocks.section(handle, Section::Cart);
    let event = section.iter().position(|&event| is(event, TOTAL))?;
    section.get(event + 1).map(|&total| total as i64)
}

/// Cart events by (time, arrival); the last place is for one more.
pub(super) struct Events {
    pub words: [u64; EVENTS_MAX + 1],
    pub length: usize,
    /// Total of the event marked with it.
    pub total: u64,
}

impl Events {
    /// The events of the section alone.
    pub fn kept(blocks: &Blocks, handle: Handle) -> Self {
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

    /// The events of the section and of the hours, at most the latest that there is room for.
    pub fn read(blocks: &Blocks, handle: Handle) -> Self {
        let kept = Self::kept(blocks, handle);
        if kept.length == 0 {
            return kept;
        }
        let begin = if kept.has_begin() { time(kept.words[0]) } else { Millis::MIN };
        kept.merge(hours::after(blocks.hours(handle), EventType::CART_ADD, begin))
    }

    pub fn all(&self) -> &[u64] {
        &self.words[..self.length]
    }

    /// Whether nothing before the first of the events matters: it is the latest total of 0, or the last `cart_add` at
    /// or before the latest total.
    pub fn has_begin(&self) -> bool {
        let opens = |total: usize| last(&self.words[..=total], ADD).is_some();
        last(self.all(), ZERO).is_some() || last(self.all(), TOTAL).is_some_and(opens)
    }

    pub fn insert(&mut self, place: usize, event: u64) {
        self.words.copy_within(place..self.length, place + 1);
        self.words[place] = event;
        self.length += 1;
    }

    pub fn remove(&mut self, place: usize) {
        self.words.copy_within(place + 1..self.length, place);
        self.length -= 1;
    }

    pub fn drop_before(&mut self, place: usize) {
        self.words.copy_within(place..self.length, 0);
        self.length -= place;
    }

    /// Merges with the hours' `cart_add`s, which come latest first, from the end.
    fn merge(&self, hours: impl Iterator<Item = (Millis, u64)>) -> Self {
        let mut merged = Self { words: [0; EVENTS_MAX + 1], length: EVENTS_MAX, total: self.total };
        let (mut kept, mut from) = (self.all(), EVENTS_MAX);
        for (newest, _) in hours {
            while let Some((&last, others)) = kept.split_last()
                && time(last) > newest
                && from > 0
            {
                from -= 1;
                (merged.words[from], kept) = (last, others);
            }
            if from == 0 {
                break;
            }
            if kept.last().is_none_or(|&last| time(last) != newest) {
                from -= 1;
                merged.words[from] = word(newest, ADD);
            }
        }
        let rest = kept.len().min(from);
        merged.words[from - rest..from].copy_from_slice(&kept[kept.len() - rest..]);
        merged.drop_before(from - rest);
        merged
    }

    /// Writes the events to the section.
    pub fn write(&self, blocks: &mut Blocks, handle: &mut Handle) {
        let total = last(self.all(), TOTAL);
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

    /// Writes to the section what the hours do not have.
    pub fn write_without_hours(&self, blocks: &mut Blocks, handle: &mut Handle) {
        let mut hours = hours::after(blocks.hours(*handle), EventType::CART_ADD, Millis::MIN).map(|hour| hour.0);
        let mut hour = hours.next();
        let mut kept = Self { words: [0; EVENTS_MAX + 1], length: EVENTS_MAX, total: self.total };
        let (events, mut from) = (self.all(), EVENTS_MAX);
        let (begins, latest_add) = (self.has_begin(), last(events, ADD));
        for (place, &event) in events.iter().enumerate().rev() {
            while hour.is_some_and(|newest| newest > time(event)) {
                hour = hours.next();
            }
            let same_time = |beside: Option<&u64>| beside.is_some_and(|&beside| time(beside) == time(event));
            let alone = !same_time(events[..place].last()) && !same_time(events.get(place + 1));
            let in_hours = hour == Some(time(event)) && event == word(time(event), ADD);
            if in_hours && alone && !(begins && place == 0) && latest_add != Some(place) {
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
