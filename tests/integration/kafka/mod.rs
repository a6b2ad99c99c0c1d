//! Tests on a real broker: the log, invalid input, and the program as a user runs it.

mod admin;
mod alerts;
mod bare;
mod cli;
mod crash;
mod dry_run;
mod faults;
mod golden;
mod group;
mod groups;
mod harness;
mod log;
mod logs;
mod metrics;
mod outage;
mod outputs;
mod pipeline;
mod program;
mod rebuild;
mod refusals;
mod rules;
mod seed;
mod service;
mod starts;
mod takeover;
mod traces;
