//! A producer's requests to the cluster, as in Kafka's older transaction protocol, the one that librdkafka uses.

use super::faults::RequestKind;
use super::partition::{Stored, Writer};
use crate::kafka::Topic;

/// A partition of a topic.
pub(super) type TopicPartition = (Topic, u32);

/// A part of a transaction that has a marker of its own: a partition, or the group's offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Log(TopicPartition),
    Group,
}

#[derive(Clone, Debug)]
pub(super) enum Request {
    Init {
        identity: usize,
    },
    Partitions {
        writer: Writer,
        /// Number of the client's transaction. Not part of the protocol; it shows which transactions are ended too
        /// early.
        transaction: u64,
        topic_partitions: Vec<TopicPartition>,
    },
    Produce {
        writer: Writer,
        topic_partition: TopicPartition,
        sequence: u32,
        records: Vec<Stored>,
    },
    Offsets {
        writer: Writer,
        transaction: u64,
        member: Option<MemberTag>,
        offsets: Vec<((u16, u32), i64)>,
    },
    End {
        writer: Writer,
        transaction: u64,
    },
}

/// The membership with which offsets are committed; checked by the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberTag {
    pub instance: String,
    pub member: u64,
    pub generation: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A transaction of the identity is ending: retry.
    Busy,
    Fenced(String),
    Invalid(String),
}

impl Request {
    pub fn kind(&self) -> RequestKind {
        match self {
            Self::Init { .. } => RequestKind::Init,
            Self::Partitions { .. } => RequestKind::Partitions,
            Self::Produce { .. } => RequestKind::Produce,
            Self::Offsets { .. } => RequestKind::Offsets,
            Self::End { .. } => RequestKind::End,
        }
    }

    pub fn writer(&self) -> Option<Writer> {
        match self {
            Self::Init { .. } => None,
            Self::Partitions { writer, .. }
            | Self::Produce { writer, .. }
            | Self::Offsets { writer, .. }
            | Self::End { writer, .. } => Some(*writer),
        }
    }

    /// Number of the client's transaction, where the request has it.
    pub fn transaction(&self) -> Option<u64> {
        match self {
            Self::Partitions { transaction, .. }
            | Self::Offsets { transaction, .. }
            | Self::End { transaction, .. } => Some(*transaction),
            Self::Init { .. } | Self::Produce { .. } => None,
        }
    }

    /// A short description for the history.
    pub fn describe(&self) -> String {
        let of = |writer: &Writer| format!("#{}.{}", writer.identity, writer.epoch);
        match self {
            Self::Init { identity } => format!("init #{identity}"),
            Self::Partitions { writer, topic_partitions, .. } => {
                format!("partitions {} {}", of(writer), describe_partitions(topic_partitions))
            }
            Self::Produce { writer, topic_partition, sequence, records } => {
                let (topic_partition, count) = (describe_partitions(&[*topic_partition]), records.len());
                format!("produce {} {topic_partition} request {sequence}, {count} records", of(writer))
            }
            Self::Offsets { writer, member, offsets, .. } => format!("offsets {} {offsets:?} {member:?}", of(writer)),
            Self::End { writer, transaction } => format!("end {} transaction {transaction}", of(writer)),
        }
    }
}

fn describe_partitions(topic_partitions: &[TopicPartition]) -> String {
    let texts = topic_partitions.iter().map(|(topic, partition)| match topic {
        Topic::Input(topic) => format!("input{topic}/{partition}"),
        Topic::Own(own) => format!("{own:?}/{partition}"),
    });
    texts.collect::<Vec<_>>().join(" ")
}
