//! `traceparent` on the log in memory: a change carries the header of the record that triggered it, also when it is
//! published again.

use crate::support::events::{DAY, OPENING, RULES, shop};
use crate::support::memory::{self, ID, config, run_to_end, worker};
use serde_json::Value;
use shoal::kafka::memory::{Cluster, Stored};
use shoal::kafka::{Own, Topic};
use shoal::worker::journal::JournalRecord;
use std::collections::BTreeMap;
use std::sync::Arc;

const SHARDS: u32 = 2;
const NAME: &str = "traceparent";
const CHANGES: Own = Own::Changes;

/// The header of the n-th event: every third has none, every fifth an invalid one.
fn header(n: usize) -> Option<String> {
    match n {
        n if n.is_multiple_of(3) => None,
        n if n.is_multiple_of(5) => Some(format!("00-{n:032x}-{n:016X}Z-01")),
        n => Some(format!("00-{n:032x}-{n:016x}-0{}", n % 2)),
    }
}

fn is_good(n: usize) -> bool {
    !n.is_multiple_of(3) && !n.is_multiple_of(5)
}

/// A cluster after a complete run, and the expected header of each input record's changes, by partition and offset.
fn done(seed: u64) -> (Cluster, BTreeMap<(u32, i64), Option<String>>) {
    let cluster = Cluster::new(SHARDS);
    cluster.set_clock(OPENING + 400 * DAY);
    let mut expected = BTreeMap::new();
    for (n, line) in shop(seed, 40, 2_000).into_iter().enumerate() {
        let partition = line.partition(SHARDS);
        let offset = cluster.end(Topic::Input(0), partition);
        let headers = header(n).map(|value| (NAME.to_owned(), value.into_bytes()));
        // Other headers are before and after it.
        let headers = [Some(("other".to_owned(), vec![0xff])), headers].into_iter().flatten().collect();
        let stored =
            Stored { offset, timestamp: Some(line.time), key: line.key, value: line.value, headers, writer: None };
        cluster.store(Topic::Input(0), partition, stored);
        expected.insert((partition, offset), header(n).filter(|_| is_good(n)));
    }
    run_to_end(&mut worker(&cluster, 300, config("events", SHARDS, RULES))).unwrap();
    (cluster, expected)
}

fn carried(change: &Stored) -> Vec<String> {
    let own = change.headers.iter().filter(|(name, _)| name == NAME);
    own.map(|(_, value)| String::from_utf8(value.clone()).unwrap()).collect()
}

/// The number of changes with the header; panics if one has another header than its trigger.
fn check(cluster: &Cluster, expected: &BTreeMap<(u32, i64), Option<String>>) -> usize {
    let mut carrying = 0;
    for change in memory::all(cluster, CHANGES, SHARDS) {
        let value: Value = serde_json::from_slice(change.value.as_deref().unwrap()).unwrap();
        let trigger = &value["trigger"];
        let number = |name: &str| trigger[name].as_i64().unwrap();
        let due = match trigger.is_null() {
            true => None,
            false => expected[&(number("partition") as u32, number("offset"))].clone(),
        };
        assert_eq!(carried(&change), Vec::from_iter(due), "{value}");
        carrying += carried(&change).len();
    }
    carrying
}

#[test]
fn a_change_carries_the_traceparent_of_its_trigger_and_no_other() {
    let (cluster, expected) = done(31);
    let carrying = check(&cluster, &expected);
    let changes = memory::all(&cluster, CHANGES, SHARDS).len();
    assert!(carrying > 50 && carrying < changes, "{carrying} of {changes} changes");
    let others = [Own::Membership, Own::Rejected, Own::Journal].map(|own| memory::all(&cluster, own, SHARDS));
    assert!(others.iter().flatten().all(|record| carried(record).is_empty()));
}

#[test]
fn what_is_published_again_carries_it_as_well() {
    let mut repaired = 0;
    for seed in 31..36 {
        let (cluster, expected) = done(seed);
        let before = contents(&cluster);
        for shard in 0..SHARDS {
            let changes = Topic::Own(CHANGES);
            let (last, end) = (changes_of_last(&cluster, shard), cluster.records(changes, shard).len() as i64);
            cluster.truncate(changes, shard, end - last);
            repaired += last;
        }
        run_to_end(&mut worker(&cluster, 4_096, config("events", SHARDS, RULES))).unwrap();
        assert_eq!(contents(&cluster), before, "seed {seed}");
        check(&cluster, &expected);
    }
    assert!(repaired > 5, "{repaired} changes were lost: the test shows nothing");
}

/// Keys, values and headers of all changes, except the copy of a journal record.
fn contents(cluster: &Cluster) -> Vec<Stored> {
    let content = |stored: Arc<Stored>| {
        let mut stored = Stored { offset: 0, timestamp: None, writer: None, ..Stored::clone(&stored) };
        stored.headers.retain(|(name, _)| name != "shoal_journal");
        stored
    };
    memory::all(cluster, CHANGES, SHARDS).into_iter().map(content).collect()
}

fn changes_of_last(cluster: &Cluster, shard: u32) -> i64 {
    let journal = cluster.records(Topic::Own(Own::Journal), shard);
    let last = JournalRecord::read(journal.last().unwrap().value.as_deref().unwrap()).unwrap();
    assert_eq!(last.transactional_id, ID);
    let prefix = format!("{shard}/{}/", last.transaction);
    let is_of = |stored: &Arc<Stored>| {
        stored.headers.iter().any(|(name, value)| name == "shoal_out" && value.starts_with(prefix.as_bytes()))
    };
    cluster.records(Topic::Own(CHANGES), shard).into_iter().filter(is_of).count() as i64
}
