//! The driver: owns time, decides who runs, strikes workers at points, and brings the records.
//!
//! Exactly one worker runs at a time, from one stop to the next. Between two stops anything may happen to it or to the
//! others. Time goes on by a few milliseconds at some stops, and to the next event when everybody waits.

use super::audit::Seen;
use super::crash::Crashes;
use super::deeds::Deed;
use super::load::Arrival;
use super::plan::{BEGIN, CrashAt, Plan, RULES_CHANGE, SECOND_PART, Strike};
use super::process::Process;
use super::rules::{LONGEST_DEADLINE_MS, rules};
use super::store::Store;
use super::tally::{self, Tally};
use shoal::engine::decode::{Partitioner, Source};
use shoal::engine::rule::Rules;
use shoal::engine::shard::{Bootstrap, Settings};
use shoal::kafka::StartAt;
use shoal::kafka::memory::{Cluster, Faults, Point};
use shoal::random::Random;
use shoal::worker::Job;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A strike at a point that every worker passes often happens anywhere after so many milliseconds; other points are
/// waited for.
const STRIKE_PATIENCE_MS: i64 = 1_500;
const OFTEN: [Point; 2] = [Point::Poll, Point::Fetch];
/// Resumes after which a world that does not come to rest is broken.
const RESUMES_MAX: u64 = 400_000;
/// Turns of an idle worker after which it has done what it could.
const TURNS_AT_REST: u64 = 8;

pub struct World<'p> {
    pub(super) plan: &'p Plan,
    pub cluster: Cluster,
    pub(super) random: Random,
    pub(super) now: i64,
    pub(super) rules: Arc<Rules>,
    pub(super) processes: Vec<Process>,
    pub(super) deeds: BTreeMap<(i64, u64), Deed>,
    pub(super) deeds_made: u64,
    pub(super) arrivals: VecDeque<Arrival>,
    pub(super) strikes: VecDeque<Strike>,
    pub(super) armed: Vec<Strike>,
    pub(super) store: Store,
    pub(super) crashes: Crashes,
    pub(super) crashes_left: VecDeque<CrashAt>,
    /// States of shards that were seen after transactions.
    pub seen: Vec<Seen>,
    pub(super) skews: Vec<i64>,
    /// Partitions with an open transaction upstream.
    pub(super) open_upstream: BTreeSet<(u16, u32)>,
    pub(super) resumes: u64,
    pub resumes_max: u64,
    pub tally: Tally,
}

/// The job of every worker of a plan.
pub fn job(plan: &Plan, rules: &Arc<Rules>) -> Job {
    Job {
        inputs: ["orders", "browsing", "profiles"]
            .iter()
            .take(usize::from(plan.inputs))
            .map(|&name| name.into())
            .collect(),
        partitions: plan.shards,
        shard: Settings {
            source: Source::Kafka { partitioner: Partitioner::Murmur2, partitions: plan.shards },
            publish_from: None,
            bootstrap: Bootstrap::Nothing,
        },
        source: "/shoal/simulation".into(),
        start: StartAt::Earliest,
        rules: Arc::clone(rules),
        force_rules: false,
        commit_interval_ms: 50,
        max_changes_per_minute: 0,
    }
}

impl<'p> World<'p> {
    pub fn new(plan: &'p Plan, keeps_history: bool) -> Self {
        let cluster = Cluster::with_faults(plan.shards, Faults::of_seed(plan.seed), BEGIN);
        cluster.set_incremental(plan.is_incremental);
        if keeps_history {
            cluster.keep_history();
        }
        let has_store_faults = plan.snapshots.is_some_and(|snapshots| snapshots.has_faults);
        let store = Store::new(&cluster, plan.seed, has_store_faults);
        let mut world = Self {
            plan,
            cluster,
            random: Random(plan.seed ^ 0xd21e_e25e),
            now: BEGIN,
            rules: rules(plan.is_live, plan.grace(), false),
            processes: Vec::new(),
            deeds: BTreeMap::new(),
            deeds_made: 0,
            arrivals: VecDeque::new(),
            strikes: plan.strikes.iter().copied().collect(),
            armed: Vec::new(),
            store,
            crashes: Crashes::default(),
            crashes_left: plan.crashes.iter().copied().collect(),
            seen: Vec::new(),
            skews: plan.skews.clone(),
            open_upstream: BTreeSet::new(),
            resumes: 0,
            resumes_max: RESUMES_MAX,
            tally: Tally::default(),
        };
        if plan.snapshots.is_some() {
            world.tally.count(tally::WITH_SNAPSHOTS);
        }
        if plan.is_incremental {
            world.tally.count(tally::INCREMENTAL);
        }
        for (slot, start) in plan.starts.iter().enumerate() {
            world.plan_deed(BEGIN + start, Deed::Start { slot });
        }
        for (moment, happening) in &plan.happenings {
            world.plan_deed(BEGIN + moment, Deed::Happen(*happening));
        }
        world
    }

    /// Plays everything; the records of all parts are read, and everything that time brings has come.
    pub fn play(&mut self) {
        self.crashes.listen();
        self.arrivals.extend(self.plan.parts[0].iter().cloned());
        let last_arrival = self.plan.parts[0].last().map_or(0, |arrival| arrival.moment);
        let last_happening = self.plan.happenings.iter().map(|(moment, _)| *moment).max().unwrap_or(0);
        self.run_until(BEGIN + last_arrival.max(last_happening).max(4_000));
        if self.plan.changes_rules {
            self.settle();
            self.jump(BEGIN + RULES_CHANGE);
            self.change_rules();
            self.run_until(BEGIN + RULES_CHANGE + 3_000);
            self.settle();
            self.jump(BEGIN + SECOND_PART);
            self.arrivals.extend(self.plan.parts[1].iter().cloned());
            let end = self.plan.parts[1].last().map_or(SECOND_PART, |arrival| arrival.moment) + BEGIN;
            self.run_until(end);
        }
        self.calm();
        self.settle();
        self.jump(self.end());
        self.settle();
        self.restart_all();
        self.settle();
        for process in std::mem::take(&mut self.processes) {
            self.take_leave(&process);
        }
    }

    /// Everything that has happened, by kind.
    pub fn count_all(&mut self) {
        self.tally.add_faults(&self.cluster.fault_counts());
        for (kind, count) in self.store.counts() {
            self.tally.add(kind, count);
        }
    }

    /// What is to be remembered of a process that is no more.
    pub(super) fn take_leave(&mut self, process: &Process) {
        let mut status = process.status.borrow_mut();
        self.tally.torn_repaired += status.torn_repaired;
        self.seen.append(&mut status.seen);
    }

    /// Whoever starts now must find all in order, publish nothing, and put right what the group has forgotten.
    fn restart_all(&mut self) {
        for process in std::mem::take(&mut self.processes) {
            self.take_leave(&process);
            self.cluster.kill(process.client);
            self.plan_deed(self.now, Deed::Start { slot: process.slot });
        }
    }

    /// When everything that follows soon from the records has followed.
    fn end(&self) -> i64 {
        self.now + LONGEST_DEADLINE_MS + self.plan.grace() + 1_000
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    pub(super) fn plan_deed(&mut self, moment: i64, deed: Deed) {
        self.deeds_made += 1;
        self.deeds.insert((moment, self.deeds_made), deed);
    }

    /// Nothing new goes wrong any more.
    fn calm(&mut self) {
        self.cluster.note(|| "faults stop".into());
        self.cluster.stop_faults();
        self.store.calm();
        self.strikes.clear();
        self.armed.clear();
        self.crashes_left.clear();
        self.crashes.disarm();
        for topic in 0..self.plan.inputs {
            self.cluster.set_silent(topic, false);
            (0..self.plan.shards).for_each(|shard| self.cluster.set_away(topic, shard, false));
        }
        self.deeds.retain(|_, deed| !matches!(deed, Deed::Happen(_)));
    }

    /// All workers end one after the other and come back with other rules.
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

    /// Until everybody is there and has nothing left to do.
    fn settle(&mut self) {
        self.disturb();
        while !self.is_settled() {
            self.step(self.now + 1_000);
        }
    }

    /// Something has happened: from now on everybody must be seen at rest.
    pub(super) fn disturb(&mut self) {
        self.processes.iter().for_each(|process| process.status.borrow_mut().turns = 0);
    }

    fn is_settled(&self) -> bool {
        let mut shards = BTreeSet::new();
        let rests = |process: &Process| {
            let status = process.status.borrow();
            shards.extend(status.shards.iter().copied());
            !process.is_stopped && status.turns >= TURNS_AT_REST && (status.is_idle || status.shards.is_empty())
        };
        self.arrivals.is_empty()
            && self.open_upstream.is_empty()
            && !self.deeds.values().any(Deed::is_waited_for)
            && self.processes.iter().all(rests)
            && shards.len() == self.plan.shards as usize
    }

    /// Nothing happens in between, as far as anybody is concerned.
    fn jump(&mut self, moment: i64) {
        if moment > self.now {
            self.now = moment;
            self.cluster.advance(moment);
        }
    }

    /// Lets something happen: a worker goes on, or time does, at most to the given moment.
    fn step(&mut self, until: i64) {
        self.do_due();
        let version = self.cluster.version();
        let can_run = |process: &Process| {
            let waits = process.standing.until > self.now;
            let is_woken = process.standing.at == Point::Idle && process.version != version;
            !process.is_stopped && (!waits || is_woken)
        };
        let ready: Vec<usize> = (0..self.processes.len()).filter(|&place| can_run(&self.processes[place])).collect();
        if ready.is_empty() {
            let standing = self.processes.iter().filter(|process| !process.is_stopped);
            let wake = standing.map(|process| process.standing.until);
            let deed = self.deeds.keys().next().map(|(moment, _)| *moment);
            let arrival = self.arrivals.front().map(|arrival| BEGIN + arrival.moment);
            let next = wake.chain(deed).chain(arrival).chain(self.cluster.next_event()).min();
            let next = next.unwrap_or(until).clamp(self.now + 1, until.max(self.now + 1));
            return self.jump(next);
        }
        let chosen = ready[self.random.below(ready.len() as u64) as usize];
        self.resume(chosen);
        if self.random.one_in(8) {
            self.jump(self.now + 1);
        }
    }

    fn resume(&mut self, place: usize) {
        self.resumes += 1;
        assert!(self.resumes < self.resumes_max, "the world does not come to rest");
        let process = &mut self.processes[place];
        match self.crashes.watch(process.slot, || process.resume()) {
            Err(crash) => return self.process_crashed(place, crash),
            Ok(Some(ended)) => return self.process_ended(place, ended),
            Ok(None) => {}
        }
        process.version = self.cluster.version();
        if matches!(process.standing.at, Point::Begin | Point::Produce | Point::Offsets | Point::End | Point::Ended) {
            process.standing.until += self.random.between(0, 4);
        }
        let (slot, at) = (process.slot, process.standing.at);
        let strikes = |strike: &Strike| {
            let is_late = self.now > BEGIN + strike.from + STRIKE_PATIENCE_MS;
            strike.slot == slot && (strike.point == at || OFTEN.contains(&strike.point) && is_late)
        };
        if let Some(found) = self.armed.iter().position(strikes) {
            let strike = self.armed.remove(found);
            self.strike(place, strike.blow);
        }
    }
}
