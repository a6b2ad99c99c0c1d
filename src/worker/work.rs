//! The loop of one worker: hear the group, take records, apply, publish; and a shard that is not live yet is made so.
//!
//! The worker sees the world only through its [`Log`], the clock included. A failure has one of three fates: retried
//! below the log, the shards that it concerns rebuilt from the journal, or the worker stops. What it does when the group
//! gives or takes shards is in `assign`.

use super::alerts::Alerts;
use super::assign::Kept;
use super::board::WorkDone;
use super::careful::Care;
use super::control::Control;
use super::held::HeldShard;
use super::lifecycle::Phase;
use super::live_time::due_tick;
use super::merge::Feed;
use super::publish::publish;
use super::reporting::Reporting;
use super::snapshots::Snapshots;
use super::spans::{Spans, Told};
use super::throttle::Throttle;
use crate::engine::effects::Counts;
use crate::engine::rule::Rules;
use crate::engine::shard::Settings;
use crate::fault_injection;
use crate::kafka::{Batch, Failure, GroupEvent, Log, Own, Position, StartAt, Topic};
use crate::store::SnapshotStore;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A poll waits no longer, so that signals are noticed.
const POLL_WAIT_MS: u64 = 100;
/// After so long a store that had no room is asked again.
const VAULT_WAIT_MS: u64 = 5;
/// A transaction that only says how far the inputs were read.
const PROGRESS_INTERVAL_MS: u64 = 1_000;
/// Rebuilding so often without one good transaction in between means that it does not help.
const REBUILDS_MAX: u32 = 10;
/// Each further time it waits so much longer: a worker that has lost its shards hears of that with a heartbeat, and a
/// broker that went away needs a moment to come back.
const REBUILD_PAUSE_MS: u64 = 100;
const CONTROL: Topic = Topic::Own(Own::Control);

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
    /// They are published even if they were before and have been replaced since.
    pub force_rules: bool,
    pub commit_interval_ms: u64,
    /// Bound on changes by new rules, cut points and models, over all shards; 0 is none.
    pub max_changes_per_minute: u64,
}

/// A shard and what is buffered for it.
pub(super) struct Place<B> {
    pub held: HeldShard,
    pub feed: Feed<B>,
    pub throttle: Throttle,
    /// How carefully it goes on, once it has been recovered.
    pub care: Option<Care>,
    /// It was given up and came back: its state may be used again.
    pub is_kept: bool,
    /// Monotonic milliseconds from which on the next snapshot is made.
    pub snapshot_due: u64,
}

pub struct Worker<L: Log> {
    pub(super) log: L,
    pub(super) job: Job,
    pub(super) control: Control,
    pub(super) follows_control: bool,
    control_batch: L::Batch,
    pub(super) places: BTreeMap<u32, Place<L::Batch>>,
    pub(super) kept: Kept,
    pub(super) alerts: Alerts<L::Batch>,
    pub(super) snapshots: Option<Snapshots>,
    /// Where it tells of itself, if anybody wants to know.
    pub(super) reporting: Option<Reporting>,
    /// Where each transaction is told, if anybody collects traces.
    spans: Option<Spans>,
    /// There is a producer, as far as is known.
    pub(super) is_fenced: bool,
    /// Tells this process from every other that has the same identity.
    pub(super) process: String,
    /// Monotonic milliseconds of the first output of the open transaction.
    first_output: Option<u64>,
    last_commit: u64,
    /// Monotonic milliseconds from which on the next transaction is best begun.
    pub(super) next_transaction: u64,
    pub(super) rebuilds: u32,
    pub(super) torn_repaired: u64,
    pub(super) recoveries: u64,
    /// Counted for whoever watches.
    pub(super) work_done: WorkDone,
    /// Monotonic milliseconds before which recovery is not tried again.
    pub(super) retry_at: u64,
    pub(super) stop: Arc<AtomicBool>,
}

impl<L: Log> Worker<L> {
    pub fn new(log: L, job: Job) -> Self {
        Self {
            last_commit: log.now().monotonic,
            process: format!("{} since {}", log.transactional_id(), log.now().wall),
            log,
            job,
            control: Control::default(),
            follows_control: false,
            control_batch: L::Batch::default(),
            places: BTreeMap::new(),
            kept: Kept::default(),
            alerts: Alerts::default(),
            snapshots: None,
            reporting: None,
            spans: None,
            is_fenced: false,
            first_output: None,
            next_transaction: 0,
            rebuilds: 0,
            torn_repaired: 0,
            recoveries: 0,
            work_done: WorkDone::default(),
            retry_at: 0,
            stop: Arc::default(),
        }
    }

    /// Leaves off recovery, and ends [`Worker::run`], when this becomes true.
    pub fn until(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Makes a snapshot of each shard once in an interval of so many milliseconds, and at an orderly stop.
    pub fn with_snapshots(mut self, store: Box<dyn SnapshotStore>, interval_ms: u64) -> Self {
        self.snapshots = Some(Snapshots::new(store, interval_ms));
        self
    }

    /// Tells a span of each transaction.
    pub(super) fn with_spans(mut self, spans: Option<Spans>) -> Self {
        self.spans = spans;
        self
    }

    /// Works until it is to stop; then the open transaction is finished.
    pub fn run(&mut self) -> Result<(), Failure> {
        while !self.stop.load(Ordering::Relaxed) {
            self.turn()?;
        }
        self.finish()
    }

    /// Ends the open transaction, and makes a snapshot of each shard. If the transaction's end is not known, the next start
    /// finds out.
    pub fn finish(&mut self) -> Result<(), Failure> {
        fault_injection::crash_point("stop/begin");
        let done = self.commit();
        self.rebuild_after(done)?;
        self.make_last_snapshots();
        self.leave_no_marker();
        self.report_soon();
        self.report();
        Ok(())
    }

    /// One round of the loop.
    pub fn turn(&mut self) -> Result<(), Failure> {
        let done = match self.log.poll(self.wait()) {
            Ok(GroupEvent::Assigned(shards)) => self.take_shards(&shards),
            Ok(GroupEvent::Revoked { shards, lost }) => self.give_up_shards(&shards, lost),
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

    pub fn log(&self) -> &L {
        &self.log
    }

    /// Whether all inputs are read to their end and nothing is left to do or to publish, nor a tick to be told.
    pub fn is_idle(&self) -> bool {
        let now = self.log.now();
        let is_idle = |place: &Place<L::Batch>| {
            let Place { held, feed, .. } = place;
            let is_done = held.phase() == Phase::Running
                && !held.moved()
                && !held.has_slices()
                && !held.has_census_due()
                && feed.is_at_end();
            is_done && due_tick(&self.log, held, feed, now).is_none()
        };
        !self.places.is_empty() && self.is_at_end() && self.has_decided_alerts() && self.places.values().all(is_idle)
    }

    /// Whether all that its shards read was taken to its end, as far as is known.
    pub fn is_at_end(&self) -> bool {
        let topics = 0..self.job.inputs.len() as u16;
        let at_end =
            |shard: u32| topics.clone().all(|topic| self.log.partition_status(Topic::Input(topic), shard).is_at_end);
        self.places.iter().all(|(&shard, place)| place.feed.is_at_end() && at_end(shard))
    }

    /// What happened to the inputs of the shards held now.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.shards().for_each(|held| sum.add(held.counts()));
        sum
    }

    /// Shards held now.
    pub fn shards(&self) -> impl Iterator<Item = &HeldShard> {
        self.places.values().map(|place| &place.held)
    }

    /// Torn transactions that were put right.
    pub fn torn_repaired(&self) -> u64 {
        self.torn_repaired
    }

    /// How often a shard was brought to where its journal ends.
    pub fn recoveries(&self) -> u64 {
        self.recoveries
    }

    fn work(&mut self) -> Result<(), Failure> {
        self.follow_control()?;
        let numbers: Vec<u32> = self.running().map(|(&number, _)| number).collect();
        for number in numbers {
            self.work_on(number)?;
        }
        let now = self.log.now();
        self.places.values_mut().for_each(|place| place.held.note_applied(now.wall));
        self.decide_alerts()?;
        self.kept.expire(now.monotonic);
        self.commit_if_due()?;
        self.make_snapshots();
        Ok(())
    }

    fn running(&self) -> impl Iterator<Item = (&u32, &Place<L::Batch>)> {
        self.places.iter().filter(|(_, place)| place.held.phase() == Phase::Running)
    }

    /// One step of a shard, and what lies between two steps: a slice each of a sweep and of due deadlines, else a tick.
    fn work_on(&mut self, number: u32) -> Result<(), Failure> {
        let now = self.log.now();
        let Some(place) = self.places.get_mut(&number) else { return Ok(()) };
        place.feed.fill(&mut self.log, number)?;
        match place.care.as_ref().and_then(Care::width) {
            None => place.held.step(now.wall, &mut place.feed),
            Some(width) => self.try_records(number, width)?,
        }
        let Some(place) = self.places.get_mut(&number) else { return Ok(()) };
        if place.held.is_sweeping() && place.throttle.allows(now.monotonic, place.held.swept_changes()) {
            place.held.sweep_slice();
        }
        if place.held.has_due() {
            place.held.fire_slice();
        } else if let Some(moment) = due_tick(&self.log, &place.held, &place.feed, now) {
            place.held.tick(moment);
        }
        place.held.tell_census();
        if place.held.is_full() { self.commit() } else { Ok(()) }
    }

    /// Gives each shard the next rules that it can take.
    fn follow_control(&mut self) -> Result<(), Failure> {
        if self.follows_control {
            self.log.read(CONTROL, 0, 64, &mut self.control_batch)?;
            self.control.take(&self.control_batch)?;
            self.control_batch.clear();
        }
        self.take_control()
    }

    pub(super) fn take_control(&mut self) -> Result<(), Failure> {
        let mut begun = Vec::new();
        for (&number, Place { held, .. }) in &mut self.places {
            while matches!(held.phase(), Phase::Waiting | Phase::Running)
                && !held.is_sweeping()
                && let Some((offset, rules)) = self.control.rules_from(held.control_next())
            {
                held.check_rules(rules)?;
                held.take_rules(offset, rules);
                if held.phase() == Phase::Waiting {
                    held.become_next(Phase::Running);
                    begun.push(number);
                }
            }
        }
        if !begun.is_empty() {
            self.report_soon();
        }
        begun.into_iter().try_for_each(|number| self.start(number))
    }

    /// Begins to fetch what a shard reads.
    pub(super) fn start(&mut self, number: u32) -> Result<(), Failure> {
        let Some(place) = self.places.get_mut(&number) else { return Ok(()) };
        place.feed.clear();
        let positions: Vec<_> = place.held.input_offsets().map(Position::from).collect();
        self.log.start(&positions)
    }

    /// Stops fetching the inputs of these shards.
    pub(super) fn stop_inputs(&mut self, shards: &[u32]) {
        let topics = 0..self.job.inputs.len() as u16;
        let inputs = topics.flat_map(|topic| shards.iter().map(move |&shard| (Topic::Input(topic), shard)));
        self.log.stop(&inputs.collect::<Vec<_>>());
    }

    /// How long the next poll may wait: not at all while there is something to do, else until a tick or commit is due.
    fn wait(&self) -> Duration {
        let is_busy = |place: &Place<L::Batch>| {
            let held = &place.held;
            match held.phase() {
                Phase::Assigned | Phase::Kept => self.log.now().monotonic >= self.retry_at,
                Phase::Running => {
                    held.has_due()
                        || place.feed.is_ready()
                        || held.is_sweeping() && self.job.max_changes_per_minute == 0
                }
                _ => false,
            }
        };
        let is_starting = !self.follows_control && self.log.now().monotonic >= self.retry_at;
        let is_copying = self.snapshots.as_ref().is_some_and(Snapshots::is_busy);
        if is_starting || is_copying || self.places.values().any(is_busy) {
            return Duration::ZERO;
        }
        let now = self.log.now();
        let is_held_up = self.snapshots.as_ref().is_some_and(Snapshots::is_held_up);
        let mut wait = if is_held_up { VAULT_WAIT_MS } else { POLL_WAIT_MS };
        if let Some(first) = self.first_output {
            wait = wait.min((first + self.job.commit_interval_ms).saturating_sub(now.monotonic));
            // At the end only this has kept them back.
            let rest = self.next_transaction.saturating_sub(now.monotonic);
            wait = if self.is_at_end() { wait.min(rest) } else { wait };
        }
        for place in self.places.values() {
            let is_held_back = || due_tick(&self.log, &place.held, &place.feed, now).is_none();
            match place.held.next_tick().map(|due| due.saturating_sub(now.wall)) {
                // Nobody can say for how long.
                Some(..=0) if is_held_back() => {}
                Some(left) => wait = wait.min(left.max(1) as u64),
                None => {}
            }
        }
        Duration::from_millis(wait)
    }

    fn commit_if_due(&mut self) -> Result<(), Failure> {
        let now = self.log.now().monotonic;
        let is_due = if self.alerts.is_due() || self.shards().any(HeldShard::has_outputs) {
            let first = *self.first_output.get_or_insert(now);
            now >= first + self.job.commit_interval_ms || self.is_at_end() && now >= self.next_transaction
        } else {
            now >= self.last_commit + PROGRESS_INTERVAL_MS
        };
        if is_due || self.shards().any(HeldShard::is_full) { self.commit() } else { Ok(()) }
    }

    /// Publishes what there is.
    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        self.first_output = None;
        self.last_commit = self.log.now().monotonic;
        let first = self.places.get_mut(&0).filter(|place| place.held.phase() == Phase::Running);
        let with_alerts =
            first.filter(|_| self.alerts.is_due()).map(|place| place.held.mark_offsets_behind()).is_some();
        if !self.shards().any(|held| held.phase() == Phase::Running && held.moved()) {
            return Ok(());
        }
        if !self.is_fenced {
            // The last transaction failed, and none of these shards was in it: they were not rebuilt.
            self.log.fence()?;
            self.work_done.producers += 1;
            self.is_fenced = true;
        }
        let (began, told) = (self.log.now().monotonic, self.spans.as_ref().map(|_| self.told()));
        let beside = if with_alerts { self.alerts.beside() } else { Vec::new() };
        let shards = self.places.values_mut().map(|place| &mut place.held);
        let moved = shards.filter(|held| held.phase() == Phase::Running && held.moved());
        let published = publish(&mut self.log, moved, &beside);
        drop(beside);
        if let Some((spans, told)) = self.spans.as_ref().zip(told) {
            spans.tell(&told, self.log.now().wall, published.as_ref().map(|published| published.outputs));
        }
        let published = published?;
        if with_alerts {
            self.alerts.published();
        }
        self.rebuilds = 0;
        self.note_transaction(began, published);
        Ok(())
    }

    /// What is told of the transaction that is about to be published.
    fn told(&self) -> Told {
        let moved = || self.shards().filter(|held| held.phase() == Phase::Running && held.moved());
        Told {
            began: self.log.now().wall,
            shards: moved().map(HeldShard::number).collect(),
            links: moved().flat_map(|held| held.outbox().links()).copied().collect(),
        }
    }

    /// Lets all shards that have anything uncommitted be rebuilt, if that is what a failure asks for.
    ///
    /// # Errors
    /// If it asks to stop, or rebuilding does not help.
    pub(super) fn rebuild_after(&mut self, done: Result<(), Failure>) -> Result<(), Failure> {
        let words = match done {
            Err(Failure::Rebuild(words)) => words,
            done => return done,
        };
        self.rebuilds += 1;
        if self.rebuilds > REBUILDS_MAX {
            return Err(Failure::Stop(format!("{REBUILDS_MAX} rebuilds did not help; the last failure: {words}")));
        }
        let moved = self.places.iter().filter(|(_, place)| place.held.moved());
        let concerned: Vec<u32> = moved.map(|(&number, _)| number).collect();
        tracing::warn!(attempt = self.rebuilds, shards = ?concerned, "rebuilding: {words}");
        self.stop_inputs(&concerned);
        for number in concerned {
            self.drop_shard(number);
            self.add_shard(number);
        }
        self.is_fenced = false;
        self.first_output = None;
        self.retry_at = self.log.now().monotonic + u64::from(self.rebuilds - 1) * REBUILD_PAUSE_MS;
        Ok(())
    }
}
