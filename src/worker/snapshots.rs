//! Snapshots of the shards that a worker holds, made while it works: one shard at a time, a slice between two rounds.
//!
//! A snapshot is of the state after a committed transaction, so it begins where nothing is uncommitted. From then on the
//! shard hands out what it was at that moment ([`crate::engine::shard::Shard::capture`]), and the [`SnapshotStore`]
//! takes it when it has room. Whatever goes wrong with it concerns the snapshot only: the stream goes on, a warning says
//! so, and what was not stored is in the next one.

use super::held::HeldShard;
use super::histogram::{DURATIONS, Histogram};
use super::lifecycle::Phase;
use super::work::{Place, Worker};
use crate::kafka::{Log, Moment};
use crate::store::{Piece, SnapshotOutcome, SnapshotStore, StoredSnapshot};
use std::time::Duration;

/// Customers copied in one slice: a fraction of a millisecond.
const CUSTOMERS_PER_SLICE: usize = 1_024;
/// Customers that changed before their turn are copied too, and wait in memory; beyond this the snapshot is given up.
const EARLY_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How long a stop waits for its snapshots.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// The snapshots of one worker.
pub struct Snapshots {
    pub store: Box<dyn SnapshotStore>,
    interval_ms: u64,
    making: Option<Making>,
    /// Snapshots that were stored and how many seconds each took, and those that were not.
    pub seconds: Histogram,
    pub failed: u64,
}

/// The snapshot in the making.
struct Making {
    shard: u32,
    transaction: u64,
    /// What the store had no room for.
    waiting: Option<Piece>,
    /// All was handed over: what has become of it is awaited.
    is_given: bool,
}

impl Snapshots {
    pub fn new(store: Box<dyn SnapshotStore>, interval_ms: u64) -> Self {
        Self { store, interval_ms, making: None, seconds: Histogram::new(DURATIONS), failed: 0 }
    }

    /// When the next snapshot of a shard is due, in monotonic milliseconds, if the last one was now.
    pub fn next_due(&self, now: u64) -> u64 {
        now.saturating_add(self.interval_ms)
    }

    /// Whether there is something to hand over, and room for it as far as is known.
    pub fn is_busy(&self) -> bool {
        self.making.as_ref().is_some_and(|making| !making.is_given && making.waiting.is_none())
    }

    /// Whether the store had no room for what is handed over.
    pub fn is_held_up(&self) -> bool {
        self.making.as_ref().is_some_and(|making| making.waiting.is_some())
    }

    /// The shard whose snapshot is in the making.
    pub fn shard(&self) -> Option<u32> {
        self.making.as_ref().map(|making| making.shard)
    }

    /// Begins the snapshot of a shard that has nothing uncommitted.
    pub fn begin(&mut self, held: &mut HeldShard) {
        let head = held.begin_snapshot();
        self.making = Some(Making {
            shard: held.number(),
            transaction: held.transaction(),
            waiting: Some(Piece::Begin(Box::new(head))),
            is_given: false,
        });
    }

    /// Hands over the next slice of the snapshot in the making, which is of this shard.
    pub fn go_on(&mut self, held: &mut HeldShard) {
        let Some(making) = self.making.as_mut().filter(|making| !making.is_given) else { return };
        if held.captured_early() > EARLY_BYTES_MAX {
            tracing::warn!(
                shard = making.shard,
                "a snapshot is given up: the store takes it too slowly, and customers that changed meanwhile fill \
                 {EARLY_BYTES_MAX} bytes of memory"
            );
            return self.give_up(Some(held));
        }
        let piece = making.waiting.take().or_else(|| held.capture(CUSTOMERS_PER_SLICE).map(Piece::Part));
        let piece = piece.unwrap_or(Piece::End);
        let is_end = matches!(piece, Piece::End);
        match self.store.offer(making.shard, piece) {
            Ok(()) => making.is_given = is_end,
            Err(piece) => making.waiting = Some(piece),
        }
    }

    /// Gives up the snapshot in the making. Its shard, if it is still there, has it in the next one.
    pub fn give_up(&mut self, held: Option<&mut HeldShard>) {
        let Some(making) = self.making.take() else { return };
        if !making.is_given {
            // A store without room ends it when the next one begins.
            let _ = self.store.offer(making.shard, Piece::Abandoned);
        }
        if let Some(held) = held {
            held.end_snapshot(None);
        }
    }

    /// What has become of the snapshot in the making, if that is known. Others were given up.
    pub fn next_outcome(&mut self) -> Option<SnapshotOutcome> {
        while let Some(outcome) = self.store.next_outcome() {
            self.tell(&outcome);
            let is_own = |making: &Making| (making.shard, making.transaction) == (outcome.shard, outcome.transaction);
            if self.making.as_ref().is_some_and(is_own) {
                self.making = None;
                return Some(outcome);
            }
        }
        None
    }

    /// Ends the snapshot of a shard as it turned out.
    pub fn end(held: &mut HeldShard, outcome: &SnapshotOutcome) {
        held.end_snapshot(outcome.result.as_ref().ok().map(|stored| (outcome.transaction, stored.bytes)));
        if outcome.needs_full {
            held.forget_stored();
        }
    }

    /// Of those that failed the store has told.
    fn tell(&mut self, outcome: &SnapshotOutcome) {
        self.failed += u64::from(outcome.result.is_err());
        if let Ok(StoredSnapshot { rows, bytes, took_ms, .. }) = outcome.result {
            self.seconds.observe_ms(took_ms as i64);
            let SnapshotOutcome { shard, transaction, .. } = outcome;
            tracing::info!(shard, transaction, rows, bytes, took_ms, "snapshot stored");
        }
    }

    /// Makes a snapshot of a shard that has stopped, and waits for it.
    pub fn make_last(&mut self, held: &mut HeldShard, now: impl Fn() -> Moment) {
        if held.phase() != Phase::Running || held.moved() || !held.has_unstored() {
            return;
        }
        self.begin(held);
        let end = now().monotonic + STOP_WAIT.as_millis() as u64;
        while self.making.is_some() {
            if self.is_busy() || self.is_held_up() {
                self.go_on(held);
            }
            if let Some(outcome) = self.next_outcome() {
                Self::end(held, &outcome);
            } else if !self.is_busy() {
                if now().monotonic >= end {
                    tracing::warn!(
                        shard = held.number(),
                        "the store has not taken the last snapshot within {STOP_WAIT:?}: the next start does more of the \
                         journal again"
                    );
                    return self.give_up(Some(held));
                }
                self.store.wait(Duration::from_millis(20));
            }
        }
    }
}

impl<L: Log> Worker<L> {
    /// A slice of the snapshot in the making, or the beginning of the next one.
    pub(super) fn make_snapshots(&mut self) {
        let Some(snapshots) = &mut self.snapshots else { return };
        if let Some(outcome) = snapshots.next_outcome()
            && let Some(place) = self.places.get_mut(&outcome.shard)
        {
            Snapshots::end(&mut place.held, &outcome);
        }
        if let Some(place) = snapshots.shard().and_then(|number| self.places.get_mut(&number)) {
            return snapshots.go_on(&mut place.held);
        }
        let now = self.log.now().monotonic;
        let is_due = |place: &&mut Place<L::Batch>| {
            let held = &place.held;
            now >= place.snapshot_due && held.phase() == Phase::Running && !held.moved() && held.has_unstored()
        };
        if let Some(place) = self.places.values_mut().filter(is_due).min_by_key(|place| place.snapshot_due) {
            place.snapshot_due = snapshots.next_due(now);
            snapshots.begin(&mut place.held);
        }
    }

    /// The snapshots of a stop. One in the making is given up: what it has is in the last one too.
    pub(super) fn make_last_snapshots(&mut self) {
        let Some(snapshots) = &mut self.snapshots else { return };
        let making = snapshots.shard().and_then(|number| self.places.get_mut(&number));
        snapshots.give_up(making.map(|place| &mut place.held));
        for place in self.places.values_mut() {
            snapshots.make_last(&mut place.held, || self.log.now());
        }
    }
}
