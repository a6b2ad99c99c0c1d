//! The log: bytes and offsets in partitions of topics, read in batches and written in transactions.
//!
//! [`Log`] is the seam between a worker and the world. [`KafkaLog`] is the real one, [`memory`] the one for demo, tests
//! and simulation. Nothing here has ever heard of a customer, and nothing here imports the rest of the crate.
//! Files in reading order: `log` (the seam), `memory`, `settings`, `client`, `topics`, `raw` (all unsafe code),
//! `consumer` (group, live fetch, re-reading), `transaction` (the producer), `kafka_log` (the two put together), `produce`.

mod client;
mod consumer;
mod kafka_log;
mod log;
pub mod memory;
mod produce;
mod raw;
mod reader;
mod settings;
mod topics;
mod transaction;

pub use kafka_log::KafkaLog;
pub use log::{
    Batch, Failure, Header, InputOffset, Log, Moment, News, OutRecord, Own, Reader, Record, StartAt, Topic,
    Transaction,
};
pub use produce::{ProducedEvent, Producing};
pub use reader::{KafkaBatch, KafkaReader};
pub use settings::{KafkaSettings, Start};
pub use topics::{create_or_check_topics, input_partitions};
