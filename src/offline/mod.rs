//! Work beside the service, mostly on files and without a broker: order exports become events, events are replayed, rules are checked.
//!
//! Files in reading order: `convert` makes events; `input`, `lines` and `merge` read them; `player` drives shards with
//! them; `replay` and `demo` say what comes out, `seed` stores where they have got; `snapshots` looks at what is stored;
//! `dry_run` is the service on real inputs without outputs.

pub mod convert;
pub mod demo;
mod dry_run;
pub mod input;
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
pub mod words;

pub use dry_run::dry_run;
