//! A log that reads real inputs and publishes nothing: what `shoal run --dry-run` works on.
//!
//! Inputs come from Kafka, through a group of its own that leaves nothing behind. Our own topics are in memory, which
//! keeps only what the worker reads again: the control topic. The values of changes are passed to a callback.

use super::memory::{Cluster, MemoryBatch, MemoryLog, MemoryReader};
use super::{
    Batch, ClientReport, Failure, GroupEvent, InputOffset, KafkaBatch, KafkaLog, KafkaReader, KafkaSettings, Log,
    Moment, OutRecord, Own, PartitionStatus, Position, Reader, Record, StartAt, Topic, Transaction,
};
use std::time::Duration;

/// Called with the value of each change that would be published.
pub type OnChange = Box<dyn FnMut(&[u8]) -> std::io::Result<()>>;

pub struct DryRun {
    inputs: KafkaLog,
    own: MemoryLog,
    on_change: OnChange,
    was_assigned: bool,
}

impl DryRun {
    /// These settings with a group that no other process uses, named after the configured group, the process and the
    /// time.
    pub fn with_own_group(settings: &KafkaSettings) -> KafkaSettings {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let group = format!("{}-dry-run-{}-{now}", settings.group, std::process::id());
        KafkaSettings { group, ..settings.clone() }
    }

    /// Joins the group of settings made by [`with_own_group`](Self::with_own_group).
    pub fn join(settings: &KafkaSettings, on_change: OnChange) -> Result<Self, Failure> {
        let inputs = KafkaLog::join(settings, 0)?;
        let own = Cluster::new(1).worker("dry-run", Vec::new());
        Ok(Self { inputs, own, on_change, was_assigned: false })
    }
}

impl Log for DryRun {
    type Batch = DryBatch;
    type Reader = DryReader;

    fn now(&self) -> Moment {
        self.inputs.now()
    }

    fn transactional_id(&self) -> &str {
        self.own.transactional_id()
    }

    /// # Errors
    /// If shards are assigned a second time: their state would have to be recovered, and nothing was stored for that.
    fn poll(&mut self, wait: Duration) -> Result<GroupEvent, Failure> {
        self.own.poll(Duration::ZERO)?;
        let event = self.inputs.poll(wait)?;
        if matches!(event, GroupEvent::Assigned(_)) && std::mem::replace(&mut self.was_assigned, true) {
            return Err(Failure::Stop(
                "the group has assigned the shards a second time, and a dry run stores nothing to go on from: start it again".into(),
            ));
        }
        Ok(event)
    }

    fn has_group_event(&self) -> bool {
        self.inputs.has_group_event()
    }

    fn release(&mut self, shards: &[u32]) {
        self.inputs.release(shards);
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), Failure> {
        let is_input = |position: &&Position| matches!(position.topic, Topic::Input(_));
        let (inputs, own): (Vec<&Position>, Vec<&Position>) = positions.iter().partition(is_input);
        self.own.start(&own.into_iter().copied().collect::<Vec<_>>())?;
        self.inputs.start(&inputs.into_iter().copied().collect::<Vec<_>>())
    }

    /// Partitions that a log has not started are ignored by it.
    fn stop(&mut self, partitions: &[(Topic, u32)]) {
        self.own.stop(partitions);
        self.inputs.stop(partitions);
    }

    fn read(
        &mut self,
        topic: Topic,
        partition: u32,
        records_max: usize,
        batch: &mut DryBatch,
    ) -> Result<usize, Failure> {
        match topic {
            Topic::Input(_) => self.inputs.read(topic, partition, records_max, batch.inputs()),
            Topic::Own(_) => self.own.read(topic, partition, records_max, batch.own()),
        }
    }

    fn partition_status(&self, topic: Topic, partition: u32) -> PartitionStatus {
        match topic {
            Topic::Input(_) => self.inputs.partition_status(topic, partition),
            Topic::Own(_) => self.own.partition_status(topic, partition),
        }
    }

    fn known_end(&self, topic: Topic, partition: u32) -> Option<i64> {
        match topic {
            Topic::Input(_) => self.inputs.known_end(topic, partition),
            Topic::Own(_) => self.own.known_end(topic, partition),
        }
    }

    fn fence(&mut self) -> Result<(), Failure> {
        self.own.fence()
    }

    /// No other identity has a transaction in our topics in memory.
    fn fence_other(&mut self, _transactional_id: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<u64, Failure> {
        let of = |own: Own| transaction.records.iter().filter(move |record| record.topic == own);
        for change in of(Own::Changes) {
            let shown = (self.on_change)(change.value.unwrap_or_default());
            shown.map_err(|error| Failure::Stop(format!("a change cannot be written: {error}")))?;
        }
        let kept = of(Own::Control).map(|record| OutRecord { headers: 0..0, ..record.clone() }).collect();
        self.own.publish(&Transaction { records: kept, ..Transaction::default() })
    }

    fn committed(&mut self, _shards: &[u32]) -> Result<Vec<InputOffset>, Failure> {
        Ok(Vec::new())
    }

    fn first_offset(&mut self, topic: Topic, partition: u32, start: StartAt) -> Result<i64, Failure> {
        match topic {
            Topic::Input(_) => self.inputs.first_offset(topic, partition, start),
            Topic::Own(_) => self.own.first_offset(topic, partition, start),
        }
    }

    /// The control topic, which identifiers are compared with, is new in each dry run.
    fn input_ids(&mut self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    fn reader(&mut self, topic: Topic, partition: u32, from: i64) -> Result<DryReader, Failure> {
        Ok(match topic {
            Topic::Input(_) => DryReader::Inputs(Box::new(self.inputs.reader(topic, partition, from)?)),
            Topic::Own(_) => DryReader::Own(self.own.reader(topic, partition, from)?),
        })
    }

    fn client_report(&self) -> ClientReport {
        self.inputs.client_report()
    }
}

/// Records of an input or of a topic of our own.
pub enum DryBatch {
    Inputs(KafkaBatch),
    Own(MemoryBatch),
}

impl Default for DryBatch {
    fn default() -> Self {
        Self::Inputs(KafkaBatch::default())
    }
}

impl DryBatch {
    fn inputs(&mut self) -> &mut KafkaBatch {
        if let Self::Own(_) = self {
            *self = Self::default();
        }
        match self {
            Self::Inputs(batch) => batch,
            Self::Own(_) => unreachable!("just replaced"),
        }
    }

    fn own(&mut self) -> &mut MemoryBatch {
        if let Self::Inputs(_) = self {
            *self = Self::Own(MemoryBatch::default());
        }
        match self {
            Self::Own(batch) => batch,
            Self::Inputs(_) => unreachable!("just replaced"),
        }
    }
}

impl Batch for DryBatch {
    fn len(&self) -> usize {
        match self {
            Self::Inputs(batch) => batch.len(),
            Self::Own(batch) => batch.len(),
        }
    }

    fn record(&self, index: usize) -> Record<'_> {
        match self {
            Self::Inputs(batch) => batch.record(index),
            Self::Own(batch) => batch.record(index),
        }
    }

    fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        match self {
            Self::Inputs(batch) => batch.header(index, name),
            Self::Own(batch) => batch.header(index, name),
        }
    }

    fn discard(&mut self, count: usize) {
        match self {
            Self::Inputs(batch) => batch.discard(count),
            Self::Own(batch) => batch.discard(count),
        }
    }
}

pub enum DryReader {
    Inputs(Box<KafkaReader>),
    Own(MemoryReader),
}

impl Reader for DryReader {
    type Batch = DryBatch;

    fn first(&self) -> i64 {
        match self {
            Self::Inputs(reader) => reader.first(),
            Self::Own(reader) => reader.first(),
        }
    }

    fn end(&self) -> i64 {
        match self {
            Self::Inputs(reader) => reader.end(),
            Self::Own(reader) => reader.end(),
        }
    }

    fn position(&self) -> i64 {
        match self {
            Self::Inputs(reader) => reader.position(),
            Self::Own(reader) => reader.position(),
        }
    }

    fn is_held_up(&mut self) -> Result<bool, Failure> {
        match self {
            Self::Inputs(reader) => reader.is_held_up(),
            Self::Own(reader) => reader.is_held_up(),
        }
    }

    fn seek(&mut self, offset: i64) -> Result<(), Failure> {
        match self {
            Self::Inputs(reader) => reader.seek(offset),
            Self::Own(reader) => reader.seek(offset),
        }
    }

    fn read(&mut self, until: i64, records_max: usize, batch: &mut DryBatch) -> Result<(), Failure> {
        match self {
            Self::Inputs(reader) => reader.read(until, records_max, batch.inputs()),
            Self::Own(reader) => reader.read(until, records_max, batch.own()),
        }
    }
}
