//! Snapshots of a worker's shards, made while it works: one shard at a time, one slice between two rounds of the loop.
//!
//! A snapshot contains the state after a committed transaction, so it begins when a shard has nothing uncommitted. From
//! then on the shard hands out the state of that moment ([`crate::engine::shard::Shard::capture`]), and the
//! [`SnapshotStore`] accepts it when it has room. A failure concerns the snapshot only: the stream goes on, a warning
//! is logged, and the next snapshot contains what this one would have.

use super::counters::histogram::{DURATIONS, Histogram};
use super::owned_shard::OwnedShard;
use crate::kafka::Moment;
use crate::store::{Piece, SnapshotOutcome, SnapshotStore, StoredSnapshot};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Customers captured in one slice: a fraction of a millisecond.
const CUSTOMERS_PER_SLICE: usize = 1_024;
/// Customers that change before they are captured are copied to memory; beyond this the snapshot is abandoned.
const EARLY_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How long a stop waits for its snapshots.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// Between two lines in the log about stored snapshots.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// What all workers of the process stored since the last line in the log.
static STORED: Mutex<StoredSince> = Mutex::new(StoredSince::NOTHING);

/// Sums of stored snapshots.
#[derive(Clone, Debug, PartialEq)]
struct StoredSince {
    snapshots: u64,
    rows: u64,
    bytes: u64,
    longest_ms: u64,
    logged_at: Option<Instant>,
}

impl StoredSince {
    const NOTHING: Self = Self { snapshots: 0, rows: 0, bytes: 0, longest_ms: 0, logged_at: None };

    /// Adds a snapshot; the sums if they are to be logged now. A snapshot without changed customers is not worth a
    /// line.
    fn add(&mut self, now: Instant, stored: &StoredSnapshot) -> Option<Self> {
        if stored.rows == 0 {
            return None;
        }
        self.snapshots += 1;
        self.rows += stored.rows;
        self.bytes += stored.bytes;
        self.longest_ms = self.longest_ms.max(stored.took_ms);
        let is_due = self.logged_at.is_none_or(|at| now.duration_since(at) >= LOG_EVERY);
        is_due.then(|| std::mem::replace(self, Self { logged_at: Some(now), ..Self::NOTHING }))
    }
}

/// The snapshots of one worker.
pub struct Snapshots {
    store: Box<dyn SnapshotStore>,
    interval_ms: u64,
    /// By shard, the monotonic milliseconds at which its next snapshot is due.
    due: BTreeMap<u32, u64>,
    open: Option<OpenSnapshot>,
    /// Seconds of stored snapshots, and the number of failed ones.
    seconds: Histogram,
    failed: u64,
}

/// The snapshot in progress.
struct OpenSnapshot {
    shard: u32,
    transaction: u64,
    /// The piece that the store had no room for.
    waiting: Option<Piece>,
    /// All pieces are handed over; the outcome is not known yet.
    is_complete: bool,
}

impl Snapshots {
    pub fn new(store: Box<dyn SnapshotStore>, interval_ms: u64) -> Self {
        let seconds = Histogram::new(DURATIONS);
        Self { store, interval_ms, due: BTreeMap::new(), open: None, seconds, failed: 0 }
    }

    pub fn store(&mut self) -> &mut (dyn SnapshotStore + 'static) {
        &mut *self.store
    }

    /// Seconds of stored snapshots, and the number of failed ones.
    pub fn counts(&self) -> (Histogram, u64) {
        (self.seconds.clone(), self.failed)
    }

    /// The next snapshot of a shard is due one interval from now, in monotonic milliseconds.
    pub fn schedule(&mut self, shard: u32, now: u64) {
        self.due.insert(shard, now.saturating_add(self.interval_ms));
    }

    /// Whether there is a slice to hand over, and room for it as far as is known.
    pub fn is_capturing(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.is_complete && open.waiting.is_none())
    }

    /// Whether the store had no room for the last piece.
    pub fn waits_for_room(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.waiting.is_some())
    }

    /// The shard whose snapshot is in progress.
    pub fn shard(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.shard)
    }

    /// Hands over a slice of the snapshot in progress, or begins the next one that is due.
    pub fn advance<'a>(&mut self, shards: impl Iterator<Item = &'a mut OwnedShard>, now: u64) {
        let mut shards: Vec<&mut OwnedShard> = shards.collect();
        if let Some(outcome) = self.outcome()
            && let Some(owned) = shards.iter_mut().find(|owned| owned.number() == outcome.shard)
        {
            end(owned, &outcome);
        }
        if let Some(owned) = shards.iter_mut().find(|owned| Some(owned.number()) == self.shard()) {
            return self.capture_slice(owned);
        }
        let due = |owned: &OwnedShard| self.due.get(&owned.number()).copied().unwrap_or(u64::MAX);
        let is_due = |owned: &&mut OwnedShard| {
            now >= due(owned) && owned.is_running() && !owned.has_work() && owned.has_unstored()
        };
        if let Some(owned) = shards.into_iter().filter(is_due).min_by_key(|owned| due(owned)) {
            self.schedule(owned.number(), now);
            self.begin(owned);
        }
    }

    /// Makes a last snapshot of each shard at a stop. The snapshot in progress is abandoned: the last one contains
    /// more.
    pub fn make_last<'a>(&mut self, shards: impl Iterator<Item = &'a mut OwnedShard>, now: impl Fn() -> Moment) {
        let mut shards: Vec<&mut OwnedShard> = shards.collect();
        let open = self.shard();
        self.abandon(shards.iter_mut().find(|owned| Some(owned.number()) == open).map(|owned| &mut **owned));
        for owned in shards {
            if owned.is_running() && !owned.has_work() && owned.has_unstored() {
                self.make_one(owned, &now);
            }
        }
    }

    /// Makes a snapshot of a shard and waits for its outcome.
    fn make_one(&mut self, owned: &mut OwnedShard, now: &impl Fn() -> Moment) {
        self.begin(owned);
        let deadline = now().monotonic + STOP_WAIT.as_millis() as u64;
        while self.open.is_some() {
            if self.is_capturing() || self.waits_for_room() {
                self.capture_slice(owned);
            }
            if let Some(outcome) = self.outcome() {
                end(owned, &outcome);
            } else if !self.is_capturing() {
                if now().monotonic >= deadline {
                    tracing::warn!(
                        shard = owned.number(),
                        seconds_max = STOP_WAIT.as_secs(),
                        "the last snapshot was not stored in time and is abandoned: the next start replays more of the journal"
                    );
                    return self.abandon(Some(owned));
                }
                self.store.wait(Duration::from_millis(20));
            }
        }
    }

    /// Begins the snapshot of a shard that has nothing uncommitted.
    fn begin(&mut self, owned: &mut OwnedShard) {
        let head = owned.begin_snapshot();
        self.open = Some(OpenSnapshot {
            shard: owned.number(),
            transaction: owned.transaction(),
            waiting: Some(Piece::Begin(Box::new(head))),
            is_complete: false,
        });
    }

    /// Hands over the next slice of the snapshot in progress, which is of this shard.
    fn capture_slice(&mut self, owned: &mut OwnedShard) {
        let Some(open) = self.open.as_mut().filter(|open| !open.is_complete) else { return };
        if owned.captured_early() > EARLY_BYTES_MAX {
            tracing::warn!(
                shard = open.shard,
                bytes_max = EARLY_BYTES_MAX,
                "a snapshot is abandoned: the store is too slow, and copies of customers that changed meanwhile fill the \
                 memory for them. The next snapshot is tried after the interval"
            );
            return self.abandon(Some(owned));
        }
        let piece = open.waiting.take().or_else(|| owned.capture(CUSTOMERS_PER_SLICE).map(Piece::Part));
        let piece = piece.unwrap_or(Piece::End);
        let is_end = matches!(piece, Piece::End);
        match self.store.offer(open.shard, piece) {
            Ok(()) => open.is_complete = is_end,
            Err(piece) => open.waiting = Some(piece),
        }
    }

    /// Abandons the snapshot in progress. The next snapshot of its shard contains what it would have.
    pub fn abandon(&mut self, owned: Option<&mut OwnedShard>) {
        let Some(open) = self.open.take() else { return };
        if !open.is_complete {
            // A store without room abandons it when the next one begins.
            let _ = self.store.offer(open.shard, Piece::Abandoned);
        }
        if let Some(owned) = owned {
            owned.end_snapshot(None);
        }
    }

    /// The outcome of the snapshot in progress, if it is known. Outcomes of abandoned ones are only counted.
    fn outcome(&mut self) -> Option<SnapshotOutcome> {
        while let Some(outcome) = self.store.next_outcome() {
            self.count(&outcome);
            let is_open = |open: &OpenSnapshot| (open.shard, open.transaction) == (outcome.shard, outcome.transaction);
            if self.open.as_ref().is_some_and(is_open) {
                self.open = None;
                return Some(outcome);
            }
        }
        None
    }

    /// Counts an outcome. The store has logged failures itself.
    fn count(&mut self, outcome: &SnapshotOutcome) {
        self.failed += u64::from(outcome.result.is_err());
        if let Ok(stored) = &outcome.result {
            let StoredSnapshot { rows, bytes, took_ms, .. } = *stored;
            self.seconds.observe_ms(took_ms as i64);
            let SnapshotOutcome { shard, transaction, .. } = outcome;
            tracing::debug!(shard, transaction, rows, bytes, took_ms, "snapshot stored");
            let mut all = STORED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if let Some(StoredSince { snapshots, rows, bytes, longest_ms, .. }) = all.add(Instant::now(), stored) {
                tracing::info!(snapshots, rows, bytes, longest_ms, "snapshots stored since the last such line");
            }
        }
    }
}

/// Ends the snapshot of a shard with its outcome.
fn end(owned: &mut OwnedShard, outcome: &SnapshotOutcome) {
    owned.end_snapshot(outcome.result.as_ref().ok().map(|stored| (outcome.transaction, stored.bytes)));
    if outcome.needs_full {
        owned.forget_stored();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_sums_up_what_was_stored() {
        let (mut all, start) = (StoredSince::NOTHING, Instant::now());
        let mut add = |second: u64, rows, took_ms| {
            let stored = StoredSnapshot { rows, bytes: 10 * rows, took_ms, ..StoredSnapshot::default() };
            let line = all.add(start + Duration::from_secs(second), &stored);
            line.map(|line| (line.snapshots, line.rows, line.bytes, line.longest_ms))
        };
        assert_eq!(add(0, 0, 5), None, "nothing changed");
        assert_eq!(add(1, 7, 5), Some((1, 7, 70, 5)));
        assert_eq!([add(2, 3, 9), add(2, 4, 1), add(60, 0, 50), add(60, 1, 1)], [None; 4]);
        assert_eq!(add(61, 0, 1), None, "a line only when something is stored");
        assert_eq!(add(61, 2, 1), Some((4, 10, 100, 9)));
        assert_eq!(add(62, 2, 1), None);
    }
}
