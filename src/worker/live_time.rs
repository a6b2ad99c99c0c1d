//! What a tick may say now, and when there must be none (T3).
//!
//! A tick makes time pass for customers of whom nothing comes. It must not when something may be on its way: while
//! records wait, time goes with their arrival; while a partition does not answer, or a source that is never silent is
//! silent, it stands still. Else an outage would look like customers who leave.

use super::held::HeldShard;
use super::merge::Feed;
use crate::engine::event::Millis;
use crate::kafka::{Log, Moment, Topic};

/// A partition that has answered no fetch for so long holds time back.
const UNANSWERED_MS_MAX: u64 = 2_000;

/// The moment that a tick of this shard may tell, if one is due at all.
pub fn due_tick<L: Log>(log: &L, held: &HeldShard, feed: &Feed<L::Batch>, now: Moment) -> Option<Millis> {
    if !held.tick_is_due(now.wall) || is_held_back(log, held, feed, now) {
        return None;
    }
    let moment = if feed.is_at_end() {
        now.wall
    } else {
        // The next record's arrival; while it is not known, that of the last: the next is no earlier.
        feed.next_arrival(now.wall).or(held.last_arrival())?.min(now.wall)
    };
    held.tick_is_due(moment).then_some(moment)
}

/// Records that wait bound the time themselves, whatever their topic does now.
fn is_held_back<L: Log>(log: &L, held: &HeldShard, feed: &Feed<L::Batch>, now: Moment) -> bool {
    let topics = 0..held.positions().len() as u16;
    topics.filter(|&topic| !feed.has_records(topic)).any(|topic| {
        let status = log.partition_status(Topic::Input(topic), held.number());
        let is_unanswered = |at| now.monotonic.saturating_sub(at) > UNANSWERED_MS_MAX;
        status.last_answer.is_none_or(is_unanswered) || status.is_silent
    })
}
