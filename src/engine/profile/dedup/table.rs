//! The table of event ids: open addressing with linear probing, where gaps are closed by moving slots back.

use crate::engine::profile::storage::memory::prefetch;

/// No id: [`super::stored`] never returns it.
pub(super) const EMPTY: u64 = 0;
const SLOTS_MIN: usize = 64;

/// Slots in nearly the order of their hashes, so that growing reads and writes from front to end.
pub(super) struct Table {
    slots: Vec<u64>,
    batches: Vec<u16>,
    len: usize,
}

impl Table {
    pub fn new() -> Self {
        Self { slots: vec![EMPTY; SLOTS_MIN], batches: vec![0; SLOTS_MIN], len: 0 }
    }

    /// Gives an empty table room for a number of ids.
    pub fn reserve(&mut self, ids: usize) {
        let slots = (ids * 3 / 2).max(SLOTS_MIN);
        (self.slots, self.batches) = (vec![EMPTY; slots], vec![0; slots]);
    }

    #[inline]
    pub fn prefetch(&self, id: u64) {
        prefetch(&self.slots[self.home(id)]);
    }

    #[inline]
    fn home(&self, id: u64) -> usize {
        ((u128::from(id) * self.slots.len() as u128) >> 64) as usize
    }

    #[inline]
    fn next(&self, index: usize) -> usize {
        if index + 1 == self.slots.len() { 0 } else { index + 1 }
    }

    /// The batches of all slots with this id.
    #[inline]
    pub fn batches_of(&self, id: u64) -> impl Iterator<Item = u16> {
        let mut index = self.home(id);
        std::iter::from_fn(move || {
            while self.slots[index] != EMPTY {
                let here = index;
                index = self.next(index);
                if self.slots[here] == id {
                    return Some(self.batches[here]);
                }
            }
            None
        })
    }

    pub fn insert(&mut self, id: u64, batch: u16) {
        if (self.len + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        self.put(id, batch);
        self.len += 1;
    }

    fn put(&mut self, id: u64, batch: u16) {
        let mut index = self.home(id);
        while self.slots[index] != EMPTY {
            index = self.next(index);
        }
        self.slots[index] = id;
        self.batches[index] = batch;
    }

    fn grow(&mut self) {
        let slots = self.slots.len() / 2 * 3;
        let old_ids = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        let old_batches = std::mem::replace(&mut self.batches, vec![0; slots]);
        for (id, batch) in old_ids.into_iter().zip(old_batches).filter(|(id, _)| *id != EMPTY) {
            self.put(id, batch);
        }
    }

    /// Removes one slot with this id and batch, which must exist, and closes the gap.
    pub fn remove(&mut self, id: u64, batch: u16) {
        let mut gap = self.home(id);
        while self.slots[gap] != id || self.batches[gap] != batch {
            assert!(self.slots[gap] != EMPTY, "a forgotten id has its slot");
            gap = self.next(gap);
        }
        let mut index = gap;
        loop {
            index = self.next(index);
            if self.slots[index] == EMPTY {
                break;
            }
            if self.may_move(index, gap) {
                self.slots[gap] = self.slots[index];
                self.batches[gap] = self.batches[index];
                gap = index;
            }
        }
        self.slots[gap] = EMPTY;
        self.len -= 1;
    }

    /// Whether the slot at `index` may move to the gap before it: its home is not between them.
    fn may_move(&self, index: usize, gap: usize) -> bool {
        let slots = self.slots.len();
        let distance = |from: usize| if index >= from { index - from } else { index + slots - from };
        distance(self.home(self.slots[index])) >= distance(gap)
    }

    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u64>() + self.batches.capacity() * size_of::<u16>()
    }
}
