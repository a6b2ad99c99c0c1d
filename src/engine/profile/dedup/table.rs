//! Cells of event ids: open addressing with linear probing, gaps closed by moving cells back.

use crate::engine::profile::memory::prefetch;

/// No id: [`super::stored`] never gives it.
pub(super) const EMPTY: u64 = 0;
const CELLS_MIN: usize = 64;

/// Cells in nearly the order of their hashes, so that growing reads and writes from front to end.
pub(super) struct Table {
    cells: Vec<u64>,
    batches: Vec<u16>,
    len: usize,
}

impl Table {
    pub fn new() -> Self {
        Self { cells: vec![EMPTY; CELLS_MIN], batches: vec![0; CELLS_MIN], len: 0 }
    }

    /// An empty table gets room for so many ids.
    pub fn reserve(&mut self, ids: usize) {
        let cells = (ids * 3 / 2).max(CELLS_MIN);
        (self.cells, self.batches) = (vec![EMPTY; cells], vec![0; cells]);
    }

    #[inline]
    pub fn prefetch(&self, id: u64) {
        prefetch(&self.cells[self.home(id)]);
    }

    #[inline]
    fn home(&self, id: u64) -> usize {
        ((u128::from(id) * self.cells.len() as u128) >> 64) as usize
    }

    #[inline]
    fn next(&self, place: usize) -> usize {
        if place + 1 == self.cells.len() { 0 } else { place + 1 }
    }

    /// The batches of all cells with this id.
    #[inline]
    pub fn batches_of(&self, id: u64) -> impl Iterator<Item = u16> {
        let mut place = self.home(id);
        std::iter::from_fn(move || {
            while self.cells[place] != EMPTY {
                let here = place;
                place = self.next(place);
                if self.cells[here] == id {
                    return Some(self.batches[here]);
                }
            }
            None
        })
    }

    pub fn insert(&mut self, id: u64, batch: u16) {
        if (self.len + 1) * 5 > self.cells.len() * 4 {
            self.grow();
        }
        self.place(id, batch);
        self.len += 1;
    }

    fn place(&mut self, id: u64, batch: u16) {
        let mut place = self.home(id);
        while self.cells[place] != EMPTY {
            place = self.next(place);
        }
        self.cells[place] = id;
        self.batches[place] = batch;
    }

    fn grow(&mut self) {
        let cells = self.cells.len() / 2 * 3;
        let old_cells = std::mem::replace(&mut self.cells, vec![EMPTY; cells]);
        let old_batches = std::mem::replace(&mut self.batches, vec![0; cells]);
        for (id, batch) in old_cells.into_iter().zip(old_batches).filter(|(id, _)| *id != EMPTY) {
            self.place(id, batch);
        }
    }

    /// Removes one cell with this id and batch, which is there, and closes the gap.
    pub fn remove(&mut self, id: u64, batch: u16) {
        let mut gap = self.home(id);
        while self.cells[gap] != id || self.batches[gap] != batch {
            assert!(self.cells[gap] != EMPTY, "a forgotten id has its cell");
            gap = self.next(gap);
        }
        let mut place = gap;
        loop {
            place = self.next(place);
            if self.cells[place] == EMPTY {
                break;
            }
            if self.may_move(place, gap) {
                self.cells[gap] = self.cells[place];
                self.batches[gap] = self.batches[place];
                gap = place;
            }
        }
        self.cells[gap] = EMPTY;
        self.len -= 1;
    }

    /// Whether the cell at `place` may stand in the gap before it: its home is not between them.
    fn may_move(&self, place: usize, gap: usize) -> bool {
        let cells = self.cells.len();
        let distance = |from: usize| if place >= from { place - from } else { place + cells - from };
        distance(self.home(self.cells[place])) >= distance(gap)
    }

    pub fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u64>() + self.batches.capacity() * size_of::<u16>()
    }
}
