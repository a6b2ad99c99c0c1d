//! A hierarchical timing wheel for deadlines that are re-armed lazily: the owner inserts freely, and discards stale
//! entries when they come due.
//!
//! Eight levels of 64 slots: a slot of level 0 is one millisecond, of level `l` 64^l of them, which covers 8,900
//! years. An entry is at the level of the highest digit (of six bits) in which its moment differs from the position,
//! and moves down when the position enters its slot. With bitmaps of occupied slots, a jump over empty time reads one
//! word per level. An entry takes 8 bytes: the row, and 32 bits of its moment within the slot. Slots of the two
//! highest levels are wider than that, so moments are rounded down there, and the owner is asked for the exact moment
//! when the entry moves down.
//!
//! Entries come due in the order of (moment, row), whatever the order of insertion: a wheel that is rebuilt from the
//! armed deadlines hands out the same.

use super::event::Millis;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const LEVELS: usize = 8;
const SLOTS: usize = 64;
const DIGIT_BITS: u32 = 6;
/// The first instant after the origin that has no slot.
const END: u64 = 1 << (LEVELS as u32 * DIGIT_BITS);
/// The last instant that the position can reach; a later entry never comes due.
const LAST: u64 = END - 1 - (1 << rounding_bits(LEVELS - 1));
/// An emptied slot keeps room for at most this many entries.
const KEPT_CAPACITY: usize = 64;

/// A customer's row and its deadline, as the bits of the moment within the slot.
#[derive(Clone, Copy)]
struct Entry {
    row: u32,
    offset: u32,
}

struct Level {
    /// One bit per slot: whether the slot has entries.
    occupied: u64,
    slots: [Vec<Entry>; SLOTS],
}

/// Deadlines by millisecond; see the module.
pub struct Wheel {
    origin: Millis,
    /// The position: no slot has an entry at or before this instant. Instants count from the origin.
    position: u64,
    levels: [Level; LEVELS],
    /// Rows of the position's millisecond, the smallest last.
    ready: Vec<u32>,
    /// Entries that were not after the position when they were inserted.
    behind: BinaryHeap<Reverse<(Millis, u32)>>,
    len: usize,
}

impl Wheel {
    /// An empty wheel for moments after `origin`, at `position`.
    pub fn new(origin: Millis, position: Millis) -> Self {
        let level = |_| Level { occupied: 0, slots: std::array::from_fn(|_| Vec::new()) };
        let mut wheel = Self {
            origin,
            position: 0,
            levels: std::array::from_fn(level),
            ready: Vec::new(),
            behind: BinaryHeap::new(),
            len: 0,
        };
        wheel.position = wheel.instant(position).map_or(0, |instant| instant.min(LAST));
        wheel
    }

    /// The number of entries, including stale ones.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Inserts a deadline. If it is not after the position, it comes due at the next [`Self::advance`]; if it is more
    /// than 8,900 years after the origin, it never does.
    #[inline(never)]
    pub fn insert(&mut self, row: u32, at: Millis) {
        self.len += 1;
        match self.instant(at) {
            Some(instant) if instant > self.position => self.insert_ahead(row, instant.min(END - 1)),
            _ => self.behind.push(Reverse((at, row))),
        }
    }

    /// Appends the next entries due at or before `until` to `due`, at most `limit`, in order of moment and row. The
    /// next call continues where this one stopped. `armed` returns the deadline that a row has now: a rounded entry
    /// for another deadline is stale and left out.
    #[inline(never)]
    pub fn advance(
        &mut self,
        until: Millis,
        limit: usize,
        armed: impl Fn(u32) -> Millis,
        due: &mut Vec<(u32, Millis)>,
    ) {
        let end = due.len() + limit;
        while due.len() < end {
            match self.pop(until) {
                Some(entry) => due.push(entry),
                None if self.move_on(until, &armed) => {}
                None => return,
            }
        }
    }

    /// A moment before which nothing is due; `None` if nothing ever will be.
    pub fn next_due(&self) -> Option<Millis> {
        let behind = self.behind.peek().map(|Reverse((at, _))| *at);
        let here = (!self.ready.is_empty()).then_some(self.position);
        let next = here.or_else(|| self.next_occupied()).filter(|instant| *instant <= LAST);
        let next = next.map(|instant| self.origin + instant as Millis);
        behind.into_iter().chain(next).min()
    }

    /// Bytes of memory, including room kept for entries.
    pub fn bytes(&self) -> usize {
        let slots = self.levels.iter().flat_map(|level| &level.slots);
        let entries: usize = slots.map(Vec::capacity).sum();
        size_of::<Self>()
            + entries * size_of::<Entry>()
            + self.ready.capacity() * size_of::<u32>()
            + self.behind.capacity() * size_of::<Reverse<(Millis, u32)>>()
    }

    /// Removes the first of the entries at or behind the position, if it is due.
    fn pop(&mut self, until: Millis) -> Option<(u32, Millis)> {
        let ready = self.ready.last().map(|&row| (self.origin + self.position as Millis, row));
        let behind = self.behind.peek().map(|Reverse(entry)| *entry);
        let first = ready.into_iter().chain(behind).min().filter(|(at, _)| *at <= until)?;
        if behind == Some(first) {
            self.behind.pop();
        } else {
            self.ready.pop();
            if self.ready.is_empty() && self.ready.capacity() > KEPT_CAPACITY {
                self.ready = Vec::new();
            }
        }
        self.len -= 1;
        Some((first.1, first.0))
    }

    /// Moves to the next millisecond with entries, up to `until`, and makes them ready. Returns whether there are any.
    fn move_on(&mut self, until: Millis, armed: &impl Fn(u32) -> Millis) -> bool {
        let Some(until) = self.instant(until).map(|until| until.min(LAST)) else { return false };
        while self.position < until {
            self.position = self.next_occupied().map_or(until, |next| next.min(until));
            while let Some(level) = self.level_to_cascade() {
                self.cascade(level, armed);
            }
            let slot = digit(self.position, 0);
            if self.levels[0].is_occupied(slot) {
                let mut entries = self.levels[0].empty(slot);
                self.ready.extend(entries.drain(..).map(|entry| entry.row));
                self.levels[0].return_room(slot, entries);
                self.ready.sort_unstable_by_key(|row| Reverse(*row));
                return true;
            }
        }
        false
    }

    fn instant(&self, at: Millis) -> Option<u64> {
        u64::try_from(at.saturating_sub(self.origin)).ok()
    }

    /// Inserts an entry after the position.
    fn insert_ahead(&mut self, row: u32, instant: u64) {
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

    /// Moves the entries of the slot at the position to lower levels.
    fn cascade(&mut self, level: usize, armed: &impl Fn(u32) -> Millis) {
        let slot = digit(self.position, level);
        let start = self.position & !(width(level) - 1);
        let rounding = rounding_bits(level);
        let mut entries = self.levels[level].empty(slot);
        for entry in entries.drain(..) {
            let instant = start + (u64::from(entry.offset) << rounding);
            if rounding == 0 {
                self.insert_ahead(entry.row, instant);
                continue;
            }
            match self.instant(armed(entry.row)) {
                Some(exact) if exact >> rounding == instant >> rounding => self.insert_ahead(entry.row, exact),
                _ => self.len -= 1,
            }
        }
        self.levels[level].return_room(slot, entries);
    }

    /// The first instant of the next occupied slot after those at the position: lower levels come first.
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

    /// Removes a slot's entries; [`Self::return_room`] returns their memory.
    fn empty(&mut self, slot: usize) -> Vec<Entry> {
        self.occupied &= !(1 << slot);
        std::mem::take(&mut self.slots[slot])
    }

    /// Returns the memory of an emptied slot, unless it is large.
    fn return_room(&mut self, slot: usize, entries: Vec<Entry>) {
        if entries.capacity() <= KEPT_CAPACITY {
            self.slots[slot] = entries;
        }
    }
}

/// Milliseconds in a slot of a level.
const fn width(level: usize) -> u64 {
    1 << (level as u32 * DIGIT_BITS)
}

/// How many low bits of a moment an entry at a level cannot hold in its 32 bits.
const fn rounding_bits(level: usize) -> u32 {
    (level as u32 * DIGIT_BITS).saturating_sub(u32::BITS)
}

/// The slot of an instant at a level.
fn digit(instant: u64, level: usize) -> usize {
    (instant >> (level as u32 * DIGIT_BITS)) as usize % SLOTS
}

#[cfg(test)]
mod tests;
