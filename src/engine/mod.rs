//! The engine: a deterministic state machine of one shard. No clock, I/O, lock, randomness, logging or metric.
//!
//! An event meets its parts in this order: [`decode`] makes it from a record, by the [`event_settings`]; [`shard`]
//! accepts or drops it; [`profile`] applies it to the customer; [`rule`] compares [`feature`]s of the customer before
//! and after; [`timer`] keeps the customer's next deadline; [`effects`] are what the shard returns.

pub mod calendar;
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
