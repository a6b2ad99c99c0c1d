//! A log in memory, the worker of the service on it, and a consumer of its changes.
//!
//! Everything works as on Kafka, including transactions and the journal. Only the clock is the demo's, so that a year
//! passes in seconds.

use super::super::unusable::Unusable;
use crate::engine::decode::{Partitioner, Source};
use crate::engine::effects::Counts;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::engine::shard::{Bootstrap, Settings, Shard};
use crate::kafka::memory::{Cluster, MemoryBatch, MemoryLog};
use crate::kafka::{Batch, Failure, Log, Own, Reader, StartAt, Topic};
use crate::worker::{OutputSettings, OwnedShard, Worker, WorkerConfig};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::sync::Arc;

/// Turns after which the worker must own its shard.
const FIRST_TURNS_MAX: u32 = 16;

/// A record on the topic of rejected records.
#[derive(Deserialize)]
struct RejectedRecord {
    reason: String,
    error: String,
    offset: u64,
    /// Base64.
    value: String,
}

pub struct Live {
    cluster: Cluster,
    worker: Worker<MemoryLog>,
    consumer: MemoryLog,
    /// The position of the next change to read.
    position: i64,
    batch: MemoryBatch,
}

impl Live {
    pub fn start(rules: Arc<Rules>, now: Millis) -> Result<Self, Failure> {
        let cluster = Cluster::new(1);
        cluster.set_clock(now);
        let source = Source::Kafka { partitioner: Partitioner::Murmur2, partitions: 1 };
        let config = WorkerConfig {
            inputs: vec!["demo".into()],
            partitions: 1,
            shard: Settings { source, publish_from: None, bootstrap: Bootstrap::Nothing },
            source: "/shoal/demo".into(),
            output: OutputSettings::default(),
            start: StartAt::Earliest,
            rules,
            group: "demo".into(),
            force_rules: false,
            commit_interval_ms: 50,
            max_changes_per_minute: 0,
        };
        let mut worker = Worker::new(cluster.worker("demo", vec![0]), config);
        for _ in 0..FIRST_TURNS_MAX {
            worker.turn()?;
        }
        let consumer = cluster.worker("consumer", Vec::new());
        Ok(Self { cluster, worker, consumer, position: 0, batch: MemoryBatch::default() })
    }

    /// Appends an event to the input topic.
    pub fn append(&self, time: Millis, customer_id: &str, event: &[u8]) {
        self.cluster.append(0, 0, Some(time), Some(customer_id.as_bytes()), Some(event));
    }

    /// Advances the clock to `now` and lets the worker do everything that is due by then.
    pub fn work(&mut self, now: Millis) -> Result<(), Failure> {
        self.cluster.set_clock(now);
        // An idle turn may have ticked, which may have made deadlines due; so two in a row are needed.
        let mut idle_turns = 0;
        while idle_turns < 2 {
            self.worker.turn()?;
            let busy = !self.worker.is_at_end() || self.worker.shards().any(OwnedShard::has_slices);
            idle_turns = if busy { 0 } else { idle_turns + 1 };
        }
        Ok(())
    }

    /// Calls `accept` with the values of the changes published since the last call.
    pub fn consume(&mut self, accept: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.position = self.read(Own::Changes, self.position, accept)?;
        Ok(())
    }

    /// The events that were rejected.
    pub fn unusable(&mut self) -> anyhow::Result<Unusable> {
        let mut unusable = Unusable::default();
        self.read(Own::Rejected, 0, |record| {
            let RejectedRecord { reason, error, offset, value } = serde_json::from_slice(record)?;
            let value = STANDARD.decode(value)?;
            unusable.add(("event", offset + 1), &reason, &error, &value);
            Ok(())
        })?;
        Ok(unusable)
    }

    /// Calls `accept` with the values of a topic from a position on; returns the next position.
    fn read(
        &mut self,
        topic: Own,
        from: i64,
        mut accept: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<i64> {
        let mut reader = self.consumer.reader(Topic::Own(topic), 0, from)?;
        let end = reader.end();
        while reader.position() < end {
            self.batch.clear();
            reader.read(end, Shard::CHUNK, &mut self.batch)?;
            for index in 0..self.batch.len() {
                accept(self.batch.record(index).value.unwrap_or_default())?;
            }
        }
        Ok(end)
    }

    /// Finishes the last transaction.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.worker.finish()
    }

    pub fn counts(&self) -> Counts {
        self.worker.counts()
    }

    pub fn shards(&self) -> Vec<&Shard> {
        self.worker.shards().filter_map(OwnedShard::shard).collect()
    }
}
