//! What a producer asks of the cluster, in the words of Kafka's older transaction protocol, the one librdkafka speaks.

use super::faults::Kind;
use super::partition::{Stored, Writer};
use crate::kafka::Topic;

/// A partition of a topic.
pub(super) type Place = (Topic, u32);

/// A part of a transaction that gets a marker of its own: a partition, or the group's offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Log(Place),
    Group,
}

#[derive(Clone, Debug)]
pub(super) enum Request {
    Init {
        identity: usize,
    },
    Partitions {
        writer: Writer,
        /// Number of the client's transaction. Not part of the protocol, only to see what is ended early.
        transaction: u64,
        places: Vec<Place>,
    },
    Produce {
        writer: Writer,
        place: Place,
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

/// As whom offsets are committed: checked against what the group knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberTag {
    pub instance: String,
    pub member: u64,
    pub generation: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Something of the identity is being ended: ask again.
    Busy,
    Fenced(String),
    Invalid(String),
}

impl Request {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Init { .. } => Kind::Init,
            Self::Partitions { .. } => Kind::Partitions,
            Self::Produce { .. } => Kind::Produce,
            Self::Offsets { .. } => Kind::Offsets,
            Self::End { .. } => Kind::End,
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

    /// Number of the client's transaction, where it is told.
    pub fn transaction(&self) -> Option<u64> {
        match self {
            Self::Partitions { transaction, .. }
            | Self::Offsets { transaction, .. }
            | Self::End { transaction, .. } => Some(*transaction),
            Self::Init { .. } | Self::Produce { .. } => None,
        }
    }

    /// In few words, for the history.
    pub fn told(&self) -> String {
        let of = |writer: &Writer| format!("#{}.{}", writer.identity, writer.epoch);
        match self {
            Self::Init { identity } => format!("init #{identity}"),
            Self::Partitions { writer, places, .. } => format!("partitions {} {}", of(writer), told_places(places)),
            Self::Produce { writer, place, sequence, records } => {
                let (place, count) = (told_places(&[*place]), records.len());
                format!("produce {} {place} request {sequence}, {count} records", of(writer))
            }
            Self::Offsets { writer, member, offsets, .. } => format!("offsets {} {offsets:?} {member:?}", of(writer)),
            Self::End { writer, transaction } => format!("end {} transaction {transaction}", of(writer)),
        }
    }
}

fn told_places(places: &[Place]) -> String {
    let told = places.iter().map(|(topic, partition)| match topic {
        Topic::Input(topic) => format!("input{topic}/{partition}"),
        Topic::Own(own) => format!("{own:?}/{partition}"),
    });
    told.collect::<Vec<_>>().join(" ")
}
