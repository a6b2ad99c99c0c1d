//! Topics and snapshots that earlier versions wrote (`tests/golden`): this version continues after an orderly stop,
//! replays journals of its own semantics, and refuses to replay those of others.

use crate::support::golden::{self, Golden};
use crate::support::memory::{self, golden_cluster, golden_worker, run_to_end};
use shoal::kafka::memory::{Cluster, MemoryLog};
use shoal::kafka::{Failure, Own, Topic};
use shoal::store::columns::FORMAT;
use shoal::store::load;
use shoal::store::objects::MemoryObjects;
use shoal::worker::Worker;
use shoal::worker::journal::SEMANTICS;
use xxhash_rust::xxh3::xxh3_64;

/// All folders; the last one is of the present version.
const GOLDEN: [&str; 2] = ["journal-4", PRESENT];
const PRESENT: &str = "journal-5";

fn golden(name: &str) -> Golden {
    Golden::read(&golden::folder(name))
}

fn refusal(worker: &mut Worker<MemoryLog>) -> String {
    match run_to_end(worker) {
        Err(Failure::Stop(message)) => message,
        other => panic!("not refused: {other:?}"),
    }
}

/// Rewrites the last journal record of each shard, as if another version had written it.
fn set_semantics(cluster: &Cluster, shards: u32, semantics: u8) {
    for shard in 0..shards {
        let journal = Topic::Own(Own::Journal);
        let last = cluster.records(journal, shard).pop().unwrap();
        let mut bytes = last.value.clone().unwrap();
        bytes[1] = semantics;
        let end = bytes.len() - 8;
        let checksum = xxh3_64(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        cluster.replace(journal, shard, last.offset, &bytes);
    }
}

#[test]
fn a_journal_of_another_version_is_refused() {
    for (semantics, version) in [(3, "an earlier, unreleased version"), (6, "a later version")] {
        let golden = golden(PRESENT);
        let (cluster, objects) = (golden_cluster(&golden), golden::objects(&golden::folder(PRESENT)));
        set_semantics(&cluster, golden.partitions, semantics);
        let message = refusal(&mut golden_worker(&golden, &cluster, &objects));
        assert!(message.starts_with("journal of shard 0, offset "), "{message}");
        assert!(message.contains(&format!("semantics version {semantics}, of {version} of Shoal")), "{message}");
    }
}

/// Whether the fingerprints of the present version are those of the folder: a state with more parts has another one.
/// States of earlier formats are compared value by value in `tests/integration/snapshots/golden.rs`.
fn is_of_present_format(objects: &MemoryObjects) -> bool {
    let newest = load::transactions(objects, 0, u64::MAX).unwrap()[0];
    load::manifest(objects, 0, newest).unwrap().format == FORMAT
}

#[test]
fn golden_snapshots_are_read_and_give_their_state() {
    for name in GOLDEN {
        let golden = golden(name);
        let objects = golden::objects(&golden::folder(name));
        let fingerprints = memory::fingerprints(&golden, &objects);
        assert_eq!(fingerprints.len(), golden.partitions as usize, "{name}");
        if is_of_present_format(&objects) {
            assert_eq!(fingerprints, golden.fingerprints, "{name}");
        }
        let cluster = golden_cluster(&golden);
        run_to_end(&mut golden_worker(&golden, &cluster, &objects))
            .unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

#[test]
fn golden_journals_are_replayed() {
    assert_eq!(PRESENT, format!("journal-{SEMANTICS}"));
    let golden = golden(PRESENT);
    let cluster = golden_cluster(&golden);
    let mut again = golden_worker(&golden, &cluster, &MemoryObjects::default());
    (0..=golden.partitions).for_each(|_| again.turn().unwrap());
    assert!(again.counts().records > 0);
    let found: Vec<u64> = again.shards().map(|owned| owned.shard().unwrap().fingerprint()).collect();
    let objects = golden::objects(&golden::folder(PRESENT));
    // From older snapshots less is known than from the journal.
    if is_of_present_format(&objects) {
        assert_eq!(found, golden.fingerprints);
        assert_eq!(found, memory::fingerprints(&golden, &objects));
    }
}

#[test]
fn after_an_orderly_stop_nothing_is_replayed() {
    for name in GOLDEN {
        let golden = golden(name);
        let (cluster, objects) = (golden_cluster(&golden), golden::objects(&golden::folder(name)));
        let mut again = golden_worker(&golden, &cluster, &objects);
        (0..=golden.partitions).for_each(|_| again.turn().unwrap());
        assert_eq!(again.counts().records, 0, "{name}");
        if is_of_present_format(&objects) {
            let found: Vec<u64> = again.shards().map(|owned| owned.shard().unwrap().fingerprint()).collect();
            assert_eq!(found, golden.fingerprints, "{name}");
        }
    }
}

#[test]
fn a_journal_of_older_semantics_is_not_replayed() {
    for name in GOLDEN.into_iter().filter(|name| *name != PRESENT) {
        let golden = golden(name);
        let message = refusal(&mut golden_worker(&golden, &golden_cluster(&golden), &MemoryObjects::default()));
        assert!(message.contains("shard 0, transaction 1: "), "{message}");
        assert!(
            message.contains(&format!("semantics version {}; this program replays", golden.semantics)),
            "{message}"
        );
        assert!(message.contains("stop it in order") && message.contains("`shoal rebuild`"), "{message}");
    }
}
