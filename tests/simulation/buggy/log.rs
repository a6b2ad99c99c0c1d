//! A log that passes everything on to another one, except for what its bug changes.
//!
//! Bugs of publishing change transactions on their way out; bugs of recovery change records that readers return. Live
//! records are never changed.

use super::Bug;
use shoal::kafka::{
    Batch, ClientReport, Failure, GroupEvent, Header, InputOffset, Log, Moment, Own, PartitionStatus, Position, Reader,
    Record, StartAt, Topic, Transaction,
};
use shoal::worker::journal::{Frame, JournalRecord, Operation, Operations};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// [`Bug::JournalRecordSkipped`] skips one of this many journal records.
const SKIPPED_OF: u64 = 8;
/// By how much [`Bug::TopicsSwapped`] delays the records of the first topic.
const DELAY_MS: i64 = 200;

pub struct BuggyLog<L> {
    inner: L,
    bug: Option<Bug>,
    /// The group has revoked shards that the worker has not released yet.
    is_revoking: bool,
}

impl<L: Log> BuggyLog<L> {
    pub fn new(inner: L, bug: Option<Bug>) -> Self {
        Self { inner, bug, is_revoking: false }
    }
}

impl<L: Log> Log for BuggyLog<L> {
    type Batch = BuggyBatch<L::Batch>;
    type Reader = BuggyReader<L::Reader>;

    fn now(&self) -> Moment {
        self.inner.now()
    }

    fn transactional_id(&self) -> &str {
        self.inner.transactional_id()
    }

    fn poll(&mut self, wait: Duration) -> Result<GroupEvent, Failure> {
        let event = self.inner.poll(wait)?;
        self.is_revoking |= matches!(event, GroupEvent::Revoked { .. });
        Ok(event)
    }

    fn has_group_event(&self) -> bool {
        self.inner.has_group_event()
    }

    fn release(&mut self, shards: &[u32]) {
        self.is_revoking = false;
        self.inner.release(shards);
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), Failure> {
        self.inner.start(positions)
    }

    fn stop(&mut self, partitions: &[(Topic, u32)]) {
        self.inner.stop(partitions);
    }

    fn read(
        &mut self,
        topic: Topic,
        partition: u32,
        records_max: usize,
        batch: &mut Self::Batch,
    ) -> Result<usize, Failure> {
        self.inner.read(topic, partition, records_max, &mut batch.inner)
    }

    fn partition_status(&self, topic: Topic, partition: u32) -> PartitionStatus {
        self.inner.partition_status(topic, partition)
    }

    fn known_end(&self, topic: Topic, partition: u32) -> Option<i64> {
        self.inner.known_end(topic, partition)
    }

    fn fence(&mut self) -> Result<(), Failure> {
        self.inner.fence()
    }

    fn fence_other(&mut self, transactional_id: &str) -> Result<(), Failure> {
        self.inner.fence_other(transactional_id)
    }

    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<u64, Failure> {
        match self.bug {
            Some(Bug::OffsetsOutside) => {
                self.inner.publish(&with_offsets(transaction, Vec::new()))?;
                let offsets = transaction.offsets.clone();
                self.inner.publish(&Transaction { offsets, ..Transaction::default() })
            }
            Some(Bug::TickWithoutOffsets) => {
                let left_out = shards_without_steps(transaction);
                let mut offsets = transaction.offsets.clone();
                offsets.retain(|input| !left_out.contains(&input.partition));
                self.inner.publish(&with_offsets(transaction, offsets))
            }
            Some(Bug::RevokeWithoutCommit) if self.is_revoking => Ok(self.now().monotonic),
            _ => self.inner.publish(transaction),
        }
    }

    fn committed(&mut self, shards: &[u32]) -> Result<Vec<InputOffset>, Failure> {
        self.inner.committed(shards)
    }

    fn input_ids(&mut self) -> Result<Vec<String>, Failure> {
        self.inner.input_ids()
    }

    fn first_offset(&mut self, topic: Topic, partition: u32, start: StartAt) -> Result<i64, Failure> {
        self.inner.first_offset(topic, partition, start)
    }

    fn reader(&mut self, topic: Topic, partition: u32, from: i64) -> Result<Self::Reader, Failure> {
        let inner = self.inner.reader(topic, partition, from)?;
        Ok(BuggyReader { inner, topic, bug: self.bug })
    }

    fn client_report(&self) -> ClientReport {
        self.inner.client_report()
    }
}

/// The same transaction with other offsets.
fn with_offsets<'a>(transaction: &Transaction<'a>, offsets: Vec<InputOffset>) -> Transaction<'a> {
    let headers = transaction.headers.iter().map(|header| Header { name: header.name, value: header.value });
    Transaction { records: transaction.records.clone(), headers: headers.collect(), offsets }
}

/// Shards whose journal record in this transaction contains no step.
fn shards_without_steps(transaction: &Transaction<'_>) -> BTreeSet<u32> {
    let has_no_step = |value: &[u8]| {
        let record = JournalRecord::read(value).expect("the worker writes readable journal records");
        !record.operations.iter().any(|operation| matches!(operation, Operation::Step { .. }))
    };
    let journals = transaction.records.iter().filter(|record| record.topic == Own::Journal);
    journals.filter(|record| record.value.is_some_and(has_no_step)).map(|record| record.partition).collect()
}

/// Records of one partition, some of them with a changed timestamp or value.
#[derive(Default)]
pub struct BuggyBatch<B> {
    inner: B,
    /// By offset.
    timestamps: BTreeMap<i64, i64>,
    values: BTreeMap<i64, Vec<u8>>,
}

impl<B: Batch> Batch for BuggyBatch<B> {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        let mut record = self.inner.record(index);
        if let Some(&timestamp) = self.timestamps.get(&record.offset) {
            record.timestamp = Some(timestamp);
        }
        if let Some(value) = self.values.get(&record.offset) {
            record.value = Some(value);
        }
        record
    }

    fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        self.inner.header(index, name)
    }

    fn discard(&mut self, count: usize) {
        self.inner.discard(count);
        if self.inner.is_empty() {
            self.timestamps.clear();
            self.values.clear();
        }
    }
}

pub struct BuggyReader<R> {
    inner: R,
    topic: Topic,
    bug: Option<Bug>,
}

impl<R: Reader> Reader for BuggyReader<R> {
    type Batch = BuggyBatch<R::Batch>;

    fn first(&self) -> i64 {
        self.inner.first()
    }

    fn end(&self) -> i64 {
        self.inner.end()
    }

    fn position(&self) -> i64 {
        self.inner.position()
    }

    fn is_held_up(&mut self) -> Result<bool, Failure> {
        self.inner.is_held_up()
    }

    fn seek(&mut self, offset: i64) -> Result<(), Failure> {
        self.inner.seek(offset)
    }

    fn read(&mut self, until: i64, records_max: usize, batch: &mut Self::Batch) -> Result<(), Failure> {
        let known = batch.len();
        self.inner.read(until, records_max, &mut batch.inner)?;
        match (self.bug, self.topic) {
            (Some(Bug::JournalRecordSkipped), Topic::Own(Own::Journal)) => skip_operations(batch, known),
            (Some(Bug::TopicsSwapped), Topic::Input(0)) => delay(batch, known),
            (Some(Bug::NewestRules), Topic::Own(Own::Control)) => repeat_newest_rules(batch),
            _ => {}
        }
        Ok(())
    }
}

/// Replaces some journal records by records of the same transactions without operations.
fn skip_operations<B: Batch>(batch: &mut BuggyBatch<B>, known: usize) {
    for index in known..batch.len() {
        let record = batch.inner.record(index);
        let Ok(journal) = JournalRecord::read(record.value.unwrap_or_default()) else { continue };
        if journal.transaction % SKIPPED_OF == 5 {
            let frame = Frame {
                shard: journal.shard,
                transaction: journal.transaction,
                transactional_id: &journal.transactional_id,
                outputs_before: journal.outputs_before,
                outputs: journal.outputs,
                digest: journal.digest,
                positions: &journal.positions,
            };
            let offset = record.offset;
            batch.values.insert(offset, Operations::default().record(&frame));
        }
    }
}

fn delay<B: Batch>(batch: &mut BuggyBatch<B>, known: usize) {
    for index in known..batch.len() {
        let record = batch.inner.record(index);
        let (offset, timestamp) = (record.offset, record.timestamp);
        batch.timestamps.extend(timestamp.map(|timestamp| (offset, timestamp + DELAY_MS)));
    }
}

/// Replaces every rules file in the batch by the newest one.
fn repeat_newest_rules<B: Batch>(batch: &mut BuggyBatch<B>) {
    let is_rules = |record: &Record<'_>| record.key.is_some_and(|key| key.starts_with(b"rules/"));
    let rules: Vec<Record<'_>> =
        (0..batch.inner.len()).map(|index| batch.inner.record(index)).filter(is_rules).collect();
    let Some(newest) = rules.last().and_then(|record| record.value) else { return };
    let replaced: Vec<(i64, Vec<u8>)> = rules.iter().map(|record| (record.offset, newest.to_vec())).collect();
    batch.values.extend(replaced);
}
