//! `cargo bench --bench soak`: half an hour at half of the highest rate, with restarts: what grows, and what gets
//! slower?
//!
//! A real broker, processes of the real program, and a fixed set of customers. First each customer comes once; then the
//! highest rate is measured that the machine does with the broker and the load on it; then the load goes on at half of
//! it. In turns a process is stopped and started, or killed and started. Sampled are resident memory, customers, how
//! long consumers wait for changes, and what snapshots take. Topics are bounded, so that the disk does not fill. In the
//! end a picture is drawn; memory must have levelled off, and the sequence numbers of each customer's changes have no
//! gap.
//!
//! Options: `--minutes N`, `--customers N`, `--processes N`, `--rate N` events a second instead of half of the highest,
//! `--restart-every SECONDS`, `--picture FILE`. Under `cargo test` it takes seconds.

#[path = "../support/arguments.rs"]
mod arguments;
#[path = "../support/cpu.rs"]
mod cpu;
mod load;
#[path = "../support/observer.rs"]
mod observer;
mod picture;
mod samples;
#[path = "../support/service.rs"]
mod service;
mod snapshots;
mod soak;
#[path = "../../tests/support/mod.rs"]
mod support;

use arguments::number;
use samples::growth;
use std::path::PathBuf;
use std::time::Duration;
use support::{Broker, BrokerOptions};

/// How much a run does.
struct Size {
    customers: u64,
    partitions: i32,
    processes: usize,
    steady: Duration,
    /// How long the highest rate is measured.
    flat_out: Duration,
    /// Events per second, if they are not half of the highest.
    rate: Option<u64>,
    restart_every: Duration,
    sample_every: Duration,
    /// Without an event for so long a customer is idle.
    idle: Duration,
    snapshot_interval: &'static str,
    quick_start: bool,
}

const FULL: Size = Size {
    customers: 1_000_000,
    partitions: 8,
    processes: 2,
    steady: Duration::from_secs(30 * 60),
    flat_out: Duration::from_secs(20),
    rate: None,
    restart_every: Duration::from_secs(180),
    sample_every: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    snapshot_interval: "1m",
    quick_start: false,
};
const TINY: Size = Size {
    customers: 300,
    partitions: 4,
    processes: 2,
    steady: Duration::from_secs(5),
    flat_out: Duration::from_secs(1),
    rate: Some(400),
    restart_every: Duration::from_millis(1_700),
    sample_every: Duration::from_secs(1),
    idle: Duration::from_millis(1_500),
    snapshot_interval: "1s",
    quick_start: true,
};
/// Memory of the last third of the time beside the middle third.
const GROWTH_MAX: f64 = 1.05;
/// Shorter runs cannot show growth.
const GROWS_WITHIN: Duration = Duration::from_secs(5 * 60);

fn main() {
    let mut size = if arguments::is_full() { FULL } else { TINY };
    size.customers = number("--customers").unwrap_or(size.customers);
    size.processes = number("--processes").map_or(size.processes, |count| count.max(1) as usize);
    size.steady = number("--minutes").map_or(size.steady, |minutes| Duration::from_secs(60 * minutes));
    size.rate = number("--rate").or(size.rate);
    size.restart_every = number("--restart-every").map_or(size.restart_every, Duration::from_secs);
    let picture = arguments::option("--picture").map(PathBuf::from);
    // What expired is looked for often enough that the disk does not fill meanwhile.
    let properties = vec!["log.retention.check.interval.ms=10000".to_owned()];
    let options = BrokerOptions { quick_start: size.quick_start, properties, ..BrokerOptions::default() };
    let Some(broker) = support::start(&options) else { return };
    run(&broker, &size, picture);
}

fn run(broker: &Broker, size: &Size, picture: Option<PathBuf>) {
    let done = soak::run(broker, size);
    let title = format!(
        "{:.0} minutes, {} customers, {} events/s, {} processes, {} restarts",
        size.steady.as_secs_f64() / 60.0,
        size.customers,
        done.rate,
        size.processes,
        done.restarts.len()
    );
    println!("{title}; {} changes, each customer's in sequence", done.changes);
    if let Some(file) = picture {
        std::fs::write(&file, picture::draw(&title, &done.samples, &done.restarts)).expect("the picture is written");
        println!("drawn in {}", file.display());
    }
    let customers = done.samples.last().map_or(0, |sample| sample.customers);
    assert_eq!(customers, size.customers, "customers in the last snapshots");
    if size.steady >= GROWS_WITHIN {
        let growth = growth(&done.samples);
        println!(
            "most memory in the last third of the time / in the middle third: {growth:.3} (at most {GROWTH_MAX}: {})",
            if growth <= GROWTH_MAX { "met" } else { "missed" }
        );
    }
}
