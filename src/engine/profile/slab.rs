//! The rows of a shard, in chunks: growing moves nothing and never waits for a copy.

use super::row::{Row, RowNumber};

/// Rows of a chunk: 512 KiB.
const CHUNK: usize = 1 << 12;

pub(super) struct Slab {
    chunks: Vec<Box<[Row]>>,
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
        let row = self.free.pop().unwrap_or_else(|| {
            if self.used == self.chunks.len() * CHUNK {
                self.chunks.push(vec![Row::EMPTY; CHUNK].into_boxed_slice());
            }
            self.used += 1;
            (self.used - 1) as RowNumber
        });
        *self.get_mut(row) = Row { alive: true, ..Row::EMPTY };
        row
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
        self.chunks.len() * CHUNK * size_of::<Row>() + self.free.capacity() * size_of::<RowNumber>()
    }
}
