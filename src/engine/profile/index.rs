//! Finds a customer's row by the hash of its id.
//!
//! Open addressing with linear probing in cells of eight bytes: 36 bits of the hash (the tag) and the row number. The
//! tag also says where a cell wants to be, so cells stand nearly in the order of their tags: growing needs no look at
//! the rows, reads and writes both tables from front to end, and is done a few cells per insertion, so that no single
//! insertion waits for it. The tag does not prove identity: the caller compares the id.

use super::memory::{ask_for_large_pages, prefetch};
use super::row::RowNumber;

const ROW_BITS: u32 = 28;
const ROW_MASK: u64 = (1 << ROW_BITS) - 1;
const EMPTY: u64 = 0;
/// A cell of the old table that was moved or removed: ends no probe, equals no tag.
const MOVED: u64 = ROW_MASK;
/// Old cells moved per insertion: enough to be done long before the new table is full.
const MOVES_PER_INSERTION: usize = 8;
const CELLS_MIN: usize = 64;

/// Most customers in one index.
pub const ROWS_MAX: usize = ROW_MASK as usize - 1;

pub(super) struct Index {
    cells: Vec<u64>,
    /// The table before the last growth, while cells are still in it.
    old: Vec<u64>,
    /// Cells of `old` before this were moved.
    moved: usize,
    len: usize,
}

/// The cell of a row: never [`EMPTY`] or [`MOVED`], as the row is stored plus one.
fn cell(hash: u64, row: RowNumber) -> u64 {
    (hash & !ROW_MASK) | (u64::from(row) + 1)
}

fn row_of(cell: u64) -> RowNumber {
    ((cell & ROW_MASK) - 1) as RowNumber
}

fn home(cells: usize, hash: u64) -> usize {
    ((u128::from(hash & !ROW_MASK) * cells as u128) >> 64) as usize
}

fn next(cells: usize, place: usize) -> usize {
    if place + 1 == cells { 0 } else { place + 1 }
}

/// The rows whose tag is that of `hash`, in one table.
fn candidates(cells: &[u64], hash: u64) -> impl Iterator<Item = (usize, RowNumber)> {
    let mut place = home(cells.len(), hash);
    std::iter::from_fn(move || {
        loop {
            let found = *cells.get(place)?;
            if found == EMPTY {
                return None;
            }
            let here = place;
            place = next(cells.len(), place);
            if (found ^ hash) & !ROW_MASK == 0 && found & ROW_MASK != MOVED {
                return Some((here, row_of(found)));
            }
        }
    })
}

impl Index {
    pub fn new() -> Self {
        Self { cells: vec![EMPTY; CELLS_MIN], old: Vec::new(), moved: 0, len: 0 }
    }

    /// An empty index gets room for so many rows.
    pub fn reserve(&mut self, rows: usize) {
        assert!(self.len == 0, "only an empty index");
        self.cells = vec![EMPTY; (rows * 3 / 2).max(CELLS_MIN)];
        ask_for_large_pages(&self.cells, self.cells.len());
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn prefetch(&self, hash: u64) {
        prefetch(&self.cells[home(self.cells.len(), hash)]);
        if !self.old.is_empty() {
            prefetch(&self.old[home(self.old.len(), hash)]);
        }
    }

    /// Rows that may be the one with this hash; nearly always one at most.
    #[inline]
    pub fn rows(&self, hash: u64) -> impl Iterator<Item = RowNumber> {
        candidates(&self.cells, hash).chain(candidates(&self.old, hash)).map(|(_, row)| row)
    }

    /// Adds a row that is not in the index.
    pub fn insert(&mut self, hash: u64, row: RowNumber) {
        assert!((row as usize) < ROWS_MAX, "at most {ROWS_MAX} customers per shard");
        if self.old.is_empty() && (self.len + 1) * 5 > self.cells.len() * 4 {
            let grown = self.cells.len() / 2 * 3;
            self.old = std::mem::replace(&mut self.cells, vec![EMPTY; grown]);
            ask_for_large_pages(&self.cells, grown);
            self.moved = 0;
        }
        self.move_some(MOVES_PER_INSERTION);
        self.place(cell(hash, row));
        self.len += 1;
    }

    /// Removes a row that is in the index.
    pub fn remove(&mut self, hash: u64, row: RowNumber) {
        self.len -= 1;
        let current = candidates(&self.cells, hash).find(|&(_, found)| found == row);
        if let Some((place, _)) = current {
            return self.close_gap(place);
        }
        let (place, _) = candidates(&self.old, hash).find(|&(_, found)| found == row).expect("the row is in the index");
        self.old[place] = MOVED;
    }

    pub fn bytes(&self) -> usize {
        (self.cells.capacity() + self.old.capacity()) * size_of::<u64>()
    }

    fn place(&mut self, cell: u64) {
        let mut place = home(self.cells.len(), cell);
        while self.cells[place] != EMPTY {
            place = next(self.cells.len(), place);
        }
        self.cells[place] = cell;
    }

    fn move_some(&mut self, count: usize) {
        if self.old.is_empty() {
            return;
        }
        let end = (self.moved + count).min(self.old.len());
        for from in self.moved..end {
            let cell = std::mem::replace(&mut self.old[from], MOVED);
            if cell != EMPTY && cell & ROW_MASK != MOVED {
                self.place(cell);
            } else if cell == EMPTY {
                self.old[from] = EMPTY;
            }
        }
        self.moved = end;
        if end == self.old.len() {
            self.old = Vec::new();
        }
    }

    /// Empties a cell and moves back the ones after it that were displaced past it.
    fn close_gap(&mut self, mut gap: usize) {
        let cells = self.cells.len();
        let mut place = gap;
        loop {
            place = next(cells, place);
            let cell = self.cells[place];
            if cell == EMPTY {
                break;
            }
            let distance = |from: usize, to: usize| (to + cells - from) % cells;
            if distance(home(cells, cell), place) >= distance(gap, place) {
                self.cells[gap] = cell;
                gap = place;
            }
        }
        self.cells[gap] = EMPTY;
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
            }
            for (row, hash) in &naive {
                assert!(index.rows(*hash).any(|found| found == *row));
            }
            let all = index
                .cells
                .iter()
                .chain(&index.old)
                .filter(|cell| **cell & ROW_MASK != 0 && **cell & ROW_MASK != MOVED);
            assert_eq!(all.count(), naive.len());
        }
    }
}
