//! The event ids accepted within the horizon (E3), as 64-bit hashes.
//!
//! A table of lines of the size of a cache line (`table`), in which each id has the number of its batch: the ids
//! accepted in one hour of the watermark. A batch is forgotten at once, by its number, and its slots are overwritten by
//! later ids, so that the end of a busy hour does not delay any record. Among 4 million ids, one event in 4 x 10^12 is
//! expected to be taken for a duplicate because two hashes are equal.
//!
//! A table of our own, because a library's table cannot forget an hour at once, and takes more memory per id. The ids
//! of each hour are listed besides, for snapshots, which store what was added since the last one.
//!
//! Memory per id: a slot of 10.7 bytes in a table 0.57 to 0.85 full (13 to 19 bytes), and 8 in its batch's list, up to
//! 16 in that of the current hour.

mod ids;
mod table;

#[cfg(test)]
mod tests;

pub use ids::HourOfIds;

use ids::Ids;
use std::collections::VecDeque;
use table::{EMPTY, Table};

/// The ids accepted in one hour of the watermark.
struct Batch {
    hour: i64,
    /// Counts batches and wraps around: there are never half as many batches as numbers.
    number: u16,
    ids: Ids,
}

/// A position in the growing memory: the latest batch and its number of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    hour: i64,
    number: u16,
    ids: usize,
}

/// The state of the memory without the ids themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdsHead {
    pub latest_hour: i64,
    /// The hour of the latest batch that was removed at the bound.
    pub lost_hour: Option<i64>,
    pub lost: u64,
    /// The remembered hours, oldest first, each with its number of ids.
    pub hours: Vec<(i64, u64)>,
}

/// The remembered event ids; see the module.
pub struct DuplicateMemory {
    horizon_hours: u32,
    max_ids: u32,
    table: Table,
    /// Remembered batches, oldest first.
    batches: VecDeque<Batch>,
    /// The number of the next batch.
    next_number: u16,
    /// Ids in `batches`.
    len: usize,
    latest_hour: i64,
    /// The hour of the latest batch that was removed at the bound.
    lost_hour: Option<i64>,
    lost: u64,
    /// The progress when the memory was stored last.
    stored: Option<Progress>,
}

impl DuplicateMemory {
    pub fn new(horizon_hours: u32, max_ids: u32) -> Self {
        Self {
            horizon_hours,
            max_ids,
            table: Table::new(),
            batches: VecDeque::new(),
            next_number: 0,
            len: 0,
            latest_hour: i64::MIN,
            lost_hour: None,
            lost: 0,
            stored: None,
        }
    }

    /// A memory with a stored state; its ids follow with [`Self::restore`].
    pub fn restored(head: &IdsHead) -> Self {
        let mut memory = Self::new(u32::MAX, u32::MAX);
        (memory.latest_hour, memory.lost_hour, memory.lost) = (head.latest_hour, head.lost_hour, head.lost);
        for (number, &(hour, _)) in (0..).zip(&head.hours) {
            memory.batches.push_back(Batch { hour, number, ids: Ids::default() });
            memory.next_number = number.wrapping_add(1);
        }
        memory.table.reserve(head.hours.iter().map(|(_, ids)| *ids as usize).sum());
        memory
    }

    /// Restores ids of an hour, in the order in which they were accepted. Ids of an hour that is not remembered are
    /// left out.
    pub fn restore(&mut self, hour: i64, ids: impl Iterator<Item = u64>) {
        let Ok(index) = self.batches.binary_search_by_key(&hour, |batch| batch.hour) else { return };
        let batch = &mut self.batches[index];
        for id in ids {
            self.table.insert(id, batch.number, self.len, |_| true);
            batch.ids.push(id);
            self.len += 1;
        }
    }

    /// Sets the progress that is stored, for [`Self::unstored`].
    pub fn set_stored(&mut self, stored: Option<Progress>) {
        self.stored = stored;
    }

    /// The current progress.
    pub fn progress(&self) -> Option<Progress> {
        self.batches.back().map(|batch| Progress { hour: batch.hour, number: batch.number, ids: batch.ids.len() })
    }

    /// The ids accepted since the stored progress.
    pub fn unstored(&self) -> Vec<HourOfIds> {
        let Progress { hour, number, ids } = self.stored.unwrap_or(Progress { hour: i64::MIN, number: 0, ids: 0 });
        let later = self.batches.iter().filter(|batch| batch.hour >= hour);
        // An hour that was removed at the bound may have begun again, with another number.
        let known = |batch: &Batch| if (batch.hour, batch.number) == (hour, number) { ids } else { 0 };
        let shared = later.map(|batch| batch.ids.share(batch.hour, known(batch)));
        shared.filter(|ids| !ids.is_empty()).collect()
    }

    pub fn head(&self) -> IdsHead {
        IdsHead {
            latest_hour: self.latest_hour,
            lost_hour: self.lost_hour,
            lost: self.lost,
            hours: self.batches.iter().map(|batch| (batch.hour, batch.ids.len() as u64)).collect(),
        }
    }

    /// A hash of the remembered ids with their hours.
    pub fn fingerprint(&self) -> u64 {
        let of_hour = |batch: &Batch| {
            let ids = batch.ids.share(batch.hour, 0);
            ids.iter().fold(0, |sum: u64, id| sum.wrapping_add(id.wrapping_mul(batch.hour as u64 | 1)))
        };
        self.batches.iter().map(of_hour).fold(self.lost, u64::wrapping_add)
    }

    /// Sets the bounds of new rules. Ids beyond them are removed at the next expiry or insertion.
    pub fn set_bounds(&mut self, horizon_hours: u32, max_ids: u32) {
        self.horizon_hours = horizon_hours;
        self.max_ids = max_ids;
    }

    /// Prefetches the slot of an id that will be looked up soon.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.table.prefetch(stored(hash));
    }

    #[inline(never)]
    pub fn contains(&self, hash: u64) -> bool {
        let Some(oldest) = self.batches.front().map(|batch| batch.number) else { return false };
        self.table.contains(stored(hash), |batch| is_from(batch, oldest))
    }

    /// Remembers an id accepted when the watermark was in `watermark_hour`. At the bound, the whole oldest hour is
    /// removed first.
    #[inline(never)]
    pub fn insert(&mut self, hash: u64, watermark_hour: i64) {
        self.latest_hour = self.latest_hour.max(watermark_hour);
        while self.len > 0 && self.len >= self.max_ids as usize {
            self.lose_oldest();
        }
        if self.max_ids == 0 {
            return;
        }
        if self.batches.back().is_none_or(|batch| batch.hour != self.latest_hour) {
            self.begin_batch();
        }
        let Some(oldest) = self.batches.front().map(|batch| batch.number) else { return };
        let Some(batch) = self.batches.back_mut() else { return };
        let id = stored(hash);
        self.table.insert(id, batch.number, self.len, |batch| is_from(batch, oldest));
        batch.ids.push(id);
        self.len += 1;
    }

    /// Forgets the ids whose hour is more than the horizon before the hour of the watermark.
    pub fn expire(&mut self, watermark_hour: i64) {
        self.latest_hour = self.latest_hour.max(watermark_hour);
        let end = watermark_hour.saturating_sub(i64::from(self.horizon_hours));
        while self.batches.front().is_some_and(|oldest| oldest.hour < end) {
            self.forget_oldest();
        }
    }

    /// Number of remembered ids.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of ids that were removed at the bound, before the horizon.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whole hours for which ids are really remembered: the horizon, or less if ids were removed at the bound.
    pub fn horizon_held(&self) -> u32 {
        let Some(lost_hour) = self.lost_hour else { return self.horizon_hours };
        let held = u32::try_from(self.latest_hour - lost_hour - 1).unwrap_or(0);
        held.min(self.horizon_hours)
    }

    pub fn bytes(&self) -> usize {
        let lists = self.batches.iter().map(|batch| batch.ids.bytes());
        lists.sum::<usize>() + self.table.bytes()
    }

    /// Begins the batch of the current hour.
    #[inline(never)]
    fn begin_batch(&mut self) {
        let mut ids = Ids::default();
        if let Some(batch) = self.batches.back_mut() {
            batch.ids.shrink();
            ids = Ids::like(&batch.ids);
        }
        self.batches.push_back(Batch { hour: self.latest_hour, number: self.next_number, ids });
        self.next_number = self.next_number.wrapping_add(1);
        let oldest = self.batches[0].number;
        self.table.empty_some(|batch| is_from(batch, oldest));
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
        }
    }
}

/// Whether a batch number is `oldest` or a later one.
#[inline]
fn is_from(batch: u16, oldest: u16) -> bool {
    batch.wrapping_sub(oldest) < u16::MAX / 2
}

/// A hash as slots store it: never [`EMPTY`].
#[inline]
fn stored(hash: u64) -> u64 {
    if hash == EMPTY { 1 } else { hash }
}
