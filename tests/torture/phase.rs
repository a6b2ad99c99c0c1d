//! The phases in which a service is killed, and the gates that stop it in the phases of a transaction.

use crate::support::events::Random;
use crate::support::proxy::Hold;
use crate::support::proxy::wire::{ADD_PARTITIONS, END_TRANSACTION, PRODUCE};
use shoal::fault_injection::CRASH_POINTS;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// kill -9: records were applied since the last transaction, and the broker has received no request of the next.
    Applying,
    /// kill -9: records are being sent: the broker has none or some of them, or all without the service knowing.
    MidProduce,
    /// kill -9: the offsets are sent, and the broker has not received the request to end the transaction.
    OffsetsToEnd,
    /// kill -9: the broker has ended the transaction, and the service has not received the response.
    EndToAnswer,
    /// kill -9: journalled transactions are being replayed.
    Replay,
    /// kill -9: shards are being revoked, and a transaction is open.
    Revoke,
    /// kill -9 at any moment.
    Anywhere,
    /// The service aborts by itself at a crash point of src/fault_injection.rs.
    At(&'static str),
}

/// What makes a service reach a crash point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Running, or starting.
    Run,
    /// An orderly stop.
    Stop,
    /// Members that join and leave.
    Move,
    /// Taking over a shard whose last owner died in a transaction.
    TakeOver,
    /// A start before anything was published to the control topic.
    FirstStart,
    /// A command other than `run`.
    Command,
    /// Nothing on this broker, which ends transactions completely or not at all.
    Never,
}

impl Phase {
    pub const KILLED: [Self; 6] =
        [Self::Applying, Self::MidProduce, Self::OffsetsToEnd, Self::EndToAnswer, Self::Replay, Self::Revoke];

    /// All phases in which running services can be killed.
    pub fn all() -> Vec<Self> {
        let is_hit = |point: &Self| !matches!(point.way(), Way::FirstStart | Way::Command | Way::Never);
        let points = CRASH_POINTS.iter().map(|(name, _)| Self::At(name)).filter(is_hit);
        Self::KILLED.into_iter().chain(points).collect()
    }

    pub fn way(self) -> Way {
        let Self::At(name) = self else { return Way::Run };
        match (self.group(), name) {
            (_, "recovery/repaired") => Way::Never,
            (_, "recovery/holder-fenced") => Way::TakeOver,
            ("stop", _) => Way::Stop,
            ("revoke" | "takeover", _) => Way::Move,
            ("control", _) => Way::FirstStart,
            ("seed" | "rebuild", _) => Way::Command,
            _ => Way::Run,
        }
    }

    /// The part of a crash point's name before the slash.
    pub fn group(self) -> &'static str {
        match self {
            Self::At(name) => name.split('/').next().unwrap_or(name),
            _ => "kill -9",
        }
    }

    /// How many times a service reaches the crash point until it aborts there.
    pub fn passes(self, random: &mut Random) -> u64 {
        let bound = match self {
            Self::At("recovery/record") => 4,
            Self::At("snapshot/part" | "load/part" | "recovery/begin" | "recovery/tail" | "recovery/done") => 3,
            Self::At(_) if self.group() == "transaction" => 30,
            _ => 1,
        };
        1 + random.below(bound)
    }

    /// The requests that stop a service in this phase, and what is held back; `None` if requests cannot stop it there.
    pub fn gate(self, random: &mut Random) -> Option<(&'static [i16], Hold)> {
        match self {
            Self::Applying => Some((&[ADD_PARTITIONS], Hold::Request)),
            Self::MidProduce => Some((&[PRODUCE], if random.below(2) == 0 { Hold::Request } else { Hold::Answer })),
            Self::OffsetsToEnd => Some((&[END_TRANSACTION], Hold::Request)),
            Self::EndToAnswer => Some((&[END_TRANSACTION], Hold::Answer)),
            Self::Replay | Self::Revoke | Self::Anywhere | Self::At(_) => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Applying => "applying",
            Self::MidProduce => "mid-produce",
            Self::OffsetsToEnd => "between offsets and end",
            Self::EndToAnswer => "between end and acknowledgement",
            Self::Replay => "replay",
            Self::Revoke => "revoke",
            Self::Anywhere => "anywhere",
            Self::At(name) => name,
        })
    }
}
