//! Finds a customer's row by the hash of its id.
//!
//! A hash table of our own, because the tables of libraries grow all at once, which would stop the shard for a time
//! that grows with its customers, and because they do not prefetch.
//!
//! Open addressing with linear probing in slots of eight bytes: 36 bits of the hash (the tag) and the row number. The
//! tag also determines the home slot, so slots are nearly in the order of their tags: growing does not read the rows,
//! reads and writes both tables from front to end, and moves a few slots with each insertion, so that no insertion
//! waits for it. The tag does not prove identity: the caller compares the id.

use super::memory::{ask_for_large_pages, prefetch};
use crate::engine::profile::row::RowNumber;

const ROW_BITS: u32 = 28;
const ROW_MASK: u64 = (1 << ROW_BITS) - 1;
const EMPTY: u64 = 0;
/// A slot of the old table whose row was moved or removed: it ends no probe and equals no tag.
const MOVED: u64 = ROW_MASK;
/// Old slots moved per insertion: enough to finish long before the new table is full.
const MOVES_PER_INSERTION: usize = 8;
const SLOTS_MIN: usize = 64;

/// Customers in one index at most.
pub const ROWS_MAX: usize = ROW_MASK as usize - 1;

pub struct Index {
    slots: Vec<u64>,
    /// The table before the last growth, while rows are left in it.
    old: Vec<u64>,
    /// Slots of `old` before this were moved.
    moved: usize,
    len: usize,
}

/// The slot of a row: never [`EMPTY`] or [`MOVED`], as the row is stored plus one.
fn slot(hash: u64, row: RowNumber) -> u64 {
    (hash & !ROW_MASK) | (u64::from(row) + 1)
}

fn row_of(slot: u64) -> RowNumber {
    ((slot & ROW_MASK) - 1) as RowNumber
}

fn home(slots: usize, hash: u64) -> usize {
    ((u128::from(hash & !ROW_MASK) * slots as u128) >> 64) as usize
}

fn next(slots: usize, index: usize) -> usize {
    if index + 1 == slots { 0 } else { index + 1 }
}

/// The rows whose tag is that of `hash`, in one table, each with the index of its slot.
fn candidates(slots: &[u64], hash: u64) -> impl Iterator<Item = (usize, RowNumber)> {
    let mut index = home(slots.len(), hash);
    std::iter::from_fn(move || {
        loop {
            let slot = *slots.get(index)?;
            if slot == EMPTY {
                return None;
            }
            let here = index;
            index = next(slots.len(), index);
            if (slot ^ hash) & !ROW_MASK == 0 && slot & ROW_MASK != MOVED {
                return Some((here, row_of(slot)));
            }
        }
    })
}

impl Index {
    pub fn new() -> Self {
        Self { slots: vec![EMPTY; SLOTS_MIN], old: Vec::new(), moved: 0, len: 0 }
    }

    /// Gives an empty index room for a number of rows.
    pub fn reserve(&mut self, rows: usize) {
        assert!(self.len == 0, "only an empty index can be reserved");
        self.slots = vec![EMPTY; (rows * 3 / 2).max(SLOTS_MIN)];
        ask_for_large_pages(&self.slots, self.slots.len());
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn prefetch(&self, hash: u64) {
        prefetch(&self.slots[home(self.slots.len(), hash)]);
        if !self.old.is_empty() {
            prefetch(&self.old[home(self.old.len(), hash)]);
        }
    }

    /// Rows that may be the one with this hash: nearly always at most one.
    #[inline]
    pub fn rows(&self, hash: u64) -> impl Iterator<Item = RowNumber> {
        candidates(&self.slots, hash).chain(candidates(&self.old, hash)).map(|(_, row)| row)
    }

    /// The first of [`Self::rows`].
    #[inline]
    pub fn first(&self, hash: u64) -> Option<RowNumber> {
        let mut index = home(self.slots.len(), hash);
        loop {
            let slot = self.slots[index];
            if (slot ^ hash) & !ROW_MASK == 0 && slot != EMPTY {
                return Some(row_of(slot));
            }
            if slot == EMPTY {
                return candidates(&self.old, hash).next().map(|(_, row)| row);
            }
            index = next(self.slots.len(), index);
        }
    }

    /// Adds a row that is not in the index.
    pub fn insert(&mut self, hash: u64, row: RowNumber) {
        assert!((row as usize) < ROWS_MAX, "at most {ROWS_MAX} customers per shard");
        if self.old.is_empty() && (self.len + 1) * 5 > self.slots.len() * 4 {
            let grown = self.slots.len() / 2 * 3;
            self.old = std::mem::replace(&mut self.slots, vec![EMPTY; grown]);
            ask_for_large_pages(&self.slots, grown);
            self.moved = 0;
        }
        self.move_some(MOVES_PER_INSERTION);
        self.put(slot(hash, row));
        self.len += 1;
    }

    /// Removes a row that is in the index.
    pub fn remove(&mut self, hash: u64, row: RowNumber) {
        self.len -= 1;
        let current = candidates(&self.slots, hash).find(|&(_, found)| found == row);
        if let Some((index, _)) = current {
            return self.close_gap(index);
        }
        let (index, _) = candidates(&self.old, hash).find(|&(_, found)| found == row).expect("the row is in the index");
        self.old[index] = MOVED;
    }

    pub fn bytes(&self) -> usize {
        (self.slots.capacity() + self.old.capacity()) * size_of::<u64>()
    }

    fn put(&mut self, slot: u64) {
        let mut index = home(self.slots.len(), slot);
        while self.slots[index] != EMPTY {
            index = next(self.slots.len(), index);
        }
        self.slots[index] = slot;
    }

    fn move_some(&mut self, count: usize) {
        if self.old.is_empty() {
            return;
        }
        let end = (self.moved + count).min(self.old.len());
        for from in self.moved..end {
            let slot = std::mem::replace(&mut self.old[from], MOVED);
            if slot != EMPTY && slot & ROW_MASK != MOVED {
                self.put(slot);
            } else if slot == EMPTY {
                self.old[from] = EMPTY;
            }
        }
        self.moved = end;
        if end == self.old.len() {
            self.old = Vec::new();
        }
    }

    /// Empties a slot and moves back the slots after it that were displaced past it.
    fn close_gap(&mut self, mut gap: usize) {
        let slots = self.slots.len();
        let mut index = gap;
        loop {
            index = next(slots, index);
            let slot = self.slots[index];
            if slot == EMPTY {
                break;
            }
            let distance = |from: usize, to: usize| (to + slots - from) % slots;
            if distance(home(slots, slot), index) >= distance(gap, index) {
                self.slots[gap] = slot;
                gap = index;
            }
        }
        self.slots[gap] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use std::collections::HashMap;

    #[test]
    fn agrees_with_a_map_through_growth_and_removal() {
        let mut random = Random::of_test();
        for _ in 0..20 {
            let mut index = Index::new();
            let mut naive: HashMap<RowNumber, u64> = HashMap::new();
            let spread = if random.below(2) == 0 { u64::MAX } else { (40 << ROW_BITS) - 1 };
            for step in 0..4_000u32 {
                let grows = random.below(10) < if step < 2_500 { 7 } else { 3 };
                if grows || naive.is_empty() {
                    let hash = random.draw() & spread;
                    index.insert(hash, step);
                    naive.insert(step, hash);
                } else {
                    let nth = random.below(naive.len() as u64) as usize;
                    let row = *naive.keys().nth(nth).unwrap();
                    index.remove(naive.remove(&row).unwrap(), row);
                    assert!(!index.rows(random.draw()).any(|found| found == row));
                }
                assert_eq!(index.len(), naive.len());
                let hash = random.draw() & spread;
                assert_eq!(index.first(hash), index.rows(hash).next());
            }
            for (row, hash) in &naive {
                assert!(index.rows(*hash).any(|found| found == *row));
                assert_eq!(index.first(*hash), index.rows(*hash).next());
            }
            let all = index
                .slots
                .iter()
                .chain(&index.old)
                .filter(|slot| **slot & ROW_MASK != 0 && **slot & ROW_MASK != MOVED);
            assert_eq!(all.count(), naive.len());
        }
    }
}
