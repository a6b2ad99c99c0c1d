//! The log: partitions of topics with offsets, read in batches and written in transactions.
//!
//! [`Log`] separates a worker from the world. [`KafkaLog`] is the real implementation, [`memory`] the one for demo,
//! tests and simulation, [`DryRun`] reads real inputs and publishes nothing. Nothing here knows what a customer is, and
//! nothing here imports another part of the crate but `random`, `repeats` and `fault_injection`.
//!
//! In reading order: `log` (the trait), `memory`, `settings`, `error_class` (what is done about an error), `inbox`
//! (what waits for a worker), `raw` (all unsafe code), `client` (what all clients share), `admin` (what must hold
//! before anything runs), `consume` and `produce` (reading and writing), `kafka_log` (all of that as a `Log`),
//! `dry_run`.

mod admin;
mod client;
mod consume;
mod dry_run;
mod error_class;
mod inbox;
mod kafka_log;
mod log;
pub mod memory;
mod produce;
mod raw;
mod settings;

pub use admin::{
    Finding, Placement, RETENTION_ADVICE, ReadAgain, Verdict, connect, create_or_check_topics, input_partitions,
    input_retention, report, wait_for_contact, wait_until_alone, wait_until_free,
};
pub use consume::{KafkaBatch, KafkaReader, read_readable};
pub use dry_run::DryRun;
pub use kafka_log::KafkaLog;
pub use log::{
    Batch, ClientReport, Failure, GroupEvent, Header, InputOffset, Log, Moment, OutRecord, Own, PartitionStatus,
    Position, Reader, Record, StartAt, TRANSACTION_STEPS, Topic, Transaction, producer_ids,
};
pub use produce::{EventProducer, ProducedEvent, publish_single};
pub use settings::{Compression, GroupProtocol, KafkaSettings, Start};
