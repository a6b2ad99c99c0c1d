//! Records on their way to a worker, and a reader of one partition.

use super::partition::Stored;
use super::requests::Place;
use super::stops::{Point, Stops};
use super::{Cluster, Never};
use crate::kafka::{Batch, Failure, Reader, Record};
use std::collections::VecDeque;
use std::sync::Arc;

/// How long a reader waits where nothing comes.
const READ_WAIT_MS: i64 = 100;

#[derive(Default)]
pub struct MemoryBatch {
    pub(super) records: VecDeque<Arc<Stored>>,
}

impl Batch for MemoryBatch {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn record(&self, place: usize) -> Record<'_> {
        let stored = &self.records[place];
        Record {
            offset: stored.offset,
            timestamp: stored.timestamp,
            key: stored.key.as_deref(),
            value: stored.value.as_deref(),
        }
    }

    fn header(&self, place: usize, name: &str) -> Option<&[u8]> {
        let found = self.records[place].headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_slice())
    }

    fn discard(&mut self, count: usize) {
        self.records.drain(..count);
    }
}

/// Reads one partition of a [`Cluster`].
pub struct MemoryReader<S: Stops = Never> {
    pub(super) cluster: Cluster,
    pub(super) client: usize,
    pub(super) stops: S,
    pub(super) place: Place,
    pub(super) position: i64,
    pub(super) end: i64,
}

impl<S: Stops> Reader for MemoryReader<S> {
    type Batch = MemoryBatch;

    /// Nothing is ever deleted here.
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
        Ok(self.cluster.lock().stable_end(self.place) < self.end)
    }

    fn seek(&mut self, offset: i64) -> Result<(), Failure> {
        self.position = offset;
        Ok(())
    }

    fn read(&mut self, until: i64, records_max: usize, batch: &mut MemoryBatch) -> Result<(), Failure> {
        self.stops.stop(Point::Read, self.cluster.clock());
        let before = self.position;
        self.position = self.cluster.read(self.client, self.place, self.position, until, records_max, batch);
        if self.position == before && self.position < until {
            let waited = self.stops.stop(Point::Idle, self.cluster.clock() + READ_WAIT_MS);
            self.position = self.cluster.read(self.client, self.place, self.position, until, records_max, batch);
            // Where nobody lets time pass, what is missing will never come.
            if self.position == before && !waited {
                let (topic, partition) = self.place;
                return Err(Failure::Stop(format!("{topic:?}[{partition}] ends at {before}; {until} was expected")));
            }
        }
        Ok(())
    }
}
