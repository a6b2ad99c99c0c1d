//! Argument values that several commands have in common.

use crate::engine::decode;
use crate::engine::event::Millis;
use crate::engine::shard;
use clap::ValueEnum;
use jiff::Timestamp;

/// Parses a moment.
pub fn moment(text: &str) -> Result<Millis, String> {
    let parsed = text.parse::<Timestamp>();
    parsed
        .map(Timestamp::as_millisecond)
        .map_err(|_| "expected RFC 3339 with a zone, such as 2026-11-22T10:04:11Z".into())
}

/// What is published of all customers' values at the moment from which changes are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bootstrap {
    /// Nothing: only later changes
    None,
    /// Their values, on the membership topic only
    Membership,
    /// A change from null with cause `bootstrap` for each value, and the membership
    Changes,
}

impl From<Bootstrap> for shard::Bootstrap {
    fn from(argument: Bootstrap) -> Self {
        match argument {
            Bootstrap::None => Self::Nothing,
            Bootstrap::Membership => Self::Membership,
            Bootstrap::Changes => Self::Changes,
        }
    }
}

/// How the producers of the input topics choose the partition of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Partitioner {
    /// The default of the Java client
    Murmur2,
    /// The default of librdkafka
    Crc32,
}

impl From<Partitioner> for decode::Partitioner {
    fn from(argument: Partitioner) -> Self {
        match argument {
            Partitioner::Murmur2 => Self::Murmur2,
            Partitioner::Crc32 => Self::Crc32,
        }
    }
}
