//! From the journal back to the state: at start, at takeover, and after a transaction whose end is not known.
//!
//! The operations of all committed transactions since the newest good snapshot are done again, or all of them if there is
//! none, muted, on the same records: count and hash of each step are compared, and the digest after each transaction.
//! Whoever calls has fenced earlier holders first, so the journal's end cannot move meanwhile. Where the outputs of the
//! last transaction do not agree with the journal they are put right ([`Tail`]).

mod inputs;
mod reach;
mod snapshot;

use super::board::{Advance, Board};
use super::control::Control;
use super::held::{Effect, HeldShard};
use super::journal::{JournalRecord, Operation, SEMANTICS, SEMANTICS_DONE_AGAIN, SNAPSHOTS_SINCE, StepPart};
use super::lifecycle::Phase;
use super::merge::Feed;
use super::progress::Progress;
use super::publish::repair;
use super::tail::{Ended, Tail, check_interrupted, read_journal_record, read_some};
use crate::engine::event::Millis;
use crate::fault_injection;
use crate::kafka::{Batch, Failure, InputOffset, Log, Own, Reader, StartAt, Topic};
use crate::store::SnapshotStore;
use inputs::Inputs;
use std::sync::atomic::AtomicBool;

/// What most of the time of a recovery goes to.
const REPLAYING: &str = "replaying the journal";

/// What recovery needs besides the shard.
pub struct Recovery<'a, L: Log> {
    pub log: &'a mut L,
    pub control: &'a Control,
    /// Where snapshots are, if there are any.
    pub store: Option<&'a mut (dyn SnapshotStore + 'static)>,
    pub start: StartAt,
    /// The process is to end: recovery is left off.
    pub stop: &'a AtomicBool,
    /// Where it is told how far it has come.
    pub board: Option<&'a Board>,
}

impl<L: Log> Recovery<'_, L> {
    /// Brings a shard to where its journal ends; how many torn transactions were repaired.
    pub fn recover(&mut self, held: &mut HeldShard) -> Result<u64, Ended> {
        held.become_next(Phase::Recovering);
        let (shard, before) = (held.number(), self.journal_end(held.number())?);
        let done = self.follow(held);
        self.unless_moved(shard, before, done)
    }

    /// Whether the state of a shard that was given up is still what its journal ends with. Then it goes on.
    pub fn take_back(&mut self, held: &mut HeldShard) -> Result<bool, Ended> {
        held.become_next(Phase::Recovering);
        let (shard, before) = (held.number(), self.journal_end(held.number())?);
        let done = self.compare_with_tail(held);
        self.unless_moved(shard, before, done)
    }

    fn journal_end(&mut self, shard: u32) -> Result<i64, Failure> {
        Ok(self.log.reader(Topic::Own(Own::Journal), shard, 0)?.end())
    }

    /// A worker that stood still in between, and lost the shard without knowing yet, has seen a part of the topics as they
    /// were and a part as they are. That they contradict each other is no reason to stop.
    fn unless_moved<T>(&mut self, shard: u32, before: i64, done: Result<T, Ended>) -> Result<T, Ended> {
        match done {
            Err(Ended::Failed(Failure::Stop(words))) if self.journal_end(shard)? != before => {
                Err(Failure::Rebuild(format!("the journal of shard {shard} goes on elsewhere: {words}")).into())
            }
            done => done,
        }
    }

    fn follow(&mut self, held: &mut HeldShard) -> Result<u64, Ended> {
        self.begin(held, "reading the journal's end", 0);
        let tail = Tail::read(self.log, held.number(), self.stop)?;
        fault_injection::crash_point("recovery/tail");
        self.begin(held, "loading the snapshot", 0);
        self.load(held, &tail)?;
        let loaded = held.transaction();
        let mut progress = Progress::new(held.number(), REPLAYING, loaded, tail.last_transaction());
        self.begin(held, REPLAYING, tail.last_transaction() - loaded);
        let mut inputs = Inputs::new(held.positions().len());
        let mut torn = 0;
        let mut journal = self.log.reader(Topic::Own(Own::Journal), held.number(), held.journal_from())?;
        let end = journal.end();
        let mut batch = L::Batch::default();
        loop {
            read_some(self.log, &mut journal, end, self.stop, &mut batch)?;
            if batch.is_empty() {
                break;
            }
            for place in 0..batch.len() {
                check_interrupted(self.log, self.stop)?;
                let record = batch.record(place);
                let bytes = record.value.unwrap_or_default();
                let read = read_journal_record(held.number(), record.offset, bytes)?;
                if read.transaction <= loaded {
                    continue;
                }
                torn += u64::from(self.redo(held, &read, bytes, &tail, &mut inputs)?);
                held.set_journal_offset(record.offset);
                let advance = progress.tell(self.log.now().monotonic, read.transaction);
                if let Some((board, advance)) = self.board.zip(advance) {
                    board.advance(held.number(), advance);
                }
            }
        }
        if held.transaction() != tail.last_transaction() {
            let (shard, reached, last) = (held.number(), held.transaction(), tail.last_transaction());
            let words = format!("the journal of shard {shard} moved while it was read: from {last} to {reached}");
            return Err(Failure::Rebuild(words).into());
        }
        if let Some(copy) = tail.orphan(held.number())? {
            let read = read_journal_record(held.number(), -1, &copy)?;
            torn += u64::from(self.redo(held, &read, &copy, &tail, &mut inputs)?);
        }
        if held.transaction() == 0 {
            if held.has_seed_rules() {
                held.begin_from_seed();
            }
            for topic in 0..held.positions().len() as u16 {
                held.set_position(topic, self.log.first_offset(Topic::Input(topic), held.number(), self.start)?);
            }
        }
        self.finish(held)?;
        Ok(torn)
    }

    /// Says what is done now: `all` of it, 0 where that is not known.
    fn begin(&self, held: &HeldShard, work: &'static str, all: u64) {
        if let Some(board) = self.board {
            board.advance(held.number(), Advance { work, done: 0, all, seconds_left: None });
        }
    }

    fn compare_with_tail(&mut self, held: &mut HeldShard) -> Result<bool, Ended> {
        let tail = Tail::read(self.log, held.number(), self.stop)?;
        let is_own = match &tail.journal {
            Some(last) => last.transaction == held.transaction() && last.digest == held.digest(),
            None => held.transaction() == 0,
        };
        if is_own && tail.agrees() {
            self.finish(held)?;
        }
        Ok(is_own && tail.agrees())
    }

    fn finish(&mut self, held: &mut HeldShard) -> Result<(), Ended> {
        let committed = self.log.committed(&[held.number()])?;
        compare_offsets(held, &committed)?;
        held.count_from_here();
        held.become_next(if held.shard().is_some() { Phase::Running } else { Phase::Waiting });
        fault_injection::crash_point("recovery/done");
        Ok(())
    }

    /// Does one journalled transaction again, and publishes what is missing of it; whether anything was.
    fn redo(
        &mut self,
        held: &mut HeldShard,
        record: &JournalRecord,
        bytes: &[u8],
        tail: &Tail,
        inputs: &mut Inputs<L>,
    ) -> Result<bool, Ended> {
        tracing::trace!(target: "shoal::recovery", shard = record.shard, transaction = record.transaction, "replaying");
        check_follows(held, record)?;
        check_semantics(record)?;
        // Only the last can be in doubt; what follows it in the topics has no journal record at all.
        let is_orphan = record.transaction > tail.last_transaction();
        let is_last = record.transaction >= tail.last_transaction();
        let effect = if is_last && !tail.agrees() { Effect::Published } else { Effect::Muted };
        for operation in &record.operations {
            self.redo_operation(held, record, operation, effect, inputs)?;
        }
        if held.digest() != record.digest {
            return Err(refuse(
                record,
                &format!(
                    "replay gives digest {:016x}, the journal has {:016x}: the inputs or the program are not those of \
                     then; the state must not be trusted. `shoal rebuild` makes it anew from the inputs",
                    held.digest(),
                    record.digest
                ),
            ));
        }
        for (topic, &position) in record.positions.iter().enumerate() {
            held.set_position(topic as u16, position);
        }
        let repaired = effect == Effect::Published
            && repair(self.log, held, (record, bytes), is_orphan, |topic, number| {
                tail.lacks(topic, record.transaction, number)
            })?;
        held.end_transaction(record.outputs);
        fault_injection::crash_point("recovery/record");
        Ok(repaired)
    }

    fn redo_operation(
        &mut self,
        held: &mut HeldShard,
        record: &JournalRecord,
        operation: &Operation,
        effect: Effect,
        inputs: &mut Inputs<L>,
    ) -> Result<(), Ended> {
        match operation {
            Operation::Step { now, parts } => {
                inputs.read(self.log, held, parts, record, self.stop)?;
                redo_step(held, *now, parts, effect, &mut inputs.feed).map_err(|words| refuse(record, &words))
            }
            Operation::Control(offset) => {
                let rules = self.control.rules_at(*offset);
                let words = || refuse(record, &format!("there are no rules at offset {offset} of control"));
                held.apply(operation, Some(rules.ok_or_else(words)?), effect);
                Ok(())
            }
            Operation::Tick(_) | Operation::Sweep(_) | Operation::Fire(_) | Operation::Census(_) => {
                held.apply(operation, None, effect);
                Ok(())
            }
            Operation::Seed(digest) if held.has_seed_rules() && held.digest() == *digest => Ok(()),
            Operation::Seed(digest) => Err(refuse(
                record,
                &format!(
                    "it began from a seed with digest {digest:016x}, which is not among the snapshots. Put the seed back \
                     where it was with `shoal seed` from the same files; if this does not do then, `shoal rebuild` makes the \
                     state anew from it"
                ),
            )),
            Operation::Rebuild(digest) => Err(refuse(
                record,
                &format!(
                    "the state was made anew here, and its snapshot, with digest {digest:016x}, cannot be read. Make it anew \
                     again with `shoal rebuild`"
                ),
            )),
            Operation::Skip { topic, offset } => {
                let is_known = usize::from(*topic) < held.positions().len();
                if !is_known {
                    return Err(refuse(record, &format!("no input topic {topic}")));
                }
                inputs.skip(self.log, held, (*topic, *offset), effect, self.stop)
            }
            Operation::Forget(_) => {
                Err(refuse(record, &format!("{operation:?} was written by a later version of Shoal")))
            }
        }
    }
}

/// A journal that cannot be followed: where, and why.
fn refuse(record: &JournalRecord, words: &str) -> Ended {
    Failure::Stop(format!("shard {}, transaction {}: {words}", record.shard, record.transaction)).into()
}

fn check_follows(held: &HeldShard, record: &JournalRecord) -> Result<(), Ended> {
    if record.shard != held.number() || record.transaction != held.transaction() + 1 {
        let (shard, transaction) = (held.number(), held.transaction() + 1);
        return Err(refuse(record, &format!("the journal should go on with shard {shard}, transaction {transaction}")));
    }
    if record.outputs_before != held.outputs() || record.positions.len() != held.positions().len() {
        return Err(refuse(record, "the journal does not follow from its record before"));
    }
    Ok(())
}

/// Whether the operations mean what they meant.
fn check_semantics(record: &JournalRecord) -> Result<(), Ended> {
    let version = record.semantics;
    if SEMANTICS_DONE_AGAIN.contains(&version) {
        return Ok(());
    }
    let older = if version < SNAPSHOTS_SINCE {
        "that version had no snapshots to go on from"
    } else {
        "start the version of Shoal that wrote it once more and stop it in order: then a snapshot stands at the end of the \
         journal, and nothing has to be done again"
    };
    Err(refuse(
        record,
        &format!(
            "it was written under semantics version {version}; this program does operations of version {SEMANTICS} again. How \
             to go on: {older}; or make the state anew from the inputs with `shoal rebuild`"
        ),
    ))
}

/// Applies the records of a step again and compares them with what the journal knows.
fn redo_step(
    held: &mut HeldShard,
    now: Millis,
    parts: &[StepPart],
    effect: Effect,
    feed: &mut Feed<impl Batch>,
) -> Result<(), String> {
    let found = held.apply_step(now, feed, feed.merge_all(now), effect);
    feed.clear();
    if found == parts {
        return Ok(());
    }
    let told = |part: &StepPart| {
        format!(
            "{} records of topic {} from {} to {}, hash {:016x}",
            part.records, part.topic, part.from, part.to, part.hash
        )
    };
    let told = |parts: &[StepPart]| parts.iter().map(told).collect::<Vec<_>>().join("; ");
    Err(format!(
        "the records of a step are not those of then: {}; expected {}. Was the topic made anew? `shoal rebuild` makes the \
         state anew from what is there",
        told(&found),
        told(parts)
    ))
}

/// The journal alone says where to go on. Offsets of the group that are behind or missing go with the next transaction.
fn compare_offsets(held: &mut HeldShard, committed: &[InputOffset]) -> Result<(), Failure> {
    let expected: Vec<InputOffset> = held.input_offsets().collect();
    for input in expected {
        let known = committed.iter().find(|known| (known.topic, known.partition) == (input.topic, input.partition));
        match known {
            Some(known) if known.offset == input.offset => {}
            Some(known) if known.offset > input.offset => {
                return Err(Failure::Stop(format!(
                    "group offsets ahead of the journal: input topic {}, partition {}: the group stands at {}, the journal at \
                     {}. Were records of the journal lost, or the group's offsets set by hand? Records in between would not \
                     be processed. Put the offsets back, or make the state anew with `shoal rebuild`",
                    input.topic, input.partition, known.offset, input.offset
                )));
            }
            _ => held.mark_offsets_behind(),
        }
    }
    Ok(())
}
