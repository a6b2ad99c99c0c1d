//! What is counted: the bench's events, applied to a shard, and read and published by a worker on the log in memory.
//! Only this runs under valgrind. The events that make the customers are not counted, nor is the making of events.

use crate::crowd::{self, NOW};
use crate::stream::{self, Stream};
use crate::valgrind;
use shoal::engine::decode::{Partitioner, Source};
use shoal::engine::effects::Effects;
use shoal::engine::shard::{Bootstrap, Settings};
use shoal::kafka::memory::{Cluster, MemoryLog};
use shoal::kafka::{Own, StartAt, Topic};
use shoal::worker::{OutputSettings, Worker, WorkerConfig, control};
use std::ffi::CStr;

/// How much a measurement does.
struct Size {
    name: &'static CStr,
    customers: u64,
    events: u64,
}

const ENGINE: [Size; 2] = [
    Size { name: c"engine_1k", customers: 1_000, events: 20_000 },
    Size { name: c"engine_100k", customers: 100_000, events: 20_000 },
];
const WORKER: Size = Size { name: c"worker_1k", customers: 1_000, events: 20_000 };
/// Events of each customer before those that are counted, besides the first.
const HISTORY_PER_CUSTOMER: u64 = 4;

/// Does everything, and prints for each measurement its name with the numbers of events and changes.
pub fn all() {
    ENGINE.iter().for_each(engine);
    worker(&WORKER);
}

fn print(size: &Size, changes: u64) {
    println!("{} {} {changes}", size.name.to_str().expect("names are text"), size.events);
}

fn engine(size: &Size) {
    let mut effects = Effects::default();
    let (mut shard, mut stream) = crowd::with_history(size.customers, &mut effects);
    let mut changes = 0;
    valgrind::count(size.name, || {
        crowd::drive(&mut shard, &mut stream, size.events, &mut effects, |_, effects| {
            changes += effects.changes.len() as u64;
        });
    });
    print(size, changes);
}

fn worker(size: &Size) {
    let cluster = Cluster::new(1);
    cluster.set_clock(NOW);
    let mut stream = Stream::new(size.customers);
    let mut worker = Worker::new(cluster.worker("bench", vec![0]), config());
    stream.introduce_all();
    append(&cluster, &mut stream, size.customers);
    stream.mix();
    append(&cluster, &mut stream, HISTORY_PER_CUSTOMER * size.customers);
    run_to_end(&mut worker);
    let changes = || cluster.records(Topic::Own(Own::Changes), 0).len() as u64;
    let changes_before = changes();
    append(&cluster, &mut stream, size.events);
    valgrind::count(size.name, || run_to_end(&mut worker));
    print(size, changes() - changes_before);
}

fn append(cluster: &Cluster, stream: &mut Stream, events: u64) {
    for line in stream.prepare(events as usize) {
        cluster.append(0, 0, None, Some(&line[stream::key_of(line)]), Some(line));
    }
}

/// Works until all inputs are read and everything is published. Each round reads a batch, and publishes its changes in
/// a transaction, since the clock stands still.
#[inline(never)]
fn run_to_end(worker: &mut Worker<MemoryLog>) {
    for _ in 0..1_000_000 {
        worker.turn().expect("nothing fails in memory");
        if worker.is_idle() {
            return;
        }
    }
    panic!("the worker does not come to an end");
}

fn config() -> WorkerConfig {
    WorkerConfig {
        inputs: vec!["events".into()],
        partitions: 1,
        shard: Settings {
            source: Source::Kafka { partitioner: Partitioner::Murmur2, partitions: 1 },
            publish_from: None,
            bootstrap: Bootstrap::Nothing,
        },
        source: "/shoal/bench".into(),
        output: OutputSettings::default(),
        start: StartAt::Earliest,
        rules: control::read_rules(crowd::RULES.as_bytes()).expect("the bench's rules are right"),
        group: "bench".into(),
        force_rules: false,
        commit_interval_ms: 0,
        max_changes_per_minute: 0,
    }
}
