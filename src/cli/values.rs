//! Values as several commands take them.

use crate::engine::decode;
use crate::engine::event::Millis;
use crate::engine::shard;
use clap::ValueEnum;
use jiff::Timestamp;

/// A moment as typed.
pub fn moment(text: &str) -> Result<Millis, String> {
    let parsed = text.parse::<Timestamp>();
    parsed
        .map(Timestamp::as_millisecond)
        .map_err(|_| "expected RFC 3339 with a zone, such as 2026-11-22T10:04:11Z".into())
}

/// What is published of everybody's values at the moment from which changes are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bootstrap {
    /// Nothing: only what changes from then on
    None,
    /// Where everybody is, on the membership topic only
    Membership,
    /// Changes from null with cause `bootstrap`, and the membership
    Changes,
}

impl From<Bootstrap> for shard::Bootstrap {
    fn from(typed: Bootstrap) -> Self {
        match typed {
            Bootstrap::None => Self::Nothing,
            Bootstrap::Membership => Self::Membership,
            Bootstrap::Changes => Self::Changes,
        }
    }
}

/// How the producers of the input topics place keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Partitioner {
    /// The Java client's default
    Murmur2,
    /// That of librdkafka
    Crc32,
}

impl From<Partitioner> for decode::Partitioner {
    fn from(typed: Partitioner) -> Self {
        match typed {
            Partitioner::Murmur2 => Self::Murmur2,
            Partitioner::Crc32 => Self::Crc32,
        }
    }
}
