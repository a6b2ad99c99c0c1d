//! Shoal: a streaming, real-time behavioural customer segmenter.
//!
//! An event's journey: a [`kafka`] log hands a worker a batch of records; [`worker`] passes them to the shard that owns
//! their partition; in [`engine`] they are decoded, fold into the customer's profile, and the rules say which
//! segments the customer is in now; the effects go back to the worker, which publishes them with the offsets and one
//! journal record in one transaction. [`store`] keeps what a start needs. [`metrics`] tells of it all. [`offline`] feeds the same door from
//! files.

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
