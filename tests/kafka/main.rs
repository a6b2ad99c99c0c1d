//! Tests against a real broker; they share the one that the harness starts.

#[path = "../support/mod.rs"]
mod support;

// Of its faults only one is wanted here.
#[allow(dead_code)]
#[path = "../torture/proxy.rs"]
mod proxy;
#[allow(dead_code)]
#[path = "../torture/wire.rs"]
mod wire;

mod bare;
mod cli;
mod faults;
mod group;
mod harness;
mod log;
mod outage;
mod pipeline;
mod refusals;
mod rules;
mod service;
mod takeover;
