//! The class of each error of the client: retried below the trait `Log`, the shards are rebuilt, or the worker stops.
//!
//! A broker that restarts answers anything for a moment, so one answer never stops a worker where it could be that of
//! such a broker.
//!
//! * *Everywhere.* Brokers or connections unavailable, time-outs, leaders and coordinators that move or load: the
//!   client retries by itself. A topic or partition that is not found is retried, too: [`super::admin::Existence`]
//!   alone decides that a topic is gone, after several looks over half a minute. A wrong password or a certificate that
//!   is not trusted: the client retries, logged at `warn`, since credentials may be changing. A missing right: stop.
//! * *Fetch.* An offset out of range, a topic that was created again, more partitions: stop. A batch that cannot be
//!   read: stop, since the client would skip it.
//! * *Group.* Another process of the same `instance`: stop, if it is seen in the group. A member may also fence itself,
//!   when a request to join was received twice. Under the protocol `consumer` an earlier run of this process keeps the
//!   name until its session has expired: retry. A protocol, assignor or session time-out that the broker does not
//!   support: stop, unless this member was accepted before. Any other fatal error, fenced, unknown or late: the member
//!   joins again, and shards are lost and assigned again.
//! * *Transaction.* A member epoch that changed in between (protocol `consumer`): abort, and retry with the new epoch.
//!   A record that is too large or that the broker refuses: stop. Anything else (fenced, broken connection, too slow,
//!   no answer): rebuild, since only the journal shows how the transaction ended.
//! * *Recovery.* A request without a good answer: rebuild, which the worker repeats until the broker answers.

use super::Failure;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::fmt::Display;

type Code = RDKafkaErrorCode;

/// Classifies an error in a partition's queue. `Ok`: librdkafka goes on by itself.
pub fn classify_fetch(code: Code, message: String) -> Result<(), Failure> {
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => Err(Failure::Stop(format!(
            "{message}. The next records are no longer (or not yet) in the topic: its retention is too short, or the topic \
             was deleted and made again"
        ))),
        Code::BadMessage
        | Code::BadCompression
        | Code::NotImplemented
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::MessageSizeTooLarge
        | Code::InvalidRecord
        | Code::Underflow => Err(Failure::Stop(format!(
            "{message}. The records there cannot be read and would be skipped. Check the broker's disk, and that the \
             compression is one of none, gzip, snappy, lz4, zstd"
        ))),
        code => classify(code, message),
    }
}

/// Classifies an error of the member of the group. `Ok`: librdkafka goes on by itself, or a new member joins.
/// `has_joined`: the group has accepted this member before, so that the broker supports what it needs.
pub fn classify_group(code: Code, message: String, has_joined: bool) -> Result<(), Failure> {
    match code {
        _ if has_joined => classify(code, message),
        Code::UnsupportedVersion | Code::UnsupportedFeature => Err(Failure::Stop(format!(
            "{message}. `group_protocol = \"consumer\"` needs Kafka 4.0 or later; with an older broker use \"classic\""
        ))),
        Code::UnsupportedAssignor => Err(Failure::Stop(format!(
            "{message}. The broker must have the assignor `range` (group.consumer.assignors)"
        ))),
        Code::InvalidSessionTimeout => Err(Failure::Stop(format!(
            "{message}. `session_timeout_ms` of [kafka] must be within group.min.session.timeout.ms and \
             group.max.session.timeout.ms of the broker"
        ))),
        Code::InconsistentGroupProtocol => Err(Failure::Stop(format!(
            "{message}. Another member of the group uses another assignor or group protocol; every member must use the \
             same"
        ))),
        code => classify(code, message),
    }
}

/// Classifies the error of a request; `what` was requested.
pub fn classify_request(what: String) -> impl FnOnce(KafkaError) -> Failure {
    move |error| {
        let message = format!("{what}: {error}");
        match error.rdkafka_error_code().map(|code| classify(code, message.clone())) {
            Some(Err(stop)) => stop,
            Some(Ok(())) | None => Failure::Rebuild(message),
        }
    }
}

/// Classifies the error code of a request; `what` was requested.
pub fn classify_code(what: String) -> impl FnOnce(Code) -> Failure {
    move |code| {
        let message = format!("{what}: {code}");
        classify(code, message.clone()).err().unwrap_or(Failure::Rebuild(message))
    }
}

/// Classifies an error of a transaction.
pub fn classify_transaction(code: Code, message: String) -> Failure {
    match code {
        Code::MessageSizeTooLarge => Failure::Stop(format!(
            "{message}. A record is larger than its topic allows: raise max.message.bytes of the topic (and \
             message.max.bytes in [kafka.client])"
        )),
        Code::InvalidRecord | Code::PolicyViolation => Failure::Stop(message),
        Code::InvalidTransactionTimeout => {
            Failure::Stop(format!("{message}. The broker must allow transactions of 10 s (transaction.max.timeout.ms)"))
        }
        code => match classify(code, message.clone()) {
            Err(stop) => stop,
            Ok(()) => Failure::Rebuild(message),
        },
    }
}

/// Another process has the name of this one; `seen` is its member in the group.
pub fn duplicate_instance(message: &str, seen: &impl Display) -> Failure {
    Failure::Stop(format!(
        "{message}. Another process runs under the same `instance`, seen in the group: {seen}. Give each process an \
         `instance` of its own"
    ))
}

/// An input topic has got more partitions.
pub fn grown_topic(topic: &str, before: u32, now: u32) -> Failure {
    Failure::Stop(format!(
        "the input topic {topic} had {before} partitions at the start and has {now} now. The number cannot change while \
         the state exists: keys are placed differently since then, and customers would be split over shards. Write the \
         inputs to new topics with the wanted number of partitions, and start a new group with new topics of Shoal's own"
    ))
}

/// The group assigns partitions of different numbers to one member.
pub fn wrong_assignor(shards: &[u32]) -> Failure {
    Failure::Stop(format!(
        "the group's assignor does not assign equal partition numbers of all inputs to one member (shards {shards:?}): \
         every member of the group must use `range`, and the inputs need equal numbers of partitions"
    ))
}

/// The message for a missing right: operation and resource as Kafka's own tools name them.
pub fn not_allowed(operation: &str, kind: &str, name: &str) -> String {
    format!("Kafka denies Shoal {operation} on {kind} {name} (docs/security.md lists all rights that Shoal needs)")
}

pub fn is_unknown_topic(code: Code) -> bool {
    use RDKafkaErrorCode::{InvalidTopic, UnknownPartition, UnknownTopic, UnknownTopicId, UnknownTopicOrPartition};
    matches!(code, UnknownTopicOrPartition | UnknownTopic | UnknownTopicId | UnknownPartition | InvalidTopic)
}

/// Classifies an error by what holds everywhere. `Ok`: librdkafka goes on by itself.
fn classify(code: Code, message: String) -> Result<(), Failure> {
    let resource = match code {
        Code::TopicAuthorizationFailed => "the topic",
        Code::GroupAuthorizationFailed => "the consumer group",
        Code::TransactionalIdAuthorizationFailed => "the transactional id",
        Code::ClusterAuthorizationFailed => "the cluster",
        _ => {
            tracing::debug!(target: "kafka", error = message, "the client retries after an error");
            return Ok(());
        }
    };
    Err(Failure::Stop(format!(
        "{message}. A right on {resource} is missing (docs/security.md lists all that are needed)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_errors_are_retried_and_lasting_ones_stop_with_what_to_do() {
        for code in [Code::BrokerTransportFailure, Code::AllBrokersDown, Code::OperationTimedOut] {
            assert_eq!(classify_fetch(code, "away".into()), Ok(()));
            assert_eq!(classify_group(code, "away".into(), false), Ok(()));
            assert_eq!(classify_transaction(code, "away".into()), Failure::Rebuild("away".into()));
        }
        for code in [Code::CoordinatorLoadInProgress, Code::NotCoordinator, Code::UnknownMemberId] {
            assert_eq!(classify_group(code, "moved".into(), false), Ok(()));
        }
        for code in [Code::UnknownTopicOrPartition, Code::UnknownPartition, Code::UnknownTopic, Code::Fatal] {
            assert_eq!(classify_fetch(code, "gone".into()), Ok(()));
            assert_eq!(classify_group(code, "gone".into(), false), Ok(()));
            assert_eq!(classify_transaction(code, "gone".into()), Failure::Rebuild("gone".into()));
            assert_eq!(classify_code("it".into())(code), Failure::Rebuild(format!("it: {code}")));
        }
        assert_eq!(classify_group(Code::UnsupportedVersion, "a broker of the other version".into(), true), Ok(()));
        for code in [Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch, Code::IllegalGeneration] {
            assert!(matches!(classify_transaction(code, "fenced".into()), Failure::Rebuild(_)), "{code:?}");
        }
        let stop = |failure: Failure, what: &str| match failure {
            Failure::Stop(message) => assert!(message.starts_with("it.") && message.contains(what), "{message}"),
            Failure::Rebuild(message) => panic!("{message}"),
        };
        stop(classify_fetch(Code::AutoOffsetReset, "it".into()).unwrap_err(), "retention");
        stop(classify_fetch(Code::BadCompression, "it".into()).unwrap_err(), "skipped");
        stop(classify_fetch(Code::TopicAuthorizationFailed, "it".into()).unwrap_err(), "right on the topic");
        stop(
            classify_group(Code::GroupAuthorizationFailed, "it".into(), true).unwrap_err(),
            "right on the consumer group",
        );
        stop(classify_group(Code::UnsupportedVersion, "it".into(), false).unwrap_err(), "Kafka 4.0");
        stop(duplicate_instance("it", &"shoal-0"), "same `instance`");
        stop(classify_transaction(Code::TransactionalIdAuthorizationFailed, "it".into()), "transactional id");
        stop(classify_transaction(Code::MessageSizeTooLarge, "it".into()), "max.message.bytes");
    }
}
