//! A real Apache Kafka for tests and benches: one process, or a cluster of some, started from its Maven artifacts.
//!
//! Used with `#[path = "../support/mod.rs"] mod support;`. A test asks for the broker that all tests of its program
//! share:
//!
//! ```ignore
//! let Some(broker) = support::broker() else { return };
//! ```
//!
//! Without Java and Maven there is none: the test prints that it was skipped, or fails if `CI=true`.

// Each test program and bench uses a part of this.
#![allow(dead_code, unused_imports)]

pub mod acls;
mod broker;
pub mod certificates;
mod cluster;
pub mod events;
pub mod golden;
pub mod http;
mod jars;
pub mod memory;
pub mod program;
pub mod proxy;
pub mod python;
pub mod rules;
pub mod secure;
pub mod seed;
mod topics;
pub mod views;
pub mod wait;

pub use broker::{Broker, BrokerOptions, free_ports};
pub use cluster::Cluster;
pub use topics::{Produced, Received, block_on, own_topics, prefix_own_topics, send};

use std::io::Write;
use std::sync::OnceLock;

/// The broker that all tests of this program share; started by the first that asks, stopped when the process ends.
///
/// # Panics
/// With `CI=true` if there is no Java or Maven; always if they are there and the broker does not start.
pub fn broker() -> Option<&'static Broker> {
    static SHARED: OnceLock<Option<Broker>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| start(&BrokerOptions::default()));
    if shared.is_none() {
        say_skipped();
    }
    shared.as_ref()
}

/// A broker of the caller's own, stopped when dropped. `None` if the machine cannot run one.
pub fn start(options: &BrokerOptions) -> Option<Broker> {
    match jars::resolve() {
        Ok(jars) => Some(Broker::start(&jars, options).unwrap_or_else(|error| panic!("{error}"))),
        Err(reason) => {
            must_not_be_on_ci(&reason);
            None
        }
    }
}

/// A cluster of the caller's own, stopped when dropped. `None` if the machine cannot run one.
pub fn start_cluster(brokers: usize, options: &BrokerOptions) -> Option<Cluster> {
    match jars::resolve() {
        Ok(jars) => Some(Cluster::start(&jars, brokers, options).unwrap_or_else(|error| panic!("{error}"))),
        Err(reason) => {
            must_not_be_on_ci(&reason);
            None
        }
    }
}

/// Prints why there is no broker; panics on CI, where there must be one.
fn must_not_be_on_ci(reason: &str) {
    let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!is_ci, "CI=true needs a real Kafka broker, and {reason}");
    say(&format!("no Kafka broker: {reason}"));
}

/// Prints that a test is skipped because there is no broker.
pub fn say_skipped() {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    say(&format!("SKIPPED {test}: it needs a real Kafka broker (install a Java runtime and Maven)"));
}

/// Prints past the capture of the test runner: a skipped test must be visible.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "\n*** {line}");
}
