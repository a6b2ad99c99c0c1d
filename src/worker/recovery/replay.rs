//! The replay of journalled transactions: each operation is applied again and compared with what the journal has of it.

use super::inputs::Inputs;
use super::refusal::refuse;
use super::repair::repair;
use super::tail::Tail;
use crate::engine::event::Millis;
use crate::fault_injection;
use crate::kafka::{Batch, Log};
use crate::worker::control::Control;
use crate::worker::input_buffer::InputBuffer;
use crate::worker::journal::{JournalRecord, Operation, SEMANTICS, StepPart};
use crate::worker::owned_shard::{EffectMode, OwnedShard};
use crate::worker::reading::Aborted;
use std::sync::atomic::AtomicBool;

/// The replay of one shard's journal.
pub struct Replay<'a, L: Log> {
    control: &'a Control,
    tail: &'a Tail,
    stop: &'a AtomicBool,
    inputs: Inputs<L>,
}

impl<'a, L: Log> Replay<'a, L> {
    pub fn new(control: &'a Control, tail: &'a Tail, stop: &'a AtomicBool, topics: usize) -> Self {
        Self { control, tail, stop, inputs: Inputs::new(topics) }
    }

    /// Replays one journalled transaction, and publishes its missing outputs; whether any were missing.
    pub fn transaction(
        &mut self,
        log: &mut L,
        owned: &mut OwnedShard,
        record: &JournalRecord,
        bytes: &[u8],
    ) -> Result<bool, Aborted> {
        tracing::trace!(target: "shoal::recovery", shard = record.shard, transaction = record.transaction, "replaying");
        check_follows(owned, record)?;
        check_semantics(record)?;
        // Only the last transaction can be torn. One after it is in the outputs' headers alone.
        let is_orphan = record.transaction > self.tail.last_transaction();
        let is_last = record.transaction >= self.tail.last_transaction();
        let is_torn = is_last && !self.tail.agrees();
        let mode = if is_torn { EffectMode::Published } else { EffectMode::Muted };
        for operation in &record.operations {
            self.operation(log, owned, record, operation, mode)?;
        }
        if owned.digest() != record.digest {
            return Err(refuse(
                record,
                &format!(
                    "replay gives digest {:016x}, the journal has {:016x}: the inputs or the program have changed since, and \
                     the state cannot be trusted. `shoal rebuild` rebuilds it from the inputs",
                    owned.digest(),
                    record.digest
                ),
            ));
        }
        for (topic, &position) in record.positions.iter().enumerate() {
            owned.set_position(topic as u16, position);
        }
        let tail = self.tail;
        let repaired = is_torn
            && repair(log, owned, (record, bytes), is_orphan, self.control.memberships(), |topic, number| {
                tail.is_missing(topic, record.transaction, number)
            })?;
        owned.pass_transaction(record.outputs);
        fault_injection::crash_point("recovery/record");
        Ok(repaired)
    }

    fn operation(
        &mut self,
        log: &mut L,
        owned: &mut OwnedShard,
        record: &JournalRecord,
        operation: &Operation,
        mode: EffectMode,
    ) -> Result<(), Aborted> {
        match operation {
            Operation::Step { now, parts } => {
                self.inputs.read(log, owned, parts, record, self.stop)?;
                let done = replay_step(owned, *now, parts, mode, &mut self.inputs.buffer);
                done.map_err(|message| refuse(record, &message))
            }
            Operation::Control(offset) => {
                let missing = || {
                    let message = format!("the control topic has no rules at offset {offset}, which the journal names");
                    refuse(record, &format!("{message}. Was the control topic recreated?"))
                };
                owned.apply(operation, Some(self.control.rules_at(*offset).ok_or_else(missing)?), mode);
                Ok(())
            }
            Operation::Tick(_) | Operation::Sweep { .. } | Operation::Fire(_) | Operation::Census(_) => {
                owned.apply(operation, None, mode);
                Ok(())
            }
            Operation::Skip { topic, offset } => {
                if usize::from(*topic) >= owned.positions().len() {
                    return Err(refuse(record, &format!("a record of input topic {topic}, which is not configured")));
                }
                self.inputs.skip(log, owned, (*topic, *offset), mode, self.stop)
            }
            Operation::Seed(digest) if owned.has_seed_rules() && owned.digest() == *digest => Ok(()),
            Operation::Seed(digest) => Err(refuse(
                record,
                &format!(
                    "the shard began from a seed with digest {digest:016x}, which is not among the snapshots. Restore the \
                     seed with `shoal seed`, from the same files; if the start is refused even then, `shoal rebuild` \
                     rebuilds the state from it"
                ),
            )),
            Operation::Rebuild(digest) => Err(refuse(
                record,
                &format!(
                    "the state was rebuilt in this transaction, and its snapshot, with digest {digest:016x}, cannot be read. \
                     Rebuild it again with `shoal rebuild`"
                ),
            )),
        }
    }
}

/// Whether the operations mean to this version what they meant to the one that wrote them.
fn check_semantics(record: &JournalRecord) -> Result<(), Aborted> {
    if record.semantics == SEMANTICS {
        return Ok(());
    }
    Err(refuse(
        record,
        &format!(
            "the transaction was written under semantics version {}; this program replays version {SEMANTICS}. Start the \
             version of Shoal that wrote it once more and stop it in order: then a snapshot stands at the end of the journal, \
             and nothing has to be replayed. Or rebuild the state from the inputs with `shoal rebuild`",
            record.semantics
        ),
    ))
}

fn check_follows(owned: &OwnedShard, record: &JournalRecord) -> Result<(), Aborted> {
    let (shard, next) = (owned.number(), owned.transaction() + 1);
    if record.shard != shard || record.transaction != next {
        return Err(refuse(record, &format!("expected a journal record of shard {shard}, transaction {next}")));
    }
    if record.outputs_before != owned.outputs() {
        let message = format!(
            "the journal has {} outputs before it; the transactions before it have {}",
            record.outputs_before,
            owned.outputs()
        );
        return Err(refuse(record, &message));
    }
    if record.positions.len() != owned.positions().len() {
        let (found, expected) = (record.positions.len(), owned.positions().len());
        return Err(refuse(record, &format!("the journal has {found} input topics; configured are {expected}")));
    }
    Ok(())
}

/// Applies the records of a step again and compares them with what the journal has of them.
fn replay_step(
    owned: &mut OwnedShard,
    now: Millis,
    parts: &[StepPart],
    mode: EffectMode,
    buffer: &mut InputBuffer<impl Batch>,
) -> Result<(), String> {
    let found = owned.apply_step(now, buffer, buffer.merge_all(now), mode);
    buffer.clear();
    if found == parts {
        return Ok(());
    }
    let list = |parts: &[StepPart]| parts.iter().map(|part| part_text(owned, part)).collect::<Vec<_>>().join("; ");
    Err(format!(
        "the input records differ from those that the journal describes: found {}; expected {}. Was the input topic \
         recreated? `shoal rebuild` rebuilds the state from the records that are there",
        list(&found),
        list(parts)
    ))
}

fn part_text(owned: &OwnedShard, part: &StepPart) -> String {
    let StepPart { records, from, to, hash, .. } = part;
    format!("{records} records of {} from {from} to {to}, hash {hash:016x}", owned.input_name(part.topic))
}
