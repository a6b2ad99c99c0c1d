//! Whether the inputs reach back to the older snapshot, from which a start goes on if the newest one is damaged.
//!
//! A service that has the newest one is well, so this is told and refuses nothing: a quiet topic with a short retention
//! would stop it otherwise. What cannot be gone on from is refused where its records are read.

use super::super::held::HeldShard;
use super::Recovery;
use crate::kafka::{Failure, Log, StartAt, Topic};
use crate::store::ShardPosition;

/// An input that begins after the offset from which a snapshot goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap<'a> {
    pub topic: &'a str,
    pub needed: i64,
    pub earliest: i64,
}

/// The inputs that no longer reach back to a snapshot, by the earliest offset that each still has.
pub fn gaps<'a>(position: &'a ShardPosition, earliest: &[i64]) -> Vec<Gap<'a>> {
    let inputs = position.inputs.iter().zip(&position.positions).zip(earliest);
    let gaps = inputs.map(|((topic, &needed), &earliest)| Gap { topic, needed, earliest });
    gaps.filter(|gap| gap.earliest > gap.needed).collect()
}

impl<L: Log> Recovery<'_, L> {
    /// Warns of inputs that no longer reach back to the snapshot before the one that was loaded.
    pub(super) fn tell_gaps(&mut self, held: &HeldShard, loaded: u64) {
        let shard = held.number();
        let older = self.older(shard, loaded);
        let found = older.and_then(|older| {
            let Some(older) = older else { return Ok(None) };
            let topics = 0..older.positions.len() as u16;
            let earliest = topics.map(|topic| self.log.first_offset(Topic::Input(topic), shard, StartAt::Earliest));
            Ok(Some((earliest.collect::<Result<Vec<i64>, Failure>>()?, older)))
        });
        match found {
            Ok(Some((earliest, older))) => {
                for Gap { topic, needed, earliest } in gaps(&older, &earliest) {
                    tracing::warn!(
                        "shard {shard}: input {topic}, partition {shard}, begins at offset {earliest}, and the older snapshot \
                         (transaction {}) goes on from {needed}: were the newest (transaction {loaded}) damaged, only \
                         `shoal rebuild` would help. The retention of {topic} is short for the time between snapshots",
                        older.transaction
                    );
                }
            }
            Ok(None) => {}
            // Nothing depends on it.
            Err(failure) => {
                tracing::debug!(shard, "it is not known whether the inputs reach far enough back: {failure}")
            }
        }
    }

    fn older(&mut self, shard: u32, loaded: u64) -> Result<Option<ShardPosition>, Failure> {
        let Some(store) = &mut self.store else { return Ok(None) };
        store.position_before(shard, loaded).map_err(Failure::Rebuild)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_begins_later_is_a_gap() {
        let position = ShardPosition {
            transaction: 7,
            outputs: 0,
            positions: vec![400, 10],
            inputs: vec!["orders".into(), "views".into()],
            partitions: 2,
            control_next: 0,
            rules_at: None,
            old_rules_at: None,
            rules_version: String::new(),
            rules: None,
            now: 0,
            ticked: 0,
            last_arrival: None,
            journal_from: 0,
        };
        assert_eq!(gaps(&position, &[400, 0]), []);
        assert_eq!(gaps(&position, &[401, 10]), [Gap { topic: "orders", needed: 400, earliest: 401 }]);
        // A seed has no positions, and reads from where the service was told.
        let seed = ShardPosition { transaction: 0, positions: Vec::new(), inputs: Vec::new(), ..position };
        assert_eq!(gaps(&seed, &[401, 10]), []);
    }
}
