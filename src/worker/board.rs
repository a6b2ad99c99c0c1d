//! What a worker tells the rest of its process: a report of plain data, replaced as a whole, that others read when they
//! like.
//!
//! A worker writes at most once a second, and once more where a shard's phase changes, so that nobody who reads holds it
//! up and nothing is locked while records are applied. While a shard is recovered only how far it has come is written.

use super::lifecycle::Phase;
use crate::engine::event::Millis;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// The place where one worker's report hangs.
#[derive(Debug, Default)]
pub struct Board(Mutex<Written>);

#[derive(Debug, Default)]
struct Written {
    report: Report,
    at: Option<Instant>,
}

/// What a worker last said of itself.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many shards there are, on all workers of all processes.
    pub shards_expected: u32,
    /// Version of the newest rules that the control topic has; `None` while there are none or it has not been read.
    pub rules_version: Option<String>,
    /// The shards that the group gave to this worker, and those that it keeps for a while, by number.
    pub shards: BTreeMap<u32, ShardReport>,
    /// Milliseconds of the worker's wall clock when it wrote this; 0 before it did.
    pub at: Millis,
}

/// One shard of a worker.
#[derive(Clone, Debug)]
pub struct ShardReport {
    pub phase: Phase,
    /// The last transaction.
    pub transaction: u64,
    /// How far its recovery has come, while it goes on.
    pub advance: Option<Advance>,
}

/// How far long work has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// What is done, in words.
    pub work: &'static str,
    /// So much of `all` is done, counted in whatever the work consists of; 0 of 0 where that cannot be known.
    pub done: u64,
    pub all: u64,
    /// Seconds until all is done, as far as can be said.
    pub seconds_left: Option<u64>,
}

impl Board {
    /// One for each worker of a process.
    pub fn of_workers(workers: u32) -> Vec<Arc<Self>> {
        (0..workers.max(1)).map(|_| Arc::default()).collect()
    }

    /// A copy of the report.
    pub fn report(&self) -> Report {
        self.lock().report.clone()
    }

    /// When the worker last wrote; `None` if it has not begun.
    pub fn written(&self) -> Option<Instant> {
        self.lock().at
    }

    pub(super) fn write(&self, report: Report) {
        *self.lock() = Written { report, at: Some(Instant::now()) };
    }

    /// Says how far the recovery of a shard has come.
    pub(super) fn advance(&self, shard: u32, advance: Advance) {
        let mut written = self.lock();
        let fresh = || ShardReport { phase: Phase::Recovering, transaction: 0, advance: None };
        let report = written.report.shards.entry(shard).or_insert_with(fresh);
        (report.phase, report.advance) = (Phase::Recovering, Some(advance));
        written.at = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_recovery_that_goes_on_is_told_of_in_between() {
        let board = Board::default();
        assert!(board.written().is_none());
        let running = ShardReport { phase: Phase::Running, transaction: 7, advance: None };
        let shards = BTreeMap::from([(0, running)]);
        board.write(Report { shards, shards_expected: 2, ..Report::default() });
        let advance = Advance { work: "replaying the journal", done: 3, all: 9, seconds_left: Some(4) };
        board.advance(1, advance);
        let report = board.report();
        assert_eq!(report.shards[&0].phase, Phase::Running);
        assert_eq!((report.shards[&1].phase, report.shards[&1].advance), (Phase::Recovering, Some(advance)));
        assert!(board.written().is_some());
    }
}
