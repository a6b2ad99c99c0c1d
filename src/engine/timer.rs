//! A hierarchical timing wheel for deadlines that are re-armed lazily: the owner inserts freely and discards what is
//! stale when it comes due.
//!
//! Eight levels of 64 slots: a slot of level 0 is one millisecond, of level `l` 64^l of them, so 8,900 years are covered. An
//! entry stands at the level of the highest digit (of six bits) in which its moment differs from the position, and moves
//! down when the position enters its slot. Bitmaps of occupied slots make jumps over empty time cost one look per level.
//! An entry takes 8 bytes: the row, and 32 bits of its moment within the slot. Slots of the two highest levels are wider
//! than that, so there moments are rounded down and entries may come early, by less than [`Wheel::ROUNDING_MAX`].

use super::event::Millis;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const LEVELS: usize = 8;
const SLOTS: usize = 64;
const DIGIT_BITS: u32 = 6;
/// The first instant after the origin that no slot has.
const END: u64 = 1 << (LEVELS as u32 * DIGIT_BITS);
/// The last instant to be reached: what is too far ahead stands after it and never comes.
const LAST: u64 = END - 1 - Wheel::ROUNDING_MAX as u64;
/// Emptied slots keep room for so many entries.
const KEPT_CAPACITY: usize = 64;

/// A customer's row and when it is due, as the bits of its moment within the slot.
#[derive(Clone, Copy)]
struct Entry {
    row: u32,
    offset: u32,
}

struct Level {
    /// A bit for each slot that has entries.
    occupied: u64,
    slots: [Vec<Entry>; SLOTS],
}

/// Deadlines by the millisecond; see the module.
pub struct Wheel {
    origin: Millis,
    /// Everything before this was handed out; counted from the origin, as are all instants inside.
    position: u64,
    levels: [Level; LEVELS],
    /// Entries that were behind the position when they came.
    overdue: BinaryHeap<Reverse<(Millis, u32)>>,
    len: usize,
}

impl Wheel {
    /// An entry that was more than 139 years ahead may come so much too early, less one.
    pub const ROUNDING_MAX: Millis = 1 << rounding_bits(LEVELS - 1);

    /// An empty wheel that stands at `origin`.
    pub fn new(origin: Millis) -> Self {
        let level = |_| Level { occupied: 0, slots: std::array::from_fn(|_| Vec::new()) };
        Self { origin, position: 0, levels: std::array::from_fn(level), overdue: BinaryHeap::new(), len: 0 }
    }

    /// Entries inside, stale ones too.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a deadline. One that is behind the position comes at the next [`Self::advance`]; one more than 8,900 years
    /// after the origin never.
    pub fn insert(&mut self, row: u32, at: Millis) {
        self.len += 1;
        match self.instant(at) {
            Some(instant) if instant >= self.position => self.place(row, instant.min(END - 1)),
            _ => self.overdue.push(Reverse((at, row))),
        }
    }

    /// Appends entries due at or before `until` to `due`, in order of time (those of one millisecond in no promised
    /// order). Handles at most `budget` entries and says how many it did: one that is moved down a level counts too, so a
    /// million deadlines in one second never hold anything up. The next call goes on where this one stopped.
    pub fn advance(&mut self, until: Millis, budget: usize, due: &mut Vec<(u32, Millis)>) -> usize {
        let mut left = budget;
        while left > 0
            && let Some(Reverse((at, row))) = self.overdue.pop()
        {
            due.push((row, at));
            self.len -= 1;
            left -= 1;
        }
        let Some(until) = self.instant(until).map(|until| until.min(LAST)) else { return budget - left };
        while left > 0 && self.position <= until {
            if let Some(level) = self.level_to_cascade() {
                left -= self.cascade(level, left);
            } else if self.levels[0].is_occupied(digit(self.position, 0)) {
                left -= self.hand_out(left, due);
            } else {
                self.position = self.next_occupied().map_or(until + 1, |next| next.min(until + 1));
            }
        }
        budget - left
    }

    /// A moment before which nothing is due; `None` if nothing ever is.
    pub fn next_due(&self) -> Option<Millis> {
        if let Some(Reverse((at, _))) = self.overdue.peek() {
            return Some(*at);
        }
        let here = (0..LEVELS).any(|level| self.levels[level].is_occupied(digit(self.position, level)));
        let next = if here { Some(self.position) } else { self.next_occupied() };
        next.filter(|instant| *instant <= LAST).map(|instant| self.origin + instant as Millis)
    }

    /// Memory of the entries, used or kept.
    pub fn bytes(&self) -> usize {
        let slots = self.levels.iter().flat_map(|level| &level.slots);
        let entries: usize = slots.map(Vec::capacity).sum();
        size_of::<Self>() + entries * size_of::<Entry>() + self.overdue.capacity() * size_of::<Reverse<(Millis, u32)>>()
    }

    fn instant(&self, at: Millis) -> Option<u64> {
        u64::try_from(at.saturating_sub(self.origin)).ok()
    }

    fn place(&mut self, row: u32, instant: u64) {
        let differing = instant ^ self.position;
        let level = differing.checked_ilog2().map_or(0, |bit| (bit / DIGIT_BITS) as usize);
        let within = instant & (width(level) - 1);
        let offset = (within >> rounding_bits(level)) as u32;
        self.levels[level].push(digit(instant, level), Entry { row, offset });
    }

    /// The highest level whose slot at the position has entries to move down.
    fn level_to_cascade(&self) -> Option<usize> {
        (1..LEVELS).rev().find(|&level| self.levels[level].is_occupied(digit(self.position, level)))
    }

    /// Moves up to `limit` entries of the slot at the position to lower levels; gives their number.
    fn cascade(&mut self, level: usize, limit: usize) -> usize {
        let slot = digit(self.position, level);
        let start = self.position & !(width(level) - 1);
        let mut entries = self.levels[level].take(slot);
        let rest = entries.len().saturating_sub(limit);
        let moved = entries.len() - rest;
        for entry in entries.drain(rest..).rev() {
            let instant = start + (u64::from(entry.offset) << rounding_bits(level));
            // Rounded down, it may lie before a position that jumped into the slot.
            self.place(entry.row, instant.max(self.position));
        }
        self.levels[level].give_back(slot, entries);
        moved
    }

    /// Hands out up to `limit` entries of the millisecond at the position; gives their number.
    fn hand_out(&mut self, limit: usize, due: &mut Vec<(u32, Millis)>) -> usize {
        let slot = digit(self.position, 0);
        let at = self.origin + self.position as Millis;
        let mut entries = self.levels[0].take(slot);
        let rest = entries.len().saturating_sub(limit);
        let handed_out = entries.len() - rest;
        due.extend(entries.drain(rest..).rev().map(|entry| (entry.row, at)));
        self.levels[0].give_back(slot, entries);
        self.len -= handed_out;
        handed_out
    }

    /// Where the next occupied slot after the ones at the position begins: lower levels come first.
    fn next_occupied(&self) -> Option<u64> {
        self.levels.iter().enumerate().find_map(|(level, slots)| {
            let later = slots.occupied & !(u64::MAX >> (SLOTS - 1 - digit(self.position, level)));
            let slot = (later != 0).then(|| u64::from(later.trailing_zeros()))?;
            let above = self.position & !(width(level + 1) - 1);
            Some(above + slot * width(level))
        })
    }
}

impl Level {
    fn is_occupied(&self, slot: usize) -> bool {
        self.occupied >> slot & 1 != 0
    }

    fn push(&mut self, slot: usize, entry: Entry) {
        self.occupied |= 1 << slot;
        self.slots[slot].push(entry);
    }

    /// Takes a slot's entries out, to work on them.
    fn take(&mut self, slot: usize) -> Vec<Entry> {
        std::mem::take(&mut self.slots[slot])
    }

    /// Puts back what is left of them; an emptied large slot gives its memory back.
    fn give_back(&mut self, slot: usize, entries: Vec<Entry>) {
        if entries.is_empty() {
            self.occupied &= !(1 << slot);
        }
        if !entries.is_empty() || entries.capacity() <= KEPT_CAPACITY {
            self.slots[slot] = entries;
        }
    }
}

/// Milliseconds in a slot of a level.
const fn width(level: usize) -> u64 {
    1 << (level as u32 * DIGIT_BITS)
}

/// How many low bits of a moment the 32 bits of an entry at a level cannot hold.
const fn rounding_bits(level: usize) -> u32 {
    (level as u32 * DIGIT_BITS).saturating_sub(u32::BITS)
}

/// The slot of an instant at a level.
fn digit(instant: u64, level: usize) -> usize {
    (instant >> (level as u32 * DIGIT_BITS)) as usize % SLOTS
}

#[cfg(test)]
mod tests;
