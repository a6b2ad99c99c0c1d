//! The loop of one worker: poll, apply, publish; and what to do when the group gives or takes shards.
//!
//! The worker sees the world only through its [`Log`], the clock included. A failure has one of three fates: retried
//! below the log, all shards rebuilt from the journal, or the worker stops.

use super::control::{Control, Inputs};
use super::held::HeldShard;
use super::lifecycle::Phase;
use super::publish::publish;
use super::recovery::recover;
use crate::engine::effects::Counts;
use crate::engine::rule::Rules;
use crate::engine::shard::Settings;
use crate::kafka::{Batch, Failure, Log, News, StartAt, Topic};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A poll waits no longer, so that revocations and signals are noticed.
const POLL_WAIT_MS: u64 = 100;
/// A transaction that only says how far the inputs were read.
const PROGRESS_INTERVAL_MS: u64 = 1_000;
/// Rebuilding so often without one good transaction in between means that it does not help.
const REBUILDS_MAX: u32 = 10;

/// What a worker is to do; the same for all workers of a process.
#[derive(Clone, Debug)]
pub struct Job {
    /// Input topics in their order.
    pub inputs: Vec<String>,
    /// How many partitions each has.
    pub partitions: u32,
    pub shard: Settings,
    /// `ce_source` of the changes.
    pub source: String,
    pub start: StartAt,
    /// Published by the owner of shard 0 unless they were before.
    pub rules: Arc<Rules>,
    pub commit_interval_ms: u64,
}

pub struct Worker<L: Log> {
    log: L,
    job: Job,
    control: Control,
    shards: BTreeMap<u32, HeldShard>,
    batch: L::Batch,
    /// Monotonic milliseconds of the first output of the open transaction.
    first_output: Option<u64>,
    last_commit: u64,
    rebuilds: u32,
    /// Shards to be rebuilt, once there is no news of the group any more, and why.
    to_rebuild: Option<(Vec<u32>, String)>,
    started: bool,
}

impl<L: Log> Worker<L> {
    pub fn new(log: L, job: Job) -> Self {
        Self {
            last_commit: log.now().monotonic,
            log,
            job,
            control: Control::default(),
            shards: BTreeMap::new(),
            batch: L::Batch::default(),
            first_output: None,
            rebuilds: 0,
            to_rebuild: None,
            started: false,
        }
    }

    /// Works until `stop`; then the open transaction is finished.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        while !stop.load(Ordering::Relaxed) {
            self.turn()?;
        }
        self.finish()
    }

    /// Ends the open transaction. If its end is not known, the next start finds out.
    pub fn finish(&mut self) -> Result<(), Failure> {
        let done = self.commit();
        self.note_rebuild(done)
    }

    /// One round of the loop.
    pub fn turn(&mut self) -> Result<(), Failure> {
        let done = self.try_turn();
        self.note_rebuild(done)
    }

    /// Drops all state if it must be rebuilt.
    fn note_rebuild(&mut self, done: Result<(), Failure>) -> Result<(), Failure> {
        match done {
            Err(Failure::Rebuild(words)) => {
                let numbers = self.shards.keys().copied().collect();
                self.drop_shards();
                self.to_rebuild = Some((numbers, words));
                Ok(())
            }
            done => done,
        }
    }

    pub fn log(&self) -> &L {
        &self.log
    }

    /// Whether all inputs are read to their end and nothing is left to do or to publish.
    pub fn is_idle(&self) -> bool {
        let busy = |held: &HeldShard| held.moved() || held.has_slices() || held.phase() != Phase::Running;
        self.started && self.log.read_to_end() && !self.shards.values().any(busy)
    }

    /// What happened to the inputs of the shards held now.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.shards.values().for_each(|held| sum.add(held.counts()));
        sum
    }

    /// Shards held now.
    pub fn shards(&self) -> impl Iterator<Item = &HeldShard> {
        self.shards.values()
    }

    fn try_turn(&mut self) -> Result<(), Failure> {
        let mut batch = std::mem::take(&mut self.batch);
        let polled = self.log.poll(self.wait(), &mut batch);
        let done = match polled {
            Ok(News::Nothing) if self.to_rebuild.is_some() => self.rebuild(),
            Ok(News::Nothing) => self.apply(&batch),
            Ok(News::Assigned(shards)) => self.take_shards(&shards),
            Ok(News::Revoked { lost }) => self.give_up_shards(lost),
            Err(failure) => Err(failure),
        };
        batch.clear();
        self.batch = batch;
        done
    }

    fn apply(&mut self, batch: &L::Batch) -> Result<(), Failure> {
        let wall = self.log.now().wall;
        for run in batch.runs() {
            match run.topic {
                Topic::Input(topic) => {
                    let Some(held) = self.shards.get_mut(&run.partition) else { continue };
                    held.step(wall, topic, batch, run.records.clone());
                    if held.is_full() {
                        self.commit()?;
                    }
                }
                Topic::Own(_) => self.control.take(batch, run.records.clone())?,
            }
        }
        if self.take_control() {
            self.start()?;
        }
        let quiet = self.log.read_to_end();
        for held in self.shards.values_mut() {
            held.between_batches(wall, quiet);
        }
        self.commit_if_due(quiet)
    }

    /// Gives each shard the next rules that it can take; whether some can begin now.
    fn take_control(&mut self) -> bool {
        let mut begins = false;
        for held in self.shards.values_mut() {
            while held.takes_control()
                && let Some((offset, rules)) = self.control.rules_from(held.control_next())
            {
                held.take_rules(offset, rules);
                if held.phase() == Phase::Waiting {
                    held.become_next(Phase::Running);
                    begins = true;
                }
            }
        }
        begins
    }

    /// How long the next poll may wait: not at all while slices are due, else until something is.
    fn wait(&self) -> Duration {
        if self.shards.values().any(HeldShard::has_slices) {
            return Duration::ZERO;
        }
        let now = self.log.now();
        let mut wait = POLL_WAIT_MS;
        if let Some(first) = self.first_output {
            wait = wait.min((first + self.job.commit_interval_ms).saturating_sub(now.monotonic));
        }
        for due in self.shards.values().filter_map(HeldShard::next_tick) {
            wait = wait.min(due.saturating_sub(now.wall).max(1) as u64);
        }
        Duration::from_millis(wait)
    }

    fn commit_if_due(&mut self, quiet: bool) -> Result<(), Failure> {
        let now = self.log.now().monotonic;
        let has_outputs = self.shards.values().any(HeldShard::has_outputs);
        if has_outputs {
            let first = *self.first_output.get_or_insert(now);
            if quiet || now >= first + self.job.commit_interval_ms || self.shards.values().any(HeldShard::is_full) {
                return self.commit();
            }
        } else if now >= self.last_commit + PROGRESS_INTERVAL_MS || self.shards.values().any(HeldShard::is_full) {
            return self.commit();
        }
        Ok(())
    }

    /// Publishes what there is.
    fn commit(&mut self) -> Result<(), Failure> {
        self.first_output = None;
        self.last_commit = self.log.now().monotonic;
        let mut moved = self.shards.values_mut().filter(|held| held.moved()).peekable();
        if moved.peek().is_none() {
            return Ok(());
        }
        publish(&mut self.log, moved, &[])?;
        self.rebuilds = 0;
        Ok(())
    }

    fn take_shards(&mut self, numbers: &[u32]) -> Result<(), Failure> {
        tracing::info!(?numbers, "shards assigned");
        self.shards = numbers
            .iter()
            .map(|&number| {
                let settings = self.job.shard.clone();
                (number, HeldShard::new(number, settings, &self.job.inputs, &self.job.source))
            })
            .collect();
        self.recover()
    }

    fn give_up_shards(&mut self, lost: bool) -> Result<(), Failure> {
        tracing::info!(lost, shards = ?self.shards.keys().collect::<Vec<_>>(), "shards revoked");
        let committed = if lost || !self.started { Ok(()) } else { self.commit() };
        self.drop_shards();
        self.log.release();
        match committed {
            // Whoever gets them next recovers them anyway.
            Err(Failure::Rebuild(words)) => {
                tracing::warn!("the last transaction before giving shards up failed: {words}");
                Ok(())
            }
            done => done,
        }
    }

    fn drop_shards(&mut self) {
        for held in self.shards.values_mut() {
            held.become_next(Phase::GivenUp);
        }
        self.shards.clear();
        self.first_output = None;
        self.to_rebuild = None;
        self.started = false;
    }

    /// Makes the state that was thrown away again from the journal.
    fn rebuild(&mut self) -> Result<(), Failure> {
        let Some((numbers, words)) = self.to_rebuild.take() else { return Ok(()) };
        self.rebuilds += 1;
        if self.rebuilds > REBUILDS_MAX {
            return Err(Failure::Stop(format!("{REBUILDS_MAX} rebuilds did not help; the last failure: {words}")));
        }
        tracing::warn!(attempt = self.rebuilds, "rebuilding the shards: {words}");
        self.take_shards(&numbers)
    }

    fn recover(&mut self) -> Result<(), Failure> {
        self.log.fence()?;
        self.control.read_to_end(&mut self.log)?;
        let numbers: Vec<u32> = self.shards.keys().copied().collect();
        let committed = self.log.committed(&numbers)?;
        for held in self.shards.values_mut() {
            recover(&mut self.log, held, &self.control, &committed, self.job.start)?;
            let (shard, transactions) = (held.number(), held.transaction());
            tracing::info!(shard, transactions, records = held.counts().records, "shard recovered");
        }
        self.publish_control()?;
        self.start()
    }

    /// The owner of shard 0 publishes what is missing in the control topic.
    fn publish_control(&mut self) -> Result<(), Failure> {
        let Some(first) = self.shards.get_mut(&0) else { return Ok(()) };
        let inputs = Inputs { topics: self.job.inputs.clone(), partitions: self.job.partitions };
        let missing = self.control.missing(&inputs, &self.job.rules)?;
        if missing.is_empty() {
            return Ok(());
        }
        publish(&mut self.log, std::iter::once(first), &missing)?;
        self.control.read_to_end(&mut self.log)
    }

    /// Begins to fetch; the inputs only of shards that have rules.
    fn start(&mut self) -> Result<(), Failure> {
        self.take_control();
        let running = self.shards.values().filter(|held| held.phase() == Phase::Running);
        let offsets: Vec<_> = running.flat_map(HeldShard::input_offsets).collect();
        self.log.start(&offsets, self.control.next())?;
        self.started = true;
        Ok(())
    }
}
