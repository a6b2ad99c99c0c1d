//! Bytes and seconds of snapshots of one shard: of all customers, of a hundredth of them, merged, and loaded again.
//!
//! Files are on the disk on which temporary files are. They are read again right after they were written, so out of the
//! machine's memory where it has enough.

use super::cpu;
use super::crowd;
use super::stream::Stream;
use shoal::engine::effects::Effects;
use shoal::engine::shard::Shard;
use shoal::store::objects::Objects;
use shoal::store::{
    LoadedSnapshot, Piece, ShardPosition, SnapshotHead, SnapshotSettings, SnapshotStore, SnapshotWriter, StoredObjects,
    StoredSnapshot,
};
use std::time::{Duration, Instant};

/// Customers copied at once, as the worker does.
const SLICE: usize = 1_024;
const GOAL_LOAD_SECONDS_PER_MILLION: f64 = 0.3;

/// What storing a snapshot took.
struct Took {
    stored: StoredSnapshot,
    /// Handing customers out, in the worker's thread.
    handing_out: Duration,
    /// Encoding and writing, in the store's.
    storing: Duration,
}

pub fn measure(customers: u64) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let settings =
        SnapshotSettings { url: folder.path().to_string_lossy().into_owned(), ..SnapshotSettings::default() };
    let objects = || StoredObjects::open(&settings).expect("the folder can be written");
    let mut effects = Effects::default();
    let (mut shard, mut stream) = crowd::with_history(customers, &mut effects);
    let mut writer = SnapshotWriter::new(objects(), 2, 1);
    store(&mut writer, &mut shard, 1).print(customers, "all customers");
    change(&mut shard, &mut stream, customers / 100, &mut effects);
    store(&mut writer, &mut shard, 2).print(customers, "what an event for each hundredth customer changed");
    writer.maintain();
    let fingerprint = shard.fingerprint();
    drop((shard, writer));
    // As a process that starts.
    let mut writer = SnapshotWriter::new(objects(), 2, 2);
    let mut shard = load(&mut writer, customers, "all customers and one time what changed");
    assert_eq!(shard.fingerprint(), fingerprint, "what is loaded is what was stored");
    change(&mut shard, &mut stream, customers, &mut effects);
    store(&mut writer, &mut shard, 3).print(customers, "what an event per customer changed");
    let (begin, cpu_before) = (Instant::now(), cpu::nanoseconds());
    while writer.maintain() {}
    let took = begin.elapsed().as_secs_f64();
    println!(
        "{customers:>9} customers: merging all of these: {took:.2} s, {:.2} s of CPU",
        (cpu::nanoseconds() - cpu_before) / 1e9
    );
    change(&mut shard, &mut stream, customers / 100, &mut effects);
    store(&mut writer, &mut shard, 4);
    let fingerprint = shard.fingerprint();
    drop((shard, writer));
    let shard =
        load(&mut SnapshotWriter::new(objects(), 2, 3), customers, "what was merged, and one time what changed");
    assert_eq!(shard.fingerprint(), fingerprint, "what is merged is what was stored");
}

fn change(shard: &mut Shard, stream: &mut Stream, events: u64, effects: &mut Effects) {
    crowd::drive(shard, stream, events, effects, |_, _| {});
}

fn store<B: Objects>(writer: &mut SnapshotWriter<B>, shard: &mut Shard, transaction: u64) -> Took {
    let (mut handing_out, mut storing) = (Duration::ZERO, Duration::ZERO);
    let mut timed = Instant::now();
    let mut lap = |sum: &mut Duration| {
        let now = Instant::now();
        *sum += now - std::mem::replace(&mut timed, now);
    };
    let state = shard.begin_capture();
    lap(&mut handing_out);
    writer.accept(0, Piece::Begin(Box::new(SnapshotHead { position: position(transaction), state })));
    lap(&mut storing);
    while let Some(part) = shard.capture(SLICE) {
        lap(&mut handing_out);
        writer.accept(0, Piece::Part(part));
        lap(&mut storing);
    }
    writer.accept(0, Piece::End);
    lap(&mut storing);
    let outcome = writer.next_outcome().expect("an outcome follows the end");
    shard.end_capture(true);
    lap(&mut handing_out);
    Took { stored: outcome.result.expect("the snapshot is stored"), handing_out, storing }
}

fn load<B: Objects>(writer: &mut SnapshotWriter<B>, customers: u64, what: &str) -> Shard {
    let (begin, cpu_before) = (Instant::now(), cpu::nanoseconds());
    let loaded = writer.load(0, u64::MAX, &|| false).expect("the folder answers").expect("there is a snapshot");
    let LoadedSnapshot { head, restored, bytes } = loaded;
    let read = begin.elapsed();
    let shard = Shard::restore(crowd::settings(), crowd::rules(), None, &head.state, restored);
    let took = begin.elapsed();
    // Of the processor: the next file is read on another thread.
    let cpu = (cpu::nanoseconds() - cpu_before) / 1e9;
    let per_million = cpu / (shard.profiles().len() as f64 / 1e6);
    println!(
        "{customers:>9} customers: loading {what}, {:.1} MB: {:.2} s (reading {:.2}, the rest {:.2}), {cpu:.2} s of CPU; {per_million:.2} s of CPU per million (goal {GOAL_LOAD_SECONDS_PER_MILLION}: {})",
        bytes as f64 / 1e6,
        took.as_secs_f64(),
        read.as_secs_f64(),
        (took - read).as_secs_f64(),
        if per_million <= GOAL_LOAD_SECONDS_PER_MILLION { "met" } else { "missed" }
    );
    shard
}

impl Took {
    fn print(&self, customers: u64, what: &str) {
        let Self { stored, handing_out, storing } = self;
        println!(
            "{customers:>9} customers: a snapshot of {what}: {} rows, {:.1} MB, {:.0} bytes each; {:.2} s in the worker, {:.2} s in the store",
            stored.rows,
            stored.bytes as f64 / 1e6,
            stored.bytes as f64 / stored.rows.max(1) as f64,
            handing_out.as_secs_f64(),
            storing.as_secs_f64()
        );
    }
}

fn position(transaction: u64) -> ShardPosition {
    ShardPosition {
        transaction,
        outputs: 0,
        positions: vec![0],
        inputs: vec!["events".into()],
        partitions: 1,
        control_next: 1,
        rules_at: Some(0),
        old_rules_at: None,
        rules_version: crowd::rules().version.clone(),
        rules: None,
        now: 0,
        ticked: 0,
        last_arrival: None,
        journal_from: 0,
    }
}
