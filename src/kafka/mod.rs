//! The log: bytes and offsets in partitions of topics, read in batches and written in transactions.
//!
//! [`Log`] is the seam between a worker and the world. [`KafkaLog`] is the real one, [`memory`] the one for demo, tests
//! and simulation. Nothing here has ever heard of a customer, and nothing here imports the rest of the crate.
//! Files in reading order: `log` (the seam), `memory`, `settings`, `client` and `token` (the door to all clients),
//! `connect` (the first contact), `inspect` and `topics` (what must be so before anything runs), `fate` (what becomes of
//! errors), `raw` and `raw_admin` (all unsafe code), `inbox` (what waits for a worker), `group` (which shards are the
//! worker's), `fetch` (live records), `watch` and `survey` (when time may pass), `reader` (reading again), `transaction`
//! (the producer), `members` (who else is there), `kafka_log` (all put together), `dry_run`, `produce`, `report` and `sample` (`shoal check --connect`).

mod client;
mod connect;
mod dry_run;
mod fate;
mod fetch;
mod group;
mod inbox;
mod inspect;
mod kafka_log;
mod log;
mod members;
pub mod memory;
mod produce;
mod raw;
mod raw_admin;
mod reader;
mod report;
mod sample;
mod settings;
mod survey;
mod token;
mod topics;
mod transaction;
mod watch;

pub use dry_run::DryRun;
pub use inspect::{Finding, Verdict};
pub use kafka_log::KafkaLog;
pub use log::{
    Batch, ClientReport, Failure, GroupEvent, Header, InputOffset, Log, Moment, OutRecord, Own, PartitionStatus,
    Position, Reader, Record, StartAt, TRANSACTION_STEPS, Topic, Transaction,
};
pub use members::wait_until_alone;
pub use produce::{ProducedEvent, Producing};
pub use reader::{KafkaBatch, KafkaReader};
pub use report::report;
pub use sample::Placement;
pub use settings::{GroupProtocol, Hold, KafkaSettings, Start};
pub use topics::{create_or_check_topics, input_partitions, input_retention};
