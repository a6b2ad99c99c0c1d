//! What older versions left behind, tried on this one (`tests/golden`): it goes on from an orderly stop, and says how
//! to go on from any other.

use crate::support::golden::{self, Golden};
use crate::support::memory::{self, ID, golden_cluster, golden_job, golden_worker, run_to_end};
use shoal::kafka::memory::{Cluster, MemoryLog, Stored};
use shoal::kafka::{Failure, Own, Topic};
use shoal::store::SnapshotWriter;
use shoal::store::objects::MemoryObjects;
use shoal::worker::journal::{JournalRecord, SEMANTICS};
use shoal::worker::{Rebuild, Worker};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use xxhash_rust::xxh3::xxh3_64;

/// Those with snapshots.
const WITH_SNAPSHOTS: [&str; 1] = [NEWEST];
/// Of this version.
const NEWEST: &str = "journal-4";

fn golden(name: &str) -> Golden {
    Golden::read(&golden::folder(name))
}

fn refusal(worker: &mut Worker<MemoryLog>) -> String {
    match run_to_end(worker) {
        Err(Failure::Stop(message)) => message,
        other => panic!("not refused: {other:?}"),
    }
}

/// As if an older version had written the last journal record of each shard.
fn age(cluster: &Cluster, shards: u32, semantics: u8) {
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

/// What each customer is in, from the membership topic.
fn members(cluster: &Cluster, shards: u32) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut members = BTreeMap::new();
    for stored in memory::all(cluster, Own::Membership, shards) {
        let id = String::from_utf8(stored.key.clone().unwrap()).unwrap();
        let Some(value) = &stored.value else {
            members.remove(&id);
            continue;
        };
        let value: serde_json::Value = serde_json::from_slice(value).unwrap();
        let of = |kind: &str, what: &str| -> Vec<(String, String)> {
            value[kind].as_object().unwrap().iter().map(|(name, held)| (name.clone(), held[what].to_string())).collect()
        };
        members.insert(id, of("segments", "value").into_iter().chain(of("audiences", "in")).collect());
    }
    members
}

/// Every customer's changes are numbered on without a gap.
fn assert_contiguous(cluster: &Cluster, shards: u32) {
    let mut last: BTreeMap<(Vec<u8>, i64), u64> = BTreeMap::new();
    for stored in memory::all(cluster, Own::Changes, shards) {
        let change: serde_json::Value = serde_json::from_slice(stored.value.as_deref().unwrap()).unwrap();
        let life = (stored.key.clone().unwrap(), change["life"].as_i64().unwrap());
        let sequence = change["sequence"].as_u64().unwrap();
        let before = last.insert(life, sequence);
        assert_eq!(sequence, before.map_or(1, |before| before + 1), "{change}");
    }
}

fn last_record(cluster: &Cluster, shard: u32) -> JournalRecord {
    let journal: Vec<Arc<Stored>> = cluster.records(Topic::Own(Own::Journal), shard);
    JournalRecord::read(journal.last().unwrap().value.as_deref().unwrap()).unwrap()
}

#[test]
fn a_journal_that_must_be_replayed_under_older_semantics_is_refused_with_what_to_do() {
    let golden = golden("journal-2");
    assert_eq!(golden.semantics, 2);
    let message = refusal(&mut golden_worker(&golden, &golden_cluster(&golden), &MemoryObjects::default()));
    assert!(message.contains("shard 0, transaction 1") && message.contains("semantics version 2"), "{message}");
    assert!(message.contains("`shoal rebuild`"), "{message}");
}

#[test]
fn what_an_older_version_left_is_made_anew() {
    let golden = golden("journal-2");
    let (cluster, objects) = (golden_cluster(&golden), MemoryObjects::default());
    let (job, stop) = (golden_job(&golden), AtomicBool::new(false));
    let mut log = cluster.worker(ID, (0..golden.partitions).collect());
    let mut writer = SnapshotWriter::new(objects.clone(), 2, 3);
    let mut rebuild = Rebuild::new(&mut log, &mut writer, &job, &stop);
    let plans = rebuild.plan().unwrap();
    let output = plans[1].to_string();
    assert!(
        output.starts_with("shard 1: the journal ends with transaction 2; the state is made from golden-events"),
        "{output}"
    );
    rebuild.carry_out(&plans).unwrap();

    let changes = memory::all(&cluster, Own::Changes, golden.partitions).len();
    run_to_end(&mut golden_worker(&golden, &cluster, &objects)).unwrap();
    assert_contiguous(&cluster, golden.partitions);
    // Nothing differs from what was published; what fell due since the stop follows.
    for change in memory::all(&cluster, Own::Changes, golden.partitions).split_off(changes) {
        let change: serde_json::Value = serde_json::from_slice(change.value.as_deref().unwrap()).unwrap();
        assert_eq!(change["cause"], "time", "{change}");
    }
    let fresh = Cluster::new(golden.inputs.len() as u16, golden.partitions);
    fresh.set_clock(cluster.clock());
    cluster.copy_inputs(&fresh, i64::MAX);
    run_to_end(&mut golden_worker(&golden, &fresh, &MemoryObjects::default())).unwrap();
    assert_eq!(members(&cluster, golden.partitions), members(&fresh, golden.partitions));
    assert_eq!(last_record(&cluster, 0).semantics, SEMANTICS);
}

#[test]
fn a_snapshot_at_the_journal_s_end_is_enough_however_old_the_journal_is() {
    let golden = golden("journal-2");
    let (then, objects) = (golden_cluster(&golden), MemoryObjects::default());
    // This version's own service, stopped in order, on the inputs of then.
    let own = Cluster::new(golden.inputs.len() as u16, golden.partitions);
    own.set_clock(then.clock());
    then.copy_inputs(&own, i64::MAX);
    let mut stopping = golden_worker(&golden, &own, &objects);
    run_to_end(&mut stopping).unwrap();
    stopping.finish().unwrap();
    let (expected, changes) = (digests(&stopping), memory::all(&own, Own::Changes, golden.partitions).len());
    drop(stopping);
    age(&own, golden.partitions, 2);

    let message = refusal(&mut golden_worker(&golden, &own, &MemoryObjects::default()));
    assert!(message.contains("semantics version 2"), "without snapshots: {message}");
    let mut again = golden_worker(&golden, &own, &objects);
    run_to_end(&mut again).unwrap();
    assert_eq!(digests(&again), expected);
    assert_eq!(memory::all(&own, Own::Changes, golden.partitions).len(), changes, "nothing is published again");
    assert_eq!(again.counts().records, 0, "nothing is done again");
}

fn digests(worker: &Worker<MemoryLog>) -> Vec<u64> {
    worker.shards().map(|held| held.digest()).collect()
}

#[test]
fn golden_snapshots_are_read_and_give_the_state_of_then() {
    for name in WITH_SNAPSHOTS {
        let golden = golden(name);
        let objects = golden::objects(&golden::folder(name));
        assert_eq!(golden.fingerprints.len(), golden.partitions as usize, "{name}");
        assert_eq!(memory::fingerprints(&golden, &objects), golden.fingerprints, "{name}");
        let cluster = golden_cluster(&golden);
        run_to_end(&mut golden_worker(&golden, &cluster, &objects))
            .unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

#[test]
fn golden_journals_are_done_again() {
    assert_eq!(NEWEST, format!("journal-{SEMANTICS}"));
    for name in WITH_SNAPSHOTS {
        let golden = golden(name);
        let cluster = golden_cluster(&golden);
        let mut again = golden_worker(&golden, &cluster, &MemoryObjects::default());
        (0..=golden.partitions).for_each(|_| again.turn().unwrap());
        assert!(again.counts().records > 0, "{name}");
        let found: Vec<u64> = again.shards().map(|held| held.shard().unwrap().fingerprint()).collect();
        assert_eq!(found, golden.fingerprints, "{name}");
    }
}
