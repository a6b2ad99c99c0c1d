//! The phases in which a service is killed, and the gates that catch it in those of a transaction.

use crate::support::events::Random;
use crate::support::proxy::Hold;
use crate::support::proxy::wire::{ADD_PARTITIONS, END_TRANSACTION, PRODUCE};
use shoal::trial::CRASH_POINTS;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// kill -9: operations are done since the last transaction, and the broker has heard nothing of them.
    Applying,
    /// kill -9: records are on their way: the broker has some of them, or none yet, or all and the service does not know.
    MidProduce,
    /// kill -9: the offsets are sent, and the broker has not been asked to end the transaction.
    OffsetsToEnd,
    /// kill -9: the broker has ended the transaction, and the service does not know.
    EndToAnswer,
    /// kill -9: journalled transactions are being done again.
    Replay,
    /// kill -9: shards are to be given up, and a transaction is open.
    Revoke,
    /// kill -9, wherever it is just then.
    Anywhere,
    /// It dies there by itself: a crash point of src/trial.rs.
    At(&'static str),
}

/// What has to happen for a service to come to a crash point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It runs, and starts before that.
    Run,
    /// It is told to end.
    Stop,
    /// Other members come and go.
    Move,
    /// It takes over a shard whose last owner died in a transaction.
    TakeOver,
    /// Nothing was ever published to the control topic.
    FirstStart,
    /// Another command than `run`.
    Command,
    /// Not on this broker: it ends transactions completely or not at all.
    Never,
}

impl Phase {
    pub const KILLED: [Self; 6] =
        [Self::Applying, Self::MidProduce, Self::OffsetsToEnd, Self::EndToAnswer, Self::Replay, Self::Revoke];

    /// All that a storm over running services can hit.
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

    /// What stands before the stroke in the name of a crash point.
    pub fn group(self) -> &'static str {
        match self {
            Self::At(name) => name.split('/').next().unwrap_or(name),
            _ => "kill -9",
        }
    }

    /// A service comes to the crash point so often before it dies there.
    pub fn passes(self, random: &mut Random) -> u64 {
        let bound = match self {
            Self::At("recovery/record") => 4,
            Self::At("snapshot/part" | "load/part" | "recovery/begin" | "recovery/tail" | "recovery/done") => 3,
            Self::At(_) if self.group() == "transaction" => 30,
            _ => 1,
        };
        1 + random.below(bound)
    }

    /// Which requests catch a service in this phase, and what of them is held back; `None` if it is not caught by requests.
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
