//! The batch of a worker on the log in memory, and the reader of one partition.

use super::partition::Stored;
use super::requests::TopicPartition;
use super::scheduler::{Point, Scheduler};
use super::{Cluster, NoScheduler};
use crate::kafka::{Batch, Failure, Reader, Record};
use std::collections::VecDeque;
use std::sync::Arc;

/// How long a reader waits for records.
const READ_WAIT_MS: i64 = 100;

#[derive(Default)]
pub struct MemoryBatch {
    pub(super) records: VecDeque<Arc<Stored>>,
}

impl Batch for MemoryBatch {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        let stored = &self.records[index];
        Record {
            offset: stored.offset,
            timestamp: stored.timestamp,
            key: stored.key.as_deref(),
            value: stored.value.as_deref(),
        }
    }

    fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        let found = self.records[index].headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_slice())
    }

    fn discard(&mut self, count: usize) {
        self.records.drain(..count);
    }
}

/// Reads one partition of a [`Cluster`].
pub struct MemoryReader<S: Scheduler = NoScheduler> {
    pub(super) cluster: Cluster,
    pub(super) client: usize,
    pub(super) scheduler: S,
    pub(super) topic_partition: TopicPartition,
    pub(super) position: i64,
    pub(super) end: i64,
}

impl<S: Scheduler> Reader for MemoryReader<S> {
    type Batch = MemoryBatch;

    /// Retention does not exist in memory.
    fn first(&self) -> i64 {
        0
    }

    fn end(&self) -> i64 {
        self.end
    }

    fn position(&self) -> i64 {
        self.position
    }

    fn is_held_up(&mut self) -> Result<bool, Failure> {
        Ok(self.cluster.lock().stable_end(self.topic_partition) < self.end)
    }

    fn seek(&mut self, offset: i64) -> Result<(), Failure> {
        self.position = offset;
        Ok(())
    }

    fn read(&mut self, until: i64, records_max: usize, batch: &mut MemoryBatch) -> Result<(), Failure> {
        self.scheduler.pause(Point::Read, self.cluster.clock());
        let before = self.position;
        self.position = self.cluster.read(self.client, self.topic_partition, self.position, until, records_max, batch);
        if self.position == before && self.position < until {
            let waited = self.scheduler.pause(Point::Idle, self.cluster.clock() + READ_WAIT_MS);
            self.position =
                self.cluster.read(self.client, self.topic_partition, self.position, until, records_max, batch);
            // Without a scheduler time does not pass, so the missing records will never come.
            if self.position == before && !waited {
                let (topic, partition) = self.topic_partition;
                return Err(Failure::Stop(format!("{topic:?}[{partition}] ends at {before}; expected {until}")));
            }
        }
        Ok(())
    }
}
