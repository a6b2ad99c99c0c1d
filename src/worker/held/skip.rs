//! A record that is left out because it killed the process (`crate::worker::careful`).

use super::{Effect, HeldShard, none};
use crate::engine::event::{Millis, Record};
use crate::engine::shard::Input;
use crate::kafka::{self, Batch};
use crate::worker::journal::Operation;
use crate::worker::merge::Feed;

impl HeldShard {
    /// Leaves the next record in the merged order out, and tells of it.
    pub fn skip(&mut self, wall: Millis, feed: &mut Feed<impl Batch>) {
        let Some(next) = feed.merge(self.now.max(wall)).next() else { return };
        let (topic, offset) = (next.topic, next.record.offset);
        self.redo_skip(topic, offset, Some(next.record), Effect::Published);
        let mut taken = vec![0; self.positions.len()];
        taken[usize::from(topic)] = 1;
        feed.discard(&taken);
        self.operations.push(&Operation::Skip { topic, offset });
    }

    /// Leaves a record out, as it was once. What it holds matters only if it is told of again.
    pub fn redo_skip(&mut self, topic: u16, offset: i64, record: Option<kafka::Record<'_>>, effect: Effect) {
        self.positions[usize::from(topic)] = offset + 1;
        let record = Record {
            topic,
            partition: self.number,
            offset,
            arrival: record.and_then(|record| record.timestamp),
            key: record.and_then(|record| record.key),
            value: record.and_then(|record| record.value).unwrap_or_default(),
        };
        self.apply_input(Input::Skipped(&record), &[record], &none, effect);
    }
}
