//! The engine: a deterministic state machine of one shard. No clock, I/O, lock, randomness, logging or metric.
//!
//! Modules in the order in which an event meets them.

pub mod currency;
pub mod decode;
pub mod effects;
pub mod event;
pub mod event_settings;
pub mod feature;
pub mod profile;
pub mod rule;
pub mod shard;
pub mod timer;
