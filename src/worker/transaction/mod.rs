//! One transaction: a shard's effects encoded as outputs while it is open, sealed with a journal record, and published.
//!
//! `encode`, `census` and `traceparent` are the formats, `outbox` collects encoded outputs, `open` is what a shard adds
//! to until it commits, and `publish` sends the sealed transactions of all shards through the log.

pub mod census;
pub mod encode;
pub mod open;
pub mod outbox;
pub mod publish;
pub mod traceparent;
