//! When a worker commits, and when it tries again after a failure.

use crate::engine::event::Millis;
use crate::kafka::Moment;
use crate::worker::observe::status::Trouble;

/// Between two transactions without outputs, which only commit how far the inputs were read.
const PROGRESS_INTERVAL_MS: u64 = 1_000;
/// Each further rebuild waits this much longer, up to a bound: a worker that lost its shards learns that with a
/// heartbeat, and a broker that went away needs a moment to come back.
const REBUILD_PAUSE_MS: u64 = 100;
const REBUILD_PAUSE_MS_MAX: u64 = 5_000;
/// Pause after a recovery that failed for a reason that may pass.
const RETRY_MS: u64 = 500;

/// When the open transaction is committed, in monotonic milliseconds.
pub struct CommitSchedule {
    interval_ms: u64,
    /// When the open transaction got its first output.
    first_output: Option<u64>,
    last_commit: u64,
    /// From when on the next transaction is best begun.
    rest_until: u64,
}

impl CommitSchedule {
    pub fn new(interval_ms: u64, now: u64) -> Self {
        Self { interval_ms, first_output: None, last_commit: now, rest_until: 0 }
    }

    /// Whether the open transaction is to be committed now. If it has outputs and all inputs are read to their end, it
    /// only waits until the log is ready for it.
    pub fn is_due(&mut self, now: u64, has_outputs: bool, is_at_end: bool) -> bool {
        if !has_outputs {
            return now >= self.last_commit + PROGRESS_INTERVAL_MS;
        }
        let first = *self.first_output.get_or_insert(now);
        now >= first + self.interval_ms || is_at_end && now >= self.rest_until
    }

    /// Milliseconds until a transaction with outputs is due.
    pub fn wait_ms(&self, now: u64, is_at_end: bool) -> Option<u64> {
        let wait = (self.first_output? + self.interval_ms).saturating_sub(now);
        Some(if is_at_end { wait.min(self.rest_until.saturating_sub(now)) } else { wait })
    }

    /// The next transaction is best begun from this monotonic millisecond on.
    pub fn rest_until(&mut self, moment: u64) {
        self.rest_until = moment;
    }

    /// A transaction is committed now.
    pub fn restart(&mut self, now: u64) {
        (self.first_output, self.last_commit) = (None, now);
    }

    /// The open transaction is dropped.
    pub fn drop_outputs(&mut self) {
        self.first_output = None;
    }
}

/// Whether the producer can be used, and what is tried again after a failure.
#[derive(Default)]
pub struct Retries {
    /// The producer is fenced, as far as is known: earlier holders of the identity can publish nothing.
    pub is_fenced: bool,
    rebuilds: u32,
    /// Monotonic milliseconds before which no recovery is tried.
    retry_at: u64,
    /// What failed since the last success.
    trouble: Option<Trouble>,
}

impl Retries {
    pub fn may_recover(&self, now: u64) -> bool {
        now >= self.retry_at
    }

    /// A transaction was committed.
    pub fn succeeded(&mut self) {
        self.rebuilds = 0;
        self.trouble = None;
    }

    /// A shard was recovered. Transactions are tried again, and until one succeeds rebuilds are counted.
    pub fn recovered(&mut self) {
        self.trouble = None;
    }

    /// What failed since the last success.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    fn note(&mut self, message: &str, now: Millis) {
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.trouble = Some(Trouble { since, message: message.to_owned() });
    }

    /// Shards have to be rebuilt; how often in a row. There is no bound: brokers may be away for longer than any.
    pub fn begin_rebuild(&mut self, message: &str, now: Millis) -> u32 {
        self.note(message, now);
        self.rebuilds = self.rebuilds.saturating_add(1);
        self.rebuilds
    }

    /// The next recovery waits, longer after each rebuild, with a new producer.
    pub fn pause_after_rebuild(&mut self, now: u64) {
        self.is_fenced = false;
        self.retry_at = now + (u64::from(self.rebuilds - 1) * REBUILD_PAUSE_MS).min(REBUILD_PAUSE_MS_MAX);
    }

    /// A recovery failed for a reason that may pass: it is tried again later, with a new producer.
    pub fn pause_after_recovery(&mut self, message: &str, now: Moment) {
        self.note(message, now.wall);
        self.is_fenced = false;
        self.retry_at = now.monotonic + RETRY_MS;
    }
}
