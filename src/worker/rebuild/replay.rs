//! The inputs of a shard once more, from where they begin to where the journal ends, muted.
//!
//! The records of several topics are merged by their arrival as if they waited, which is what running live would have
//! done with a backlog (T7); no time passes but theirs.

use super::plan::ShardPlan;
use crate::kafka::{Batch, Log, Reader, Topic};
use crate::worker::held::{Effect, HeldShard};
use crate::worker::journal::Operation;
use crate::worker::merge::{Feed, RECORDS_MAX};
use crate::worker::progress::Progress;
use crate::worker::tail::{Ended, check_interrupted};
use std::sync::atomic::AtomicBool;

const FIRED_AT_ONCE: u32 = 4_096;

pub fn replay<L: Log>(log: &mut L, held: &mut HeldShard, plan: &ShardPlan, stop: &AtomicBool) -> Result<(), Ended> {
    let mut feed = Feed::<L::Batch>::new(plan.inputs.len());
    let mut readers = Vec::with_capacity(plan.inputs.len());
    for (topic, input) in (0..).zip(&plan.inputs) {
        readers.push(log.reader(Topic::Input(topic), plan.shard, input.from())?);
        held.set_position(topic, input.from());
    }
    let all: i64 = plan.inputs.iter().map(|input| input.end - input.from()).sum();
    let mut progress = Progress::new(plan.shard, "reading the inputs", 0, all as u64);
    loop {
        let mut is_at_end = true;
        for ((topic, input), reader) in (0..).zip(&plan.inputs).zip(&mut readers) {
            let batch = feed.batch_mut(topic);
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
            feed.set_waits(topic, has_more);
        }
        if is_at_end {
            break;
        }
        step(held, &mut feed, plan, log.now().wall);
        let behind: i64 = plan.inputs.iter().zip(held.positions()).map(|(input, &position)| input.end - position).sum();
        let _ = progress.tell(log.now().monotonic, (all - behind) as u64);
    }
    for (topic, input) in (0..).zip(&plan.inputs) {
        held.set_position(topic, input.end);
    }
    Ok(())
}

/// Applies what is buffered, but for records that kill, and what falls due by it.
fn step(held: &mut HeldShard, feed: &mut Feed<impl Batch>, plan: &ShardPlan, wall: i64) {
    let mut taken = vec![0; plan.inputs.len()];
    let records = feed.merge(wall).take(RECORDS_MAX).inspect(|next| taken[usize::from(next.topic)] += 1);
    let good = records.filter(|next| !plan.skipped.contains(&(next.topic, next.record.offset)));
    held.apply_step(wall, feed, good, Effect::Muted);
    feed.discard(&taken);
    while held.has_due() {
        held.apply(&Operation::Fire(FIRED_AT_ONCE), None, Effect::Muted);
    }
}
