//! `cargo bench --bench snapshot`: what a snapshot costs the stream, the disk, and the next start.
//!
//! Without a broker. Prints: the longest waits of records at half of the highest rate, with and without a snapshot in
//! the making; bytes and seconds of snapshots of all customers, of what changed, and of merging them; seconds to load
//! them again; the rate at which the journal is done again beside the live rate. Options: `--customers N` (of the
//! waits), `--sizes N,N` (of the others), `--rounds N` snapshots of each shard while records wait, `--interval S`
//! seconds between them, `--only waits|sizes|replay`. Under `cargo test` everything runs tiny.

#[path = "../support/arguments.rs"]
mod arguments;
mod arrivals;
#[path = "../support/cpu.rs"]
mod cpu;
#[path = "../support/crowd.rs"]
mod crowd;
mod replay;
mod sizes;
#[path = "../support/stream.rs"]
mod stream;
#[path = "../../tests/support/wait.rs"]
mod wait;
mod waits;
mod watched;

use arguments::number;
use std::time::Duration;

/// How much a run does.
#[derive(Clone)]
struct Size {
    /// Customers of the waits.
    customers: u64,
    /// Customers of snapshots whose bytes and seconds are measured.
    sizes: Vec<u64>,
    /// Snapshots of each shard while records wait, the first ones not counted.
    rounds: u64,
    interval: Duration,
    /// How long the highest rate is measured.
    flat_out: Duration,
    /// Records whose journal is done again.
    replayed: u64,
}

fn size(is_full: bool) -> Size {
    if !is_full {
        return Size {
            customers: 2_000,
            sizes: vec![500, 3_000],
            rounds: 1,
            interval: Duration::from_millis(300),
            flat_out: Duration::from_secs(1),
            replayed: 10_000,
        };
    }
    Size {
        customers: 1_000_000,
        sizes: vec![1_000_000, 10_000_000],
        rounds: 5,
        interval: Duration::from_secs(15),
        flat_out: Duration::from_secs(8),
        replayed: 3_000_000,
    }
}

const PARTS: [&str; 3] = ["waits", "sizes", "replay"];

fn main() {
    let mut size = size(arguments::is_full());
    size.customers = number("--customers").unwrap_or(size.customers);
    size.rounds = number("--rounds").unwrap_or(size.rounds);
    size.interval = number("--interval").map_or(size.interval, Duration::from_secs);
    size.sizes = arguments::numbers("--sizes").unwrap_or(size.sizes);
    let is_wanted = arguments::only(&PARTS);
    // Warnings of the store: a snapshot that is passed over, or that could not be stored.
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    if is_wanted("waits") {
        watched::measure(&size);
    }
    if is_wanted("sizes") {
        size.sizes.iter().for_each(|&customers| sizes::measure(customers));
    }
    if is_wanted("replay") {
        replay::measure(&size);
    }
}
