//! The status of a worker for metrics and health checks: a report of plain data, replaced as a whole.
//!
//! The worker writes it at most once a second, and once more when a shard's phase changes, so that readers do not delay
//! the worker and nothing is locked while records are applied. While a shard is recovered only its progress is written.
//! Counters grow as long as the process lives; everything else is as it was when the report was written.

use super::rejects::Rejects;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::kafka::ClientReport;
use crate::worker::counters::histogram::{BYTES, DURATIONS, Histogram, OUTPUTS};
use crate::worker::counters::tally::{Tally, ValueName};
use crate::worker::lifecycle::Phase;
use crate::worker::owned_shard::LastSnapshots;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The last report of one worker.
#[derive(Debug, Default)]
pub struct WorkerStatus {
    stored: Mutex<StoredReport>,
    /// What all workers of the process rejected.
    rejects: Arc<Rejects>,
}

#[derive(Debug, Default)]
struct StoredReport {
    report: Report,
    at: Option<Instant>,
    /// What a start waits for, before the first report.
    waits_for: Option<String>,
}

/// A worker's report.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Whether the group has answered this worker since it started, with or without shards for it.
    pub has_joined: bool,
    /// Number of shards of all workers of all processes.
    pub shards_expected: u32,
    /// Version of the newest rules in the control topic; `None` if it has none or was not read yet.
    pub rules_version: Option<String>,
    /// How the rules file of the process differs from the rules in force; `None` if it does not.
    pub different_rules: Option<DifferentRules>,
    /// Decimals of the minor unit in which money is counted.
    pub money_decimals: u32,
    /// The shards assigned to this worker and those it keeps for a while, by number.
    pub shards: BTreeMap<u32, ShardReport>,
    /// Number of customers by the values that they hold, of all shards.
    pub members: BTreeMap<ValueName, u64>,
    /// The input topics, by index.
    pub inputs: Vec<InputReport>,
    pub done: WorkDone,
    pub torn_repaired: u64,
    pub recoveries: u64,
    /// Seconds of stored snapshots, and the number of failed ones; `None` without snapshots.
    pub snapshots: Option<(Histogram, u64)>,
    pub client: ClientReport,
    /// What failed last and is tried again; `None` once it has succeeded.
    pub trouble: Option<Trouble>,
    /// The input partition whose broker has not answered a fetch for the longest time, if one has not for long.
    pub unanswered: Option<Unanswered>,
    /// The alerts of the rules, decided by the owner of shard 0.
    pub alerts: BTreeMap<String, AlertReport>,
    /// Requests to the webhook that were delivered, failed for good, or were dropped because too many were waiting;
    /// `None` without a webhook.
    pub webhook: Option<[u64; 3]>,
    /// The worker's wall clock when it wrote the report; 0 before the first report.
    pub at: Millis,
}

/// Rules in force that are not those of the process's own file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferentRules {
    pub why: WhyDifferent,
    pub file: RulesName,
    pub in_force: RulesName,
}

/// Why a rules file is not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyDifferent {
    /// The owner of shard 0, which publishes its file, has another one.
    NeverInForce,
    /// Other rules of the same revision replaced those of the file.
    Replaced,
    /// The rules in force have a higher revision.
    OlderRevision,
}

impl WhyDifferent {
    /// The reason and what to do, for the log and for `/readyz`.
    pub fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::NeverInForce => (
                "the owner of shard 0 publishes its own file, which is another one",
                "give all processes of the group the same file",
            ),
            Self::Replaced => (
                "its rules were replaced by others of the same revision",
                "give all processes of the group the same file; to put this one in force again, raise its `revision`, or \
                 start once with --force",
            ),
            Self::OlderRevision => (
                "the rules in force have a higher revision",
                "give all processes of the group the same file; to put this one in force again, raise its `revision` above \
                 that of the rules in force, or start once with --force",
            ),
        }
    }
}

/// What a person recognises rules by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RulesName {
    pub version: String,
    pub revision: u64,
}

impl RulesName {
    pub fn of(rules: &Rules) -> Self {
        Self { version: rules.version.clone(), revision: rules.revision }
    }
}

/// A transaction or a recovery that failed and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The wall clock at the first failure.
    pub since: Millis,
    /// The last failure.
    pub message: String,
}

/// An input partition whose broker does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    pub shard: u32,
    pub topic: String,
    pub milliseconds: u64,
}

/// An input topic.
#[derive(Clone, Debug, Default)]
pub struct InputReport {
    pub name: String,
    /// The wall clock when this worker last applied records of it, or when it started.
    pub applied_at: Millis,
    /// Retention of the topic when the process started; `None` is unlimited.
    pub retention_ms: Option<u64>,
}

/// An alert of the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertReport {
    pub is_firing: bool,
    /// Alert records that this worker published.
    pub firing: u64,
    pub resolved: u64,
}

/// Counters of a worker.
#[derive(Clone, Debug)]
pub struct WorkDone {
    /// Of all transactions that were committed.
    pub tally: Tally,
    /// Seconds of each.
    pub seconds: Histogram,
    pub outputs: Histogram,
    pub bytes: Histogram,
    /// Producers created; each one replaces the one before.
    pub producers: u64,
    /// Rebalances, by what they did to this worker.
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
    /// The wall clock when this phase was first reported.
    pub since: Millis,
    /// The last transaction.
    pub transaction: u64,
    /// The progress of its recovery.
    pub progress: Option<WorkProgress>,
    /// The lag of each input, while the shard runs.
    pub lag: Vec<Lag>,
    /// Its state, while the shard runs.
    pub state: Option<StateReport>,
    pub snapshots: LastSnapshots,
}

impl ShardReport {
    /// A shard of which only the phase is known.
    pub fn in_phase(phase: Phase) -> Self {
        let snapshots = LastSnapshots::default();
        Self { phase, since: 0, transaction: 0, progress: None, lag: Vec::new(), state: None, snapshots }
    }
}

/// The lag of an input partition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// Records, by the end that the broker last reported; `None` if it has not yet.
    pub records: Option<u64>,
    /// Time since the arrival of the next record; 0 if no record waits.
    pub ms: Millis,
}

/// The state of a shard in numbers.
#[derive(Clone, Debug)]
pub struct StateReport {
    pub customers: u64,
    pub customers_limit: u64,
    /// Memory, by part.
    pub bytes: [(&'static str, u64); 7],
    pub texts: u64,
    /// Entries of the timing wheel, stale ones included.
    pub timers: u64,
    /// Customers with a deadline within an hour, a day, a week of the watermark, overdue ones included.
    pub due: [u64; 3],
    pub watermark: Option<Millis>,
    /// How long event ids are remembered; less than configured if there are too many.
    pub dedup_horizon_hours: u32,
}

/// The progress of long work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkProgress {
    /// The work, as text.
    pub work: &'static str,
    /// Items done, of `all`; 0 of 0 if the number of items is not known.
    pub done: u64,
    pub all: u64,
    /// Estimated seconds until all is done.
    pub seconds_left: Option<u64>,
}

impl WorkerStatus {
    /// The statuses of the workers of a process.
    pub fn for_workers(workers: u32) -> Vec<Arc<Self>> {
        let rejects: Arc<Rejects> = Arc::default();
        let status = |_| Arc::new(Self { rejects: Arc::clone(&rejects), ..Self::default() });
        (0..workers.max(1)).map(status).collect()
    }

    /// What all workers of the process rejected.
    pub fn rejects(&self) -> &Rejects {
        &self.rejects
    }

    /// A copy of the report.
    pub fn report(&self) -> Report {
        self.lock().report.clone()
    }

    /// Sets what the start waits for. The first report ends that.
    pub fn set_waits_for(&self, reason: Option<String>) {
        self.lock().waits_for = reason;
    }

    /// What the start waits for.
    pub fn waits_for(&self) -> Option<String> {
        self.lock().waits_for.clone()
    }

    /// When the worker last wrote; `None` before the first report.
    pub fn written(&self) -> Option<Instant> {
        self.lock().at
    }

    /// Replaces the report. A shard whose phase did not change keeps the time since when.
    pub fn write(&self, mut report: Report) {
        let mut written = self.lock();
        for (number, shard) in &mut report.shards {
            let before = written.report.shards.get(number).filter(|before| before.phase == shard.phase);
            shard.since = before.map_or(shard.since, |before| before.since);
        }
        *written = StoredReport { report, at: Some(Instant::now()), waits_for: None };
    }

    /// Writes the progress of a shard's recovery.
    pub fn set_progress(&self, shard: u32, progress: WorkProgress) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis);
        let mut written = self.lock();
        let fresh = || ShardReport { since, ..ShardReport::in_phase(Phase::Recovering) };
        let report = written.report.shards.entry(shard).or_insert_with(fresh);
        if report.phase != Phase::Recovering {
            (report.phase, report.since) = (Phase::Recovering, since);
        }
        report.progress = Some(progress);
        written.at = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, StoredReport> {
        self.stored.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_back_and_the_progress_of_a_recovery_is_added_to_it() {
        let status = WorkerStatus::default();
        assert!(status.written().is_none());
        let shards = BTreeMap::from([(0, ShardReport::in_phase(Phase::Running))]);
        status.write(Report { shards, shards_expected: 2, ..Report::default() });
        let progress = WorkProgress { work: "replaying the journal", done: 3, all: 9, seconds_left: Some(4) };
        status.set_progress(1, progress);
        let report = status.report();
        assert_eq!(report.shards[&0].phase, Phase::Running);
        assert_eq!((report.shards[&1].phase, report.shards[&1].progress), (Phase::Recovering, Some(progress)));
        assert!(status.written().is_some());
    }

    #[test]
    fn a_shard_is_in_its_phase_since_it_was_first_reported() {
        let status = WorkerStatus::default();
        let write = |phase, since| {
            let shard = ShardReport { since, ..ShardReport::in_phase(phase) };
            status.write(Report { shards: BTreeMap::from([(0, shard)]), ..Report::default() });
            status.report().shards[&0].since
        };
        assert_eq!([write(Phase::Waiting, 50), write(Phase::Waiting, 60), write(Phase::Running, 70)], [50, 50, 70]);
        status.set_progress(0, WorkProgress { work: "loading the snapshot", done: 0, all: 0, seconds_left: None });
        let since = status.report().shards[&0].since;
        assert!(since > 70 && write(Phase::Recovering, 80) == since);
    }
}
