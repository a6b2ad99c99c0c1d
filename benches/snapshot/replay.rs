//! The rate at which a journal is done again, beside the live rate of the same records on the same log in memory.

use super::Size;
use super::stream::{self, Stream};
use super::watched;
use shoal::engine::decode::{Partitioner, partition_of};
use shoal::kafka::memory::{Cluster, MemoryLog};
use shoal::worker::Worker;
use std::time::Instant;

const PARTITIONS: u32 = 8;
const ID: &str = "replayed";

pub fn measure(size: &Size) {
    let cluster = Cluster::new(PARTITIONS);
    let customers = size.replayed / 5;
    let mut stream = Stream::new(customers);
    stream.introduce_all();
    for part in [customers, size.replayed - customers] {
        for _ in 0..part {
            let line = &stream.prepare(1)[0];
            let key = &line[stream::key_of(line)];
            let partition = partition_of(Partitioner::Murmur2, key, PARTITIONS);
            cluster.append(0, partition, None, Some(key), Some(line));
        }
        stream.mix();
    }
    let worker = || Worker::new(cluster.worker(ID, (0..PARTITIONS).collect()), watched::config(PARTITIONS));
    let mut live = worker();
    let rate = |begin: Instant| size.replayed as f64 / begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    while !is_done(&live, size) {
        live.turn().expect("nothing fails in memory");
        if live.is_at_end() {
            live.finish().expect("nothing fails in memory");
        }
    }
    let live_rate = rate(begin);
    let digests = |worker: &Worker<MemoryLog>| worker.shards().map(|held| held.digest()).collect::<Vec<_>>();
    let expected = digests(&live);
    drop(live);
    let mut again = worker();
    let begin = Instant::now();
    while !is_done(&again, size) {
        again.turn().expect("nothing fails in memory");
    }
    let replay_rate = rate(begin);
    assert_eq!(digests(&again), expected, "the same state");
    println!(
        "{} records of {customers} customers: live {:.0} k/s, the journal again {:.0} k/s: {:.2} of the live rate (goal 1: {})",
        size.replayed,
        live_rate / 1e3,
        replay_rate / 1e3,
        replay_rate / live_rate,
        if replay_rate >= live_rate { "met" } else { "missed" }
    );
}

/// Whether all records are read and nothing is left to do.
fn is_done(worker: &Worker<MemoryLog>, size: &Size) -> bool {
    worker.is_idle() && worker.shards().map(|held| held.positions()[0] as u64).sum::<u64>() == size.replayed
}
