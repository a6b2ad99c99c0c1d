//! What the workers of a process are configured to do: settings and rules file, checked once, with the inputs as they
//! are.

use super::control::{Inputs, read_rules};
use super::journal::TOPICS_MAX;
use super::settings::{OutputSettings, RunSettings};
use super::transaction::outbox::{DetectedAt, Outbox};
use crate::engine::decode::{Partitioner, Source};
use crate::engine::rule::Rules;
use crate::engine::shard::{Bootstrap, Settings};
use crate::kafka::{ReadAgain, StartAt, input_partitions};
use anyhow::{Context, bail};
use std::sync::Arc;

/// The configuration of a worker; the same for all workers of a process.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The consumer group, to which Shoal's own topics belong.
    pub group: String,
    /// Input topics, in their configured order.
    pub inputs: Vec<String>,
    /// Number of partitions of each input.
    pub partitions: u32,
    pub shard: Settings,
    /// `ce_source` of the changes.
    pub source: String,
    pub output: OutputSettings,
    pub start: StartAt,
    /// The owner of shard 0 publishes them unless they were published before.
    pub rules: Arc<Rules>,
    /// The rules are published even if they were replaced by others before.
    pub force_rules: bool,
    pub commit_interval_ms: u64,
    /// Bound on changes caused by new rules, over all shards; 0 is no bound.
    pub max_changes_per_minute: u64,
}

impl WorkerConfig {
    /// The inputs as the control topic records them, with the current ids of the topics.
    pub fn inputs_with(&self, ids: Vec<String>) -> Inputs {
        let (topics, group) = (self.inputs.clone(), self.group.clone());
        let membership = self.output.membership;
        Inputs { topics, partitions: self.partitions, ids, group, moved_from: None, membership }
    }

    /// The outputs of a shard.
    pub fn outbox(&self) -> Outbox {
        let outbox = Outbox::new(self.inputs.clone(), &self.source, DetectedAt::WallClock);
        outbox.with_headers(self.output.headers)
    }
}

/// The configuration of the workers of this process, from its settings, its rules file and the inputs in Kafka.
pub fn worker_config(settings: &RunSettings) -> anyhow::Result<WorkerConfig> {
    let file = settings.rules.display();
    let bytes = std::fs::read(&settings.rules).with_context(|| format!("cannot read the rules file {file}"))?;
    let rules = read_rules(&bytes).map_err(|message| anyhow::anyhow!("{file}: {message}"))?;
    let kafka = &settings.kafka;
    if kafka.inputs.is_empty() || kafka.inputs.len() > TOPICS_MAX {
        bail!("`inputs` of [kafka]: expected 1 to {TOPICS_MAX} topics, found {}", kafka.inputs.len());
    }
    let read_again = match settings.snapshots.are_on() {
        true => ReadAgain::FromSnapshots,
        false => ReadAgain::FromTheBeginning,
    };
    let partitions = input_partitions(kafka, read_again)?;
    let source = Source::Kafka { partitioner: partitioner(&kafka.partitioner)?, partitions };
    Ok(WorkerConfig {
        group: kafka.group.clone(),
        inputs: kafka.inputs.clone(),
        partitions,
        shard: Settings { source, publish_from: None, bootstrap: Bootstrap::Nothing },
        source: format!("/shoal/{}", kafka.group),
        output: settings.output,
        start: StartAt::from(&kafka.start),
        rules,
        force_rules: settings.force_rules,
        commit_interval_ms: settings.worker.commit_interval_ms,
        max_changes_per_minute: settings.worker.max_changes_per_minute,
    })
}

fn partitioner(name: &str) -> anyhow::Result<Partitioner> {
    Ok(match name {
        "murmur2" => Partitioner::Murmur2,
        "crc32" => Partitioner::Crc32,
        "any" => Partitioner::Any,
        other => bail!("`partitioner` of [kafka]: expected murmur2, crc32 or any, found {other:?}"),
    })
}
