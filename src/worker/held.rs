//! A shard that a worker holds: the engine's shard, where it reads on, and what of the open transaction is its own.
//!
//! Whatever is done to it is done through [`HeldShard::apply`], live and in recovery alike. Live each operation is
//! journalled and its effects go to the outbox; in recovery they are muted.

mod adopt;
mod census;
mod skip;
mod snapshot;
mod tally;

pub use adopt::Standing;
pub use snapshot::KnownSnapshots;

use super::careful::DOUBT_MAX;
use super::journal::{Frame, Operation, Operations, StepHash, StepPart};
use super::lifecycle::Phase;
use super::merge::{Feed, Next, RECORDS_MAX};
use super::outbox::{Detection, HeaderOf, Outbox, none};
use super::traceparent;
use crate::engine::decode::{Partitioner, Source};
use crate::engine::effects::{Cause, Counts, Effects};
use crate::engine::event::{MINUTE, Millis, Record};
use crate::engine::event_settings::Clock;
use crate::engine::rule::Rules;
use crate::engine::shard::{Input, Settings, Shard};
use crate::fault_injection;
use crate::kafka::{Batch, Failure, InputOffset};
use std::sync::Arc;
use tally::Counting;

/// Deadlines and customers handled between two batches.
const FIRE_SLICE: u32 = 4_096;
const SWEEP_SLICE: u32 = 256;
/// Bytes of outputs after which a transaction ends.
const OUTPUT_BYTES_MAX: usize = 8 * 1024 * 1024;

pub struct HeldShard {
    number: u32,
    phase: Phase,
    settings: Settings,
    /// There is none before its first rules.
    shard: Option<Shard>,
    /// Next offset of each input topic.
    positions: Vec<i64>,
    /// Next control record to take.
    control_next: i64,
    /// Where in the control topic the rules in force stand, and those before; `None` if they came with a seed.
    rules_at: Option<i64>,
    old_rules_at: Option<i64>,
    /// A transaction whose journal record is known to stand just before an offset.
    journal_known: (u64, i64),
    /// The last transaction that is in a snapshot.
    stored: Option<u64>,
    now: Millis,
    ticked: Millis,
    /// Arrival of the last record in the merged order.
    last_arrival: Option<Millis>,
    /// Numbers of the last committed transaction and output.
    transaction: u64,
    outputs: u64,
    operations: Operations,
    /// Records in the open transaction.
    open_records: u64,
    outbox: Outbox,
    effects: Effects,
    counts: Counts,
    pub(super) counting: Counting,
    snapshots: KnownSnapshots,
    /// Published changes that no event or moment caused: new rules, cut points and models.
    swept_changes: u64,
    /// The group's offsets are behind the journal: they go with the next transaction, even if nothing else does.
    offsets_behind: bool,
}

impl HeldShard {
    pub fn new(number: u32, settings: Settings, inputs: &[String], source: &str) -> Self {
        Self {
            number,
            phase: Phase::Assigned,
            settings,
            shard: None,
            positions: vec![0; inputs.len()],
            control_next: 0,
            rules_at: None,
            old_rules_at: None,
            journal_known: (0, 0),
            stored: None,
            now: Millis::MIN,
            ticked: Millis::MIN,
            last_arrival: None,
            swept_changes: 0,
            transaction: 0,
            outputs: 0,
            operations: Operations::default(),
            open_records: 0,
            outbox: Outbox::new(inputs.to_vec(), source.to_owned(), Detection::WallClock),
            effects: Effects::default(),
            counts: Counts::default(),
            counting: Counting::default(),
            snapshots: KnownSnapshots::default(),
            offsets_behind: false,
        }
    }

    pub fn number(&self) -> u32 {
        self.number
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Moves on in its life; what follows recovery depends on whether there are rules.
    pub fn become_next(&mut self, next: Phase) {
        self.phase.become_next(next);
    }

    pub fn shard(&self) -> Option<&Shard> {
        self.shard.as_ref()
    }

    /// What happened to its inputs since it is held, recovery included.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn transaction(&self) -> u64 {
        self.transaction
    }

    pub fn outputs(&self) -> u64 {
        self.outputs
    }

    pub fn positions(&self) -> &[i64] {
        &self.positions
    }

    pub fn set_position(&mut self, topic: u16, position: i64) {
        self.positions[usize::from(topic)] = position;
    }

    /// How many partitions each input has.
    pub fn partitions(&self) -> u32 {
        self.settings.source.partitions()
    }

    /// How keys are checked.
    pub fn partitioner(&self) -> Partitioner {
        match self.settings.source {
            Source::Kafka { partitioner, .. } => partitioner,
            Source::File => Partitioner::Any,
        }
    }

    pub fn control_next(&self) -> i64 {
        self.control_next
    }

    pub fn mark_offsets_behind(&mut self) {
        self.offsets_behind = true;
    }

    /// An offset in the journal at or before that of the next record: each takes an offset, and its marker another.
    pub fn journal_from(&self) -> i64 {
        let (transaction, offset) = self.journal_known;
        offset + 2 * (self.transaction - transaction) as i64
    }

    /// The record of the last transaction stands at this offset of the journal.
    pub fn set_journal_offset(&mut self, offset: i64) {
        self.journal_known = (self.transaction, offset + 1);
    }

    /// Next offsets of all its inputs, moved or not.
    pub fn input_offsets(&self) -> impl Iterator<Item = InputOffset> {
        let partition = self.number;
        let positions = self.positions.iter().enumerate();
        positions.map(move |(topic, &offset)| InputOffset { topic: topic as u16, partition, offset })
    }

    /// Whether it has anything for a transaction.
    pub fn moved(&self) -> bool {
        !self.operations.is_empty() || self.offsets_behind
    }

    /// Whether its state is the one after its last transaction.
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Running && self.operations.is_empty()
    }

    pub fn has_outputs(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether the open transaction must end before anything else is done.
    pub fn is_full(&self) -> bool {
        self.operations.is_full() || self.outbox.bytes() > OUTPUT_BYTES_MAX || self.open_records >= DOUBT_MAX
    }

    /// Whether deadlines are due that have yet to fire.
    pub fn has_due(&self) -> bool {
        self.shard.as_ref().is_some_and(Shard::has_due)
    }

    /// Whether customers have yet to be evaluated with the newest rules.
    pub fn is_sweeping(&self) -> bool {
        self.shard.as_ref().is_some_and(Shard::sweeping)
    }

    /// Whether deadlines or customers wait for a slice.
    pub fn has_slices(&self) -> bool {
        self.has_due() || self.is_sweeping()
    }

    /// Changes published so far that new rules, cut points or models caused.
    pub fn swept_changes(&self) -> u64 {
        self.swept_changes
    }

    /// Arrival of the last record that was applied; the next one in the merged order arrived no earlier.
    pub fn last_arrival(&self) -> Option<Millis> {
        self.last_arrival
    }

    /// Applies what is buffered, up to a topic that must be waited for.
    pub fn step(&mut self, wall: Millis, feed: &mut Feed<impl Batch>) {
        self.step_of(wall, feed, RECORDS_MAX);
    }

    /// The same of at most so many records; how many there were.
    pub fn step_of(&mut self, wall: Millis, feed: &mut Feed<impl Batch>, records_max: usize) -> u64 {
        let now = self.now.max(wall);
        let oldest = feed.merge(now).next().map(|next| next.record.timestamp.unwrap_or(now));
        let parts = self.apply_step(now, feed, feed.merge(now).take(records_max), Effect::Published);
        if parts.is_empty() {
            return 0;
        }
        self.counting.step(&parts, wall, oldest);
        let records = parts.iter().map(|part| u64::from(part.records)).sum();
        self.open_records += records;
        let mut taken = vec![0; self.positions.len()];
        parts.iter().for_each(|part| taken[usize::from(part.topic)] = part.records as usize);
        feed.discard(&taken);
        self.operations.push(&Operation::Step { now, parts });
        records
    }

    /// Topic and offset of the next record in the merged order, if it is known.
    pub fn next_record(&self, wall: Millis, feed: &Feed<impl Batch>) -> Option<(u16, i64)> {
        feed.merge(self.now.max(wall)).next().map(|next| (next.topic, next.record.offset))
    }

    /// Fires a slice of due deadlines.
    pub fn fire_slice(&mut self) {
        self.live(Operation::Fire(FIRE_SLICE), None);
    }

    /// Evaluates a slice of customers with new rules.
    pub fn sweep_slice(&mut self) {
        self.live(Operation::Sweep(SWEEP_SLICE), None);
    }

    /// Tells the time.
    pub fn tick(&mut self, moment: Millis) {
        self.live(Operation::Tick(moment), None);
    }

    /// Takes the control record at `offset`, which the caller has found to hold these rules.
    pub fn take_rules(&mut self, offset: i64, rules: &Arc<Rules>) {
        self.live(Operation::Control(offset), Some(rules));
    }

    /// Whether the state came with a seed, and with its rules.
    pub fn has_seed_rules(&self) -> bool {
        // A state that was made anew goes on in the control topic where it was; a seed has not begun to read it.
        self.shard.is_some() && self.rules_at.is_none() && self.control_next == 0
    }

    /// Whether rules from the control topic may follow those of the shard.
    ///
    /// # Errors
    /// If they are the first ones after a seed, and not the seed's own.
    pub fn check_rules(&self, rules: &Rules) -> Result<(), Failure> {
        match self.shard.as_ref().filter(|_| self.has_seed_rules()) {
            Some(shard) if shard.rules().version != rules.version => Err(Failure::Stop(format!(
                "the snapshots are a seed made with rules version {}, and the first rules are version \
                 {}: start with the rules file of the seed, and change it then",
                shard.rules().version,
                rules.version
            ))),
            _ => Ok(()),
        }
    }

    /// Whether a control record can be taken now: only when the sweep of the one before has ended.
    pub fn takes_control(&self) -> bool {
        self.shard.as_ref().is_none_or(|shard| !shard.sweeping())
    }

    /// When the wall clock makes a tick due, if there are ticks.
    pub fn next_tick(&self) -> Option<Millis> {
        let shard = self.shard.as_ref()?;
        let event_settings = &shard.rules().event_settings;
        if event_settings.clock == Clock::Events {
            return None;
        }
        let by_deadline =
            shard.next_deadline().map_or(Millis::MAX, |deadline| deadline.saturating_add(event_settings.grace));
        let by_minute = self.ticked.saturating_add(MINUTE);
        Some(by_deadline.min(by_minute).min(self.next_census_tick().unwrap_or(Millis::MAX)))
    }

    /// Whether a tick at this moment would make a deadline due, or the last one is a minute ago.
    pub fn tick_is_due(&self, moment: Millis) -> bool {
        moment > self.ticked && self.next_tick().is_some_and(|due| due <= moment)
    }

    fn live(&mut self, operation: Operation, rules: Option<&Arc<Rules>>) {
        self.apply(&operation, rules, Effect::Published);
        self.operations.push(&operation);
    }

    /// Does an operation that needs no records. `rules` are those of a control operation.
    pub fn apply(&mut self, operation: &Operation, rules: Option<&Arc<Rules>>, effect: Effect) {
        let input = match (operation, rules) {
            (Operation::Control(offset), Some(rules)) => {
                self.control_next = offset + 1;
                let before = self.rules_at.replace(*offset);
                match &self.shard {
                    None => {
                        self.shard = Some(Shard::new(self.settings.clone(), Arc::clone(rules)));
                        return;
                    }
                    // They came with a seed.
                    Some(shard) if shard.rules().version == rules.version => return,
                    Some(_) => self.old_rules_at = before,
                }
                self.tally_deeds();
                Input::Rules(Arc::clone(rules))
            }
            (Operation::Tick(moment), _) => {
                self.now = self.now.max(*moment);
                self.ticked = *moment;
                Input::Tick(*moment)
            }
            (Operation::Sweep(customers), _) => Input::Sweep(*customers),
            (Operation::Fire(deadlines), _) => Input::Fire(*deadlines),
            (Operation::Census(mark), _) => Input::Census(*mark),
            _ => unreachable!("{operation:?} is not applied this way"),
        };
        self.apply_input(input, &[], &none, effect);
    }

    /// Applies records of a feed as a step in their merged order, in chunks counted from the first; tells what the journal
    /// has to know of each topic.
    pub fn apply_step<'a>(
        &mut self,
        now: Millis,
        feed: &Feed<impl Batch>,
        records: impl Iterator<Item = Next<'a>>,
        effect: Effect,
    ) -> Vec<StepPart> {
        self.now = now;
        let mut parts: Vec<(StepPart, StepHash)> = (0..).zip(&self.positions).map(begin_part).collect();
        let mut chunk = Vec::with_capacity(Shard::CHUNK);
        let traceparent = |topic, offset| feed.header(topic, offset, traceparent::HEADER);
        for next in records {
            let (part, hash) = &mut parts[usize::from(next.topic)];
            hash.add(next.record.offset, next.record.key, next.record.value);
            part.records += 1;
            part.to = next.record.offset + 1;
            self.last_arrival = Some(next.arrival);
            chunk.push(Record {
                topic: next.topic,
                partition: self.number,
                offset: next.record.offset,
                arrival: next.record.timestamp,
                key: next.record.key,
                value: next.record.value.unwrap_or_default(),
            });
            if chunk.len() == Shard::CHUNK {
                self.apply_records(now, &chunk, &traceparent, effect);
                chunk.clear();
            }
        }
        if !chunk.is_empty() {
            self.apply_records(now, &chunk, &traceparent, effect);
        }
        let read = parts.into_iter().filter(|(part, _)| part.records > 0);
        let parts: Vec<StepPart> = read.map(|(part, hash)| StepPart { hash: hash.value(), ..part }).collect();
        parts.iter().for_each(|part| self.positions[usize::from(part.topic)] = part.to);
        parts
    }

    fn apply_records(&mut self, now: Millis, records: &[Record<'_>], traceparent: &HeaderOf<'_>, effect: Effect) {
        fault_injection::crash_point_for_keys(records.iter().map(|record| record.key));
        self.apply_input(Input::Records { now, records }, records, traceparent, effect);
    }

    fn apply_input(&mut self, input: Input<'_>, records: &[Record<'_>], traceparent: &HeaderOf<'_>, effect: Effect) {
        let shard = self.shard.as_mut().expect("nothing is applied before the first rules");
        shard.apply(input, &mut self.effects);
        self.counts.add(&self.effects.counts);
        if effect == Effect::Published {
            self.counting.take(&self.effects, shard.rules().event_settings.grace);
            self.outbox.take_traced(&self.effects, records, traceparent);
            self.effects.reports.iter().for_each(|report| self.outbox.take_report(self.number, report));
            let is_swept = |cause: Cause| matches!(cause, Cause::Rules | Cause::CutPoints | Cause::Model);
            self.swept_changes += self.effects.changes.iter().filter(|change| is_swept(change.cause)).count() as u64;
        }
        self.effects.clear();
    }

    /// Adds what belongs to the end of the open transaction.
    pub fn complete_outputs(&mut self) {
        if let Some(shard) = &self.shard {
            self.outbox.finish_transaction(shard);
        }
    }

    /// Completes the outputs of the open transaction and writes its journal record.
    pub fn seal(&mut self, transactional_id: &str) -> Vec<u8> {
        self.complete_outputs();
        self.operations.record(&Frame {
            shard: self.number,
            transaction: self.transaction + 1,
            transactional_id,
            outputs_before: self.outputs,
            outputs: self.outbox.outputs().len() as u64,
            digest: self.digest(),
            positions: &self.positions,
        })
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The state's digest; 0 before the first rules.
    pub fn digest(&self) -> u64 {
        self.shard.as_ref().map_or(0, Shard::digest)
    }

    /// The open transaction is committed.
    pub fn committed(&mut self) {
        let outputs = self.outbox.outputs().len() as u64;
        self.end_transaction(outputs);
        self.settle_tally();
        self.operations.clear();
        self.open_records = 0;
        self.drop_outputs();
        self.offsets_behind = false;
    }

    /// Forgets outputs that are published.
    pub fn drop_outputs(&mut self) {
        self.outbox.clear();
    }

    /// A transaction with so many outputs is over; in recovery one that was committed long ago.
    pub fn end_transaction(&mut self, outputs: u64) {
        self.transaction += 1;
        self.outputs += outputs;
    }
}

fn begin_part((topic, &from): (u16, &i64)) -> (StepPart, StepHash) {
    (StepPart { topic, from, to: from, records: 0, hash: 0 }, StepHash::default())
}

/// Whether effects are published, or muted because they were before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Published,
    Muted,
}
