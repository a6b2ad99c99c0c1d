//! The memory log as a world of scenarios.

use super::play::Way;
use super::script::Record;
use super::worker::World;
use shoal::engine::event::Millis;
use shoal::kafka::memory::{Cluster, MemoryLog};
use shoal::kafka::{Own, Topic};

pub struct Memory {
    cluster: Cluster,
    partitions: u32,
}

impl Memory {
    pub fn new(partitions: u32) -> Self {
        Self { cluster: Cluster::new(partitions), partitions }
    }
}

impl World for Memory {
    type Log = MemoryLog;

    fn log(&self, way: Way) -> MemoryLog {
        self.cluster.worker("shoal-scenario-0", (0..self.partitions).collect()).with_batch_max(way.batch)
    }

    fn append(&self, partition: u32, record: &Record) {
        let key = record.key.as_deref().map(str::as_bytes);
        self.cluster.append(0, partition, Some(record.arrival), key, Some(&record.value));
    }

    fn set_clock(&mut self, moment: Millis, _is_tick: bool) -> usize {
        self.cluster.set_clock(moment);
        0
    }

    fn published(&self, own: Own) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let partitions = 0..self.partitions;
        let records = partitions.flat_map(|partition| self.cluster.records(Topic::Own(own), partition));
        records.map(|stored| (stored.key.clone().unwrap_or_default(), stored.value.clone())).collect()
    }
}
