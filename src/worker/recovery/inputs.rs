//! A shard's inputs, read again from the offsets that the journal names: records of steps, and skipped records.

use super::refusal::refuse;
use crate::kafka::{Batch, Log, RETENTION_ADVICE, Reader, Topic};
use crate::worker::input_buffer::InputBuffer;
use crate::worker::journal::{JournalRecord, StepPart};
use crate::worker::owned_shard::{EffectMode, OwnedShard};
use crate::worker::reading::{Aborted, check_interrupted};
use std::sync::atomic::AtomicBool;

/// Readers of the shard's inputs, opened when a step needs them, and the records of the step to be replayed.
pub struct Inputs<L: Log> {
    readers: Vec<Option<L::Reader>>,
    pub buffer: InputBuffer<L::Batch>,
}

impl<L: Log> Inputs<L> {
    pub fn new(topics: usize) -> Self {
        Self { readers: (0..topics).map(|_| None).collect(), buffer: InputBuffer::new(topics) }
    }

    /// Reads the records of all parts of a step.
    pub fn read(
        &mut self,
        log: &mut L,
        owned: &mut OwnedShard,
        parts: &[StepPart],
        record: &JournalRecord,
        stop: &AtomicBool,
    ) -> Result<(), Aborted> {
        for part in parts {
            let topic = usize::from(part.topic);
            let unknown = || refuse(record, &format!("a step of input topic {topic}, which is not configured"));
            let slot = self.readers.get_mut(topic).ok_or_else(unknown)?;
            let reader = match slot {
                Some(reader) => reader,
                None => slot.insert(open(log, owned, part, record)?),
            };
            let (name, position) = (owned.input_name(part.topic), owned.positions()[topic]);
            if position != part.from {
                let message = format!("a step begins at offset {} of {name}; expected {position}", part.from);
                return Err(refuse(record, &message));
            }
            if reader.end() < part.to {
                let message = format!(
                    "the input topic {name} ends at offset {}, and was read up to {}: records are missing. Was it \
                     recreated? `shoal rebuild` rebuilds the state from the records that are there",
                    reader.end(),
                    part.to
                );
                return Err(refuse(record, &message));
            }
            let batch = self.buffer.batch_mut(part.topic);
            while batch.len() < part.records as usize && reader.position() < part.to {
                check_interrupted(log, stop)?;
                reader.read(part.to, part.records as usize - batch.len(), batch)?;
            }
        }
        Ok(())
    }

    /// Skips a record again. Its bytes are read only if its rejection is published again.
    pub fn skip(
        &mut self,
        log: &mut L,
        owned: &mut OwnedShard,
        (topic, offset): (u16, i64),
        mode: EffectMode,
        stop: &AtomicBool,
    ) -> Result<(), Aborted> {
        let batch = self.buffer.batch_mut(topic);
        if mode == EffectMode::Published {
            let mut reader = log.reader(Topic::Input(topic), owned.number(), offset)?;
            while batch.is_empty() && reader.position() <= offset {
                check_interrupted(log, stop)?;
                reader.read(offset + 1, 1, batch)?;
            }
        }
        let record = (!batch.is_empty()).then(|| batch.record(0));
        owned.replay_skip(topic, offset, record, mode);
        self.buffer.clear();
        // The next step opens a reader behind the skipped record.
        self.readers[usize::from(topic)] = None;
        Ok(())
    }
}

/// A reader of a topic from the beginning of a step. The first step of a shard's first transaction sets its position.
fn open<L: Log>(
    log: &mut L,
    owned: &mut OwnedShard,
    part: &StepPart,
    record: &JournalRecord,
) -> Result<L::Reader, Aborted> {
    let reader = log.reader(Topic::Input(part.topic), owned.number(), part.from)?;
    if reader.first() > part.from {
        let message = format!(
            "the journal needs records from offset {} of input topic {} on, which now begins at {}: its retention is too \
             short. Restore a newer snapshot, or rebuild the state from the records that are left with `shoal rebuild`; then \
             {RETENTION_ADVICE}",
            part.from,
            owned.input_name(part.topic),
            reader.first()
        );
        return Err(refuse(record, &message));
    }
    if record.transaction == 1 {
        owned.set_position(part.topic, part.from);
    }
    Ok(reader)
}
