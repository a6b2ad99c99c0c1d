//! What becomes of an error of the client: it is retried below the seam, the shards are rebuilt, or the worker stops.
//!
//! | where | what | fate |
//! |---|---|---|
//! | any | brokers or connections away, time-outs, leaders and coordinators that move or load | retried: the client goes on by itself |
//! | any | wrong password, certificate that is not trusted | retried, and said at `warn`: credentials may be changing |
//! | any | not authorised | stop: a right is missing |
//! | fetch | offset out of range; topic deleted or made anew; more partitions | stop |
//! | fetch | a batch that cannot be read | stop: the client would leave it out |
//! | group | another process of the same `instance` (classic: who is fenced twice in a minute, since once may be ourselves; consumer: the newer, if it lasts) | stop |
//! | group | our own former self under the protocol `consumer`, not missed yet | retried until its session is over |
//! | group | protocol or assignor the broker does not know, session time-out it does not allow | stop |
//! | group | fenced, unknown or late otherwise | the client joins again; shards are lost and given anew |
//! | offsets of a transaction | member epoch changed in between (`consumer`) | aborted, and tried again with the new one |
//! | transaction | a record that is too large or that the broker refuses; own topic deleted | stop |
//! | transaction | anything else: fenced, broken connection, too slow, no answer | rebuild: only the journal knows how it ended |
//! | recovery | a request without a good answer | rebuild, which the worker tries until the broker answers |

use super::Failure;
use crate::repeats::Repeats;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

type Code = RDKafkaErrorCode;

/// Of an error in a partition's queue. `Ok`: librdkafka goes on by itself.
pub fn of_fetch(code: Code, words: String) -> Result<(), Failure> {
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => Err(Failure::Stop(format!(
            "{words}. The records that come next are no longer (or not yet) in the topic: its retention is too short, or it \
             was made anew"
        ))),
        Code::BadMessage
        | Code::BadCompression
        | Code::NotImplemented
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::MessageSizeTooLarge
        | Code::InvalidRecord
        | Code::Underflow => Err(Failure::Stop(format!(
            "{words}. The records there cannot be read and would be left out. Is the broker's disk damaged, or the \
             compression not one of none, gzip, snappy, lz4, zstd?"
        ))),
        code => of_any(code, words),
    }
}

/// Of an error of the member of the group.
pub fn of_group(code: Code, words: String) -> Result<(), Failure> {
    match code {
        Code::UnsupportedVersion | Code::UnsupportedFeature => Err(Failure::Stop(format!(
            "{words}. `group_protocol = \"consumer\"` needs Kafka 4.0 or later; with an older broker use \"classic\""
        ))),
        Code::UnsupportedAssignor => {
            Err(Failure::Stop(format!("{words}. The broker must have the assignor `range` (group.consumer.assignors)")))
        }
        Code::InvalidSessionTimeout => Err(Failure::Stop(format!(
            "{words}. `session_timeout_ms` of [kafka] must be within group.min.session.timeout.ms and \
             group.max.session.timeout.ms of the broker"
        ))),
        Code::GroupMaxSizeReached => {
            Err(Failure::Stop(format!("{words}. The group has as many members as the broker allows (group.max.size)")))
        }
        Code::InconsistentGroupProtocol => Err(Failure::Stop(format!(
            "{words}. Another member of the group uses another assignor or group protocol; every member must use the same"
        ))),
        code => of_any(code, words),
    }
}

/// Of a request that did not get a good answer, what for being told.
pub fn of_request(what: String) -> impl FnOnce(KafkaError) -> Failure {
    move |error| {
        let words = format!("{what}: {error}");
        match error.rdkafka_error_code().map(|code| of_any(code, words.clone())) {
            Some(Err(stop)) => stop,
            Some(Ok(())) | None => Failure::Rebuild(words),
        }
    }
}

/// The same of a bare code.
pub fn of_code(what: String) -> impl FnOnce(Code) -> Failure {
    move |code| {
        let words = format!("{what}: {code}");
        of_any(code, words.clone()).err().unwrap_or(Failure::Rebuild(words))
    }
}

/// Of an error of a transaction.
pub fn of_transaction(code: Code, words: String) -> Failure {
    match code {
        Code::MessageSizeTooLarge => Failure::Stop(format!(
            "{words}. A record is larger than its topic allows: raise max.message.bytes of the topic (and message.max.bytes \
             in [kafka.client])"
        )),
        Code::InvalidRecord | Code::PolicyViolation => Failure::Stop(words),
        Code::InvalidTransactionTimeout => {
            Failure::Stop(format!("{words}. The broker must allow transactions of 10 s (transaction.max.timeout.ms)"))
        }
        code => match of_any(code, words.clone()) {
            Err(stop) => stop,
            Ok(()) => Failure::Rebuild(words),
        },
    }
}

/// Two processes under one name.
pub fn of_instance(words: &str) -> Failure {
    Failure::Stop(format!("{words}. Another process runs under the same `instance`: each needs its own"))
}

pub fn of_growth(topic: &str, before: u32, now: u32) -> Failure {
    Failure::Stop(format!(
        "the input topic {topic} had {before} partitions at the start and has {now} now. The number cannot change during \
         the life of the state: keys are placed differently since then, and customers would be split over shards. Write the \
         inputs to new topics with as many partitions as are wanted, and start a new group with new topics of ours"
    ))
}

pub fn of_assignor(shards: &[u32]) -> Failure {
    Failure::Stop(format!(
        "the group's assignor does not give equal partition numbers of all inputs to one member (shards {shards:?}): every \
         member of the group must use `range`, and the inputs need equal numbers of partitions"
    ))
}

pub fn is_unknown_topic(code: Code) -> bool {
    use RDKafkaErrorCode::{InvalidTopic, UnknownPartition, UnknownTopic, UnknownTopicId, UnknownTopicOrPartition};
    matches!(code, UnknownTopicOrPartition | UnknownTopic | UnknownTopicId | UnknownPartition | InvalidTopic)
}

fn of_any(code: Code, words: String) -> Result<(), Failure> {
    let missing = match code {
        Code::TopicAuthorizationFailed => "the topic",
        Code::GroupAuthorizationFailed => "the consumer group",
        Code::TransactionalIdAuthorizationFailed => "the transactional id",
        Code::ClusterAuthorizationFailed => "the cluster",
        code if is_unknown_topic(code) => {
            return Err(Failure::Stop(format!("{words}. The topic does not exist any more, or has fewer partitions")));
        }
        Code::Fatal => return Err(Failure::Stop(words)),
        _ => {
            tracing::debug!(target: "kafka", "{words}; the client goes on");
            return Ok(());
        }
    };
    Err(Failure::Stop(format!("{words}. A right on {missing} is missing (docs/security.md lists all that are needed)")))
}

static ERRORS: Repeats = Repeats::new();
static LOGS: Repeats = Repeats::new();

/// Tells an error that the client reports on the side, at the level of who must act. Each of its connections reports its own.
pub fn tell_error(error: &KafkaError, reason: &str) {
    let code = error.rdkafka_error_code();
    ERRORS.say(&format!("{code:?}"), |left_out| tell_code(code, reason, left_out));
}

fn tell_code(code: Option<Code>, reason: &str, left_out: Option<u64>) {
    match code {
        Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) => {
            tracing::warn!(target: "kafka", left_out, "{reason}; somebody must correct it; trying again");
        }
        Some(Code::AllBrokersDown) => tracing::warn!(target: "kafka", left_out, "{reason}; trying again"),
        Some(Code::Fatal) => tracing::error!(target: "kafka", left_out, "{reason}"),
        Some(_) | None => tracing::info!(target: "kafka", left_out, "{reason}; trying again"),
    }
}

/// Tells what librdkafka logs. Nobody must act on it: what is logged there is retried, or comes as an error too.
pub fn tell_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => {
            LOGS.say(facility, |left_out| tracing::info!(target: "kafka", left_out, "{facility} {message}"));
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "kafka", "{facility} {message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_retried_and_what_never_will_stops_with_what_to_do() {
        for code in [Code::BrokerTransportFailure, Code::AllBrokersDown, Code::OperationTimedOut] {
            assert_eq!(of_fetch(code, "away".into()), Ok(()));
            assert_eq!(of_group(code, "away".into()), Ok(()));
            assert_eq!(of_transaction(code, "away".into()), Failure::Rebuild("away".into()));
        }
        for code in [Code::CoordinatorLoadInProgress, Code::NotCoordinator, Code::UnknownMemberId] {
            assert_eq!(of_group(code, "moved".into()), Ok(()));
        }
        for code in [Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch, Code::IllegalGeneration] {
            assert!(matches!(of_transaction(code, "fenced".into()), Failure::Rebuild(_)), "{code:?}");
        }
        let stop = |failure: Failure, what: &str| match failure {
            Failure::Stop(words) => assert!(words.starts_with("it.") && words.contains(what), "{words}"),
            Failure::Rebuild(words) => panic!("{words}"),
        };
        stop(of_fetch(Code::AutoOffsetReset, "it".into()).unwrap_err(), "retention");
        stop(of_fetch(Code::BadCompression, "it".into()).unwrap_err(), "left out");
        stop(of_fetch(Code::TopicAuthorizationFailed, "it".into()).unwrap_err(), "right on the topic");
        stop(of_group(Code::GroupAuthorizationFailed, "it".into()).unwrap_err(), "right on the consumer group");
        stop(of_instance("it"), "same `instance`");
        stop(of_transaction(Code::TransactionalIdAuthorizationFailed, "it".into()), "transactional id");
        stop(of_transaction(Code::MessageSizeTooLarge, "it".into()), "max.message.bytes");
    }
}
