//! All unsafe code of the Kafka side: calls of librdkafka for which the `rdkafka` crate has no equal.
//!
//! * `queue`: `rd_kafka_consume_batch_queue` on a partition's own queue takes half the CPU of `BaseConsumer::poll`. The
//!   consumer's main queue must not be read this way: the call would discard its events.
//! * `producer`: `rd_kafka_flush` and `rd_kafka_commit_transaction`, because the crate's versions take at least 100 ms,
//!   and `rd_kafka_producev` without an allocation per header.
//! * `admin`: requests that the crate does not have at all.
//! * `memory`: gives back to the system what the client has freed.

pub mod admin;
pub mod memory;
pub mod producer;
pub mod queue;
