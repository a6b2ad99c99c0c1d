//! What becomes of an error of the client: it is retried below the seam, the shards are rebuilt, or the worker stops.

use super::Failure;
use rdkafka::types::RDKafkaErrorCode;

/// Of an error in a partition's queue. `Ok`: librdkafka goes on by itself.
pub fn of_fetch(code: RDKafkaErrorCode, words: String) -> Result<(), Failure> {
    use RDKafkaErrorCode as E;
    match code {
        E::AutoOffsetReset | E::OffsetOutOfRange => Err(Failure::Stop(format!(
            "{words}. The records that come next are no longer (or not yet) in the topic: its retention is too short, or it \
             was made anew"
        ))),
        E::TopicAuthorizationFailed | E::GroupAuthorizationFailed => Err(Failure::Stop(words)),
        _ => {
            tracing::info!(target: "kafka", "{words}; retrying");
            Ok(())
        }
    }
}

/// Of an error of the member of the group.
pub fn of_group(code: RDKafkaErrorCode, words: String) -> Result<(), Failure> {
    use RDKafkaErrorCode as E;
    match code {
        E::Fatal | E::FencedInstanceId => {
            Err(Failure::Stop(format!("{words}. Another process runs under the same `instance`: each needs its own")))
        }
        E::TopicAuthorizationFailed | E::GroupAuthorizationFailed => Err(Failure::Stop(words)),
        _ => {
            tracing::info!(target: "kafka", "{words}; retrying");
            Ok(())
        }
    }
}

pub fn of_growth(topic: &str, before: u32, now: u32) -> Failure {
    Failure::Stop(format!(
        "the input topic {topic} had {before} partitions at the start and has {now} now: keys are placed differently since \
         then, so customers are split over shards. Move the inputs to new topics with as many partitions as are wanted, and \
         start a new group with new topics of ours"
    ))
}

pub fn of_assignor(shards: &[u32]) -> Failure {
    Failure::Stop(format!(
        "the group's assignor does not give equal partition numbers of all inputs to one member (shards {shards:?}): every \
         member of the group must use `range`, and the inputs need equal numbers of partitions"
    ))
}
