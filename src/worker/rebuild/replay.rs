//! Applies a shard's inputs again, from their beginning to the journal's end, muted.
//!
//! The records of several topics are merged by their arrival, as a live worker merges a backlog (T7); no time passes
//! but that of the records.

use super::plan::ShardPlan;
use crate::kafka::{Batch, Log, Reader, Topic};
use crate::worker::input_buffer::{InputBuffer, RECORDS_MAX};
use crate::worker::journal::Operation;
use crate::worker::owned_shard::{EffectMode, OwnedShard};
use crate::worker::reading::{Aborted, check_interrupted};
use crate::worker::recovery::progress::Progress;
use std::sync::atomic::AtomicBool;

/// Deadlines that fire at once.
const FIRED_AT_ONCE: u32 = 4_096;

/// Applies all inputs of the plan.
pub fn replay<L: Log>(log: &mut L, owned: &mut OwnedShard, plan: &ShardPlan, stop: &AtomicBool) -> Result<(), Aborted> {
    let mut buffer = InputBuffer::<L::Batch>::new(plan.inputs.len());
    let mut readers = Vec::with_capacity(plan.inputs.len());
    for (topic, input) in (0..).zip(&plan.inputs) {
        readers.push(log.reader(Topic::Input(topic), plan.shard, input.from())?);
        owned.set_position(topic, input.from());
    }
    let all: i64 = plan.inputs.iter().map(|input| input.end - input.from()).sum();
    let mut progress = Progress::new(plan.shard, "reading the inputs", 0, all as u64);
    loop {
        let mut is_at_end = true;
        for ((topic, input), reader) in (0..).zip(&plan.inputs).zip(&mut readers) {
            let batch = buffer.batch_mut(topic);
            while batch.len() < RECORDS_MAX && reader.position() < input.end {
                check_interrupted(log, stop)?;
                let before = (batch.len(), reader.position());
                reader.read(input.end, RECORDS_MAX - batch.len(), batch)?;
                if batch.len() > 0 || (batch.len(), reader.position()) == before {
                    break;
                }
            }
            let has_more = reader.position() < input.end;
            is_at_end &= !has_more && batch.is_empty();
            buffer.set_waits(topic, has_more);
        }
        if is_at_end {
            break;
        }
        step(owned, &mut buffer, plan, log.now().wall);
        let behind: i64 =
            plan.inputs.iter().zip(owned.positions()).map(|(input, &position)| input.end - position).sum();
        let _ = progress.advance(log.now().monotonic, (all - behind) as u64);
    }
    for (topic, input) in (0..).zip(&plan.inputs) {
        owned.set_position(topic, input.end);
    }
    Ok(())
}

/// Applies the buffered records, except those that killed the process, and the deadlines that fall due.
fn step(owned: &mut OwnedShard, buffer: &mut InputBuffer<impl Batch>, plan: &ShardPlan, wall: i64) {
    let mut applied = vec![0; plan.inputs.len()];
    let records = buffer.merge(wall).take(RECORDS_MAX).inspect(|next| applied[usize::from(next.topic)] += 1);
    let applicable = records.filter(|next| !plan.skipped.contains(&(next.topic, next.record.offset)));
    owned.apply_step(wall, buffer, applicable, EffectMode::Muted);
    buffer.discard(&applied);
    while owned.has_due() {
        owned.apply(&Operation::Fire(FIRED_AT_ONCE), None, EffectMode::Muted);
    }
}
