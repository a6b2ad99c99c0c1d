//! The real worker on the log in memory: batches, crashes, transactions with unknown outcome, refusals.

use crate::support::events::{DAY, Line, OPENING, RULES, shop};
use crate::support::memory::{self, ID, run_to_end};
use shoal::engine::calendar::rfc3339_text;
use shoal::kafka::memory::{Break, Cluster, MemoryLog, Stored};
use shoal::kafka::{Failure, Own, Topic};
use shoal::random::Random;
use shoal::worker::journal::{JournalRecord, Operation};
use shoal::worker::{Worker, WorkerConfig};
use std::sync::Arc;

const SHARDS: u32 = 4;

fn config(rules: &str) -> WorkerConfig {
    memory::config("events", SHARDS, rules)
}

fn cluster_of(lines: &[Line]) -> Cluster {
    memory::cluster_of(lines, SHARDS)
}

fn append(cluster: &Cluster, line: &Line) {
    memory::append(cluster, line, SHARDS);
}

fn worker(cluster: &Cluster, batch_max: usize) -> Worker<MemoryLog> {
    memory::worker(cluster, batch_max, config(RULES))
}

fn worker_with(cluster: &Cluster, batch_max: usize, rules: &str) -> Worker<MemoryLog> {
    memory::worker(cluster, batch_max, config(rules))
}

fn all(cluster: &Cluster, own: Own) -> Vec<Arc<Stored>> {
    memory::all(cluster, own, SHARDS)
}

fn expected(lines: &[Line]) -> Cluster {
    let cluster = cluster_of(lines);
    run_to_end(&mut worker(&cluster, 4_096)).unwrap();
    cluster
}

fn assert_same(cluster: &Cluster, expected: &Cluster, what: &str) {
    memory::views(cluster, SHARDS).assert_same(&memory::views(expected, SHARDS), what);
    check_bookkeeping(cluster, what);
}

/// Journals and outputs are numbered without gaps, copies of journal records are where they should be, and the group's
/// offsets are at the end.
fn check_bookkeeping(cluster: &Cluster, what: &str) {
    for shard in 0..SHARDS {
        let mut outputs = 0;
        let mut positions = Vec::new();
        for (index, stored) in cluster.records(Topic::Own(Own::Journal), shard).iter().enumerate() {
            let record = JournalRecord::read(stored.value.as_deref().unwrap()).unwrap();
            assert_eq!((record.shard, record.transaction), (shard, index as u64 + 1), "{what}");
            assert_eq!(record.outputs_before, outputs, "{what}");
            outputs += record.outputs;
            positions = record.positions;
        }
        assert_eq!(positions, [cluster.records(Topic::Input(0), shard).len() as i64], "{what}");
        assert_eq!(cluster.committed(0, shard), Some(positions[0]), "{what}");
        let mut numbers: Vec<u64> = Vec::new();
        for own in [Own::Changes, Own::Membership, Own::Rejected] {
            let mut transaction_before = String::new();
            for stored in cluster.records(Topic::Own(own), shard) {
                let out = header(&stored, "shoal_out").unwrap();
                let parts: Vec<&str> = out.split('/').collect();
                assert_eq!(parts[0], shard.to_string(), "{what}");
                numbers.push(parts[2].parse().unwrap());
                let is_first = transaction_before != parts[1];
                assert_eq!(header(&stored, "shoal_journal").is_some(), is_first, "{what}: {out}");
                transaction_before = parts[1].to_owned();
            }
        }
        numbers.sort_unstable();
        assert!(
            numbers.iter().copied().eq(1..=outputs),
            "{what}: outputs of shard {shard} are not numbered 1 to {outputs}"
        );
    }
}

fn header(stored: &Stored, name: &str) -> Option<String> {
    let found = stored.headers.iter().find(|(header, _)| header == name);
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

#[test]
fn the_size_of_batches_does_not_matter() {
    let lines = shop(1, 60, 3_000);
    let expected = expected(&lines);
    assert!(memory::views(&expected, SHARDS).changes.len() > 50, "the shop must cause changes");
    for batch_max in [1, 7, 256, 1_000] {
        let cluster = cluster_of(&lines);
        run_to_end(&mut worker(&cluster, batch_max)).unwrap();
        assert_same(&cluster, &expected, &format!("batches of {batch_max}"));
    }
}

#[test]
fn crashes_and_indefinite_transactions_change_nothing() {
    let lines = shop(2, 60, 3_000);
    let expected = expected(&lines);
    for seed in 0..8 {
        let mut random = Random(seed);
        let cluster = cluster_of(&[]);
        let mut fed = lines.iter();
        let (mut crashes, mut broken_at) = (0, 0);
        let mut working = worker(&cluster, 100);
        loop {
            // The other records arrive only after the last crash, so that there is always work after a crash.
            fed.by_ref().take(random.below(200) as usize).for_each(|line| append(&cluster, line));
            match random.below(8) {
                0 if crashes < 10 => {
                    crashes += 1;
                    drop(working);
                    working = worker(&cluster, 1 + random.below(300) as usize);
                }
                // One failure at a time: a worker waits longer after each in a row.
                kind @ 1..4 if cluster.transactions() > broken_at => {
                    broken_at = cluster.transactions();
                    cluster.break_publish(ID, if kind == 1 { Break::Lost } else { Break::AnswerLost });
                }
                _ => {}
            }
            for _ in 0..random.below(4) {
                working.turn().unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
            }
            if fed.len() == 0 && crashes == 10 {
                break;
            }
        }
        assert!(broken_at > 5, "seed {seed}: transactions must have been broken");
        run_to_end(&mut working).unwrap();
        assert_same(&cluster, &expected, &format!("seed {seed}"));
    }
}

#[test]
fn recovery_gives_the_same_digests_and_publishes_nothing() {
    let lines = shop(3, 40, 2_000);
    let cluster = expected(&lines);
    let (transactions, changes) = (cluster.transactions(), all(&cluster, Own::Changes).len());
    let mut again = worker(&cluster, 4_096);
    run_to_end(&mut again).unwrap();
    assert_eq!((cluster.transactions(), all(&cluster, Own::Changes).len()), (transactions, changes));
    assert!(again.counts().records == 2_000, "all records were replayed");
}

#[test]
fn a_changed_record_is_noticed_and_the_transaction_named() {
    let lines = shop(4, 40, 2_000);
    let cluster = expected(&lines);
    let records = cluster.records(Topic::Input(0), 2);
    let other = String::from_utf8(records[5].value.clone().unwrap()).unwrap().replace("c-000", "c-999");
    cluster.replace(Topic::Input(0), 2, 5, other.as_bytes());
    let Err(Failure::Stop(message)) = run_to_end(&mut worker(&cluster, 4_096)) else { panic!("not noticed") };
    assert!(message.contains("shard 2, transaction 2") && message.contains("digest"), "{message}");

    cluster.replace(Topic::Input(0), 2, 5, b"of another length");
    let Err(Failure::Stop(message)) = run_to_end(&mut worker(&cluster, 4_096)) else { panic!("not noticed") };
    assert!(
        message.contains("shard 2, transaction 2") && message.contains("differ from those that the journal describes"),
        "{message}"
    );
}

#[test]
fn group_offsets_are_repaired_or_refused() {
    let lines = shop(5, 40, 1_000);
    let cluster = expected(&lines);
    let end = cluster.committed(0, 1).unwrap();
    cluster.set_committed(0, 1, Some(end - 3));
    cluster.set_committed(0, 3, None);
    run_to_end(&mut worker(&cluster, 4_096)).unwrap();
    assert_eq!(cluster.committed(0, 1), Some(end));
    check_bookkeeping(&cluster, "after the repair");

    cluster.set_committed(0, 1, Some(end + 1));
    let Err(Failure::Stop(message)) = run_to_end(&mut worker(&cluster, 4_096)) else { panic!("not refused") };
    assert!(message.contains("group offsets ahead of the journal"), "{message}");
}

#[test]
fn a_log_of_other_inputs_is_refused() {
    let cluster = expected(&shop(6, 10, 100));
    let mut config = config(RULES);
    config.inputs = vec!["others".into()];
    let mut worker = Worker::new(cluster.worker(ID, vec![0, 1, 2, 3]), config);
    let Err(Failure::Stop(message)) = run_to_end(&mut worker) else { panic!("not refused") };
    assert!(message.contains("[\"events\"] with 4 partitions; configured are [\"others\"]"), "{message}");
}

#[test]
fn new_rules_are_published_once_and_sweep_once() {
    let lines = shop(7, 2_500, 3_500);
    let renamed = RULES.replace("dormant", "asleep");
    let expected = expected(&lines);
    run_to_end(&mut worker_with(&expected, 4_096, &renamed)).unwrap();
    assert_eq!(expected.records(Topic::Own(Own::Control), 0).len(), 3, "inputs and two files of rules");
    assert!(
        all(&expected, Own::Changes).iter().any(|change| {
            String::from_utf8_lossy(change.value.as_deref().unwrap()).contains("\"cause\":\"rules\"")
        })
    );
    for seed in 0..4 {
        let mut random = Random(seed);
        let cluster = cluster_of(&lines);
        run_to_end(&mut worker(&cluster, 4_096)).unwrap();
        let mut working = worker_with(&cluster, 4_096, &renamed);
        for _ in 0..6 {
            // Crashes while the sweep is under way.
            for _ in 0..random.below(4) {
                working.turn().unwrap();
            }
            working = worker_with(&cluster, 4_096, &renamed);
        }
        run_to_end(&mut working).unwrap();
        assert_same(&cluster, &expected, &format!("seed {seed}"));
    }
}

/// Without ticks, too, and long after the last record was applied.
#[test]
fn changes_by_new_rules_have_the_wall_clock_of_their_evaluation() {
    let cluster = expected(&shop(11, 400, 600));
    let restart = OPENING + 500 * DAY;
    assert!(cluster.clock() < restart);
    cluster.set_clock(restart);
    run_to_end(&mut worker_with(&cluster, 4_096, &RULES.replace("dormant", "asleep"))).unwrap();
    let changes = all(&cluster, Own::Changes);
    let changes = changes.iter().map(|change| String::from_utf8_lossy(change.value.as_deref().unwrap()));
    let by_rules: Vec<_> = changes.filter(|change| change.contains("\"cause\":\"rules\"")).collect();
    let moment = rfc3339_text(restart);
    let detected = format!("\"detected_at\":\"{}\"", String::from_utf8_lossy(&moment));
    assert!(!by_rules.is_empty());
    by_rules.iter().for_each(|change| assert!(change.contains(&detected), "expected {detected}: {change}"));
}

#[test]
fn a_worker_without_shard_0_waits_for_rules() {
    let lines = shop(8, 40, 500);
    let cluster = cluster_of(&lines);
    let mut second = Worker::new(cluster.worker("shoal-test-1", vec![2, 3]), config(RULES));
    for _ in 0..5 {
        second.turn().unwrap();
    }
    assert!(!second.is_idle());
    assert!(second.shards().all(|held| held.shard().is_none()));
    let mut first = Worker::new(cluster.worker(ID, vec![0, 1]), config(RULES));
    run_to_end(&mut first).unwrap();
    run_to_end(&mut second).unwrap();
    assert_same(&cluster, &expected(&lines), "two workers");
}

#[test]
fn a_fenced_worker_comes_back_and_repeats_nothing() {
    let lines = shop(9, 40, 1_000);
    let cluster = cluster_of(&lines[..500]);
    let mut first = worker(&cluster, 100);
    run_to_end(&mut first).unwrap();
    let mut usurper = worker(&cluster, 100);
    run_to_end(&mut usurper).unwrap();
    drop(usurper);
    lines[500..].iter().for_each(|line| append(&cluster, line));
    run_to_end(&mut first).unwrap();
    assert_same(&cluster, &expected(&lines), "fenced in between");
}

#[test]
fn the_wall_clock_fires_deadlines_and_recovery_repeats_them() {
    let rules = RULES.replace("clock = \"events\"", "clock = \"wall\"");
    let cluster = cluster_of(&shop(10, 40, 1_000));
    let mut working = worker_with(&cluster, 4_096, &rules);
    run_to_end(&mut working).unwrap();
    let before = all(&cluster, Own::Changes).len();
    // Every customer becomes inactive within half a year.
    cluster.set_clock(OPENING + 800 * DAY);
    run_to_end(&mut working).unwrap();
    let digests: Vec<u64> = working.shards().map(|held| held.digest()).collect();
    let by_time = all(&cluster, Own::Changes).split_off(before);
    assert!(!by_time.is_empty());
    let ticks = |record: &Arc<Stored>| {
        let record = JournalRecord::read(record.value.as_deref().unwrap()).unwrap();
        record.operations.iter().filter(|operation| matches!(operation, Operation::Tick(_))).count()
    };
    assert!(all(&cluster, Own::Journal).iter().map(ticks).sum::<usize>() >= SHARDS as usize);
    let mut again = worker_with(&cluster, 4_096, &rules);
    // The assignment, and then one shard per round.
    (0..=SHARDS).for_each(|_| again.turn().unwrap());
    assert_eq!(again.shards().map(|held| held.digest()).collect::<Vec<_>>(), digests);
}
