//! The real worker on a damaged log in memory: torn transactions, and an old rules file that is used again.

use crate::support::events::{RULES, shop};
use crate::support::memory::{self, run_to_end, worker};
use shoal::kafka::memory::{Cluster, Stored};
use shoal::kafka::{Failure, Own, Topic};
use shoal::worker::WorkerConfig;
use shoal::worker::journal::JournalRecord;
use std::sync::Arc;

const SHARDS: u32 = 4;

fn config(rules: &str) -> WorkerConfig {
    memory::config("events", SHARDS, rules)
}

/// A cluster after a complete run, and a shard whose last transaction has at least two changes.
fn done(seed: u64) -> (Cluster, u32) {
    let lines = shop(seed, 60, 3_000);
    let cluster = memory::cluster_of(&lines, SHARDS);
    run_to_end(&mut worker(&cluster, 400, config(RULES))).unwrap();
    let has_changes = |shard: &u32| {
        let last = last_record(&cluster, *shard);
        changes_of(&cluster, *shard, last.transaction).len() >= 2
    };
    let shard = (0..SHARDS).find(has_changes).expect("a shard whose last transaction has changes");
    (cluster, shard)
}

fn last_record(cluster: &Cluster, shard: u32) -> JournalRecord {
    let journal = cluster.records(Topic::Own(Own::Journal), shard);
    JournalRecord::read(journal.last().unwrap().value.as_deref().unwrap()).unwrap()
}

fn changes_of(cluster: &Cluster, shard: u32, transaction: u64) -> Vec<Arc<Stored>> {
    let prefix = format!("{shard}/{transaction}/");
    let is_of = |stored: &Arc<Stored>| {
        let out = stored.headers.iter().find(|(name, _)| name == "shoal_out").expect("a number");
        String::from_utf8_lossy(&out.1).starts_with(&prefix)
    };
    cluster.records(Topic::Own(Own::Changes), shard).into_iter().filter(is_of).collect()
}

fn contents(records: &[Arc<Stored>]) -> Vec<Stored> {
    let content = |stored: &Arc<Stored>| Stored { offset: 0, timestamp: None, writer: None, ..Stored::clone(stored) };
    records.iter().map(content).collect()
}

/// All published records, without time, producer and offset.
fn published(cluster: &Cluster) -> Vec<Vec<Stored>> {
    let topics = [Own::Changes, Own::Membership, Own::Rejected, Own::Journal];
    topics.map(|own| contents(&memory::all(cluster, own, SHARDS))).into()
}

#[test]
fn missing_outputs_of_the_last_transaction_are_published_again() {
    for seed in 0..4 {
        let (cluster, shard) = done(seed);
        let expected = published(&cluster);
        let changes = Topic::Own(Own::Changes);
        let memberships = Topic::Own(Own::Membership);
        let of_last = changes_of(&cluster, shard, last_record(&cluster, shard).transaction);
        // All of its changes and one membership, or only its last change.
        let lost = if seed % 2 == 0 { of_last.len() as i64 } else { 1 };
        cluster.truncate(changes, shard, cluster.records(changes, shard).len() as i64 - lost);
        if seed % 2 == 0 {
            cluster.truncate(memberships, shard, cluster.records(memberships, shard).len() as i64 - 1);
        }
        let mut again = worker(&cluster, 4_096, config(RULES));
        run_to_end(&mut again).unwrap();
        assert_eq!(again.torn_repaired(), 1, "seed {seed}");
        let mut found = published(&cluster);
        // The only difference: the first output that was published again carries a copy of the journal record too.
        let without_copy = |topics: &mut Vec<Vec<Stored>>| {
            let outputs = topics.iter_mut().flatten();
            outputs.for_each(|stored| stored.headers.retain(|(name, _)| name != "shoal_journal"));
        };
        let mut expected = expected;
        without_copy(&mut found);
        without_copy(&mut expected);
        assert_eq!(found, expected, "seed {seed}");
        let mut once_more = worker(&cluster, 4_096, config(RULES));
        run_to_end(&mut once_more).unwrap();
        assert_eq!(once_more.torn_repaired(), 0, "seed {seed}: it stays repaired");
    }
}

#[test]
fn outputs_without_journal_record_are_followed_by_it() {
    for seed in 0..4 {
        let (cluster, shard) = done(seed);
        let expected = published(&cluster);
        let journal = Topic::Own(Own::Journal);
        cluster.truncate(journal, shard, cluster.records(journal, shard).len() as i64 - 1);
        if seed % 2 == 0 {
            // Only the first output exists, too.
            let changes = Topic::Own(Own::Changes);
            cluster.truncate(changes, shard, cluster.records(changes, shard).len() as i64 - 1);
        }
        let mut again = worker(&cluster, 4_096, config(RULES));
        run_to_end(&mut again).unwrap();
        assert_eq!(again.torn_repaired(), 1, "seed {seed}");
        let (found, journal) = (published(&cluster), 3);
        assert_eq!(found[journal], expected[journal], "seed {seed}");
        let values = |topics: &[Vec<Stored>]| -> Vec<_> {
            topics.iter().flatten().map(|stored| (stored.key.clone(), stored.value.clone())).collect()
        };
        assert_eq!(values(&found), values(&expected), "seed {seed}");
    }
}

#[test]
fn a_journal_that_lost_records_is_refused() {
    let (cluster, shard) = done(9);
    let journal = Topic::Own(Own::Journal);
    cluster.truncate(journal, shard, cluster.records(journal, shard).len() as i64 - 2);
    let Err(Failure::Stop(message)) = run_to_end(&mut worker(&cluster, 4_096, config(RULES))) else {
        panic!("not refused")
    };
    assert!(
        message.contains(&format!("shard {shard}")) && message.contains("records of the journal are lost"),
        "{message}"
    );
}

/// Of two groups that start on the same new topics, the one whose record is first owns them.
#[test]
fn a_second_group_stops_before_it_publishes_rules_or_changes() {
    let lines = shop(9, 50, 400);
    let cluster = memory::cluster_of(&lines, SHARDS);
    let of_group = |group: &str| WorkerConfig { group: group.into(), ..config(RULES) };
    let mut first = worker(&cluster, 4_096, of_group("first"));
    // It reads the empty topic before the first group publishes its record.
    let mut second = worker(&cluster, 4_096, of_group("second"));
    while cluster.records(Topic::Own(Own::Control), 0).is_empty() {
        first.turn().unwrap();
    }
    let Err(Failure::Stop(message)) = run_to_end(&mut second) else { panic!("a second group works on the topics") };
    assert!(message.contains("belong to the group first, and the configured group is second"), "{message}");
    let control = cluster.records(Topic::Own(Own::Control), 0);
    assert!(control.iter().all(|record| !String::from_utf8_lossy(record.value.as_deref().unwrap()).contains("second")));
}

/// R6: the highest revision is in force, whatever was in force before.
#[test]
fn the_rules_with_the_highest_revision_are_in_force() {
    let lines = shop(8, 200, 1_000);
    let cluster = memory::cluster_of(&lines, SHARDS);
    let revised = |revision: u32, name: &str| format!("revision = {revision}\n{}", RULES.replace("dormant", name));
    let mut published = 1;
    for (rules, force, is_published, in_force) in [
        (revised(3, "asleep"), false, true, "asleep"),
        (revised(3, "asleep"), false, false, "asleep"),
        (revised(2, "away"), false, false, "asleep"),
        (RULES.to_owned(), false, false, "asleep"),
        // The same revision: new text is published, text that was replaced is not.
        (revised(3, "away"), false, true, "away"),
        (revised(3, "asleep"), false, false, "away"),
        (revised(3, "asleep"), true, true, "asleep"),
        (revised(2, "away"), true, true, "away"),
        (revised(4, "asleep"), false, true, "asleep"),
    ] {
        let config = WorkerConfig { force_rules: force, ..config(&rules) };
        run_to_end(&mut worker(&cluster, 4_096, config)).unwrap();
        published += usize::from(is_published);
        let control = cluster.records(Topic::Own(Own::Control), 0);
        let text = String::from_utf8_lossy(control.last().unwrap().value.as_deref().unwrap()).into_owned();
        assert_eq!((control.len(), text.contains(in_force)), (published, true), "{rules}");
    }
}

#[test]
fn rules_that_were_replaced_come_back_only_by_force() {
    let lines = shop(8, 200, 1_000);
    let cluster = memory::cluster_of(&lines, SHARDS);
    let renamed = RULES.replace("dormant", "asleep");
    let in_force = |cluster: &Cluster| {
        let control = cluster.records(Topic::Own(Own::Control), 0);
        String::from_utf8_lossy(control.last().unwrap().value.as_deref().unwrap()).contains("asleep")
    };
    for (rules, force, is_renamed, published) in [
        (RULES, false, false, 2),
        (&renamed, false, true, 3),
        // The old file again, as a second process might have it: the rules are not replaced.
        (RULES, false, true, 3),
        (&renamed, true, true, 3),
        (RULES, true, false, 4),
        (RULES, true, false, 4),
    ] {
        let config = WorkerConfig { force_rules: force, ..config(rules) };
        run_to_end(&mut worker(&cluster, 4_096, config)).unwrap();
        assert_eq!(in_force(&cluster), is_renamed);
        assert_eq!(cluster.records(Topic::Own(Own::Control), 0).len(), published);
    }
}
