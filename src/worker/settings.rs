//! How workers run: section `[worker]` of `shoal.toml`.

use super::spans::TracesSettings;
use super::webhook::AlertSettings;
use crate::kafka::KafkaSettings;
use crate::store::SnapshotSettings;
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// Threads, each with a consumer, a producer and a share of the shards.
    pub workers: u32,
    /// Under load a transaction ends so long after its first output; sooner when the inputs are read to their end.
    pub commit_interval_ms: u64,
    /// Bound on changes that new rules, cut points and models cause, over all shards; 0 is none.
    pub max_changes_per_minute: u64,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self { workers: 1, commit_interval_ms: 50, max_changes_per_minute: 0 }
    }
}

/// All that [`super::run`] needs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSettings {
    pub kafka: KafkaSettings,
    pub worker: WorkerSettings,
    pub snapshots: SnapshotSettings,
    pub traces: TracesSettings,
    pub alerts: AlertSettings,
    /// The rules file.
    pub rules: PathBuf,
    /// It is put in force even if it was before and has been replaced since.
    pub force_rules: bool,
}
