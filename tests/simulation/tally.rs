//! How often each kind of fault happened in a world, and in how many worlds.
//!
//! A world without faults proves nothing, so a run fails if a kind of fault is too rare. Seeds differ from run to run,
//! so the limit leaves room for chance: it is a few standard deviations below the required share.

use super::plan::{CRASH_POINTS, POINTS};
use shoal::kafka::memory::{Fault, Point};
use std::collections::BTreeMap;

pub const PAUSED: &str = "paused";
pub const REPLACED: &str = "replaced while paused";
pub const RESTARTED: &str = "orderly restart";
pub const CLOCK_SET: &str = "clock set";
pub const RULES_CHANGED: &str = "rules changed";
pub const MEMBERSHIPS_LEFT_OUT: &str = "memberships left out";
pub const MEMBERSHIPS_STOPPED: &str = "memberships left out from the second rules on";
pub const ORPHAN_OUTPUT: &str = "torn: journal record missing";
pub const MISSING_OUTPUT: &str = "torn: output missing";
pub const INCREMENTAL: &str = "shards move one by one";
pub const WITH_SNAPSHOTS: &str = "snapshots";
pub const STORE_UNAVAILABLE: &str = "store: unavailable";
pub const STORE_FAILED: &str = "store: request refused";
pub const STORE_ANSWER_LOST: &str = "store: done, answer lost";
pub const STORE_LOST: &str = "store: acknowledged and lost";
pub const STORE_TORN: &str = "store: half written";
pub const STORE_FLIPPED: &str = "store: bit flipped";
pub const STORE_WRONG: &str = "store: wrong answer to a conditional put";
pub const STORE_BUSY: &str = "store: busy";
pub const STORE_DAMAGED: &str = "store: damaged later";
pub const SNAPSHOT_WHOLE: &str = "snapshot of everything";
pub const SNAPSHOT_OF_CHANGES: &str = "snapshot of changes";
pub const SNAPSHOT_FAILED: &str = "snapshot failed";
pub const LOADED: &str = "recovered from the newest snapshot";
pub const LOADED_OLDER: &str = "recovered from an older snapshot";
pub const LOADED_NONE: &str = "recovered without a valid snapshot";
pub const LOAD_WAITED: &str = "recovery waits for the store";
/// States of shards that were compared with those of plain shards, after recoveries and after other transactions.
pub const RECOVERED_COMPARED: &str = "states compared after a recovery";
pub const STATE_COMPARED: &str = "states compared";
/// A world that failed.
pub const FAILED: &str = "FAILED";
/// Alerts that fired or were resolved.
pub const ALERTS: &str = "alerts decided";
/// Kinds besides faults of the cluster and crashes.
const KINDS: [&str; 30] = [
    ALERTS,
    MEMBERSHIPS_LEFT_OUT,
    MEMBERSHIPS_STOPPED,
    INCREMENTAL,
    PAUSED,
    REPLACED,
    RESTARTED,
    CLOCK_SET,
    RULES_CHANGED,
    ORPHAN_OUTPUT,
    MISSING_OUTPUT,
    RECOVERED_COMPARED,
    STATE_COMPARED,
    WITH_SNAPSHOTS,
    STORE_UNAVAILABLE,
    STORE_FAILED,
    STORE_ANSWER_LOST,
    STORE_LOST,
    STORE_TORN,
    STORE_FLIPPED,
    STORE_WRONG,
    STORE_BUSY,
    STORE_DAMAGED,
    SNAPSHOT_WHOLE,
    SNAPSHOT_OF_CHANGES,
    SNAPSHOT_FAILED,
    LOADED,
    LOADED_OLDER,
    LOADED_NONE,
    LOAD_WAITED,
];

/// A kind of fault must happen in at least this share of worlds.
const SHARE_MIN: f64 = 0.05;
/// By how many standard deviations a kind may fall short of that by chance.
const DEVIATIONS: f64 = 4.0;
/// In a run of this many worlds or more each crash point must be reached. There are many, and some are reached by few
/// workers.
const ALL_CRASH_POINTS_FROM: u64 = 5_000;

#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub kinds: BTreeMap<String, u32>,
    pub torn_repaired: u64,
}

impl Tally {
    pub fn count(&mut self, kind: &str) {
        self.add(kind, 1);
    }

    pub fn add(&mut self, kind: &str, count: u32) {
        *self.kinds.entry(kind.to_owned()).or_default() += count;
    }

    pub fn count_crash(&mut self, at: Point) {
        self.count(&format!("crash at {at:?}"));
    }

    pub fn add_faults(&mut self, faults: &BTreeMap<Fault, u32>) {
        for (fault, count) in faults {
            self.add(&format!("{fault:?}"), *count);
        }
    }
}

/// In how many worlds each kind happened, and how often in total.
#[derive(Debug, Default)]
pub struct Totals {
    pub worlds: u64,
    kinds: BTreeMap<String, (u64, u64)>,
}

impl Totals {
    pub fn add(&mut self, tally: &Tally) {
        self.worlds += 1;
        for (kind, count) in &tally.kinds {
            let (worlds, times) = self.kinds.entry(kind.clone()).or_default();
            *worlds += 1;
            *times += u64::from(*count);
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.worlds += other.worlds;
        for (kind, (worlds, times)) in other.kinds {
            let known = self.kinds.entry(kind).or_default();
            *known = (known.0 + worlds, known.1 + times);
        }
    }

    pub fn print(&self) {
        println!("{:<36} {:>9} {:>7} {:>10}", "kind", "worlds", "%", "times");
        for (kind, (worlds, times)) in &self.kinds {
            let percent = *worlds as f64 * 100.0 / self.worlds as f64;
            println!("{kind:<36} {worlds:>9} {percent:>6.1}% {times:>10}");
        }
    }

    pub fn has(&self, kind: &str) -> bool {
        self.kinds.contains_key(kind)
    }

    /// Kinds that happened in fewer worlds than required, with both numbers.
    pub fn too_rare(&self) -> Vec<String> {
        let faults = Fault::ALL.iter().map(|fault| format!("{fault:?}"));
        let crashes = POINTS.iter().map(|point| format!("crash at {point:?}"));
        let kinds = faults.chain(crashes).chain(KINDS.map(str::to_owned));
        let required = required_worlds(self.worlds);
        let has_crash_points = cfg!(debug_assertions) && self.worlds >= ALL_CRASH_POINTS_FROM;
        let named = CRASH_POINTS.iter().filter(|_| has_crash_points).map(|name| (format!("crash at {name}"), 1));
        let found = |kind: &str| self.kinds.get(kind).map_or(0, |(worlds, _)| *worlds);
        let all = kinds.map(|kind| (kind, required)).chain(named);
        let rare = all.filter(|(kind, required)| found(kind) < *required);
        rare.map(|(kind, required)| format!("{kind}: {} worlds, expected {required}", found(&kind))).collect()
    }
}

/// In how many worlds of a run a kind of fault must happen.
fn required_worlds(worlds: u64) -> u64 {
    let expected = worlds as f64 * SHARE_MIN;
    (expected - DEVIATIONS * expected.sqrt()).max(0.0).floor() as u64
}

#[test]
fn requirement_scales_with_the_number_of_worlds() {
    assert_eq!([1, 100, 600, 2_000, 50_000].map(required_worlds), [0, 0, 8, 60, 2_300]);
}
