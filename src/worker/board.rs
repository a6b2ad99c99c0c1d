//! What a worker tells the rest of its process: a report of plain data, replaced as a whole, that others read when they
//! like.
//!
//! A worker writes at most once a second, and once more where a shard's phase changes, so that nobody who reads holds it
//! up and nothing is locked while records are applied. While a shard is recovered only how far it has come is written.
//! Counters only grow, as long as the process lives; all else is as it was when the report was written.

use super::held::KnownSnapshots;
use super::histogram::{BYTES, DURATIONS, Histogram, OUTPUTS};
use super::lifecycle::Phase;
use super::tally::{Tally, ValueName};
use crate::engine::event::Millis;
use crate::kafka::ClientReport;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
    /// Whether the group has answered this worker since it began, be it with shards or without.
    pub has_joined: bool,
    /// How many shards there are, on all workers of all processes.
    pub shards_expected: u32,
    /// Version of the newest rules that the control topic has; `None` while there are none or it has not been read.
    pub rules_version: Option<String>,
    /// Decimals of the minor unit in which money is counted.
    pub money_decimals: u32,
    /// The shards that the group gave to this worker, and those that it keeps for a while, by number.
    pub shards: BTreeMap<u32, ShardReport>,
    /// Customers by the values that they hold, of all its shards.
    pub members: BTreeMap<ValueName, u64>,
    /// The input topics in their order.
    pub inputs: Vec<InputReport>,
    pub done: WorkDone,
    pub torn_repaired: u64,
    pub recoveries: u64,
    /// Snapshots that were stored and how many seconds each took, and how many were not; `None` without snapshots.
    pub snapshots: Option<(Histogram, u64)>,
    pub client: ClientReport,
    /// What the owner of shard 0 decided, by alert.
    pub alerts: BTreeMap<String, AlertReport>,
    /// Requests to the webhook that were delivered, failed for good, or dropped because too many waited; `None` without one.
    pub webhook: Option<[u64; 3]>,
    /// Milliseconds of the worker's wall clock when it wrote this; 0 before it did.
    pub at: Millis,
}

/// An input topic.
#[derive(Clone, Debug, Default)]
pub struct InputReport {
    pub name: String,
    /// The wall clock when this worker last took records of it, or began to work.
    pub taken: Millis,
    /// How many milliseconds the topic kept its records when the process began; `None` is without a limit.
    pub retention_ms: Option<u64>,
}

/// An alert of the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertReport {
    pub is_firing: bool,
    /// Records that this worker published.
    pub firing: u64,
    pub resolved: u64,
}

/// What a worker did, in counters.
#[derive(Clone, Debug)]
pub struct WorkDone {
    /// Of all transactions that were committed.
    pub tally: Tally,
    /// Seconds of each.
    pub seconds: Histogram,
    pub outputs: Histogram,
    pub bytes: Histogram,
    /// Producers made; all but the first took the place of another.
    pub producers: u64,
    /// Rebalances by what they did to this worker.
    pub assigned: u64,
    pub revoked: u64,
    pub lost: u64,
}

impl Default for WorkDone {
    fn default() -> Self {
        Self {
            tally: Tally::default(),
            seconds: Histogram::new(DURATIONS),
            outputs: Histogram::new(OUTPUTS),
            bytes: Histogram::new(BYTES),
            producers: 0,
            assigned: 0,
            revoked: 0,
            lost: 0,
        }
    }
}

/// One shard of a worker.
#[derive(Clone, Debug)]
pub struct ShardReport {
    pub phase: Phase,
    /// Wall clock in milliseconds when the board first heard of this phase.
    pub since: Millis,
    /// The last transaction.
    pub transaction: u64,
    /// How far its recovery has come, while it goes on.
    pub advance: Option<Advance>,
    /// What is left of each input, while it runs.
    pub lag: Vec<Lag>,
    /// Its state, once there is one.
    pub state: Option<StateReport>,
    pub snapshots: KnownSnapshots,
}

impl ShardReport {
    /// A shard of which no more is known.
    pub fn in_phase(phase: Phase) -> Self {
        let snapshots = KnownSnapshots::default();
        Self { phase, since: 0, transaction: 0, advance: None, lag: Vec::new(), state: None, snapshots }
    }
}

/// What is left of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// Records, as far as the broker has told; `None` if it has not.
    pub records: Option<u64>,
    /// How long the next record waits since its arrival; nothing waits if 0.
    pub ms: Millis,
}

/// The state of a shard in numbers.
#[derive(Clone, Debug)]
pub struct StateReport {
    pub customers: u64,
    pub customers_limit: u64,
    /// By kind.
    pub bytes: [(&'static str, u64); 7],
    pub texts: u64,
    /// Entries of the wheel of deadlines, stale ones too.
    pub timers: u64,
    /// Customers with a deadline within an hour, a day, a week of the watermark, late ones included.
    pub due: [u64; 3],
    pub watermark: Option<Millis>,
    /// How long ids of events are really remembered.
    pub dedup_horizon_hours: u32,
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

    /// Replaces the report. Shards that are in the phase in which they were keep since when.
    pub fn write(&self, mut report: Report) {
        let mut written = self.lock();
        for (number, shard) in &mut report.shards {
            let before = written.report.shards.get(number).filter(|before| before.phase == shard.phase);
            shard.since = before.map_or(shard.since, |before| before.since);
        }
        *written = Written { report, at: Some(Instant::now()) };
    }

    /// Says how far the recovery of a shard has come.
    pub fn advance(&self, shard: u32, advance: Advance) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis);
        let mut written = self.lock();
        let fresh = || ShardReport { since, ..ShardReport::in_phase(Phase::Recovering) };
        let report = written.report.shards.entry(shard).or_insert_with(fresh);
        if report.phase != Phase::Recovering {
            (report.phase, report.since) = (Phase::Recovering, since);
        }
        report.advance = Some(advance);
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
        let shards = BTreeMap::from([(0, ShardReport::in_phase(Phase::Running))]);
        board.write(Report { shards, shards_expected: 2, ..Report::default() });
        let advance = Advance { work: "replaying the journal", done: 3, all: 9, seconds_left: Some(4) };
        board.advance(1, advance);
        let report = board.report();
        assert_eq!(report.shards[&0].phase, Phase::Running);
        assert_eq!((report.shards[&1].phase, report.shards[&1].advance), (Phase::Recovering, Some(advance)));
        assert!(board.written().is_some());
    }

    #[test]
    fn a_shard_is_in_its_phase_since_that_was_first_heard() {
        let board = Board::default();
        let write = |phase, since| {
            let shard = ShardReport { since, ..ShardReport::in_phase(phase) };
            board.write(Report { shards: BTreeMap::from([(0, shard)]), ..Report::default() });
            board.report().shards[&0].since
        };
        assert_eq!([write(Phase::Waiting, 50), write(Phase::Waiting, 60), write(Phase::Running, 70)], [50, 50, 70]);
        board.advance(0, Advance { work: "loading the snapshot", done: 0, all: 0, seconds_left: None });
        let since = board.report().shards[&0].since;
        assert!(since > 70 && write(Phase::Recovering, 80) == since);
    }
}
