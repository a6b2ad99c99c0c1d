//! Measures how long records wait while a worker takes snapshots, and while it does not.
//!
//! The bench runs the real worker and snapshot store thread, on a folder. A thread puts records into the worker's
//! queues, first as fast as they are read, then at half of that rate. Each second is classified by whether a snapshot
//! of any shard was in progress during it.

use super::Size;
use super::arrivals::{Arrivals, Queues};
use super::crowd;
use super::stream::{self, Stream};
use super::wait::wait_until_moment;
use super::waits::{Making, Waits};
use shoal::engine::decode::{Partitioner, Source, partition_of};
use shoal::engine::shard::{Bootstrap, Settings};
use shoal::kafka::StartAt;
use shoal::kafka::memory::Cluster;
use shoal::store::{
    LoadError, LoadedSnapshot, Piece, ShardPosition, SnapshotOutcome, SnapshotSettings, SnapshotStore,
    SnapshotStoreThread, StoredSnapshot,
};
use shoal::worker::{OutputSettings, Worker, WorkerConfig};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 8;
/// Maximum number of waiting records while they are put at the highest rate.
const WAITING_MAX: usize = 32_768;
/// Records put at once as fast as possible, and most at once in a steady stream.
const PUT_MAX: u64 = 1_024;
/// After the highest rate nothing is measured for so long, and until what waited then is applied.
const SETTLING: Duration = Duration::from_secs(1);
const GOAL_GROWTH_MS: f64 = 5.0;

pub fn config(partitions: u32) -> WorkerConfig {
    let source = Source::Kafka { partitioner: Partitioner::Murmur2, partitions };
    WorkerConfig {
        inputs: vec!["events".into()],
        partitions,
        shard: Settings { source, publish_from: None, bootstrap: Bootstrap::Nothing },
        source: "/shoal/bench".into(),
        output: OutputSettings::default(),
        start: StartAt::Earliest,
        rules: crowd::rules(),
        group: "test".into(),
        force_rules: false,
        commit_interval_ms: 50,
        max_changes_per_minute: 0,
    }
}

pub fn measure(size: &Size) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let queues = Queues::new(PARTITIONS, WAITING_MAX);
    let waits = Rc::new(RefCell::new(Waits::new()));
    let made = Rc::new(RefCell::new(Made::default()));
    let cluster = Cluster::new(PARTITIONS);
    let log = Arrivals::new(Arc::clone(&queues), cluster.worker("bench", (0..PARTITIONS).collect()), Rc::clone(&waits));
    let settings =
        SnapshotSettings { url: folder.path().to_string_lossy().into_owned(), ..SnapshotSettings::default() };
    let store = SnapshotStoreThread::start(&settings, "snapshots").expect("the folder can be written");
    let store = Watched { store, waits: Rc::clone(&waits), made: Rc::clone(&made), refused: None };
    let interval_ms = size.interval.as_millis() as u64;
    let mut worker = Worker::new(log, config(PARTITIONS)).with_snapshots(Box::new(store), interval_ms);
    let pace = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&queues, size.customers, &pace));
        let mut turn = || worker.turn().expect("nothing fails in memory");
        // Every customer has some history before anything is measured.
        while queues.taken() < 5 * size.customers {
            turn();
        }
        waits.borrow_mut().clear();
        let begin = Instant::now();
        while begin.elapsed() < size.flat_out {
            turn();
        }
        let highest = waits.borrow().rate();
        pace.store((highest / 2.0) as u64, Ordering::Relaxed);
        let begin = Instant::now();
        while begin.elapsed() < SETTLING || queues.waiting() > PUT_MAX {
            turn();
        }
        waits.borrow_mut().clear();
        made.borrow_mut().is_open = true;
        while made.borrow().fewest() < size.rounds + 1 {
            turn();
        }
        let begin = Instant::now();
        // As long without any as there was with the last ones, at most.
        while begin.elapsed() < size.interval / 2 {
            turn();
        }
        queues.close();
        print(size, highest, &waits.borrow(), &made.borrow());
    });
}

/// Puts records at this rate per second; 0 for as fast as they are read.
fn produce(queues: &Queues, customers: u64, pace: &AtomicU64) {
    let mut stream = Stream::new(customers);
    stream.introduce_all();
    let (mut put, mut steady) = (0, None);
    loop {
        let per_second = pace.load(Ordering::Relaxed);
        let count = if per_second == 0 {
            PUT_MAX.min(if put < customers { customers - put } else { u64::MAX })
        } else {
            let (since, before) = *steady.get_or_insert((Instant::now(), put));
            let due = before + (since.elapsed().as_secs_f64() * per_second as f64) as u64;
            if due == put {
                // The next record is not due yet.
                wait_until_moment(Instant::now() + Duration::from_micros(500));
            }
            (due - put).min(PUT_MAX)
        };
        let records: Vec<(u32, Vec<u8>, Range<usize>)> =
            stream.prepare(count as usize).iter().map(|line| keyed(line)).collect();
        put += count;
        if put == customers {
            stream.mix();
        }
        if !queues.put(records) {
            return;
        }
    }
}

fn keyed(line: &[u8]) -> (u32, Vec<u8>, Range<usize>) {
    let key = stream::key_of(line);
    (partition_of(Partitioner::Murmur2, &line[key.clone()], PARTITIONS), line.to_vec(), key)
}

/// What was stored of each shard.
#[derive(Default)]
struct Made {
    /// Before this snapshots fail.
    is_open: bool,
    stored: BTreeMap<u32, u64>,
    /// Of the first ones, and of all others.
    sums: [Sum; 2],
}

#[derive(Default)]
struct Sum {
    count: u64,
    bytes: u64,
    milliseconds: u64,
}

impl Made {
    fn add(&mut self, shard: u32, stored: &StoredSnapshot) {
        let before = self.stored.entry(shard).or_default();
        let sum = &mut self.sums[usize::from(*before > 0)];
        *before += 1;
        sum.count += 1;
        sum.bytes += stored.bytes;
        sum.milliseconds += stored.took_ms;
    }

    /// Snapshots of the shard that has fewest.
    fn fewest(&self) -> u64 {
        if self.stored.len() < PARTITIONS as usize {
            0
        } else {
            self.stored.values().copied().min().unwrap_or_default()
        }
    }
}

/// A store that reports when a snapshot is in progress. At first it stores nothing: what was captured belongs to the
/// next snapshot then, so that the first one that is stored is of everything, and is made when it is measured.
struct Watched<V> {
    store: V,
    waits: Rc<RefCell<Waits>>,
    made: Rc<RefCell<Made>>,
    /// The snapshot that is not stored.
    refused: Option<Refused>,
}

struct Refused {
    shard: u32,
    transaction: u64,
    is_ended: bool,
}

impl<V: SnapshotStore> SnapshotStore for Watched<V> {
    fn offer(&mut self, shard: u32, piece: Piece) -> Result<(), Piece> {
        if let Piece::Begin(head) = &piece {
            let transaction = head.position.transaction;
            let made = self.made.borrow();
            let making = if made.stored.contains_key(&shard) { Making::Changes } else { Making::Everything };
            self.waits.borrow_mut().set_making(making);
            self.refused = (!made.is_open).then_some(Refused { shard, transaction, is_ended: false });
        }
        if let Some(refused) = &mut self.refused {
            refused.is_ended = matches!(piece, Piece::End);
            return Ok(());
        }
        self.store.offer(shard, piece)
    }

    fn next_outcome(&mut self) -> Option<SnapshotOutcome> {
        if let Some(refused) = self.refused.take_if(|refused| refused.is_ended) {
            self.waits.borrow_mut().set_making(Making::Nothing);
            let result = Err("the highest rate is yet to be measured".to_owned());
            let Refused { shard, transaction, .. } = refused;
            return Some(SnapshotOutcome { shard, transaction, result, needs_full: false, failures: 0 });
        }
        let outcome = self.store.next_outcome()?;
        self.waits.borrow_mut().set_making(Making::Nothing);
        let stored = outcome.result.as_ref().expect("the disk takes snapshots");
        self.made.borrow_mut().add(outcome.shard, stored);
        Some(outcome)
    }

    fn wait(&mut self, longest: Duration) {
        self.store.wait(longest);
    }

    fn load(
        &mut self,
        shard: u32,
        at_most: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<LoadedSnapshot>, LoadError> {
        self.store.load(shard, at_most, interrupted)
    }

    fn position_before(&mut self, shard: u32, transaction: u64) -> Result<Option<ShardPosition>, String> {
        self.store.position_before(shard, transaction)
    }

    fn write_note(&mut self, shard: u32, name: &str, bytes: Option<&[u8]>) -> Result<(), String> {
        self.store.write_note(shard, name, bytes)
    }

    fn read_note(&mut self, shard: u32, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.store.read_note(shard, name)
    }
}

fn print(size: &Size, highest: f64, waits: &Waits, made: &Made) {
    println!(
        "{} customers in {PARTITIONS} shards, {:.0} k events/s, half of the highest rate; longest wait of a record in each second:",
        size.customers,
        highest / 2e3
    );
    let nothing = waits.longest(Making::Nothing);
    let (first, later) = (waits.longest(Making::Everything), waits.longest(Making::Changes));
    print_line("without a snapshot in the making", &nothing, &[]);
    print_line("while the first ones are made, of everybody", &first, &nothing);
    print_line("while later ones are made, of who changed", &later, &nothing);
    for (what, sum) in ["the first ones", "later ones"].iter().zip(&made.sums) {
        println!(
            "    {what}: {} snapshots of a shard, each {:.1} MB in {:.2} s",
            sum.count,
            sum.bytes as f64 / sum.count.max(1) as f64 / 1e6,
            sum.milliseconds as f64 / sum.count.max(1) as f64 / 1e3
        );
    }
}

fn print_line(what: &str, longest: &[Duration], without: &[Duration]) {
    if longest.is_empty() {
        return println!("    {what}: no second");
    }
    let milliseconds = |sorted: &[Duration], share: f64| {
        let index = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
        sorted.get(index).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
    };
    let growth = milliseconds(longest, 1.0) - milliseconds(without, 1.0);
    let goal = if growth <= GOAL_GROWTH_MS { "met" } else { "missed" };
    println!(
        "    {what}: median {:.1} ms, longest {:.1} ms of {} seconds{}",
        milliseconds(longest, 0.5),
        milliseconds(longest, 1.0),
        longest.len(),
        if without.is_empty() { String::new() } else { format!("; {growth:+.1} ms (goal {GOAL_GROWTH_MS}: {goal})") }
    );
}
