//! From the journal back to the state: at start, at takeover, and after a transaction whose end is not known.
//!
//! The operations of all committed transactions are done again from the beginning of the journal, muted, on the same
//! records: count and hash of each step are compared, and the digest after each transaction. Whoever calls has fenced
//! earlier holders first, so the journal's end cannot move meanwhile.

use super::control::Control;
use super::held::{Effect, HeldShard};
use super::journal::{JournalRecord, Operation, StepPart};
use super::lifecycle::Phase;
use crate::engine::event::Millis;
use crate::kafka::{Batch, Failure, InputOffset, Log, Own, Reader, StartAt, Topic};

/// Records read at once; a multiple of the engine's chunk, since chunks are counted from a step's start.
const RECORDS_MAX: usize = 16 * crate::engine::shard::Shard::CHUNK;

/// Brings a shard to where its journal ends.
pub fn recover<L: Log>(
    log: &mut L,
    held: &mut HeldShard,
    control: &Control,
    committed: &[InputOffset],
    start: StartAt,
) -> Result<(), Failure> {
    held.become_next(Phase::Recovering);
    let mut inputs = Inputs { readers: held.positions().iter().map(|_| None).collect(), batch: L::Batch::default() };
    let mut journal = log.reader(Topic::Own(Own::Journal), held.number(), 0)?;
    let end = journal.end();
    let mut batch = L::Batch::default();
    while journal.position() < end {
        journal.read(end, RECORDS_MAX, &mut batch)?;
        for place in 0..batch.len() {
            let record = batch.record(place);
            let read = JournalRecord::read(record.value.unwrap_or_default()).map_err(|unreadable| {
                Failure::Stop(format!("journal of shard {}, offset {}: {unreadable}", held.number(), record.offset))
            })?;
            redo(log, held, control, &read, &mut inputs)?;
        }
    }
    if held.transaction() == 0 {
        for topic in 0..held.positions().len() as u16 {
            held.set_position(topic, log.first_offset(topic, held.number(), start)?);
        }
    }
    compare_offsets(held, committed)?;
    held.become_next(if held.shard().is_some() { Phase::Running } else { Phase::Waiting });
    Ok(())
}

/// Readers of the shard's inputs, made when the first step needs them.
struct Inputs<L: Log> {
    readers: Vec<Option<L::Reader>>,
    batch: L::Batch,
}

/// Does one journalled transaction again.
fn redo<L: Log>(
    log: &mut L,
    held: &mut HeldShard,
    control: &Control,
    record: &JournalRecord,
    inputs: &mut Inputs<L>,
) -> Result<(), Failure> {
    let refuse =
        |words: String| Failure::Stop(format!("shard {}, transaction {}: {words}", record.shard, record.transaction));
    if record.shard != held.number() || record.transaction != held.transaction() + 1 {
        let (shard, transaction) = (held.number(), held.transaction() + 1);
        return Err(refuse(format!("the journal should go on with shard {shard}, transaction {transaction}")));
    }
    if record.outputs_before != held.outputs() || record.positions.len() != held.positions().len() {
        return Err(refuse("the journal does not follow from its record before".into()));
    }
    for operation in &record.operations {
        match operation {
            Operation::Step { now, parts } => {
                for part in parts {
                    redo_part(log, held, *now, part, inputs, record.transaction == 1).map_err(
                        |failure| match failure {
                            Failure::Stop(words) => refuse(words),
                            rebuild => rebuild,
                        },
                    )?;
                }
            }
            Operation::Control(offset) => {
                let rules = control.rules_at(*offset);
                let rules = rules.ok_or_else(|| refuse(format!("there are no rules at offset {offset} of control")))?;
                held.apply(operation, Some(rules), Effect::Muted);
            }
            Operation::Tick(_) | Operation::Sweep(_) | Operation::Fire(_) => held.apply(operation, None, Effect::Muted),
            Operation::Forget(_) | Operation::Skip { .. } | Operation::Census(_) => {
                return Err(refuse(format!("{operation:?} was written by a later version of Shoal")));
            }
        }
    }
    if held.digest() != record.digest {
        return Err(refuse(format!(
            "replay gives digest {:016x}, the journal has {:016x}: the inputs or the program are not those of then; the \
             state must not be trusted",
            held.digest(),
            record.digest
        )));
    }
    for (topic, &position) in record.positions.iter().enumerate() {
        held.set_position(topic as u16, position);
    }
    held.end_transaction(record.outputs);
    Ok(())
}

fn redo_part<L: Log>(
    log: &mut L,
    held: &mut HeldShard,
    now: Millis,
    part: &StepPart,
    inputs: &mut Inputs<L>,
    is_first_transaction: bool,
) -> Result<(), Failure> {
    let place = usize::from(part.topic);
    let slot = inputs.readers.get_mut(place).ok_or_else(|| Failure::Stop(format!("no input topic {place}")))?;
    if slot.is_none() && is_first_transaction {
        held.set_position(part.topic, part.from);
    }
    if held.positions()[place] != part.from {
        let position = held.positions()[place];
        return Err(Failure::Stop(format!("a step begins at {} of topic {place}; expected {position}", part.from)));
    }
    let reader = match slot {
        Some(reader) => reader,
        None => slot.insert(log.reader(Topic::Input(part.topic), held.number(), part.from)?),
    };
    let mut found = StepPart { to: part.from, records: 0, ..part.clone() };
    let mut hash = super::journal::StepHash::default();
    while found.records < part.records {
        reader.read(part.to, RECORDS_MAX, &mut inputs.batch)?;
        if inputs.batch.is_empty() {
            break;
        }
        let records = 0..inputs.batch.len();
        let applied = held.apply_part(now, part.topic, &inputs.batch, records, Effect::Muted, &mut hash);
        found.records += applied.records;
        found.to = applied.to;
    }
    if found.records != part.records || found.to != part.to || hash.value() != part.hash {
        return Err(Failure::Stop(format!(
            "the records of topic {place} from {} to {} are not those of then: {} records with hash {:016x}, expected {} \
             with {:016x}",
            part.from,
            part.to,
            found.records,
            hash.value(),
            part.records,
            part.hash
        )));
    }
    Ok(())
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
                     be processed",
                    input.topic, input.partition, known.offset, input.offset
                )));
            }
            _ => held.mark_offsets_behind(),
        }
    }
    Ok(())
}
