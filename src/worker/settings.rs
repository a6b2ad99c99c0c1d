//! The settings of workers: sections `[worker]` and `[output]` of `shoal.toml`, and all settings of `shoal run`.

use crate::kafka::{Compression, KafkaSettings};
use crate::store::SnapshotSettings;
use crate::worker::alerts::webhook::AlertSettings;
use crate::worker::observe::spans::TracesSettings;
use crate::worker::transaction::outbox::OutputHeaders;
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// Threads, each with a consumer, a producer and a share of the shards.
    pub workers: u32,
    /// Time from a transaction's first output to its commit under load; it is committed sooner when the inputs are read
    /// to their end.
    pub commit_interval_ms: u64,
    /// Bound on changes caused by new rules, over all shards; 0 is no bound.
    pub max_changes_per_minute: u64,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self { workers: 1, commit_interval_ms: 50, max_changes_per_minute: 0 }
    }
}

/// How outputs are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputSettings {
    /// The headers of changes.
    pub headers: OutputHeaders,
    /// Whether the topic `membership` has every customer; otherwise it only gets tombstones.
    pub membership: bool,
    /// Of the record batches of all of Shoal's own topics.
    pub compression: Compression,
}

impl Default for OutputSettings {
    fn default() -> Self {
        Self { headers: OutputHeaders::default(), membership: true, compression: Compression::default() }
    }
}

/// The settings of [`crate::worker::run`].
#[derive(Clone, Debug, PartialEq)]
pub struct RunSettings {
    pub kafka: KafkaSettings,
    pub worker: WorkerSettings,
    pub output: OutputSettings,
    pub snapshots: SnapshotSettings,
    pub traces: TracesSettings,
    pub alerts: AlertSettings,
    /// The rules file.
    pub rules: PathBuf,
    /// The rules come into force even if they were replaced by others before.
    pub force_rules: bool,
    /// Another process of the same `instance` is not waited for: its shards are taken over at once.
    pub take_over: bool,
}
