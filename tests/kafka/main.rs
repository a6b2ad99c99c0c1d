//! Tests against a real broker; they share the one that the harness starts.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod alerts;
mod bare;
mod cli;
mod crash;
mod faults;
mod golden;
mod group;
mod harness;
mod log;
mod logs;
mod metrics;
mod outage;
mod pipeline;
mod program;
mod rebuild;
mod refusals;
mod rules;
mod seed;
mod service;
mod takeover;
mod traces;
