//! The inputs of a shard, read again from where the journal says: the records of its steps, and those that were left out.

use super::refuse;
use crate::kafka::{Batch, Log, Reader, Topic};
use crate::worker::held::{Effect, HeldShard};
use crate::worker::journal::{JournalRecord, StepPart};
use crate::worker::merge::Feed;
use crate::worker::tail::{Ended, check_interrupted};
use std::sync::atomic::AtomicBool;

/// Readers of the shard's inputs, made when the first step needs them, and the records of the step to be done again.
pub struct Inputs<L: Log> {
    readers: Vec<Option<L::Reader>>,
    pub feed: Feed<L::Batch>,
}

impl<L: Log> Inputs<L> {
    pub fn new(topics: usize) -> Self {
        Self { readers: (0..topics).map(|_| None).collect(), feed: Feed::new(topics) }
    }

    /// Reads the records of all parts of a step.
    pub fn read(
        &mut self,
        log: &mut L,
        held: &mut HeldShard,
        parts: &[StepPart],
        record: &JournalRecord,
        stop: &AtomicBool,
    ) -> Result<(), Ended> {
        for part in parts {
            let place = usize::from(part.topic);
            let slot = self.readers.get_mut(place).ok_or_else(|| refuse(record, &format!("no input topic {place}")))?;
            let reader = match slot {
                Some(reader) => reader,
                None => slot.insert(open(log, held, part, record)?),
            };
            if held.positions()[place] != part.from {
                let position = held.positions()[place];
                let words = format!("a step begins at {} of topic {place}; expected {position}", part.from);
                return Err(refuse(record, &words));
            }
            if reader.end() < part.to {
                let words =
                    format!("input topic {place} ends at {}; records up to {} were read", reader.end(), part.to);
                return Err(refuse(record, &words));
            }
            let buffer = self.feed.batch_mut(part.topic);
            while buffer.len() < part.records as usize && reader.position() < part.to {
                check_interrupted(log, stop)?;
                reader.read(part.to, part.records as usize - buffer.len(), buffer)?;
            }
        }
        Ok(())
    }

    /// Leaves a record out; readers go on behind it. Its bytes are needed only if it has to be told of again.
    pub fn skip(
        &mut self,
        log: &mut L,
        held: &mut HeldShard,
        (topic, offset): (u16, i64),
        effect: Effect,
        stop: &AtomicBool,
    ) -> Result<(), Ended> {
        let batch = self.feed.batch_mut(topic);
        if effect == Effect::Published {
            let mut reader = log.reader(Topic::Input(topic), held.number(), offset)?;
            while batch.is_empty() && reader.position() <= offset {
                check_interrupted(log, stop)?;
                reader.read(offset + 1, 1, batch)?;
            }
        }
        let record = (!batch.is_empty()).then(|| batch.record(0));
        held.redo_skip(topic, offset, record, effect);
        self.feed.clear();
        self.readers[usize::from(topic)] = None;
        Ok(())
    }
}

/// A reader from where the first step of a topic begins, which is where the shard's first transaction found it.
fn open<L: Log>(
    log: &mut L,
    held: &mut HeldShard,
    part: &StepPart,
    record: &JournalRecord,
) -> Result<L::Reader, Ended> {
    let reader = log.reader(Topic::Input(part.topic), held.number(), part.from)?;
    if reader.first() > part.from {
        let words = format!(
            "the state is made from records from offset {} of input topic {} on, which now begins at {}: its retention is \
             too short for the journal. Put a snapshot back that reaches further, or make the state anew from what is left \
             with `shoal rebuild`",
            part.from,
            part.topic,
            reader.first()
        );
        return Err(refuse(record, &words));
    }
    if record.transaction == 1 {
        held.set_position(part.topic, part.from);
    }
    Ok(reader)
}
