//! What a seed means: the shape of the world, when records arrive, and which faults happen to which worker and when.
//!
//! Everything is drawn before the world begins, so that the same records can be played without faults.

use super::load::{self, Arrival, RULES_CHANGE};
use super::rules;
use shoal::engine::decode::{Partitioner, Source};
use shoal::engine::rule::Rules;
use shoal::engine::shard::{Bootstrap, Settings};
use shoal::kafka::StartAt;
use shoal::kafka::memory::Point;
use shoal::random::Random;
use shoal::worker::{OutputSettings, WorkerConfig};
use std::sync::Arc;

/// By how much a worker's wall clock may be wrong.
const SKEW_MS: i64 = 400;

/// What happens to a worker that has reached a point. Durations are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WorkerFault {
    /// kill -9, and a new process later.
    Kill { restart: i64 },
    /// SIGSTOP and SIGCONT.
    Pause { duration: i64 },
    /// SIGSTOP, and a new process with the same name is started while the old one is stopped.
    PauseAndReplace { duration: i64, replace: i64 },
    /// The worker reaches no broker.
    Disconnect { duration: i64 },
    /// SIGTERM, and a new process.
    Terminate,
}

/// From a moment on, the fault happens as soon as the slot's worker reaches the point.
#[derive(Clone, Copy, Debug)]
pub struct PlannedFault {
    pub from: i64,
    pub slot: usize,
    pub point: Point,
    pub fault: WorkerFault,
}

/// From a moment on, the slot's worker crashes as soon as it reaches the crash point, and is restarted later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedCrash {
    pub from: i64,
    pub slot: usize,
    pub name: &'static str,
    pub restart: i64,
}

/// How snapshots are made in a world that has them.
#[derive(Clone, Copy, Debug)]
pub struct Snapshots {
    pub interval_ms: u64,
    pub keep: usize,
    pub has_faults: bool,
}

/// What happens at a moment, whatever the workers do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Incident {
    PartitionAway { topic: u16, shard: u32, is_away: bool },
    TopicSilent { topic: u16, is_silent: bool },
    ClockSet { slot: usize, skew: i64 },
    OffsetForgotten { topic: u16, shard: u32 },
    SnapshotDamaged { shard: u32 },
}

/// Whether workers are configured to publish memberships.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Memberships {
    Kept,
    LeftOut,
    /// Those that start with the second rules are not.
    UntilSecondRules,
}

impl Memberships {
    /// Drawn from a generator of its own, so that a seed's world is otherwise the same.
    fn draw(seed: u64, changes_rules: bool) -> Self {
        match Random(seed ^ 0x3e3b_0517).below(8) {
            0 => Self::LeftOut,
            1..=3 if changes_rules => Self::UntilSecondRules,
            _ => Self::Kept,
        }
    }
}

#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub inputs: u16,
    pub shards: u32,
    /// How many names workers have; each belongs to one process at a time, or to two while one of them is stopped.
    pub slots: usize,
    /// Ticks follow the wall clock.
    pub is_live: bool,
    pub changes_rules: bool,
    pub memberships: Memberships,
    /// The group uses the newer protocol.
    pub is_incremental: bool,
    pub batch_max: usize,
    pub skews: Vec<i64>,
    /// When each slot is first started.
    pub starts: Vec<i64>,
    /// In order of arrival; those of the second part arrive after the change of rules.
    pub parts: [Vec<Arrival>; 2],
    pub faults: Vec<PlannedFault>,
    pub crashes: Vec<PlannedCrash>,
    pub snapshots: Option<Snapshots>,
    pub incidents: Vec<(i64, Incident)>,
}

/// Points at which faults happen, each as likely as the others.
pub const POINTS: [Point; 11] = [
    Point::Poll,
    Point::Fetch,
    Point::Read,
    Point::Committed,
    Point::Fence,
    Point::Begin,
    Point::Produce,
    Point::Offsets,
    Point::End,
    Point::Ended,
    Point::Release,
];

/// Crash points that a worker on the log in memory reaches.
pub const CRASH_POINTS: [&str; 26] = [
    "transaction/sealed",
    "transaction/known",
    "recovery/begin",
    "recovery/fenced",
    "recovery/holder-fenced",
    "recovery/tail",
    "recovery/record",
    "recovery/repaired",
    "recovery/done",
    "takeover/kept",
    "takeover/not-kept",
    "revoke/begin",
    "revoke/committed",
    "revoke/kept",
    "revoke/released",
    "snapshot/begin",
    "snapshot/part",
    "snapshot/before-manifest",
    "snapshot/after-manifest",
    "merge/part",
    "merge/done",
    "retention/manifest",
    "retention/file",
    "load/part",
    "control/before",
    "control/published",
];

/// Those of them that few workers reach.
const RARE_CRASH_POINTS: [&str; 5] =
    ["recovery/holder-fenced", "recovery/repaired", "takeover/kept", "takeover/not-kept", "revoke/committed"];

impl Plan {
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random(seed);
        let is_live = random.one_in(2);
        let mut plan = Self {
            seed,
            inputs: 1 + random.below(3) as u16,
            shards: 2 + random.below(3) as u32,
            slots: 1 + random.below(3) as usize,
            is_live,
            changes_rules: !is_live && random.one_in(2),
            memberships: Memberships::Kept,
            is_incremental: random.one_in(3),
            batch_max: [1, 3, 20, 4_096][random.below(4) as usize],
            skews: Vec::new(),
            starts: Vec::new(),
            parts: [Vec::new(), Vec::new()],
            faults: Vec::new(),
            crashes: Vec::new(),
            snapshots: None,
            incidents: Vec::new(),
        };
        for slot in 0..plan.slots {
            plan.skews.push(random.between(-SKEW_MS, SKEW_MS + 1));
            plan.starts.push(if slot == 0 { 0 } else { random.between(0, 3_000) });
        }
        plan.memberships = Memberships::draw(seed, plan.changes_rules);
        plan.draw_outages(&mut random);
        plan.draw_silence(&mut random);
        plan.parts[0] = load::draw(&mut random, plan.inputs, plan.shards, 0);
        let end = plan.parts[0].last().map_or(0, |arrival| arrival.moment);
        plan.draw_faults(&mut random, 0, end);
        if plan.changes_rules {
            plan.parts[1] = load::draw(&mut random, plan.inputs, plan.shards, 1);
            plan.draw_faults(&mut random, RULES_CHANGE, RULES_CHANGE + 3_000);
        }
        plan.draw_crashes(&mut Random(seed ^ 0xc4a5_4a7a), end);
        plan.draw_snapshots(&mut Random(seed ^ 0x54a9_5407), end);
        plan
    }

    /// Milliseconds of `grace`, see [`super::load`].
    pub fn grace(&self) -> i64 {
        if self.inputs == 1 { 4_000 } else { 8_000 }
    }

    /// What every worker of this world is started with.
    pub fn config(&self, rules: &Arc<Rules>) -> WorkerConfig {
        let membership = match self.memberships {
            Memberships::Kept => true,
            Memberships::LeftOut => false,
            Memberships::UntilSecondRules => rules.version != rules::rules(self.is_live, self.grace(), true).version,
        };
        let inputs = ["orders", "browsing", "profiles"].into_iter().take(usize::from(self.inputs));
        WorkerConfig {
            inputs: inputs.map(str::to_owned).collect(),
            partitions: self.shards,
            shard: Settings {
                source: Source::Kafka { partitioner: Partitioner::Murmur2, partitions: self.shards },
                publish_from: None,
                bootstrap: Bootstrap::Nothing,
            },
            source: "/shoal/simulation".into(),
            output: OutputSettings { membership, ..OutputSettings::default() },
            start: StartAt::Earliest,
            rules: Arc::clone(rules),
            group: "test".into(),
            force_rules: false,
            commit_interval_ms: 50,
            max_changes_per_minute: 0,
        }
    }

    fn draw_snapshots(&mut self, random: &mut Random, end: i64) {
        if random.one_in(5) {
            return;
        }
        self.snapshots = Some(Snapshots {
            interval_ms: [100, 400, 1_500][random.below(3) as usize],
            keep: 1 + random.below(3) as usize,
            has_faults: !random.one_in(3),
        });
        for _ in 0..random.below(4) {
            let shard = random.below(u64::from(self.shards)) as u32;
            self.incidents.push((random.between(500, end.max(501)), Incident::SnapshotDamaged { shard }));
        }
    }

    /// Drawn from a generator of their own, so that a seed's world is otherwise the same in a build without crash
    /// points.
    fn draw_crashes(&mut self, random: &mut Random, end: i64) {
        if !cfg!(debug_assertions) {
            return;
        }
        for _ in 0..random.below(12) {
            let is_second = self.changes_rules && random.one_in(3);
            let from = if is_second { RULES_CHANGE + random.between(0, 2_000) } else { random.between(0, end.max(1)) };
            let points: &[&str] = if random.one_in(2) { &RARE_CRASH_POINTS } else { &CRASH_POINTS };
            let name = points[random.below(points.len() as u64) as usize];
            self.crashes.push(PlannedCrash {
                // The control topic is written at the very beginning.
                from: if name.starts_with("control/") && !is_second { 0 } else { from },
                slot: random.below(self.slots as u64) as usize,
                name,
                restart: random.between(10, 1_500),
            });
        }
        self.crashes.sort_by_key(|crash| crash.from);
    }

    /// Fetches that are not answered: for long only where nothing else can raise the watermark, see [`super::load`].
    fn draw_outages(&mut self, random: &mut Random) {
        let is_single = self.inputs == 1;
        let count = if is_single { 1 + random.below(4) } else { random.below(3) };
        for _ in 0..count {
            let topic = random.below(u64::from(self.inputs)) as u16;
            let shard = random.below(u64::from(self.shards)) as u32;
            let from = random.between(0, 10_000);
            let length = if is_single { random.between(500, 12_000) } else { random.between(200, 2_500) };
            let is_same = |incident: &Incident| matches!(incident, Incident::PartitionAway { topic: of, shard: at, .. } if (*of, *at) == (topic, shard));
            if !self.incidents.iter().any(|(_, incident)| is_same(incident)) {
                self.incidents.push((from, Incident::PartitionAway { topic, shard, is_away: true }));
                self.incidents.push((from + length, Incident::PartitionAway { topic, shard, is_away: false }));
            }
        }
    }

    fn draw_silence(&mut self, random: &mut Random) {
        if random.one_in(4) {
            let topic = random.below(u64::from(self.inputs)) as u16;
            let from = random.between(0, 8_000);
            self.incidents.push((from, Incident::TopicSilent { topic, is_silent: true }));
            self.incidents.push((from + random.between(500, 6_000), Incident::TopicSilent { topic, is_silent: false }));
        }
        if random.one_in(6) {
            let topic = random.below(u64::from(self.inputs)) as u16;
            let shard = random.below(u64::from(self.shards)) as u32;
            self.incidents.push((random.between(1_000, 10_000), Incident::OffsetForgotten { topic, shard }));
        }
        for slot in 0..self.slots {
            if random.one_in(3) {
                let skew = random.between(-SKEW_MS, SKEW_MS + 1);
                self.incidents.push((random.between(1_000, 10_000), Incident::ClockSet { slot, skew }));
            }
        }
    }

    fn draw_faults(&mut self, random: &mut Random, from: i64, until: i64) {
        for _ in 0..random.below(9) {
            self.faults.push(PlannedFault {
                from: random.between(from, until.max(from + 1)),
                slot: random.below(self.slots as u64) as usize,
                point: draw_point(random),
                fault: draw_fault(random),
            });
        }
        self.faults.sort_by_key(|fault| fault.from);
    }
}

/// Each point is as likely as the others, except for those that few workers reach or that leave much undecided.
fn draw_point(random: &mut Random) -> Point {
    if random.one_in(4) {
        return [Point::Release, Point::Release, Point::Fence, Point::Offsets, Point::End][random.below(5) as usize];
    }
    POINTS[random.below(POINTS.len() as u64) as usize]
}

/// Durations are either well below the session time-out or above it: at the time-out itself, chance would decide
/// whether a worker continues with what it knew before, see [`super::load`].
fn draw_fault(random: &mut Random) -> WorkerFault {
    let short = random.between(20, 2_400);
    let long = random.between(3_500, 7_000);
    match random.below(11) {
        0..4 => WorkerFault::Kill { restart: if random.one_in(2) { random.between(10, 1_500) } else { long } },
        4..6 => WorkerFault::Pause { duration: short },
        6 => WorkerFault::Pause { duration: long },
        7 => WorkerFault::PauseAndReplace { duration: long, replace: random.between(100, 3_000) },
        8 => WorkerFault::Disconnect { duration: short },
        9 => WorkerFault::Disconnect { duration: long.min(4_500) },
        _ => WorkerFault::Terminate,
    }
}
