//! `cargo bench --bench pipeline`: the whole pipeline on a real broker, compared with consuming and discarding.
//!
//! One topic, one run: first the client's raw batch calls that only discard, with each setting of a printed grid (the
//! pipeline's own is one of them), then `shoal run`, exactly-once, over the whole topic; it is measured from the moment
//! at which each customer has had its first event, which always causes a change. CPU is that of this process, which
//! holds the clients and the engine; the broker has its own. Under `cargo test` everything runs tiny.

#[path = "support/cpu.rs"]
mod cpu;
#[path = "support/discard.rs"]
mod discard;
#[path = "support/stream.rs"]
mod stream;
#[path = "../tests/support/mod.rs"]
mod support;

use discard::{Fetching, discard};
use shoal::kafka::KafkaSettings;
use shoal::store::SnapshotSettings;
use shoal::worker::{
    AlertSettings, OutputSettings, RunSettings, TracesSettings, WorkerSettings, journal::JournalRecord, run,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stream::Stream;
use support::wait::wait_until_moment;
use support::{Broker, BrokerOptions, Produced};

const RULES: &str = include_str!("rules.toml");
const TOPIC: &str = "bench-events";
const RATIO_TARGET: f64 = 0.33;

/// How much a run does; `--customers N`, `--events N` and `--partitions N` change it.
#[derive(Clone, Copy)]
struct Size {
    customers: u64,
    events: u64,
    partitions: i32,
    repeats: usize,
}

const FULL: Size = Size { customers: 1_000_000, events: 5_000_000, partitions: 8, repeats: 2 };
const TINY: Size = Size { customers: 300, events: 10_000, partitions: 2, repeats: 1 };

/// What a run took.
#[derive(Clone, Copy)]
struct Took {
    events: u64,
    seconds: f64,
    cpu_seconds: f64,
}

/// Where a measurement begins.
#[derive(Clone, Copy)]
struct Begin {
    at: Instant,
    cpu: f64,
}

impl Begin {
    fn now() -> Self {
        Self { at: Instant::now(), cpu: cpu::nanoseconds() }
    }

    fn took(self, events: u64) -> Took {
        let cpu_seconds = (cpu::nanoseconds() - self.cpu) / 1e9;
        Took { events, seconds: self.at.elapsed().as_secs_f64(), cpu_seconds }
    }
}

impl Took {
    fn of(events: u64, work: impl FnOnce()) -> Self {
        let begin = Begin::now();
        work();
        begin.took(events)
    }

    fn per_cpu_second(self) -> f64 {
        self.events as f64 / self.cpu_seconds
    }

    fn print(self, what: &str) {
        println!(
            "{what:<58} {:>8.0} k events/CPU-s {:>8.0} k events/s",
            self.per_cpu_second() / 1e3,
            self.events as f64 / self.seconds / 1e3
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let mut size = if arguments.iter().any(|argument| argument == "--bench") { FULL } else { TINY };
    let number = |name: &str| {
        let index = arguments.iter().position(|argument| argument == name)?;
        Some(arguments[index + 1].parse::<u64>().unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    size.customers = number("--customers").unwrap_or(size.customers);
    size.events = number("--events").unwrap_or(size.events);
    size.partitions = number("--partitions").map_or(size.partitions, |partitions| partitions as i32);
    let options = BrokerOptions { quick_start: false, ..BrokerOptions::default() };
    let Some(broker) = support::start(&options) else { return };
    measure(&broker, size);
}

fn measure(broker: &Broker, size: Size) {
    produce(broker, size);
    println!("{} events of {} customers in {} partitions", size.events, size.customers, size.partitions);
    let best = best_discard(broker, size);
    let mut ratios = Vec::new();
    for repeat in 0..size.repeats {
        let took = whole_job(broker, size, repeat);
        ratios.push(took.per_cpu_second() / best.per_cpu_second());
    }
    let ratio = ratios.iter().copied().fold(0.0, f64::max);
    println!("whole job / best discard, events per CPU-second: {ratio:.2} (target {RATIO_TARGET})");
}

fn produce(broker: &Broker, size: Size) {
    broker.create_topic(TOPIC, size.partitions, &[("retention.ms", "-1")]);
    let mut stream = Stream::new(size.customers);
    stream.introduce_all();
    let producer = broker.producer();
    let mut produced = 0;
    while produced < size.events {
        if produced == size.customers {
            stream.mix();
        }
        // First each customer once, in turn.
        let until = if produced < size.customers { size.customers.min(size.events) } else { size.events };
        for line in stream.prepare((until - produced).min(10_000) as usize) {
            support::send(
                &producer,
                TOPIC,
                Produced { key: Some(&line[stream::key_of(line)]), value: Some(line), ..Produced::default() },
            );
            produced += 1;
        }
    }
    rdkafka::producer::Producer::flush(&producer, Duration::from_secs(60)).expect("flush");
}

fn best_discard(broker: &Broker, size: Size) -> Took {
    let grid = [
        // The pipeline's own.
        Fetching { batch: 4_096, queue_backoff_ms: 5, queued_messages_min: 20_000, read_committed: true },
        Fetching { batch: 1_000, queue_backoff_ms: 5, queued_messages_min: 100_000, read_committed: true },
        Fetching { batch: 1_000, queue_backoff_ms: 10, queued_messages_min: 100_000, read_committed: false },
        Fetching { batch: 4_096, queue_backoff_ms: 10, queued_messages_min: 100_000, read_committed: false },
        Fetching { batch: 4_096, queue_backoff_ms: 5, queued_messages_min: 1_000_000, read_committed: false },
        Fetching { batch: 10_000, queue_backoff_ms: 10, queued_messages_min: 1_000_000, read_committed: false },
    ];
    let mut best: Option<Took> = None;
    for (index, fetching) in grid.iter().enumerate() {
        for _ in 0..size.repeats {
            let took =
                Took::of(size.events, || discard(broker.client(), TOPIC, size.partitions, size.events, fetching));
            took.print(&format!("discard, {fetching}{}", if index == 0 { " (the pipeline's)" } else { "" }));
            if best.is_none_or(|best| took.per_cpu_second() > best.per_cpu_second()) {
                best = Some(took);
            }
        }
    }
    best.expect("the grid is not empty")
}

fn whole_job(broker: &Broker, size: Size, repeat: usize) -> Took {
    let folder = tempfile::tempdir().expect("temporary folder");
    let settings = settings(broker, folder.path(), repeat);
    let stop = Arc::new(AtomicBool::new(false));
    let took = std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&settings, &[], &stop));
        let took = wait_until_done(broker, &settings.kafka, size);
        stop.store(true, Ordering::Relaxed);
        running.join().expect("no panic").expect("no failure");
        took
    });
    took.print("the whole job, exactly once");
    let journal = broker.read_committed(&settings.kafka.topics.journal);
    let outputs: u64 = journal
        .iter()
        .map(|record| JournalRecord::read(record.value.as_ref().expect("a record")).expect("readable").outputs)
        .sum();
    let changes = broker.read_committed(&settings.kafka.topics.changes).len();
    println!(
        "    {changes} changes ({:.2} % of events), {outputs} outputs, {} journal records",
        100.0 * changes as f64 / size.events as f64,
        journal.len()
    );
    took
}

fn settings(broker: &Broker, folder: &Path, repeat: usize) -> RunSettings {
    let rules = folder.join("rules.toml");
    std::fs::write(&rules, RULES).expect("rules file");
    let mut kafka = KafkaSettings {
        brokers: broker.address.clone(),
        group: format!("bench-{repeat}"),
        inputs: vec![TOPIC.into()],
        ..KafkaSettings::default()
    };
    support::prefix_own_topics(&mut kafka, &format!("bench-{repeat}"));
    RunSettings {
        kafka,
        worker: WorkerSettings::default(),
        output: OutputSettings::default(),
        traces: TracesSettings::default(),
        snapshots: SnapshotSettings { url: String::new(), ..SnapshotSettings::default() },
        alerts: AlertSettings::default(),
        rules,
        force_rules: false,
        take_over: false,
    }
}

/// Waits until the group is at the end of every partition. Returns the work done since every customer existed.
fn wait_until_done(broker: &Broker, kafka: &KafkaSettings, size: Size) -> Took {
    let ends: Vec<i64> = (0..size.partitions).map(|partition| broker.end(TOPIC, partition)).collect();
    let deadline = Instant::now() + Duration::from_secs(600);
    let mut begin = None;
    loop {
        let committed = broker.committed(&kafka.group, TOPIC, size.partitions);
        let done: i64 = committed.iter().map(|&offset| offset.max(0)).sum();
        if begin.is_none() && done as u64 >= size.customers {
            begin = Some((Begin::now(), threads(), done as u64));
        }
        if committed == ends {
            let (begin, threads_before, done_before) = begin.expect("there are more events than customers");
            let events = size.events - done_before;
            print_threads(&threads_before, events);
            return begin.took(events);
        }
        assert!(Instant::now() < deadline, "the job does not come to an end");
        // Asking costs CPU that would count.
        wait_until_moment(Instant::now() + Duration::from_millis(300));
    }
}

/// CPU seconds of the threads that live now, by name.
fn threads() -> BTreeMap<String, f64> {
    let mut seconds: BTreeMap<String, f64> = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let Some((head, rest)) = stat.rsplit_once(')') else { continue };
        let name = head.split_once('(').map_or(head, |(_, name)| name);
        // User and system time in ticks of 10 ms are the 14th and 15th field; the name is the second.
        let ticks: f64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        *seconds.entry(name.to_owned()).or_default() += ticks / 100.0;
    }
    seconds
}

fn print_threads(before: &BTreeMap<String, f64>, events: u64) {
    let now = threads();
    let spent = now.iter().map(|(name, seconds)| (name, seconds - before.get(name).unwrap_or(&0.0)));
    let parts = spent
        .filter(|(_, seconds)| *seconds >= 0.05)
        .map(|(name, seconds)| format!("{name} {:.0}", seconds * 1e9 / events as f64));
    println!("    ns of CPU per event by thread: {}", parts.collect::<Vec<_>>().join(", "));
}
