//! The event ids accepted lately (E3), as 64-bit hashes.
//!
//! Open addressing with linear probing over cells of eight bytes, and beside each the batch it belongs to: the ids
//! accepted in one hour of the watermark. Forgetting a batch takes effect at once, by its number; its cells are then
//! removed a few with each insertion, so that the end of a busy hour stalls nothing. A repeat among the 64-bit hashes of
//! 4 million ids that are none is expected once in 4 x 10^12 events.
//!
//! Memory per id: a cell of 10 bytes in a table 0.53 to 0.8 full (13 to 19 bytes), and 8 in its batch's list, up to 16
//! in that of the current hour.

use super::memory::prefetch;
use std::collections::VecDeque;

const EMPTY: u64 = 0;
const CELLS_MIN: usize = 64;
/// Cells of forgotten batches that are removed with each insertion.
const REMOVALS_PER_INSERTION: usize = 4;

/// The ids accepted in one hour of the watermark.
struct Batch {
    hour: i64,
    /// Counts batches, round and round: there are never half as many as numbers.
    number: u16,
    ids: Vec<u64>,
}

/// Which event ids are remembered; see the module.
pub struct DuplicateMemory {
    horizon_hours: u32,
    max_ids: u32,
    table: Table,
    /// Remembered, the oldest first.
    batches: VecDeque<Batch>,
    /// Forgotten, but with cells left in the table.
    forgotten: VecDeque<Batch>,
    /// Ids in `batches`.
    len: usize,
    latest_hour: i64,
    /// The hour of the latest batch that went because there were too many ids.
    lost_hour: Option<i64>,
    lost: u64,
}

impl DuplicateMemory {
    pub fn new(horizon_hours: u32, max_ids: u32) -> Self {
        Self {
            horizon_hours,
            max_ids,
            table: Table::new(),
            batches: VecDeque::new(),
            forgotten: VecDeque::new(),
            len: 0,
            latest_hour: i64::MIN,
            lost_hour: None,
            lost: 0,
        }
    }

    /// Takes the bounds of new rules; what is beyond them goes at the next expiry or insertion.
    pub fn set_bounds(&mut self, horizon_hours: u32, max_ids: u32) {
        self.horizon_hours = horizon_hours;
        self.max_ids = max_ids;
    }

    /// Asks the memory for the cell of an id that will be looked up soon.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch(&self.table.cells[self.table.home(stored(hash))]);
    }

    #[inline]
    pub fn contains(&self, hash: u64) -> bool {
        let Some(oldest) = self.batches.front() else { return false };
        self.table.batches_of(stored(hash)).any(|batch| is_from(batch, oldest.number))
    }

    /// Remembers an id accepted when the watermark stood in `watermark_hour`. At the bound, the whole oldest hour goes
    /// before it.
    pub fn insert(&mut self, hash: u64, watermark_hour: i64) {
        self.latest_hour = self.latest_hour.max(watermark_hour);
        self.remove_some();
        while self.len > 0 && self.len >= self.max_ids as usize {
            self.lose_oldest();
        }
        if self.max_ids == 0 {
            return;
        }
        let number = self.batch_for(self.latest_hour);
        let id = stored(hash);
        self.table.insert(id, number);
        self.batches.back_mut().expect("there is a batch for the hour").ids.push(id);
        self.len += 1;
    }

    /// Forgets the ids whose hour is more than the horizon before that of the watermark.
    pub fn expire(&mut self, watermark_hour: i64) {
        self.latest_hour = self.latest_hour.max(watermark_hour);
        let end = watermark_hour.saturating_sub(i64::from(self.horizon_hours));
        while self.batches.front().is_some_and(|oldest| oldest.hour < end) {
            self.forget_oldest();
        }
    }

    /// Ids remembered.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Ids that went before their time because there were too many.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// For how many whole hours ids are really remembered: the horizon, or less when there are too many ids.
    pub fn horizon_held(&self) -> u32 {
        let Some(lost_hour) = self.lost_hour else { return self.horizon_hours };
        let held = u32::try_from(self.latest_hour - lost_hour - 1).unwrap_or(0);
        held.min(self.horizon_hours)
    }

    pub fn bytes(&self) -> usize {
        let lists = self.batches.iter().chain(&self.forgotten).map(|batch| batch.ids.capacity() * size_of::<u64>());
        lists.sum::<usize>() + self.table.bytes()
    }

    /// The number of the batch of the current hour, made if need be.
    fn batch_for(&mut self, hour: i64) -> u16 {
        let number = match self.batches.back_mut() {
            Some(batch) if batch.hour == hour => return batch.number,
            Some(batch) => {
                batch.ids.shrink_to_fit();
                batch.number.wrapping_add(1)
            }
            // Not a number that cells waiting for removal have.
            None => self.forgotten.back().map_or(0, |batch| batch.number.wrapping_add(1)),
        };
        self.batches.push_back(Batch { hour, number, ids: Vec::new() });
        number
    }

    fn lose_oldest(&mut self) {
        let oldest = self.batches.front().expect("there are ids, so there is a batch");
        self.lost += oldest.ids.len() as u64;
        self.lost_hour = Some(oldest.hour);
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.batches.pop_front() {
            self.len -= oldest.ids.len();
            self.forgotten.push_back(oldest);
        }
    }

    /// Removes a few cells of forgotten batches.
    fn remove_some(&mut self) {
        for _ in 0..REMOVALS_PER_INSERTION {
            let Some(batch) = self.forgotten.front_mut() else { return };
            if let Some(id) = batch.ids.pop() {
                self.table.remove(id, batch.number);
            }
            if batch.ids.is_empty() {
                self.forgotten.pop_front();
            }
        }
    }
}

/// Whether a batch number is `oldest` or a later one.
fn is_from(batch: u16, oldest: u16) -> bool {
    batch.wrapping_sub(oldest) < u16::MAX / 2
}

/// A hash as cells hold it: never [`EMPTY`].
fn stored(hash: u64) -> u64 {
    if hash == EMPTY { 1 } else { hash }
}

/// Cells in nearly the order of their hashes, so that growing reads and writes from front to end.
struct Table {
    cells: Vec<u64>,
    batches: Vec<u16>,
    len: usize,
}

impl Table {
    fn new() -> Self {
        Self { cells: vec![EMPTY; CELLS_MIN], batches: vec![0; CELLS_MIN], len: 0 }
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
    fn batches_of(&self, id: u64) -> impl Iterator<Item = u16> {
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

    fn insert(&mut self, id: u64, batch: u16) {
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
    fn remove(&mut self, id: u64, batch: u16) {
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

    fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u64>() + self.batches.capacity() * size_of::<u16>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn id(n: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())
    }

    #[test]
    fn remembered_until_past_the_horizon() {
        let mut memory = DuplicateMemory::new(24, 100);
        memory.insert(id(1), 1_000);
        memory.insert(0, 1_000);
        memory.expire(1_024);
        assert!(memory.contains(id(1)) && memory.contains(0) && !memory.contains(id(2)));
        memory.expire(1_025);
        assert!(!memory.contains(id(1)) && !memory.contains(0));
        assert_eq!((memory.len(), memory.lost(), memory.horizon_held()), (0, 0, 24));
    }

    #[test]
    fn at_the_bound_the_whole_oldest_hour_goes() {
        let mut memory = DuplicateMemory::new(24, 4);
        for (n, hour) in [(1, 10), (2, 10), (3, 11), (4, 12), (5, 12)] {
            memory.insert(id(n), hour);
        }
        assert_eq!([1, 2, 3, 4, 5].map(|n| memory.contains(id(n))), [false, false, true, true, true]);
        assert_eq!((memory.len(), memory.lost(), memory.horizon_held()), (3, 2, 1));
        memory.expire(30);
        assert_eq!(memory.horizon_held(), 19);
    }

    #[test]
    fn an_id_accepted_again_counts_from_the_later_hour() {
        let mut memory = DuplicateMemory::new(2, 100);
        memory.insert(id(1), 10);
        memory.insert(id(1), 12);
        memory.expire(13);
        memory.insert(id(2), 13);
        assert!(memory.contains(id(1)));
        memory.expire(15);
        assert!(!memory.contains(id(1)));
    }

    #[test]
    fn memory_per_id() {
        let mut memory = DuplicateMemory::new(24, 1_000_000);
        for n in 0..500_000 {
            memory.insert(id(n), (n / 20_000) as i64);
        }
        let per_id = memory.bytes() as f64 / memory.len() as f64;
        assert!((18.0..36.0).contains(&per_id), "{per_id} bytes");
    }

    /// Ids and hours as the rule tells it.
    struct Naive {
        horizon: i64,
        max_ids: usize,
        ids: BTreeMap<u64, i64>,
        lost: u64,
    }

    impl Naive {
        fn insert(&mut self, id: u64, hour: i64) {
            while !self.ids.is_empty() && self.ids.len() >= self.max_ids {
                let oldest = *self.ids.values().min().unwrap();
                let before = self.ids.len();
                self.ids.retain(|_, hour| *hour != oldest);
                self.lost += (before - self.ids.len()) as u64;
            }
            self.ids.insert(id, hour);
        }

        fn expire(&mut self, watermark_hour: i64) {
            self.ids.retain(|_, hour| watermark_hour <= *hour + self.horizon);
        }
    }

    /// Few distinct home cells, so that probes run long and wrap round the end of the table.
    fn crowded(random: u64) -> u64 {
        let top = [0, 0xFFFF_FFFF_FFFF_F000, 0x8000_0000_0000_0000][(random % 3) as usize];
        top + (random >> 8) % 300
    }

    #[test]
    fn agrees_with_a_map() {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        println!("seed {seed}");
        for round in 0..40 {
            let mut state = seed.wrapping_add(round << 32);
            let mut random = move || {
                state = state.wrapping_add(1);
                id(state)
            };
            let (horizon, max_ids) = (random() % 5, 1 + random() % 600);
            let mut memory = DuplicateMemory::new(horizon as u32, max_ids as u32);
            let mut naive = Naive { horizon: horizon as i64, max_ids: max_ids as usize, ids: BTreeMap::new(), lost: 0 };
            let mut hour = -3;
            for _ in 0..3_000 {
                let id = if round % 2 == 0 { crowded(random()) } else { id(random() % 2_000) };
                assert_eq!(memory.contains(id), naive.ids.contains_key(&stored(id)), "seed {seed} round {round}");
                if !memory.contains(id) {
                    memory.insert(id, hour);
                    naive.insert(stored(id), hour);
                }
                if random() % 100 == 0 {
                    hour += (random() % 4) as i64;
                    memory.expire(hour);
                    naive.expire(hour);
                }
                assert_eq!((memory.len(), memory.lost()), (naive.ids.len(), naive.lost), "seed {seed} round {round}");
            }
        }
    }
}
