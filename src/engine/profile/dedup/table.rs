//! The table of event ids: lines of 64 bytes, one cache line each, with six slots.
//!
//! An id is stored in its home line or, if that is full, in the first line after it with room. A line knows how far the
//! ids whose home it is were displaced, and no look-up goes farther: most read one line. A slot has the number of its
//! id's batch; once the batch is forgotten, the slot is free without having been changed. So nothing is ever removed.

use crate::engine::profile::storage::memory::prefetch;

/// No id: [`super::stored`] never returns it.
pub(super) const EMPTY: u64 = 0;
/// Slots of a line.
const SLOTS: usize = 6;
const LINES_MIN: usize = 11;
/// Seventeen of twenty slots are in use at most, on average over the lines.
const FULL: (usize, usize) = (17, 20);
/// After so many new batches every slot of a forgotten one has been emptied: long before its number is used again.
const BATCHES_PER_ROUND: usize = 1 << 13;

#[derive(Clone)]
#[repr(C, align(64))]
struct Line {
    ids: [u64; SLOTS],
    batches: [u16; SLOTS],
    /// How many lines after this one an id whose home this is may be.
    reach: u32,
}

/// Lines in nearly the order of the hashes of their ids, so that growing reads and writes from front to end.
///
/// The methods are told by `is_live` which batches are remembered.
pub(super) struct Table {
    lines: Vec<Line>,
    /// The line from which the emptying of forgotten slots continues.
    cursor: usize,
}

impl Line {
    const EMPTY: Self = Self { ids: [EMPTY; SLOTS], batches: [0; SLOTS], reach: 0 };

    #[inline]
    fn has(&self, id: u64, is_live: impl Fn(u16) -> bool) -> bool {
        (0..SLOTS).any(|slot| self.ids[slot] == id && is_live(self.batches[slot]))
    }

    #[inline]
    fn is_free(&self, slot: usize, is_live: impl Fn(u16) -> bool) -> bool {
        self.ids[slot] == EMPTY || !is_live(self.batches[slot])
    }

    /// Stores an id if there is room.
    #[inline]
    fn put(&mut self, id: u64, batch: u16, is_live: impl Fn(u16) -> bool) -> bool {
        let Some(slot) = (0..SLOTS).find(|slot| self.is_free(*slot, &is_live)) else { return false };
        (self.ids[slot], self.batches[slot]) = (id, batch);
        true
    }
}

impl Table {
    pub fn new() -> Self {
        Self { lines: vec![Line::EMPTY; LINES_MIN], cursor: 0 }
    }

    /// Gives an empty table room for a number of ids.
    pub fn reserve(&mut self, ids: usize) {
        self.lines = vec![Line::EMPTY; (ids * 3 / 2 / SLOTS).max(LINES_MIN)];
    }

    #[inline]
    pub fn prefetch(&self, id: u64) {
        prefetch(&self.lines[self.home(id)]);
    }

    #[inline]
    fn home(&self, id: u64) -> usize {
        ((u128::from(id) * self.lines.len() as u128) >> 64) as usize
    }

    /// The index of the line at a distance after another.
    #[inline]
    fn line_after(&self, home: usize, distance: usize) -> usize {
        let index = home + distance;
        if index < self.lines.len() { index } else { index - self.lines.len() }
    }

    /// Whether an id of a remembered batch is stored.
    #[inline]
    pub fn contains(&self, id: u64, is_live: impl Fn(u16) -> bool) -> bool {
        let home = self.home(id);
        let line = &self.lines[home];
        line.has(id, &is_live)
            || (1..=line.reach as usize).any(|distance| self.lines[self.line_after(home, distance)].has(id, &is_live))
    }

    /// Stores an id that was accepted in a batch; `len` is the number of those that are remembered.
    #[inline]
    pub fn insert(&mut self, id: u64, batch: u16, len: usize, is_live: impl Fn(u16) -> bool) {
        if (len + 1) * FULL.1 > self.lines.len() * SLOTS * FULL.0 {
            self.grow(&is_live);
        }
        let home = self.home(id);
        if !self.lines[home].put(id, batch, &is_live) {
            self.displace(home, id, batch, is_live);
        } else if self.lines[home].reach > 0 {
            self.shorten(home, is_live);
        }
    }

    /// Stores an id whose home line is full in the first line with room: there is one, as the table is not full.
    #[inline(never)]
    fn displace(&mut self, home: usize, id: u64, batch: u16, is_live: impl Fn(u16) -> bool) {
        let mut distance = 1;
        loop {
            let index = self.line_after(home, distance);
            if self.lines[index].put(id, batch, &is_live) {
                break;
            }
            distance += 1;
        }
        self.lines[home].reach = self.lines[home].reach.max(distance as u32);
    }

    /// Lowers the reach of a line by one if the last line within it has no remembered id that belongs here.
    #[inline(never)]
    fn shorten(&mut self, home: usize, is_live: impl Fn(u16) -> bool) {
        let last = &self.lines[self.line_after(home, self.lines[home].reach as usize)];
        let belongs = |slot: usize| !last.is_free(slot, &is_live) && self.home(last.ids[slot]) == home;
        if !(0..SLOTS).any(belongs) {
            self.lines[home].reach -= 1;
        }
    }

    #[cold]
    fn grow(&mut self, is_live: impl Fn(u16) -> bool) {
        let lines = self.lines.len() / 2 * 3;
        for old in std::mem::replace(&mut self.lines, vec![Line::EMPTY; lines]) {
            for slot in (0..SLOTS).filter(|slot| !old.is_free(*slot, &is_live)) {
                let (id, batch) = (old.ids[slot], old.batches[slot]);
                let home = self.home(id);
                if !self.lines[home].put(id, batch, &is_live) {
                    self.displace(home, id, batch, &is_live);
                }
            }
        }
    }

    /// Empties the slots of forgotten batches in a few lines. To be called for every new batch.
    pub fn empty_some(&mut self, is_live: impl Fn(u16) -> bool) {
        for _ in 0..self.lines.len().div_ceil(BATCHES_PER_ROUND) {
            self.cursor = if self.cursor + 1 < self.lines.len() { self.cursor + 1 } else { 0 };
            let line = &mut self.lines[self.cursor];
            for slot in 0..SLOTS {
                if line.is_free(slot, &is_live) {
                    line.ids[slot] = EMPTY;
                }
            }
        }
    }

    pub fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
    }

    /// Ids of one home line: no look-up goes farther than the farthest of them that is remembered.
    #[test]
    fn the_reach_of_a_line_shrinks_again() {
        let mut table = Table::new();
        for id in 1..=20 {
            table.insert(id, 0, id as usize - 1, |_| true);
        }
        assert_eq!(
            (table.lines[0].reach, table.contains(20, |_| true), table.contains(21, |_| true)),
            (3, true, false)
        );
        let is_live = |batch: u16| batch == 1;
        for id in 1..=3 {
            table.insert(id, 1, id as usize - 1, is_live);
        }
        assert_eq!((table.lines[0].reach, table.contains(3, is_live), table.contains(20, is_live)), (0, true, false));
    }

    #[test]
    fn every_forgotten_slot_is_emptied_before_its_number_comes_again() {
        let mut table = Table::new();
        table.reserve(4 * SLOTS * BATCHES_PER_ROUND);
        let id = |n: u64| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes());
        (0..10_000).for_each(|n| table.insert(id(n), 0, n as usize, |_| true));
        (0..BATCHES_PER_ROUND).for_each(|_| table.empty_some(|batch| batch != 0));
        assert!(table.lines.iter().all(|line| line.ids == [EMPTY; SLOTS]));
    }
}
