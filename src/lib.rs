//! Shoal: a streaming, real-time behavioural customer segmenter.
//!
//! From the bytes of an event to the published change, in at most eight files:
//!
//! 1. `worker/event_loop/mod.rs`: each round buffers new records of every shard, lets the shard make a step, and
//!    commits.
//! 2. `worker/owned_shard/transaction.rs`: a step applies the buffered records in their merged order, in chunks.
//! 3. `engine/shard/mod.rs`: [`engine::shard::Shard::apply`] decodes a chunk of records and finds their customers.
//! 4. `engine/shard/process_event.rs`: an event is dropped, or updates its customer's profile.
//! 5. `engine/shard/evaluation.rs`: the rules decide the customer's values.
//! 6. `engine/shard/changes.rs`: values that differ become changes, in the effects.
//! 7. `worker/transaction/outbox.rs`: the effects are encoded as outputs. At the commit (file 2) they are sealed with a
//!    journal record.
//! 8. `worker/transaction/publish.rs`: the outputs, journal records and offsets of all shards become one transaction.
//!
//! [`kafka`] is the log below the worker. [`store`] keeps snapshots, from which a start continues. [`metrics`] and
//! [`http`] report what workers count. [`offline`] applies files to the same shards.

pub mod cli;
pub mod config;
pub mod document;
pub mod engine;
pub mod fault_injection;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod offline;
pub mod random;
mod repeats;
pub mod store;
pub mod worker;
