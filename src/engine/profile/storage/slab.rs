//! The rows of a shard, in chunks: growing moves no row and never waits for a copy.

use super::memory;
use crate::engine::profile::row::{Row, RowNumber};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Rows of a chunk: 32 MiB, of which only what is used is resident.
const CHUNK: usize = 1 << 18;
/// A small shard does not ask for large pages: they cost time to clear.
const LARGE_PAGES_FROM: usize = 1 << 14;

pub struct Slab {
    chunks: Vec<Vec<Row>>,
    /// Rows ever used.
    used: usize,
    /// Rows of removed customers. The smallest is used next, so that the choice follows from which rows are alive.
    free: BinaryHeap<Reverse<RowNumber>>,
}

impl Slab {
    pub fn new() -> Self {
        Self { chunks: Vec::new(), used: 0, free: BinaryHeap::new() }
    }

    #[inline]
    pub fn get(&self, row: RowNumber) -> &Row {
        &self.chunks[row as usize / CHUNK][row as usize % CHUNK]
    }

    #[inline]
    pub fn get_mut(&mut self, row: RowNumber) -> &mut Row {
        &mut self.chunks[row as usize / CHUNK][row as usize % CHUNK]
    }

    /// An empty row that no customer uses; the caller makes it alive.
    pub fn allocate(&mut self) -> RowNumber {
        if let Some(Reverse(row)) = self.free.pop() {
            return row;
        }
        if self.used == self.chunks.len() * CHUNK {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if self.used % CHUNK == if self.used < CHUNK { LARGE_PAGES_FROM } else { 0 } {
            memory::ask_for_large_pages(self.chunks.last().expect("a chunk"), CHUNK);
        }
        self.chunks[self.used / CHUNK].push(Row::EMPTY);
        self.used += 1;
        (self.used - 1) as RowNumber
    }

    pub fn release(&mut self, row: RowNumber) {
        let epoch = self.get(row).epoch;
        *self.get_mut(row) = Row { epoch, ..Row::EMPTY };
        self.free.push(Reverse(row));
    }

    /// Allocates all rows below a number, empty; [`Self::free_the_rest`] must follow.
    pub fn reserve(&mut self, rows: RowNumber) {
        while self.used < rows as usize {
            self.allocate();
        }
    }

    /// Frees the reserved rows that are not alive. `alive` is the number of those that are.
    pub fn free_the_rest(&mut self, alive: usize) {
        if alive == self.used {
            return;
        }
        self.free = (0..self.used as RowNumber).filter(|&row| !self.get(row).alive).map(Reverse).collect();
    }

    /// Rows ever used.
    pub fn used(&self) -> RowNumber {
        self.used as RowNumber
    }

    /// The smallest living row at or after `from`.
    pub fn next(&self, from: RowNumber) -> Option<RowNumber> {
        (from..self.used as RowNumber).find(|&row| self.get(row).alive)
    }

    pub fn is_alive(&self, row: RowNumber) -> bool {
        (row as usize) < self.used && self.get(row).alive
    }

    pub fn bytes(&self) -> usize {
        self.used * size_of::<Row>() + self.free.capacity() * size_of::<RowNumber>()
    }
}
