//! The driver: it owns time, decides which worker runs, applies faults at points, and appends the records.
//!
//! Exactly one worker runs at a time, from one suspension to the next. In between anything may happen to it or to the
//! others. Time advances by a millisecond at some suspensions, and to the next event when every worker waits.

use super::audit::ObservedState;
use super::buggy::Bug;
use super::crash::Crashes;
use super::load::{Arrival, BEGIN, RULES_CHANGE, SECOND_PART};
use super::plan::{Memberships, Plan, PlannedCrash, PlannedFault};
use super::process::Process;
use super::rules::{LONGEST_DEADLINE_MS, rules};
use super::schedule::{Schedule, Task};
use super::storage::FaultyStorage;
use super::tally::{self, Tally};
use shoal::engine::rule::Rules;
use shoal::kafka::Topic;
use shoal::kafka::memory::{Cluster, Faults, Point};
use shoal::random::Random;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// A fault at a point that every worker reaches often happens at any point after this many milliseconds; other points
/// are waited for.
const PATIENCE_MS: i64 = 1_500;
const FREQUENT: [Point; 2] = [Point::Poll, Point::Fetch];
/// Resumes after which a world that has not come to rest is broken.
const RESUMES_MAX: u64 = 400_000;
/// Turns of an idle worker after which it has done all it could.
const TURNS_AT_REST: u64 = 8;

pub struct World<'p> {
    pub(super) plan: &'p Plan,
    pub cluster: Cluster,
    pub(super) random: Random,
    pub(super) now: i64,
    pub(super) rules: Arc<Rules>,
    pub(super) processes: Vec<Process>,
    pub(super) schedule: Schedule,
    pub(super) arrivals: VecDeque<Arrival>,
    /// Faults that are still to come, and those that wait for their worker to reach their point.
    pub(super) faults: VecDeque<PlannedFault>,
    pub(super) armed: Vec<PlannedFault>,
    pub(super) planned_crashes: VecDeque<PlannedCrash>,
    pub(super) crashes: Crashes,
    pub(super) storage: FaultyStorage,
    /// States of shards after transactions.
    pub observed: Vec<ObservedState>,
    pub(super) skews: Vec<i64>,
    /// Partitions with an open transaction upstream.
    pub(super) open_upstream: BTreeSet<(u16, u32)>,
    resumes: u64,
    pub resumes_max: u64,
    /// The deliberate bug of all workers.
    pub(super) bug: Option<Bug>,
    pub tally: Tally,
}

impl<'p> World<'p> {
    /// The panic of a world that does not come to rest.
    pub const NO_REST: &'static str = "the world does not come to rest";

    pub fn new(plan: &'p Plan, keeps_history: bool, bug: Option<Bug>) -> Self {
        let cluster = Cluster::with_faults(plan.shards, Faults::of_seed(plan.seed), BEGIN);
        cluster.set_incremental(plan.is_incremental);
        if keeps_history {
            cluster.keep_history();
        }
        let has_storage_faults = plan.snapshots.is_some_and(|snapshots| snapshots.has_faults);
        let storage = FaultyStorage::new(&cluster, plan.seed, has_storage_faults);
        let mut world = Self {
            plan,
            cluster,
            random: Random(plan.seed ^ 0xd21e_e25e),
            now: BEGIN,
            rules: rules(plan.is_live, plan.grace(), false),
            processes: Vec::new(),
            schedule: Schedule::default(),
            arrivals: VecDeque::new(),
            faults: plan.faults.iter().copied().collect(),
            armed: Vec::new(),
            planned_crashes: plan.crashes.iter().copied().collect(),
            crashes: Crashes::default(),
            storage,
            observed: Vec::new(),
            skews: plan.skews.clone(),
            open_upstream: BTreeSet::new(),
            resumes: 0,
            resumes_max: RESUMES_MAX,
            bug,
            tally: Tally::default(),
        };
        if plan.snapshots.is_some() {
            world.tally.count(tally::WITH_SNAPSHOTS);
        }
        if plan.is_incremental {
            world.tally.count(tally::INCREMENTAL);
        }
        for (slot, start) in plan.starts.iter().enumerate() {
            world.schedule.add(BEGIN + start, Task::Start { slot });
        }
        for (moment, incident) in &plan.incidents {
            world.schedule.add(BEGIN + moment, Task::Incident(*incident));
        }
        world
    }

    /// Plays the world until all records are read and every change by time has happened.
    pub fn play(&mut self) {
        self.crashes.set_hook();
        match self.plan.memberships {
            Memberships::LeftOut => self.tally.count(tally::MEMBERSHIPS_LEFT_OUT),
            Memberships::UntilSecondRules => self.tally.count(tally::MEMBERSHIPS_STOPPED),
            Memberships::Kept => {}
        }
        self.arrivals.extend(self.plan.parts[0].iter().cloned());
        let last_arrival = self.plan.parts[0].last().map_or(0, |arrival| arrival.moment);
        let last_incident = self.plan.incidents.iter().map(|(moment, _)| *moment).max().unwrap_or(0);
        self.run_until(BEGIN + last_arrival.max(last_incident).max(4_000));
        if self.plan.changes_rules {
            self.settle_on_every_record();
            self.jump(BEGIN + RULES_CHANGE);
            self.change_rules();
            self.run_until(BEGIN + RULES_CHANGE + 3_000);
            self.settle();
            self.jump(BEGIN + SECOND_PART);
            self.arrivals.extend(self.plan.parts[1].iter().cloned());
            let end = self.plan.parts[1].last().map_or(SECOND_PART, |arrival| arrival.moment) + BEGIN;
            self.run_until(end);
        }
        self.stop_faults();
        self.settle();
        self.jump(self.end());
        self.settle();
        self.restart_all();
        self.settle();
        for process in std::mem::take(&mut self.processes) {
            self.collect(&process);
        }
    }

    /// Adds the faults of the cluster and of the storage to the tally.
    pub fn count_faults(&mut self) {
        self.tally.add_faults(&self.cluster.fault_counts());
        for (kind, count) in self.storage.counts() {
            self.tally.add(kind, count);
        }
    }

    /// Keeps what was observed of a process that has ended.
    pub(super) fn collect(&mut self, process: &Process) {
        let mut status = process.status.borrow_mut();
        self.tally.torn_repaired += status.torn_repaired;
        self.observed.append(&mut status.observed);
    }

    /// Kills all processes and starts new ones. They must find everything in order, publish nothing, and repair the
    /// offsets that the group has forgotten.
    fn restart_all(&mut self) {
        for process in std::mem::take(&mut self.processes) {
            self.collect(&process);
            self.cluster.kill(process.client);
            self.schedule.add(self.now, Task::Start { slot: process.slot });
        }
    }

    /// When every change by time that follows from the records has happened.
    fn end(&self) -> i64 {
        self.now + LONGEST_DEADLINE_MS + self.plan.grace() + 1_000
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    /// From now on no further fault happens, and those that last end.
    fn stop_faults(&mut self) {
        self.cluster.note(|| "faults stop".into());
        self.cluster.stop_faults();
        self.storage.stop_faults();
        self.faults.clear();
        self.armed.clear();
        self.planned_crashes.clear();
        self.crashes.disarm_all();
        for topic in 0..self.plan.inputs {
            self.cluster.set_silent(topic, false);
            (0..self.plan.shards).for_each(|shard| self.cluster.set_away(topic, shard, false));
        }
        self.schedule.cancel_incidents();
    }

    /// All workers end one after the other and are restarted with other rules.
    fn change_rules(&mut self) {
        self.rules = rules(self.plan.is_live, self.plan.grace(), true);
        self.tally.count(tally::RULES_CHANGED);
        for process in &self.processes {
            process.status.borrow_mut().is_leaving = true;
        }
    }

    fn run_until(&mut self, moment: i64) {
        while self.now < moment {
            self.step(moment);
        }
    }

    /// Runs until all workers are there and have nothing left to do.
    fn settle(&mut self) {
        self.disturb();
        while !self.is_settled() {
            self.step(self.now + 1_000);
        }
    }

    /// Runs until all workers are at rest and the effects of every record are committed. A worker at rest may know an
    /// end of a partition that is `STALE` old: new rules would overtake the records behind it (R6).
    fn settle_on_every_record(&mut self) {
        self.settle();
        while !self.is_every_record_committed() {
            self.step(self.now + 1_000);
            self.settle();
        }
    }

    fn is_every_record_committed(&self) -> bool {
        let is_committed = |topic: u16, shard: u32| {
            let last = self.cluster.records(Topic::Input(topic), shard).last().map(|stored| stored.offset);
            let committed = self.processes.iter().filter_map(|process| process.committed(topic, shard)).max();
            last <= committed.map(|position| position - 1)
        };
        (0..self.plan.inputs).all(|topic| (0..self.plan.shards).all(|shard| is_committed(topic, shard)))
    }

    /// Something has happened: all workers must be seen at rest again.
    pub(super) fn disturb(&mut self) {
        self.processes.iter().for_each(|process| process.status.borrow_mut().turns = 0);
    }

    fn is_settled(&self) -> bool {
        let mut shards = BTreeSet::new();
        let is_at_rest = |process: &Process| {
            let status = process.status.borrow();
            shards.extend(status.shards.iter().copied());
            !process.is_paused && status.turns >= TURNS_AT_REST && (status.is_idle || status.shards.is_empty())
        };
        self.arrivals.is_empty()
            && self.open_upstream.is_empty()
            && !self.schedule.has_awaited()
            && self.processes.iter().all(is_at_rest)
            && shards.len() == self.plan.shards as usize
    }

    /// Sets time forward; no worker runs in between.
    fn jump(&mut self, moment: i64) {
        if moment > self.now {
            self.now = moment;
            self.cluster.advance(moment);
        }
    }

    /// Resumes a worker, or advances time to the next event, at most to the given moment.
    fn step(&mut self, until: i64) {
        self.do_due();
        let version = self.cluster.version();
        let can_run = |process: &Process| {
            let waits = process.suspended.until > self.now;
            let is_woken = process.suspended.at == Point::Idle && process.version != version;
            !process.is_paused && (!waits || is_woken)
        };
        let ready: Vec<usize> = (0..self.processes.len()).filter(|&index| can_run(&self.processes[index])).collect();
        if ready.is_empty() {
            let running = self.processes.iter().filter(|process| !process.is_paused);
            let wake = running.map(|process| process.suspended.until);
            let arrival = self.arrivals.front().map(|arrival| BEGIN + arrival.moment);
            let next = wake.chain(self.schedule.next()).chain(arrival).chain(self.cluster.next_event()).min();
            let next = next.unwrap_or(until).clamp(self.now + 1, until.max(self.now + 1));
            return self.jump(next);
        }
        let chosen = ready[self.random.below(ready.len() as u64) as usize];
        self.resume(chosen);
        if self.random.one_in(8) {
            self.jump(self.now + 1);
        }
    }

    fn resume(&mut self, index: usize) {
        self.resumes += 1;
        assert!(self.resumes < self.resumes_max, "{}", Self::NO_REST);
        let process = &mut self.processes[index];
        match self.crashes.run(process.slot, || process.resume()) {
            Err(crash) => return self.process_crashed(index, crash),
            Ok(Some(ended)) => return self.process_ended(index, ended),
            Ok(None) => {}
        }
        process.version = self.cluster.version();
        if matches!(process.suspended.at, Point::Begin | Point::Produce | Point::Offsets | Point::End | Point::Ended) {
            process.suspended.until += self.random.between(0, 4);
        }
        let (slot, at) = (process.slot, process.suspended.at);
        let is_due = |planned: &PlannedFault| {
            let is_late = self.now > BEGIN + planned.from + PATIENCE_MS;
            planned.slot == slot && (planned.point == at || FREQUENT.contains(&planned.point) && is_late)
        };
        if let Some(found) = self.armed.iter().position(is_due) {
            let planned = self.armed.remove(found);
            self.apply_fault(index, planned.fault);
        }
    }
}
