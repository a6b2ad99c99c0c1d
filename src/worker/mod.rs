//! The worker: the loop that reads records, applies them to its shards and publishes what follows, and everything that
//! keeps a shard's state safe between two transactions.
//!
//! Modules in the order in which a batch of records meets them. `event_loop` drives all others; none of them knows it.

mod event_loop;
mod input_buffer;
mod owned_shard;

pub mod journal;
pub mod transaction;

pub mod control;
mod lifecycle;
mod throttle;
mod tick;

mod poison_record;
mod reading;
mod recovery;
mod snapshots;

pub mod alerts;
pub mod counters;
pub mod observe;

mod config;
mod ownership;
mod preview;
mod rebuild;
mod run;
mod settings;

pub use crate::engine::calendar::rfc3339_text;
pub use alerts::webhook::{AlertSettings, Webhook, WebhookQueue};
pub use config::{WorkerConfig, worker_config};
pub use control::RulesStatus;
pub use event_loop::Worker;
pub use lifecycle::Phase;
pub use observe::spans::TracesSettings;
pub use observe::status::WorkerStatus;
pub use owned_shard::OwnedShard;
pub use ownership::{change_group, check_group_once, inspect_group};
pub use preview::{RulesPreview, ShardPreview};
pub use rebuild::{InputPlan, Rebuild, ShardPlan, rebuild};
pub use run::{run, stop_on_signal};
pub use settings::{OutputSettings, RunSettings, WorkerSettings};
pub use transaction::outbox::OutputHeaders;
