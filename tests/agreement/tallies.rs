//! The counts that a shard maintains incrementally, compared with a walk over all its customers.

use shoal::engine::event::{DAY, HOUR, Millis, NEVER};
use shoal::engine::profile::HeldValue;
use shoal::engine::rule::Target;
use shoal::engine::shard::{ActionCounts, Shard};
use std::collections::BTreeMap;

/// Deadlines are counted in buckets of 2^20 milliseconds.
const BUCKET_BITS: u32 = 20;

type Members = BTreeMap<(String, bool, Option<String>), u64>;

fn add(members: &mut Members, target: &Target, value: u16, count: u64) {
    let name = (value != HeldValue::NULL).then(|| target.value_name(value).to_owned());
    *members.entry((target.name.clone(), target.is_audience(), name)).or_default() += count;
}

/// # Panics
/// If a count differs from that of the walk.
pub fn compare(shard: &Shard) {
    let mut counted = Members::new();
    shard.member_counts(|target, value, count| add(&mut counted, target, value, u64::from(count)));
    counted.retain(|_, count| *count > 0);
    let (profiles, generation) = (shard.profiles(), shard.head().generation);
    let (mut walked, mut held, mut armed) = (Members::new(), Vec::new(), Vec::new());
    for row in profiles.rows() {
        let is_swept = profiles.row(row).generation == generation;
        let rules = if is_swept { &**shard.rules() } else { shard.old_rules().expect("a sweep goes on") };
        profiles.held(row, &mut held);
        rules.targets.iter().zip(&held).for_each(|(target, held)| add(&mut walked, target, held.value, 1));
        armed.push(profiles.row(row).armed);
    }
    assert_eq!(counted, walked);
    for ms in [HOUR, DAY, 7 * DAY, 400 * DAY] {
        let bucket = |moment: Millis| moment.max(0) >> BUCKET_BITS;
        let end = bucket(shard.watermark().saturating_add(ms));
        let due = armed.iter().filter(|armed| **armed != NEVER && bucket(**armed) <= end).count() as u64;
        assert_eq!(shard.due_within(ms), due, "within {ms} ms");
    }
}

/// The number of orders since the last call. Every action is counted once for each target.
pub fn take_orders(shard: &mut Shard) -> u64 {
    let mut by_target: BTreeMap<String, ActionCounts> = BTreeMap::new();
    shard.take_actions(|target, _, actions| by_target.entry(target.name.clone()).or_default().add(&actions));
    let all: Vec<&ActionCounts> = by_target.values().collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{by_target:?}");
    assert!(all.is_empty() || all.len() == shard.rules().targets.len(), "{by_target:?}");
    all.first().map_or(0, |deeds| deeds.orders)
}

/// As long as no customer was removed, the customers' counts of orders add up to all orders.
pub fn compare_orders(shard: &Shard, orders: u64) {
    let profiles = shard.profiles();
    if shard.head().customers_made as usize == profiles.len() {
        assert_eq!(orders, profiles.rows().map(|row| u64::from(profiles.row(row).placed)).sum::<u64>());
    }
}
