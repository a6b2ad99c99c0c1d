//! Whether a tick is due, and which moment it lets time pass to (T3).
//!
//! A tick lets time pass for customers without events. It must not while an event may be on its way: while records
//! wait, time passes with their arrival; while a partition does not answer, or a source that is never silent is silent,
//! time stands still. Otherwise an outage would look like customers who leave.

use crate::engine::event::Millis;
use crate::kafka::{Log, Moment, Topic};
use crate::worker::input_buffer::InputBuffer;
use crate::worker::owned_shard::OwnedShard;

/// A partition that has answered no fetch for this long holds time back.
const UNANSWERED_MS_MAX: u64 = 2_000;

/// The moment of the tick that is due; `None` if none is due.
pub fn due_tick<L: Log>(log: &L, owned: &OwnedShard, buffer: &InputBuffer<L::Batch>, now: Moment) -> Option<Millis> {
    if !owned.tick_is_due(now.wall) || is_held_back(log, owned, buffer, now) {
        return None;
    }
    let moment = if buffer.is_at_end() {
        now.wall
    } else {
        // The next record's arrival. While it is not known, the last one's: the next record arrived no earlier.
        buffer.next_arrival(now.wall).or(owned.last_arrival())?.min(now.wall)
    };
    owned.tick_is_due(moment).then_some(moment)
}

/// Whether a topic without buffered records holds time back. Buffered records bound it by their arrival.
fn is_held_back<L: Log>(log: &L, owned: &OwnedShard, buffer: &InputBuffer<L::Batch>, now: Moment) -> bool {
    let topics = 0..owned.positions().len() as u16;
    topics.filter(|&topic| !buffer.has_records(topic)).any(|topic| {
        let status = log.partition_status(Topic::Input(topic), owned.number());
        let is_unanswered = |at| now.monotonic.saturating_sub(at) > UNANSWERED_MS_MAX;
        status.last_answer.is_none_or(is_unanswered) || status.is_silent
    })
}
