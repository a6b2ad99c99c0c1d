//! Commands besides the service, mostly on files and without a broker.
//!
//! In reading order: `convert` makes events from order exports; `input`, `encoding`, `lines` and `merge` read them;
//! `player` applies them to shards, and `leaps` watches their times; `rejected` and `unusable` report what could not
//! be used; `replay` and `demo` output the changes, `seed` stores the state; `snapshots` inspects and
//! exports stored snapshots; `produce` writes events to Kafka; `dry_run` is the service on real inputs or with other
//! rules, without outputs.
//! `describe` and `summary` format changes and counts for people.

pub mod convert;
pub mod demo;
pub mod describe;
mod dry_run;
pub mod encoding;
pub mod input;
pub mod leaps;
pub mod lines;
pub mod merge;
pub mod player;
pub mod produce;
mod progress;
pub mod rejected;
pub mod replay;
pub mod seed;
pub mod snapshots;
pub mod summary;
pub mod unusable;

pub use dry_run::{dry_run, dry_run_rules};
