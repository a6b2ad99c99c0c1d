//! What a seed means: the shape of the world, when records arrive, and when which worker is struck by what.
//!
//! Everything is drawn before the world begins, so that the same records can be played without faults.

use super::load::{self, Arrival};
use shoal::kafka::memory::Point;
use shoal::random::Random;

/// When the world begins: half past midnight, 2025-01-01 UTC.
pub const BEGIN: i64 = 1_735_691_400_000;
/// By how much a worker's wall clock may be wrong.
const SKEW_MS: i64 = 400;

/// When all workers are started again with other rules, and when records come again after that.
pub const RULES_CHANGE: i64 = 40_000;
pub const SECOND_PART: i64 = 80_000;

/// What happens to a worker that has come to a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Blow {
    /// kill -9, and a new process after so many milliseconds.
    Crash { restart: i64 },
    /// SIGSTOP for so long.
    Stop { pause: i64 },
    /// SIGSTOP, and a new process of the same name is started while the old one stands still.
    StopAndReplace { pause: i64, replace: i64 },
    /// Nobody can be reached for so long.
    Cut { pause: i64 },
    /// SIGTERM, and a new process.
    Leave,
}

/// From a moment on, the slot's worker is struck as soon as it comes to the point.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    pub from: i64,
    pub slot: usize,
    pub point: Point,
    pub blow: Blow,
}

/// From a moment on, the slot's worker ends as soon as it comes to this crash point, and comes back after a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrashAt {
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

/// Something that happens at a moment whatever the workers do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Happening {
    Away { topic: u16, shard: u32, is_away: bool },
    Silent { topic: u16, is_silent: bool },
    Clock { slot: usize, skew: i64 },
    ForgetOffset { topic: u16, shard: u32 },
    DamageSnapshot { shard: u32 },
}

#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub inputs: u16,
    pub shards: u32,
    /// Names of workers; each is one process at a time, or two while one of them stands still.
    pub slots: usize,
    /// Ticks come with the wall clock.
    pub is_live: bool,
    pub changes_rules: bool,
    /// The group's newer protocol.
    pub is_incremental: bool,
    pub batch_max: usize,
    pub skews: Vec<i64>,
    /// When each slot is first started.
    pub starts: Vec<i64>,
    /// In order of arrival; those of the second part come after the change of rules.
    pub parts: [Vec<Arrival>; 2],
    pub strikes: Vec<Strike>,
    pub crashes: Vec<CrashAt>,
    pub snapshots: Option<Snapshots>,
    pub happenings: Vec<(i64, Happening)>,
}

/// Points at which a worker is struck, each as likely as the others.
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

/// Crash points that a worker on the log in memory comes to.
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

/// Those of them that few workers come to.
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
            is_incremental: random.one_in(3),
            batch_max: [1, 3, 20, 4_096][random.below(4) as usize],
            skews: Vec::new(),
            starts: Vec::new(),
            parts: [Vec::new(), Vec::new()],
            strikes: Vec::new(),
            crashes: Vec::new(),
            snapshots: None,
            happenings: Vec::new(),
        };
        for slot in 0..plan.slots {
            plan.skews.push(random.between(-SKEW_MS, SKEW_MS + 1));
            plan.starts.push(if slot == 0 { 0 } else { random.between(0, 3_000) });
        }
        plan.draw_outages(&mut random);
        plan.draw_silence(&mut random);
        plan.parts[0] = load::draw(&mut random, &plan, 0);
        let end = plan.parts[0].last().map_or(0, |arrival| arrival.moment);
        plan.draw_strikes(&mut random, 0, end);
        if plan.changes_rules {
            plan.parts[1] = load::draw(&mut random, &plan, 1);
            plan.draw_strikes(&mut random, RULES_CHANGE, RULES_CHANGE + 3_000);
        }
        plan.draw_crashes(&mut Random(seed ^ 0xc4a5_4a7a), end);
        plan.draw_snapshots(&mut Random(seed ^ 0x54a9_5407), end);
        plan
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
            self.happenings.push((random.between(500, end.max(501)), Happening::DamageSnapshot { shard }));
        }
    }

    /// Drawn on their own, so that a seed's world is otherwise the same in a build that has no crash points.
    fn draw_crashes(&mut self, random: &mut Random, end: i64) {
        if !cfg!(debug_assertions) {
            return;
        }
        for _ in 0..random.below(12) {
            let is_second = self.changes_rules && random.one_in(3);
            let from = if is_second { RULES_CHANGE + random.between(0, 2_000) } else { random.between(0, end.max(1)) };
            let points: &[&str] = if random.one_in(2) { &RARE_CRASH_POINTS } else { &CRASH_POINTS };
            let name = points[random.below(points.len() as u64) as usize];
            self.crashes.push(CrashAt {
                // Control is written at the very beginning.
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
            if self.happenings.iter().any(|(_, other)| matches!(other, Happening::Away { topic: of, shard: at, .. } if (*of, *at) == (topic, shard))) {
                continue;
            }
            self.happenings.push((from, Happening::Away { topic, shard, is_away: true }));
            self.happenings.push((from + length, Happening::Away { topic, shard, is_away: false }));
        }
    }

    fn draw_silence(&mut self, random: &mut Random) {
        if random.one_in(4) {
            let topic = random.below(u64::from(self.inputs)) as u16;
            let from = random.between(0, 8_000);
            self.happenings.push((from, Happening::Silent { topic, is_silent: true }));
            self.happenings.push((from + random.between(500, 6_000), Happening::Silent { topic, is_silent: false }));
        }
        if random.one_in(6) {
            let (topic, shard) =
                (random.below(u64::from(self.inputs)) as u16, random.below(u64::from(self.shards)) as u32);
            self.happenings.push((random.between(1_000, 10_000), Happening::ForgetOffset { topic, shard }));
        }
        for slot in 0..self.slots {
            if random.one_in(3) {
                let skew = random.between(-SKEW_MS, SKEW_MS + 1);
                self.happenings.push((random.between(1_000, 10_000), Happening::Clock { slot, skew }));
            }
        }
    }

    fn draw_strikes(&mut self, random: &mut Random, from: i64, until: i64) {
        for _ in 0..random.below(9) {
            self.strikes.push(Strike {
                from: random.between(from, until.max(from + 1)),
                slot: random.below(self.slots as u64) as usize,
                point: draw_point(random),
                blow: draw_blow(random),
            });
        }
        self.strikes.sort_by_key(|strike| strike.from);
    }

    /// Milliseconds of `grace`, see [`super::load`].
    pub fn grace(&self) -> i64 {
        if self.inputs == 1 { 4_000 } else { 8_000 }
    }
}

/// Each point as likely as the others, but for those that few workers come to or that leave much open.
fn draw_point(random: &mut Random) -> Point {
    if random.one_in(4) {
        return [Point::Release, Point::Release, Point::Fence, Point::Offsets, Point::End][random.below(5) as usize];
    }
    POINTS[random.below(POINTS.len() as u64) as usize]
}

/// Times are either well below the session time-out or above it: at the time-out itself it would be a matter of luck
/// whether a worker goes on with what it knew before, see [`super::load`].
fn draw_blow(random: &mut Random) -> Blow {
    let short = random.between(20, 2_400);
    let long = random.between(3_500, 7_000);
    match random.below(11) {
        0..4 => Blow::Crash { restart: if random.one_in(2) { random.between(10, 1_500) } else { long } },
        4..6 => Blow::Stop { pause: short },
        6 => Blow::Stop { pause: long },
        7 => Blow::StopAndReplace { pause: long, replace: random.between(100, 3_000) },
        8 => Blow::Cut { pause: short },
        9 => Blow::Cut { pause: long.min(4_500) },
        _ => Blow::Leave,
    }
}
