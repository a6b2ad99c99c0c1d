//! Whether the inputs reach back to the older kept snapshot, from which a start recovers if the newest one is damaged.
//!
//! A gap is only warned about: the service runs well as long as the newest snapshot can be read, and a refusal would
//! stop it for a quiet topic with a short retention. Inputs that do not reach back to the snapshot in use are refused
//! where their records are read.

use crate::kafka::{Failure, Log, RETENTION_ADVICE, StartAt, Topic};
use crate::store::{ShardPosition, SnapshotStore};

/// An input that begins after the position of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap<'a> {
    topic: &'a str,
    needed: i64,
    earliest: i64,
}

/// The inputs that no longer reach back to a snapshot, given the earliest offset of each.
fn gaps<'a>(position: &'a ShardPosition, earliest: &[i64]) -> Vec<Gap<'a>> {
    let inputs = position.inputs.iter().zip(&position.positions).zip(earliest);
    let gaps = inputs.map(|((topic, &needed), &earliest)| Gap { topic, needed, earliest });
    gaps.filter(|gap| gap.earliest > gap.needed).collect()
}

/// Warns of inputs that no longer reach back to the snapshot before the loaded one.
pub fn warn_of_gaps<L: Log>(log: &mut L, store: &mut dyn SnapshotStore, shard: u32, loaded: u64) {
    let older = store.position_before(shard, loaded).map_err(Failure::Rebuild);
    let found = older.and_then(|older| {
        let Some(older) = older else { return Ok(None) };
        let topics = 0..older.positions.len() as u16;
        let earliest = topics.map(|topic| log.first_offset(Topic::Input(topic), shard, StartAt::Earliest));
        Ok(Some((earliest.collect::<Result<Vec<i64>, Failure>>()?, older)))
    });
    match found {
        Ok(Some((earliest, older))) => {
            for Gap { topic, needed, earliest } in gaps(&older, &earliest) {
                tracing::warn!(
                    shard,
                    topic,
                    earliest,
                    needed,
                    older_snapshot = older.transaction,
                    newest_snapshot = loaded,
                    advice = RETENTION_ADVICE,
                    "an input no longer reaches back to the older snapshot: if the newest one were damaged, only \
                     `shoal rebuild` would help"
                );
            }
        }
        Ok(None) => {}
        // Nothing depends on this check, so its failure is not logged at `warn`.
        Err(failure) => {
            tracing::debug!(shard, error = %failure, "cannot check whether the inputs reach back to the older snapshot");
        }
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
        // A seed has no positions.
        let seed = ShardPosition { transaction: 0, positions: Vec::new(), inputs: Vec::new(), ..position };
        assert_eq!(gaps(&seed, &[401, 10]), []);
    }
}
