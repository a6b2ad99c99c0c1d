//! Counters of committed transactions, which only grow: events, changes, actions of customers, delays.
//!
//! A shard fills a [`Tally`] while a transaction is open and adds it to its sums at the commit; a worker collects the
//! sums when it reports. Muted effects are never counted.

use super::histogram::{DELAYS, DWELLS, Histogram};
use crate::engine::effects::{Cause, Change, Counts, Effects, FRESH};
use crate::engine::event::Millis;
use crate::engine::rule::{Direction, Rules, Target};
use crate::engine::shard::ActionCounts;
use hashbrown::hash_map::EntryRef;
use hashbrown::{Equivalent, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use xxhash_rust::xxh3::xxh3_64;

/// Segmentations with more segments than this have too many pairs of them to begin all at 0.
const ANNOUNCED_MAX: usize = 12;
/// The name of a missing value.
pub const NO_VALUE: &str = "none";

/// Changes of one kind: the labels of a counter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    pub segmentation: Box<str>,
    /// [`NO_VALUE`] for null.
    pub from: Box<str>,
    pub to: Box<str>,
    pub cause: Cause,
    pub direction: Direction,
    pub is_fresh: bool,
}

/// A value of a segmentation or audience.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueName {
    pub segmentation: Box<str>,
    /// [`NO_VALUE`] for null.
    pub value: Box<str>,
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<NameHasher>>;

/// The counters; see the module.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Inputs by what happened to them.
    pub counts: Counts,
    /// Records applied, by input topic.
    pub records: Vec<u64>,
    pub changes: Map<Flow, u64>,
    /// Changes back to the previous value within a day, by segmentation.
    pub returned: Map<Box<str>, u64>,
    /// How long customers held the values that they left.
    pub dwells: Map<ValueName, Histogram>,
    /// Delay of changes caused by time: `detected_at` - `effective_at` - grace.
    pub time_changes: Histogram,
    /// Actions of customers, by the values that they held before.
    pub actions: Map<ValueName, ActionCounts>,
    /// From the arrival of a step's oldest record until the step was applied, and until its transaction was committed.
    pub applied: Histogram,
    pub committed: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            records: Vec::new(),
            changes: Map::default(),
            returned: Map::default(),
            dwells: Map::default(),
            time_changes: Histogram::new(DELAYS),
            actions: Map::default(),
            applied: Histogram::new(DELAYS),
            committed: Histogram::new(DELAYS),
        }
    }
}

impl Tally {
    /// Counts effects that are published. Changes caused by time are detected `grace` after their moment.
    pub fn add_effects(&mut self, effects: &Effects, grace: Millis) {
        self.counts.add(&effects.counts);
        effects.changes.iter().for_each(|change| self.add_change(change, effects, grace));
    }

    fn add_change(&mut self, change: &Change, effects: &Effects, grace: Millis) {
        let text = |span: Option<_>| span.map_or(NO_VALUE, |span| effects.text(span));
        let (segmentation, from, to) = (effects.text(change.segmentation), text(change.from), text(change.to));
        let late = change.detected_at - change.effective_at;
        let (cause, direction, is_fresh) = (change.cause, change.direction, late <= FRESH);
        let flow = FlowRef { segmentation, from, to, cause, direction, is_fresh };
        *entry(&mut self.changes, &flow, || 0) += 1;
        if let Some(since) = change.from_since {
            let value = ValueRef { segmentation, value: from };
            let dwells = entry(&mut self.dwells, &value, || Histogram::new(DWELLS));
            dwells.observe_ms(change.effective_at - since);
        }
        if change.is_return {
            *entry(&mut self.returned, segmentation, || 0) += 1;
        }
        if cause == Cause::Time {
            self.time_changes.observe_ms(late - grace);
        }
    }

    /// Begins counters that are likely under these rules at 0: a rate computed from a series misses its first increase
    /// if the series did not exist before.
    pub fn announce(&mut self, rules: &Rules) {
        for target in &rules.targets {
            let name = target.name.as_str();
            self.add_actions(name, None, &ActionCounts::default());
            for value in target.values() {
                self.add_actions(name, Some(target.value_name(value)), &ActionCounts::default());
            }
            entry(&mut self.returned, name, || 0);
            if target.values().len() <= ANNOUNCED_MAX {
                self.announce_flows(target);
            }
        }
    }

    /// Begins the counters of migrations.
    fn announce_flows(&mut self, target: &Target) {
        let pairs = target.values().flat_map(|from| target.values().map(move |to| (from, to)));
        for (from, to) in pairs.filter(|(from, to)| from != to) {
            let direction = target.direction(from, to);
            let (segmentation, from, to) = (target.name.as_str(), target.value_name(from), target.value_name(to));
            for cause in [Cause::Event, Cause::Time, Cause::Late] {
                let flow = FlowRef { segmentation, from, to, cause, direction, is_fresh: true };
                entry(&mut self.changes, &flow, || 0);
            }
        }
    }

    /// Adds applied records of an input topic.
    pub fn add_records(&mut self, topic: u16, records: u64) {
        let index = usize::from(topic);
        self.records.resize(self.records.len().max(index + 1), 0);
        self.records[index] += records;
    }

    /// Adds actions of customers who held a value.
    pub fn add_actions(&mut self, segmentation: &str, value: Option<&str>, actions: &ActionCounts) {
        let value = ValueRef { segmentation, value: value.unwrap_or(NO_VALUE) };
        entry(&mut self.actions, &value, ActionCounts::default).add(actions);
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        for (topic, &records) in other.records.iter().enumerate() {
            self.add_records(topic as u16, records);
        }
        for (flow, count) in &other.changes {
            *entry(&mut self.changes, &FlowRef::of(flow), || 0) += count;
        }
        for (name, count) in &other.returned {
            *entry(&mut self.returned, &**name, || 0) += count;
        }
        for (value, histogram) in &other.dwells {
            entry(&mut self.dwells, &ValueRef::of(value), || Histogram::new(DWELLS)).add(histogram);
        }
        for (value, actions) in &other.actions {
            entry(&mut self.actions, &ValueRef::of(value), ActionCounts::default).add(actions);
        }
        self.time_changes.add(&other.time_changes);
        self.applied.add(&other.applied);
        self.committed.add(&other.committed);
    }
}

/// The entry of a key. The key is cloned only when it is new.
fn entry<'m, 'k, K: Eq + Hash + From<&'k Q>, Q: Hash + Equivalent<K> + ?Sized, V>(
    map: &'m mut Map<K, V>,
    key: &'k Q,
    fresh: impl FnOnce() -> V,
) -> &'m mut V {
    match map.entry_ref(key) {
        EntryRef::Occupied(known) => known.into_mut(),
        EntryRef::Vacant(vacant) => vacant.insert_with_key(key.into(), fresh()),
    }
}

/// A hasher of a few short names.
#[derive(Default)]
pub struct NameHasher(u64);

impl NameHasher {
    fn fold(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        self.fold(xxh3_64(bytes));
    }

    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }

    fn write_isize(&mut self, value: isize) {
        self.fold(value as u64);
    }
}

/// A [`Flow`] that borrows its names.
struct FlowRef<'a> {
    segmentation: &'a str,
    from: &'a str,
    to: &'a str,
    cause: Cause,
    direction: Direction,
    is_fresh: bool,
}

impl<'a> FlowRef<'a> {
    fn of(flow: &'a Flow) -> Self {
        let Flow { segmentation, from, to, cause, direction, is_fresh } = flow;
        Self { segmentation, from, to, cause: *cause, direction: *direction, is_fresh: *is_fresh }
    }
}

impl From<&FlowRef<'_>> for Flow {
    fn from(flow: &FlowRef<'_>) -> Self {
        let FlowRef { segmentation, from, to, cause, direction, is_fresh } = *flow;
        Self { segmentation: segmentation.into(), from: from.into(), to: to.into(), cause, direction, is_fresh }
    }
}

/// The same hash as that of [`Flow`].
impl Hash for FlowRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.segmentation, self.from, self.to).hash(state);
        (self.cause, self.direction, self.is_fresh).hash(state);
    }
}

impl Equivalent<Flow> for FlowRef<'_> {
    fn equivalent(&self, key: &Flow) -> bool {
        (self.segmentation, self.from, self.to) == (&key.segmentation, &key.from, &key.to)
            && (self.cause, self.direction, self.is_fresh) == (key.cause, key.direction, key.is_fresh)
    }
}

/// A [`ValueName`] that borrows.
#[derive(Hash)]
struct ValueRef<'a> {
    segmentation: &'a str,
    value: &'a str,
}

impl<'a> ValueRef<'a> {
    fn of(name: &'a ValueName) -> Self {
        Self { segmentation: &name.segmentation, value: &name.value }
    }
}

impl From<&ValueRef<'_>> for ValueName {
    fn from(name: &ValueRef<'_>) -> Self {
        Self { segmentation: name.segmentation.into(), value: name.value.into() }
    }
}

impl Equivalent<ValueName> for ValueRef<'_> {
    fn equivalent(&self, key: &ValueName) -> bool {
        (self.segmentation, self.value) == (&key.segmentation, &key.value)
    }
}
