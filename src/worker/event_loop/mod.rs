//! The loop of one worker: poll the group, read records, apply them to their shards, publish, and recover shards that
//! are not live yet.
//!
//! The worker sees the world only through its [`Log`], the clock included. A failure is retried below the log, or the
//! shards that it concerns are rebuilt from the journal, or the worker stops. `assignment` is what the worker does when
//! the group assigns or revokes shards; all other parts are types with state of their own.

mod assignment;
mod rules_file;
mod schedule;
mod slots;

use super::alerts::Alerts;
use super::alerts::webhook::WebhookQueue;
use super::config::WorkerConfig;
use super::control::FollowedControl;
use super::lifecycle::Phase;
use super::observe::reporting::{Facts, Reporting};
use super::observe::spans::{Spans, TransactionSpan};
use super::observe::status::WorkerStatus;
use super::owned_shard::{OwnedShard, commit};
use super::snapshots::Snapshots;
use super::tick::due_tick;
use super::transaction::publish::Published;
use crate::engine::effects::Counts;
use crate::fault_injection;
use crate::kafka::{Failure, GroupEvent, Log, Position, Topic};
use crate::store::SnapshotStore;
use rules_file::RulesFileWarning;
use schedule::{CommitSchedule, Retries};
use slots::{ShardSlot, Shards};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The longest wait of a poll, so that signals are noticed.
const POLL_WAIT_MS: u64 = 100;
/// Outputs of all shards after which a transaction ends: the client copies them, with some hundred bytes for each.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// The longest wait while the snapshot store has no room.
const STORE_WAIT_MS: u64 = 5;

/// See the module.
pub struct Worker<L: Log> {
    log: L,
    config: WorkerConfig,
    control: FollowedControl<L::Batch>,
    shards: Shards<L::Batch>,
    commits: CommitSchedule,
    retries: Retries,
    rules_file_warning: RulesFileWarning,
    alerts: Alerts<L::Batch>,
    snapshots: Option<Snapshots>,
    reporting: Reporting,
    spans: Option<Spans>,
    /// Tells this process from every other one with the same identity.
    process: String,
    stop: Arc<AtomicBool>,
}

impl<L: Log> Worker<L> {
    pub fn new(log: L, config: WorkerConfig) -> Self {
        Self {
            commits: CommitSchedule::new(config.commit_interval_ms, log.now().monotonic),
            process: format!("{} since {}", log.transactional_id(), log.now().wall),
            log,
            config,
            control: FollowedControl::default(),
            shards: Shards::default(),
            retries: Retries::default(),
            rules_file_warning: RulesFileWarning::default(),
            alerts: Alerts::default(),
            snapshots: None,
            reporting: Reporting::default(),
            spans: None,
            stop: Arc::default(),
        }
    }

    /// Ends recovery, and [`Worker::run`], when this becomes true.
    pub fn until(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Makes a snapshot of each shard once per interval, and at an orderly stop.
    pub fn with_snapshots(mut self, store: Box<dyn SnapshotStore>, interval_ms: u64) -> Self {
        self.snapshots = Some(Snapshots::new(store, interval_ms));
        self
    }

    /// Also sends published alerts to a webhook.
    pub fn with_webhook(mut self, queue: WebhookQueue) -> Self {
        self.alerts.set_webhook(queue);
        self
    }

    /// Reports to `status`. `retention_ms`: the retention of each input, if it is known.
    pub fn with_status(mut self, status: Arc<WorkerStatus>, retention_ms: &[Option<u64>]) -> Self {
        self.reporting.report_to(status, &self.config.inputs, retention_ms, self.log.now().wall);
        self
    }

    /// Records a span of each transaction.
    pub fn with_spans(mut self, spans: Option<Spans>) -> Self {
        self.spans = spans;
        self
    }

    /// Works until the process is to stop; then commits the open transaction.
    pub fn run(&mut self) -> Result<(), Failure> {
        while !self.stop.load(Ordering::Relaxed) {
            self.turn()?;
        }
        self.finish()
    }

    /// Commits the open transaction and makes a snapshot of each shard. If it is not known whether the transaction was
    /// committed, the next start finds out.
    pub fn finish(&mut self) -> Result<(), Failure> {
        fault_injection::crash_point("stop/begin");
        let done = self.commit();
        self.rebuild_after(done)?;
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.make_last(self.shards.owned_mut(), || self.log.now());
            let calm = self.shards.iter().filter(|slot| slot.owned.is_running() && !slot.owned.has_work());
            calm.filter_map(|slot| slot.guard.as_ref()).for_each(|guard| guard.remove_marker(snapshots.store()));
        }
        self.reporting.report_soon();
        self.report();
        Ok(())
    }

    /// One round of the loop.
    pub fn turn(&mut self) -> Result<(), Failure> {
        let done = match self.log.poll(self.wait()) {
            Ok(GroupEvent::Assigned(shards)) => self.add_assigned(&shards),
            Ok(GroupEvent::Revoked { shards, lost }) => self.give_up_revoked(&shards, lost),
            Ok(GroupEvent::None) => {
                let done = self.work();
                self.rebuild_after(done)?;
                self.recover_next()
            }
            Err(failure) => self.rebuild_after(Err(failure)),
        };
        self.report();
        done
    }

    /// One round of work on the shards that run.
    fn work(&mut self) -> Result<(), Failure> {
        self.control.read_live(&mut self.log)?;
        self.control.topic.check_group(&self.config.group)?;
        self.apply_new_rules()?;
        for number in self.shards.running() {
            self.work_on(number)?;
        }
        let now = self.log.now();
        self.shards.owned_mut().for_each(|owned| owned.counters_mut().observe_applied(now.wall));
        let first = self.shards.running_first().and_then(|owned| owned.shard());
        self.alerts.decide(&mut self.log, self.config.partitions, first)?;
        self.shards.expire_kept(now.monotonic);
        self.commit_if_due()?;
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.advance(self.shards.owned_mut(), self.log.now().monotonic);
        }
        Ok(())
    }

    /// One step of a shard, and what is done between two steps: a slice each of a sweep and of due deadlines, or a
    /// tick.
    fn work_on(&mut self, number: u32) -> Result<(), Failure> {
        let now = self.log.now();
        let Some(slot) = self.shards.get_mut(number) else { return Ok(()) };
        slot.buffer.fill(&mut self.log, number)?;
        if slot.guard.as_ref().is_some_and(|guard| guard.has_suspects()) {
            self.try_suspects(number)?;
        } else {
            slot.owned.step(now.wall, &mut slot.buffer);
        }
        let Some(ShardSlot { owned, buffer, throttle, .. }) = self.shards.get_mut(number) else { return Ok(()) };
        if owned.is_sweeping() && throttle.allows(now.monotonic, owned.swept_changes()) {
            owned.sweep_slice(now.wall);
        }
        if owned.has_due() {
            owned.fire_slice();
        } else if let Some(moment) = due_tick(&self.log, owned, buffer, now) {
            owned.tick(moment);
        }
        owned.report_census();
        if owned.is_full() || self.output_bytes() >= OUTPUT_BYTES_MAX { self.commit() } else { Ok(()) }
    }

    /// Bytes of the outputs of the open transactions.
    fn output_bytes(&self) -> usize {
        self.shards().map(|owned| owned.outbox().bytes()).sum()
    }

    /// Applies the next records of a shard that a poison record may be among, and commits them.
    fn try_suspects(&mut self, number: u32) -> Result<(), Failure> {
        let wall = self.log.now().wall;
        let Some(ShardSlot { owned, buffer, guard: Some(guard), .. }) = self.shards.get_mut(number) else {
            return Ok(());
        };
        let store = self.snapshots.as_mut().map(Snapshots::store);
        let Some(records) = guard.try_next(owned, buffer, wall, store) else { return Ok(()) };
        self.commit()?;
        let store = self.snapshots.as_mut().map(Snapshots::store);
        if let Some(ShardSlot { owned, guard: Some(guard), .. }) = self.shards.get_mut(number) {
            guard.mark_committed(owned.transaction(), records, store);
        }
        Ok(())
    }

    /// Applies new rules to each shard that has ended the sweep of the rules before. Also whether memberships are
    /// published follows the control topic.
    fn apply_new_rules(&mut self) -> Result<(), Failure> {
        let mut begun = Vec::new();
        let memberships = self.control.topic.memberships();
        for owned in self.shards.owned_mut() {
            owned.set_memberships(memberships);
            while matches!(owned.phase(), Phase::Waiting | Phase::Running)
                && owned.apply_next_rules(&self.control.topic)?
            {
                if owned.phase() == Phase::Waiting {
                    owned.enter_phase(Phase::Running);
                    begun.push(owned.number());
                }
            }
        }
        if !begun.is_empty() {
            self.reporting.report_soon();
        }
        begun.into_iter().try_for_each(|number| self.start_fetching(number))
    }

    /// Starts to fetch the inputs of a shard.
    fn start_fetching(&mut self, number: u32) -> Result<(), Failure> {
        let Some(slot) = self.shards.get_mut(number) else { return Ok(()) };
        slot.buffer.clear();
        let positions: Vec<_> = slot.owned.input_offsets().map(Position::from).collect();
        self.log.start(&positions)
    }

    /// Stops fetching the inputs of these shards.
    fn stop_fetching(&mut self, shards: &[u32]) {
        let topics = 0..self.config.inputs.len() as u16;
        let inputs = topics.flat_map(|topic| shards.iter().map(move |&shard| (Topic::Input(topic), shard)));
        self.log.stop(&inputs.collect::<Vec<_>>());
    }

    /// How long the next poll may wait: not at all while there is work, else until a tick or a commit is due.
    fn wait(&self) -> Duration {
        let now = self.log.now();
        let may_recover = self.retries.may_recover(now.monotonic);
        let is_busy = |ShardSlot { owned, buffer, .. }: &ShardSlot<L::Batch>| match owned.phase() {
            Phase::Assigned | Phase::Kept => may_recover,
            Phase::Running => {
                owned.has_due() || buffer.is_ready() || owned.is_sweeping() && self.config.max_changes_per_minute == 0
            }
            _ => false,
        };
        let is_starting = !self.control.is_live() && may_recover;
        let is_capturing = self.snapshots.as_ref().is_some_and(Snapshots::is_capturing);
        if is_starting || is_capturing || self.shards.iter().any(is_busy) {
            return Duration::ZERO;
        }
        let waits_for_store = self.snapshots.as_ref().is_some_and(Snapshots::waits_for_room);
        let mut wait = if waits_for_store { STORE_WAIT_MS } else { POLL_WAIT_MS };
        if let Some(commit) = self.commits.wait_ms(now.monotonic, self.is_at_end()) {
            wait = wait.min(commit);
        }
        for ShardSlot { owned, buffer, .. } in self.shards.iter() {
            let is_held_back = || due_tick(&self.log, owned, buffer, now).is_none();
            match owned.next_tick().map(|due| due.saturating_sub(now.wall)) {
                // It is not known for how long.
                Some(..=0) if is_held_back() => {}
                Some(left) => wait = wait.min(left.max(1) as u64),
                None => {}
            }
        }
        Duration::from_millis(wait)
    }

    fn commit_if_due(&mut self) -> Result<(), Failure> {
        let has_outputs = self.alerts.is_due() || self.shards().any(OwnedShard::has_outputs);
        let is_due = self.commits.is_due(self.log.now().monotonic, has_outputs, self.is_at_end());
        if is_due || self.shards().any(OwnedShard::is_full) { self.commit() } else { Ok(()) }
    }

    /// Commits the open transactions of all shards as one.
    #[inline(never)]
    fn commit(&mut self) -> Result<(), Failure> {
        self.commits.restart(self.log.now().monotonic);
        let has_alerts = self.alerts.is_due();
        let first = self.shards.running_first().filter(|_| has_alerts);
        let with_alerts = first.map(OwnedShard::mark_offsets_behind).is_some();
        if self.shards.to_commit().next().is_none() {
            return Ok(());
        }
        // After a failed transaction that none of these shards was in, they were not rebuilt and the producer is old.
        self.fence()?;
        let began = self.log.now();
        let span = self.spans.as_ref().map(|_| self.transaction_span(began.wall));
        let extra = if with_alerts { self.alerts.extra_records() } else { Vec::new() };
        let published = commit(&mut self.log, self.shards.to_commit_mut(), &extra);
        drop(extra);
        if let Some((spans, span)) = self.spans.as_ref().zip(span) {
            spans.record(&span, self.log.now().wall, published.as_ref().map(|published| published.outputs));
        }
        let published = published?;
        if with_alerts {
            self.alerts.mark_published();
        }
        self.retries.succeeded();
        self.note_transaction(began.monotonic, published);
        Ok(())
    }

    fn note_transaction(&mut self, began: u64, published: Published) {
        self.commits.rest_until(published.next_transaction);
        self.reporting.note_transaction(self.shards.owned_mut(), began, self.log.now(), published);
    }

    fn transaction_span(&self, began: i64) -> TransactionSpan {
        TransactionSpan {
            began,
            shards: self.shards.to_commit().map(OwnedShard::number).collect(),
            links: self.shards.to_commit().flat_map(|owned| owned.outbox().links()).copied().collect(),
        }
    }

    /// Makes a new producer unless there is one. Transactions that an earlier holder of the identity left open end
    /// here; until then no reader gets past them.
    fn fence(&mut self) -> Result<(), Failure> {
        if !self.retries.is_fenced {
            self.log.fence()?;
            self.reporting.done.producers += 1;
            self.retries.is_fenced = true;
        }
        Ok(())
    }

    /// Rebuilds all shards with something uncommitted, if that is what a failure asks for.
    ///
    /// # Errors
    /// If the failure asks to stop.
    fn rebuild_after(&mut self, done: Result<(), Failure>) -> Result<(), Failure> {
        let message = match done {
            Err(Failure::Rebuild(message)) => message,
            done => return done,
        };
        let attempt = self.retries.begin_rebuild(&message, self.log.now().wall);
        let uncommitted = self.shards.owned().filter(|owned| owned.has_work());
        let shards: Vec<u32> = uncommitted.map(OwnedShard::number).collect();
        tracing::warn!(
            attempt,
            ?shards,
            error = message,
            "uncommitted work failed: its shards are rebuilt from the journal"
        );
        self.stop_fetching(&shards);
        shards.into_iter().for_each(|number| self.replace_shard(number));
        self.commits.drop_outputs();
        self.retries.pause_after_rebuild(self.log.now().monotonic);
        Ok(())
    }

    /// Writes a report if one is due.
    fn report(&mut self) {
        let now = self.log.now();
        if !self.reporting.is_due(now.monotonic) {
            return;
        }
        let different_rules = rules_file::different(&self.control.topic, &self.config.rules);
        self.rules_file_warning.log_if_due(different_rules.as_ref(), now.monotonic);
        let facts = Facts {
            partitions: self.config.partitions,
            rules: self.control.topic.newest_rules(),
            different_rules,
            snapshots: self.snapshots.as_ref().map(Snapshots::counts),
            trouble: self.retries.trouble().cloned(),
            alerts: self.alerts.reports(),
            webhook: self.alerts.webhook_counts(),
        };
        let Self { reporting, shards, log, .. } = self;
        let mut report = reporting.begin(log, &facts, now);
        for ShardSlot { owned, buffer, .. } in shards.iter_mut() {
            reporting.add_shard(&mut report, log, owned, buffer, now);
        }
        shards.kept_mut().for_each(|owned| reporting.add_kept(&mut report, owned, now.wall));
        reporting.write(report, &facts);
    }

    pub fn log(&self) -> &L {
        &self.log
    }

    /// Whether all inputs are read to their end and there is nothing to do or to publish, and no tick is due.
    pub fn is_idle(&self) -> bool {
        let now = self.log.now();
        let is_idle = |ShardSlot { owned, buffer, .. }: &ShardSlot<L::Batch>| {
            let is_done = owned.is_running()
                && !owned.has_work()
                && !owned.has_slices()
                && !owned.has_census_due()
                && buffer.is_at_end();
            is_done && due_tick(&self.log, owned, buffer, now).is_none()
        };
        let has_decided = self.alerts.has_decided(&self.log, self.config.partitions);
        !self.shards.is_empty() && self.is_at_end() && has_decided && self.shards.iter().all(is_idle)
    }

    /// Whether all inputs of the worker's shards are applied to their end, as far as is known.
    pub fn is_at_end(&self) -> bool {
        let topics = 0..self.config.inputs.len() as u16;
        let at_end =
            |shard: u32| topics.clone().all(|topic| self.log.partition_status(Topic::Input(topic), shard).is_at_end);
        self.shards.iter().all(|slot| slot.buffer.is_at_end() && at_end(slot.owned.number()))
    }

    /// What happened to the inputs of the present shards.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.shards().for_each(|owned| sum.add(owned.counts()));
        sum
    }

    /// The present shards.
    pub fn shards(&self) -> impl Iterator<Item = &OwnedShard> {
        self.shards.owned()
    }

    /// Torn transactions that were repaired.
    pub fn torn_repaired(&self) -> u64 {
        self.reporting.torn_repaired
    }

    /// Shards that were recovered.
    pub fn recoveries(&self) -> u64 {
        self.reporting.recoveries
    }
}
