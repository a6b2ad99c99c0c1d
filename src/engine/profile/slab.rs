//! The rows of a shard, in chunks: growing moves nothing and never waits for a copy.

use super::memory;
use super::row::{Row, RowNumber};

/// Rows of a chunk: 32 MiB, of which only what is used is resident.
const CHUNK: usize = 1 << 18;
/// A small shard does not ask for large pages: they cost time to clear.
const LARGE_PAGES_FROM: usize = 1 << 14;

pub(super) struct Slab {
    chunks: Vec<Vec<Row>>,
    /// Rows ever used.
    used: usize,
    /// Rows of removed customers, to be used again.
    free: Vec<RowNumber>,
}

impl Slab {
    pub fn new() -> Self {
        Self { chunks: Vec::new(), used: 0, free: Vec::new() }
    }

    #[inline]
    pub fn get(&self, row: RowNumber) -> &Row {
        &self.chunks[row as usize / CHUNK][row as usize % CHUNK]
    }

    #[inline]
    pub fn get_mut(&mut self, row: RowNumber) -> &mut Row {
        &mut self.chunks[row as usize / CHUNK][row as usize % CHUNK]
    }

    /// A row of its own, alive and otherwise empty.
    pub fn take(&mut self) -> RowNumber {
        if let Some(row) = self.free.pop() {
            self.get_mut(row).alive = true;
            return row;
        }
        if self.used == self.chunks.len() * CHUNK {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if self.used % CHUNK == if self.used < CHUNK { LARGE_PAGES_FROM } else { 0 } {
            memory::ask_for_large_pages(self.chunks.last().expect("a chunk"), CHUNK);
        }
        self.chunks[self.used / CHUNK].push(Row { alive: true, ..Row::EMPTY });
        self.used += 1;
        (self.used - 1) as RowNumber
    }

    pub fn release(&mut self, row: RowNumber) {
        *self.get_mut(row) = Row::EMPTY;
        self.free.push(row);
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
