//! `cargo bench --bench latency`: how long consumers wait for a change, in real time, from the real program on a real
//! broker.
//!
//! Under a steady load of events it measures from sending an event to its change being readable, how late changes are
//! that only time causes, how long the shards of a killed process stand still, and what a rolling restart holds up.
//! Everything runs on one machine, the broker and the load included, so all clocks are one. Options: `--rate N` events
//! a second, `--seconds N` measured, `--takeovers N`, `--only delays|takeover|restart`. Under `cargo test` everything
//! runs tiny.

#[path = "../support/arguments.rs"]
mod arguments;
#[path = "../support/cpu.rs"]
mod cpu;
mod delays;
mod failover;
mod load;
#[path = "../support/observer.rs"]
mod observer;
#[path = "../support/service.rs"]
mod service;
#[path = "../../tests/support/mod.rs"]
mod support;

use arguments::number;
use service::Setup;
use std::time::Duration;
use support::{Broker, BrokerOptions};

/// How much a run does.
#[derive(Clone, Copy)]
struct Size {
    events_per_second: u64,
    /// One of this number of events causes a change.
    change_every: u64,
    partitions: i32,
    /// Time before the measurement.
    warm_up: Duration,
    measured: Duration,
    session_timeout_ms: u32,
    takeovers: usize,
    /// How long processes run undisturbed before something is done to them.
    calm: Duration,
}

const FULL: Size = Size {
    events_per_second: 20_000,
    change_every: 100,
    partitions: 8,
    // The broker's code is compiled while it runs.
    warm_up: Duration::from_secs(20),
    measured: Duration::from_secs(30),
    session_timeout_ms: 6_000,
    takeovers: 4,
    calm: Duration::from_secs(3),
};
const TINY: Size = Size {
    events_per_second: 400,
    change_every: 4,
    partitions: 4,
    warm_up: Duration::from_millis(500),
    measured: Duration::from_secs(1),
    session_timeout_ms: 1_000,
    takeovers: 1,
    calm: Duration::from_millis(300),
};

const PARTS: [&str; 3] = ["delays", "takeover", "restart"];

fn main() {
    let is_full = arguments::is_full();
    let mut size = if is_full { FULL } else { TINY };
    size.events_per_second = number("--rate").unwrap_or(size.events_per_second);
    size.measured = number("--seconds").map_or(size.measured, Duration::from_secs);
    size.takeovers = number("--takeovers").map_or(size.takeovers, |count| count as usize);
    let is_wanted = arguments::only(&PARTS);
    let options = BrokerOptions { quick_start: !is_full, ..BrokerOptions::default() };
    let Some(broker) = support::start(&options) else { return };
    if is_wanted("delays") {
        delays::measure(&broker, size);
    }
    if is_wanted("takeover") {
        failover::measure_takeovers(&broker, size);
    }
    if is_wanted("restart") {
        failover::measure_restart(&broker, size);
    }
}

/// Topics, rules and settings of one measurement.
fn setup(broker: &Broker, name: &str, size: Size, session_timeout_ms: u32) -> Setup {
    let setup = Setup::new(broker, name, load::RULES, session_timeout_ms);
    broker.create_topic(&setup.input, size.partitions, &[("retention.ms", "-1")]);
    setup
}
