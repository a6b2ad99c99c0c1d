//! What a shard's transactions came to, in counters that only ever grow: events, changes, what customers did, delays.
//!
//! A shard fills one of these while a transaction is open and adds it to the sums when that is committed; a worker takes
//! the sums when it reports. What was muted never comes here.

use super::histogram::{DELAYS, DWELLS, Histogram};
use crate::engine::effects::{Cause, Change, Counts, Effects, FRESH};
use crate::engine::event::Millis;
use crate::engine::rule::{Direction, Rules, Target};
use crate::engine::shard::Deeds;
use hashbrown::hash_map::EntryRef;
use hashbrown::{Equivalent, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use xxhash_rust::xxh3::xxh3_64;

/// Segmentations with more segments than this have too many pairs of them to be told of before they happen.
const ANNOUNCED_MAX: usize = 12;
/// What stands for no value.
pub const NO_VALUE: &str = "none";

/// Changes of one kind.
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
    /// What happened to inputs.
    pub counts: Counts,
    /// Records applied, by input topic.
    pub records: Vec<u64>,
    pub changes: Map<Flow, u64>,
    /// Changes back to the value before within a day, by segmentation.
    pub returned: Map<Box<str>, u64>,
    /// How long values were held that customers left.
    pub dwells: Map<ValueName, Histogram>,
    /// How late changes caused by time were published: `detected_at` - `effective_at` - grace.
    pub time_changes: Histogram,
    /// What customers did, by the values that they held before.
    pub deeds: Map<ValueName, Deeds>,
    /// From a batch's oldest record's arrival until it was applied, and until its transaction was committed.
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
            deeds: Map::default(),
            applied: Histogram::new(DELAYS),
            committed: Histogram::new(DELAYS),
        }
    }
}

impl Tally {
    /// Counts effects that are published; changes caused by time may come so many milliseconds after their moment.
    pub fn take(&mut self, effects: &Effects, grace: Millis) {
        self.counts.add(&effects.counts);
        effects.changes.iter().for_each(|change| self.change(change, effects, grace));
    }

    fn change(&mut self, change: &Change, effects: &Effects, grace: Millis) {
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

    /// Begins at 0 what is likely to be counted under these rules: whoever computes rates from series misses the first step
    /// of one that was not there.
    pub fn announce(&mut self, rules: &Rules) {
        for target in &rules.targets {
            let name = target.name.as_str();
            self.add_deeds(name, None, &Deeds::default());
            for value in target.values() {
                self.add_deeds(name, Some(target.value_name(value)), &Deeds::default());
            }
            entry(&mut self.returned, name, || 0);
            if target.values().len() <= ANNOUNCED_MAX {
                self.announce_flows(target);
            }
        }
    }

    /// What a migration consists of.
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

    /// Records of an input topic.
    pub fn add_records(&mut self, topic: u16, records: u64) {
        let place = usize::from(topic);
        self.records.resize(self.records.len().max(place + 1), 0);
        self.records[place] += records;
    }

    pub fn add_deeds(&mut self, segmentation: &str, value: Option<&str>, deeds: &Deeds) {
        let value = ValueRef { segmentation, value: value.unwrap_or(NO_VALUE) };
        entry(&mut self.deeds, &value, Deeds::default).add(deeds);
    }

    /// Adds all of another one.
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
        for (value, deeds) in &other.deeds {
            entry(&mut self.deeds, &ValueRef::of(value), Deeds::default).add(deeds);
        }
        self.time_changes.add(&other.time_changes);
        self.applied.add(&other.applied);
        self.committed.add(&other.committed);
    }
}

/// The entry of a key, which is made into one that owns its text only at its first use.
fn entry<'m, 'k, K: Eq + Hash + From<&'k Q>, Q: Hash + Equivalent<K> + ?Sized, V>(
    map: &'m mut Map<K, V>,
    key: &'k Q,
    fresh: impl FnOnce() -> V,
) -> &'m mut V {
    match map.entry_ref(key) {
        EntryRef::Occupied(known) => known.into_mut(),
        EntryRef::Vacant(place) => place.insert_with_key(key.into(), fresh()),
    }
}

/// Hashes a few short names at once.
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

/// As the owned one does.
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
