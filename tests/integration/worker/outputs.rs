//! What a worker publishes by its settings, on the log in memory: memberships that are left out from the beginning or
//! from a moment on, also where a transaction was torn in between.

use crate::support::events::{Line, RULES, shop};
use crate::support::memory::{self, ID, run_to_end, worker};
use shoal::kafka::memory::{Cluster, Stored};
use shoal::kafka::{Failure, Own, Topic};
use shoal::store::SnapshotWriter;
use shoal::store::objects::MemoryObjects;
use shoal::worker::journal::JournalRecord;
use shoal::worker::{OutputSettings, Rebuild, WorkerConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const SHARDS: u32 = 2;

fn config(membership: bool) -> WorkerConfig {
    let output = OutputSettings { membership, ..OutputSettings::default() };
    WorkerConfig { output, ..memory::config("events", SHARDS, RULES) }
}

fn run(cluster: &Cluster, membership: bool) -> Result<u64, Failure> {
    let mut worker = worker(cluster, 300, config(membership));
    run_to_end(&mut worker)?;
    Ok(worker.torn_repaired())
}

/// The last value of each key.
fn memberships(cluster: &Cluster) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let records = memory::all(cluster, Own::Membership, SHARDS);
    records.iter().map(|stored| (stored.key.clone().expect("a key"), stored.value.clone())).collect()
}

/// Records without offset, time, headers and writer.
fn values(records: &[Arc<Stored>]) -> Vec<Stored> {
    let value =
        |stored: &Arc<Stored>| Stored { key: stored.key.clone(), value: stored.value.clone(), ..Stored::default() };
    records.iter().map(value).collect()
}

fn append(cluster: &Cluster, lines: &[Line]) {
    lines.iter().for_each(|line| memory::append(cluster, line, SHARDS));
}

fn journal(cluster: &Cluster, shard: u32) -> Vec<JournalRecord> {
    let records = cluster.records(Topic::Own(Own::Journal), shard);
    records.iter().map(|stored| JournalRecord::read(stored.value.as_deref().unwrap()).unwrap()).collect()
}

/// Every output of the journal is there, each number once.
fn assert_numbered(cluster: &Cluster) {
    for shard in 0..SHARDS {
        let of = |own| cluster.records(Topic::Own(own), shard);
        let outputs = [Own::Changes, Own::Membership, Own::Rejected].into_iter().flat_map(of);
        let number = |stored: Arc<Stored>| -> u64 {
            let header = stored.headers.iter().find(|(name, _)| name == "shoal_out").expect("a number");
            std::str::from_utf8(&header.1).unwrap().rsplit('/').next().unwrap().parse().unwrap()
        };
        let mut numbers: Vec<u64> = outputs.map(number).collect();
        numbers.sort_unstable();
        let last = journal(cluster, shard).last().map_or(0, |record| record.outputs_before + record.outputs);
        assert!(numbers.iter().copied().eq(1..=last), "shard {shard}: {numbers:?}, expected 1 to {last}");
    }
}

#[test]
fn without_memberships_the_changes_are_the_same_and_the_topic_only_has_tombstones() {
    let lines = shop(21, 60, 3_000);
    let [with, without] = [true, false].map(|membership| {
        let cluster = memory::cluster_of(&lines, SHARDS);
        run(&cluster, membership).unwrap();
        assert_numbered(&cluster);
        cluster
    });
    let changes = |cluster: &Cluster| values(&memory::all(cluster, Own::Changes, SHARDS));
    assert_eq!(changes(&with), changes(&without));
    let found = memory::all(&without, Own::Membership, SHARDS);
    assert!(!found.is_empty() && found.iter().all(|stored| stored.value.is_none()), "{} records", found.len());
    let gone = memory::all(&with, Own::Membership, SHARDS);
    let mut gone: Vec<_> =
        gone.iter().filter(|stored| stored.value.is_none()).map(|stored| stored.key.clone()).collect();
    let mut found: Vec<_> = found.iter().map(|stored| stored.key.clone()).collect();
    for keys in [&mut gone, &mut found] {
        keys.sort_unstable();
        keys.dedup();
    }
    assert!(gone.iter().all(|key| found.contains(key)), "each customer that left has a tombstone");
}

#[test]
fn a_membership_topic_that_is_given_up_is_told_by_all_that_would_need_it() {
    let lines = shop(22, 60, 3_000);
    let (first, rest) = lines.split_at(1_800);
    let cluster = memory::cluster_of(first, SHARDS);
    run(&cluster, true).unwrap();
    let before = memberships(&cluster);
    let records_before = memory::all(&cluster, Own::Membership, SHARDS).len();
    append(&cluster, rest);
    run(&cluster, false).unwrap();
    assert_numbered(&cluster);
    let later = &memory::all(&cluster, Own::Membership, SHARDS);
    let new = later.len() - records_before;
    assert!(new > 0 && later.iter().filter(|stored| stored.value.is_none()).count() >= new, "{new} new ones");
    let after = memberships(&cluster);
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(*value));
    assert!(
        changed.clone().count() > 0 && changed.clone().all(|(_, value)| value.is_none()),
        "only tombstones are new"
    );

    // Another start without memberships is none the wiser; one with them is refused.
    assert_eq!(run(&cluster, false), Ok(0));
    let Err(Failure::Stop(message)) = run(&cluster, true) else { panic!("not refused") };
    assert!(message.contains("`membership` is out of date") && message.contains("`membership = false`"), "{message}");
    let mut writer = SnapshotWriter::new(MemoryObjects::default(), 2, 9);
    let (mut log, config, stop) = (cluster.worker(ID, (0..SHARDS).collect()), config(false), AtomicBool::new(false));
    let Err(Failure::Stop(message)) = Rebuild::new(&mut log, &mut writer, &config, &stop).plan() else {
        panic!("not refused")
    };
    assert!(message.contains("values that the topic `membership` has, and those are out of date"), "{message}");
}

/// The last transaction was written with memberships, or without, and is repaired by a worker that is configured
/// otherwise or alike: the number of outputs in the journal says what was written.
#[test]
fn a_torn_transaction_is_repaired_as_it_was_written() {
    for (written, repaired) in [(true, true), (true, false), (false, false)] {
        let lines = shop(23, 60, 3_000);
        let cluster = memory::cluster_of(&lines, SHARDS);
        run(&cluster, written).unwrap();
        let topics = [Own::Changes, Own::Membership, Own::Journal];
        let expected = topics.map(|own| values(&memory::all(&cluster, own, SHARDS)));
        // The last outputs of a shard are lost: a change, and with it what follows in the same transaction.
        let shard = (0..SHARDS).find(|&shard| journal(&cluster, shard).last().is_some_and(|last| last.outputs > 0));
        let shard = shard.expect("a shard whose last transaction has outputs");
        let changes = Topic::Own(Own::Changes);
        cluster.truncate(changes, shard, cluster.records(changes, shard).len() as i64 - 1);
        if written {
            let memberships = Topic::Own(Own::Membership);
            cluster.truncate(memberships, shard, cluster.records(memberships, shard).len() as i64 - 1);
        }
        assert_eq!(run(&cluster, repaired), Ok(1), "written {written}, repaired {repaired}");
        assert_numbered(&cluster);
        let found = topics.map(|own| values(&memory::all(&cluster, own, SHARDS)));
        assert_eq!(found[..2], expected[..2], "written {written}, repaired {repaired}");
    }
}
