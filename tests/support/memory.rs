//! The worker on the log in memory: gives the answer with which others are compared.

use super::events::{DAY, Line, OPENING};
use super::golden::Golden;
use super::views::Views;
use shoal::engine::decode::{Partitioner, Source};
use shoal::engine::shard::{Bootstrap, Settings};
use shoal::kafka::memory::{Cluster, MemoryLog, Stored};
use shoal::kafka::{Failure, Own, StartAt, Topic};
use shoal::store::SnapshotWriter;
use shoal::store::objects::MemoryObjects;
use shoal::worker::{OutputSettings, Worker, WorkerConfig, control};
use std::sync::Arc;

/// The identity of the worker of [`worker`].
pub const ID: &str = "shoal-test-0";

pub fn config(input: &str, shards: u32, rules: &str) -> WorkerConfig {
    WorkerConfig {
        inputs: vec![input.into()],
        partitions: shards,
        shard: Settings {
            source: Source::Kafka { partitioner: Partitioner::Murmur2, partitions: shards },
            publish_from: None,
            bootstrap: Bootstrap::Nothing,
        },
        source: "/shoal/test".into(),
        output: OutputSettings::default(),
        start: StartAt::Earliest,
        rules: control::read_rules(rules.as_bytes()).expect("rules"),
        group: "test".into(),
        force_rules: false,
        commit_interval_ms: 0,
        max_changes_per_minute: 0,
    }
}

/// A cluster with these records, whose clock is long after them.
pub fn cluster_of(lines: &[Line], shards: u32) -> Cluster {
    let cluster = Cluster::new(shards);
    cluster.set_clock(OPENING + 400 * DAY);
    lines.iter().for_each(|line| append(&cluster, line, shards));
    cluster
}

pub fn append(cluster: &Cluster, line: &Line, shards: u32) {
    cluster.append(0, line.partition(shards), Some(line.time), line.key.as_deref(), line.value.as_deref());
}

/// A worker of all shards.
pub fn worker(cluster: &Cluster, batch_max: usize, config: WorkerConfig) -> Worker<MemoryLog> {
    let shards = (0..config.partitions).collect();
    Worker::new(cluster.worker(ID, shards).with_batch_max(batch_max), config)
}

/// Works until all inputs are read and everything is published.
pub fn run_to_end(worker: &mut Worker<MemoryLog>) -> Result<(), Failure> {
    for _ in 0..1_000_000 {
        worker.turn()?;
        if worker.is_idle() {
            return Ok(());
        }
        if !worker.shards().any(|held| held.has_slices()) {
            worker.finish()?;
        }
    }
    panic!("the worker does not come to an end");
}

/// The config of a golden service: its inputs and the rules that were in force in the end.
pub fn golden_config(golden: &Golden) -> WorkerConfig {
    let mut control = golden.records.iter().filter(|(topic, ..)| *topic == Topic::Own(Own::Control));
    let is_rules = |stored: &Stored| stored.key.as_deref().is_some_and(|key| key.starts_with(b"rules/"));
    let rules = control.rfind(|(.., stored)| is_rules(stored));
    let rules = String::from_utf8(rules.expect("rules").2.value.clone().expect("a file")).expect("text");
    let (inputs, group) = (golden.inputs.clone(), "golden".into());
    WorkerConfig { inputs, group, ..config(&golden.inputs[0], golden.partitions, &rules) }
}

/// A golden cluster, at the moment at which its service stopped.
pub fn golden_cluster(golden: &Golden) -> Cluster {
    let cluster = golden.cluster();
    cluster.set_clock(golden.records.iter().filter_map(|(.., stored)| stored.timestamp).max().expect("records"));
    cluster
}

/// A worker with snapshots of a golden service.
pub fn golden_worker(golden: &Golden, cluster: &Cluster, objects: &MemoryObjects) -> Worker<MemoryLog> {
    let writer = SnapshotWriter::new(objects.clone(), 2, 7);
    worker(cluster, 4_096, golden_config(golden)).with_snapshots(Box::new(writer), 60_000)
}

/// Fingerprints of the shards after a start from the snapshots, without replay.
pub fn fingerprints(golden: &Golden, objects: &MemoryObjects) -> Vec<u64> {
    let mut worker = golden_worker(golden, &golden_cluster(golden), objects);
    // The assignment takes one turn, each shard another.
    (0..=golden.partitions).for_each(|_| worker.turn().expect("a start"));
    assert_eq!(worker.counts().records, 0, "a snapshot stands at the journal's end");
    worker.shards().map(|held| held.shard().expect("a state").fingerprint()).collect()
}

/// What consumers see after all of these records.
pub fn expected(lines: &[Line], input: &str, shards: u32, rules: &str) -> Views {
    let cluster = cluster_of(lines, shards);
    run_to_end(&mut worker(&cluster, 4_096, config(input, shards, rules))).expect("nothing fails in memory");
    views(&cluster, shards)
}

pub fn views(cluster: &Cluster, shards: u32) -> Views {
    let [changes, membership, rejected] =
        [Own::Changes, Own::Membership, Own::Rejected].map(|own| all(cluster, own, shards));
    Views::new(pairs(&changes), pairs(&membership), pairs(&rejected))
}

/// Everything in a topic, partition by partition.
pub fn all(cluster: &Cluster, own: Own, shards: u32) -> Vec<Arc<Stored>> {
    (0..shards).flat_map(|shard| cluster.records(Topic::Own(own), shard)).collect()
}

fn pairs(stored: &[Arc<Stored>]) -> impl Iterator<Item = super::views::Record<'_>> {
    stored.iter().map(|stored| (stored.key.as_deref(), stored.value.as_deref()))
}
