//! The open transaction of a shard: steps of buffered records applied to it, and its commit.
//!
//! A step applies records in their merged order, in chunks, and is noted for the journal by range and hash. A record
//! that killed the process is skipped and rejected instead ([`crate::worker::poison_record`]). At the commit the
//! transaction is sealed with a journal record and published with those of other shards.

use super::{EffectMode, OwnedShard};
use crate::engine::event::{Millis, Record};
use crate::engine::shard::{Input, Shard};
use crate::fault_injection;
use crate::kafka::{self, Batch, Failure, Log};
use crate::worker::input_buffer::{InputBuffer, MergedRecord, RECORDS_MAX};
use crate::worker::journal::{Frame, Operation, StepHash, StepPart};
use crate::worker::transaction::outbox::{HeaderOf, Memberships, Outbox, Output, no_header};
use crate::worker::transaction::publish::{ExtraRecord, Published, SealedTransaction, publish};
use crate::worker::transaction::traceparent;

impl OwnedShard {
    /// Applies the buffered records, up to a topic whose next record must be waited for.
    pub fn step(&mut self, wall: Millis, buffer: &mut InputBuffer<impl Batch>) {
        self.step_of(wall, buffer, RECORDS_MAX);
    }

    /// Applies at most `records_max` of the buffered records; how many were applied.
    pub fn step_of(&mut self, wall: Millis, buffer: &mut InputBuffer<impl Batch>, records_max: usize) -> u64 {
        let now = self.step_clock(wall);
        let oldest = buffer.merge(now).next().map(|next| next.record.timestamp.unwrap_or(now));
        let parts = self.apply_step(now, buffer, buffer.merge(now).take(records_max), EffectMode::Published);
        if parts.is_empty() {
            return 0;
        }
        self.counters.add_step(&parts, wall, oldest);
        let records = parts.iter().map(|part| u64::from(part.records)).sum();
        let mut applied = vec![0; self.positions.inputs().len()];
        parts.iter().for_each(|part| applied[usize::from(part.topic)] = part.records as usize);
        buffer.discard(&applied);
        self.open.push(&Operation::Step { now, parts }, records);
        records
    }

    /// Topic and offset of the next record in the merged order, if it is known.
    pub fn next_record(&self, wall: Millis, buffer: &InputBuffer<impl Batch>) -> Option<(u16, i64)> {
        buffer.merge(self.step_clock(wall)).next().map(|next| (next.topic, next.record.offset))
    }

    /// Applies records of a buffer as one step, in chunks counted from the first record; what the journal has to know
    /// of each topic.
    pub fn apply_step<'a>(
        &mut self,
        now: Millis,
        buffer: &InputBuffer<impl Batch>,
        records: impl Iterator<Item = MergedRecord<'a>>,
        mode: EffectMode,
    ) -> Vec<StepPart> {
        self.time.now = now;
        let mut parts: Vec<(StepPart, StepHash)> = (0..).zip(self.positions.inputs()).map(begin_part).collect();
        let mut chunk = Vec::with_capacity(Shard::CHUNK);
        let traceparent = |topic, offset| buffer.header(topic, offset, traceparent::HEADER);
        for next in records {
            let (part, hash) = &mut parts[usize::from(next.topic)];
            hash.add(next.record.offset, next.record.key, next.record.value);
            part.records += 1;
            part.to = next.record.offset + 1;
            self.time.last_arrival = Some(next.arrival);
            chunk.push(self.engine_record(next.topic, next.record));
            if chunk.len() == Shard::CHUNK {
                self.apply_chunk(now, &chunk, &traceparent, mode);
                chunk.clear();
            }
        }
        if !chunk.is_empty() {
            self.apply_chunk(now, &chunk, &traceparent, mode);
        }
        let read = parts.into_iter().filter(|(part, _)| part.records > 0);
        let parts: Vec<StepPart> = read.map(|(part, hash)| StepPart { hash: hash.value(), ..part }).collect();
        parts.iter().for_each(|part| self.positions.set_input(part.topic, part.to));
        parts
    }

    fn engine_record<'a>(&self, topic: u16, record: kafka::Record<'a>) -> Record<'a> {
        Record {
            topic,
            partition: self.number,
            offset: record.offset,
            arrival: record.timestamp,
            key: record.key,
            value: record.value.unwrap_or_default(),
        }
    }

    fn apply_chunk(&mut self, now: Millis, records: &[Record<'_>], traceparent: &HeaderOf<'_>, mode: EffectMode) {
        fault_injection::crash_point_for_keys(records.iter().map(|record| record.key));
        self.apply_input(Input::Records { now, records }, records, traceparent, mode);
    }

    /// Applies one input to the engine's shard. Its effects become outputs of the open transaction.
    pub(super) fn apply_input(
        &mut self,
        input: Input<'_>,
        records: &[Record<'_>],
        traceparent: &HeaderOf<'_>,
        mode: EffectMode,
    ) {
        let shard = self.shard.as_mut().expect("the first rules come before every other input");
        shard.apply(input, &mut self.effects);
        self.counters.add_counts(&self.effects.counts);
        if mode == EffectMode::Published {
            self.counters.add_effects(&self.effects, shard.rules().event_settings.grace);
            let outbox = self.open.outbox_mut();
            outbox.encode_traced(&self.effects, records, traceparent);
            outbox.encode_reports(self.number, &self.effects.reports);
        }
        self.effects.clear();
    }

    /// Rejects the next record in the merged order without applying it.
    pub fn skip_record(&mut self, wall: Millis, buffer: &mut InputBuffer<impl Batch>) {
        let Some(next) = buffer.merge(self.step_clock(wall)).next() else { return };
        let (topic, offset) = (next.topic, next.record.offset);
        self.replay_skip(topic, offset, Some(next.record), EffectMode::Published);
        let mut skipped = vec![0; self.positions.inputs().len()];
        skipped[usize::from(topic)] = 1;
        buffer.discard(&skipped);
        self.open.push(&Operation::Skip { topic, offset }, 0);
    }

    /// Skips a record that was skipped before. Its content matters only if its rejection is published again.
    pub fn replay_skip(&mut self, topic: u16, offset: i64, record: Option<kafka::Record<'_>>, mode: EffectMode) {
        self.positions.set_input(topic, offset + 1);
        let missing = kafka::Record { offset, timestamp: None, key: None, value: None };
        let record = self.engine_record(topic, record.unwrap_or(missing));
        self.apply_input(Input::Skipped(&record), &[record], &no_header, mode);
    }
}

fn begin_part((topic, &from): (u16, &i64)) -> (StepPart, StepHash) {
    (StepPart { topic, from, to: from, records: 0, hash: 0 }, StepHash::default())
}

/// Commits the open transactions of these shards as one, with extra records beside them. If it fails, the shards must
/// be rebuilt: it is not known whether the transaction was committed.
pub fn commit<'a, L: Log>(
    log: &mut L,
    shards: impl Iterator<Item = &'a mut OwnedShard>,
    extra: &[ExtraRecord<'_>],
) -> Result<Published, Failure> {
    let mut shards: Vec<&mut OwnedShard> = shards.collect();
    let journals: Vec<Vec<u8>> = shards.iter_mut().map(|shard| shard.seal(log.transactional_id())).collect();
    let sealed: Vec<SealedTransaction<'_>> =
        shards.iter().zip(&journals).map(|(shard, journal)| shard.sealed(journal)).collect();
    let published = publish(log, &sealed, extra)?;
    drop(sealed);
    shards.iter_mut().for_each(|shard| shard.mark_committed());
    fault_injection::crash_point("transaction/known");
    Ok(published)
}

impl OwnedShard {
    /// Whether the shard has anything to commit.
    pub fn has_work(&self) -> bool {
        self.open.has_work()
    }

    /// Whether the state is the one after the last committed transaction.
    pub fn is_settled(&self) -> bool {
        self.is_running() && !self.open.has_operations()
    }

    /// Whether the open transaction has outputs.
    pub fn has_outputs(&self) -> bool {
        !self.open.outbox().is_empty()
    }

    /// Whether the open transaction must end before anything else is done.
    pub fn is_full(&self) -> bool {
        self.open.is_full()
    }

    /// The group's offsets are behind the journal: they are sent with the next transaction.
    pub fn mark_offsets_behind(&mut self) {
        self.open.mark_offsets_behind();
    }

    /// The outputs of the open transaction.
    pub fn outbox(&self) -> &Outbox {
        self.open.outbox()
    }

    /// From now on these memberships are published.
    pub fn set_memberships(&mut self, memberships: Memberships) {
        self.open.outbox_mut().set_memberships(memberships);
    }

    /// Publishes the memberships with which the open transaction has this number of outputs, if possible these.
    pub fn fit_memberships(&mut self, memberships: Memberships, outputs: u64) {
        self.open.outbox_mut().fit_memberships(memberships, outputs);
    }

    /// Encodes the outputs that are due at the end of the open transaction.
    pub fn complete_outputs(&mut self) {
        self.open.complete_outputs(self.shard.as_ref());
    }

    /// Drops the outputs of the open transaction, which are published.
    pub fn drop_outputs(&mut self) {
        self.open.clear_outputs();
    }

    /// Completes the outputs of the open transaction; its journal record.
    fn seal(&mut self, transactional_id: &str) -> Vec<u8> {
        self.complete_outputs();
        self.open.journal_record(&Frame {
            shard: self.number,
            transaction: self.committed.transaction + 1,
            transactional_id,
            outputs_before: self.committed.outputs,
            outputs: self.open.outbox().outputs().len() as u64,
            digest: self.digest(),
            positions: self.positions.inputs(),
        })
    }

    fn sealed<'a>(&'a self, journal: &'a [u8]) -> SealedTransaction<'a> {
        SealedTransaction {
            shard: self.number,
            transaction: self.committed.transaction + 1,
            outputs_before: self.committed.outputs,
            outbox: self.open.outbox(),
            journal,
            offsets: self.input_offsets().collect(),
        }
    }

    fn mark_committed(&mut self) {
        self.committed.advance(self.open.outbox().outputs().len() as u64);
        self.count_actions();
        self.counters.settle();
        self.open.clear();
    }

    /// Ends the open transaction without publishing it, after passing its outputs to `each`.
    pub fn end_unpublished<E>(&mut self, each: impl FnMut(Output<'_>) -> Result<(), E>) -> Result<(), E> {
        self.complete_outputs();
        self.open.outbox().outputs().try_for_each(each)?;
        self.mark_committed();
        Ok(())
    }

    /// Goes on after a journalled transaction that was committed before.
    pub fn pass_transaction(&mut self, outputs: u64) {
        self.committed.advance(outputs);
    }
}
