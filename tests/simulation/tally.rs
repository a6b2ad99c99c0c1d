//! What happened in a world, by kind.

use super::plan::{CRASH_POINTS, POINTS};
use shoal::kafka::memory::{Fault, Point};
use std::collections::BTreeMap;

pub const STOPPED: &str = "stopped and continued";
pub const REPLACED: &str = "replaced while it stood still";
pub const LEFT: &str = "restart in order";
pub const CLOCK_SET: &str = "clock set";
pub const RULES_CHANGED: &str = "rules changed";
pub const ORPHAN_OUTPUT: &str = "torn: no journal record";
pub const MISSING_OUTPUT: &str = "torn: no output";
pub const INCREMENTAL: &str = "shards move one by one";
pub const WITH_SNAPSHOTS: &str = "snapshots";
pub const STORE_AWAY: &str = "store: away for a while";
pub const STORE_FAILED: &str = "store: request refused";
pub const STORE_ANSWER_LOST: &str = "store: done, and no answer";
pub const STORE_LOST: &str = "store: acknowledged and lost";
pub const STORE_TORN: &str = "store: half written";
pub const STORE_FLIPPED: &str = "store: bit flipped";
pub const STORE_WRONG: &str = "store: wrong answer to a conditional put";
pub const STORE_SLOW: &str = "store: no room, late news";
pub const STORE_DAMAGED: &str = "store: damaged later";
pub const SNAPSHOT_WHOLE: &str = "snapshot of everything";
pub const SNAPSHOT_OF_CHANGES: &str = "snapshot of changes";
pub const SNAPSHOT_FAILED: &str = "snapshot failed";
pub const LOADED: &str = "recovered from the newest snapshot";
pub const LOADED_OLDER: &str = "recovered from an older snapshot";
pub const LOADED_NONE: &str = "recovered although no snapshot is good";
pub const LOAD_AWAY: &str = "recovery waits for the store";
/// States of shards that were compared with those of plain ones, right after recoveries and after other transactions.
pub const RECOVERED_COMPARED: &str = "states compared after a recovery";
pub const STATE_COMPARED: &str = "states compared";
/// A world that did not end as it should.
pub const FAILED: &str = "FAILED";
/// Alerts that fired or were resolved.
pub const ALERTS: &str = "alerts decided";
/// What happens besides the faults of the cluster, and crashes.
const KINDS: [&str; 28] = [
    ALERTS,
    INCREMENTAL,
    STOPPED,
    REPLACED,
    LEFT,
    CLOCK_SET,
    RULES_CHANGED,
    ORPHAN_OUTPUT,
    MISSING_OUTPUT,
    RECOVERED_COMPARED,
    STATE_COMPARED,
    WITH_SNAPSHOTS,
    STORE_AWAY,
    STORE_FAILED,
    STORE_ANSWER_LOST,
    STORE_LOST,
    STORE_TORN,
    STORE_FLIPPED,
    STORE_WRONG,
    STORE_SLOW,
    STORE_DAMAGED,
    SNAPSHOT_WHOLE,
    SNAPSHOT_OF_CHANGES,
    SNAPSHOT_FAILED,
    LOADED,
    LOADED_OLDER,
    LOADED_NONE,
    LOAD_AWAY,
];

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
            *self.kinds.entry(format!("{fault:?}")).or_default() += count;
        }
    }
}

/// In how many worlds each kind happened, and how often in all.
#[derive(Debug, Default)]
pub struct Sum {
    pub worlds: u64,
    kinds: BTreeMap<String, (u64, u64)>,
}

impl Sum {
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
        println!("{:<36} {:>9} {:>7} {:>10}", "kind", "seeds", "%", "times");
        for (kind, (worlds, times)) in &self.kinds {
            let percent = *worlds as f64 * 100.0 / self.worlds as f64;
            println!("{kind:<36} {worlds:>9} {percent:>6.1}% {times:>10}");
        }
    }

    pub fn has(&self, kind: &str) -> bool {
        self.kinds.contains_key(kind)
    }

    /// Kinds that happened in a smaller share of worlds than that, in percent.
    pub fn rare(&self, percent_min: f64) -> Vec<String> {
        let faults = Fault::ALL.iter().map(|fault| format!("{fault:?}"));
        let crashes = POINTS.iter().map(|point| format!("crash at {point:?}"));
        let kinds = faults.chain(crashes).chain(KINDS.map(str::to_owned));
        let kinds = kinds.map(|kind| (kind, percent_min));
        let named = CRASH_POINTS.iter().filter(|_| cfg!(debug_assertions)).map(|name| format!("crash at {name}"));
        // There are many, and to some few workers come: of each there is one at least.
        let kinds = kinds.chain(named.map(|name| (name, f64::MIN_POSITIVE)));
        let percent = |kind: &str| {
            self.kinds.get(kind).map_or(0, |(worlds, _)| *worlds) as f64 * 100.0 / self.worlds.max(1) as f64
        };
        let rare = kinds.filter(|(kind, percent_min)| percent(kind) < *percent_min);
        rare.map(|(kind, _)| format!("{kind} {:.1} %", percent(&kind))).collect()
    }
}
