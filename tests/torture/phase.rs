//! The phases in which a service is killed, and how often each was hit.

use crate::support::events::Random;
use crate::support::proxy::Hold;
use crate::support::proxy::wire::{ADD_PARTITIONS, END_TRANSACTION, PRODUCE};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Operations are done since the last transaction, and the broker has heard nothing of them.
    Applying,
    /// Records are on their way: the broker has some of them, or none yet, or all and the service does not know.
    MidProduce,
    /// The offsets are sent, and the broker has not been asked to end the transaction.
    OffsetsToEnd,
    /// The broker has ended the transaction, and the service does not know.
    EndToAnswer,
    /// Journalled transactions are being done again.
    Replay,
    /// Shards are being given up, with a transaction to end before.
    Revoke,
}

impl Phase {
    pub const ALL: [Self; 6] =
        [Self::Applying, Self::MidProduce, Self::OffsetsToEnd, Self::EndToAnswer, Self::Replay, Self::Revoke];

    /// What the proxy catches in this phase of a transaction; nothing of the others.
    pub fn gate(self, random: &mut Random) -> Option<(&'static [i16], Hold)> {
        match self {
            Self::Applying => Some((&[ADD_PARTITIONS], Hold::Request)),
            Self::MidProduce if random.below(2) == 0 => Some((&[PRODUCE], Hold::Request)),
            Self::MidProduce => Some((&[PRODUCE], Hold::Answer)),
            Self::OffsetsToEnd => Some((&[END_TRANSACTION], Hold::Request)),
            Self::EndToAnswer => Some((&[END_TRANSACTION], Hold::Answer)),
            Self::Replay | Self::Revoke => None,
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
        })
    }
}

/// Kills by phase.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    kills: [u32; Phase::ALL.len()],
    /// Attempts in a row that did not come to a kill.
    misses: [u32; Phase::ALL.len()],
}

impl Tally {
    pub fn total(&self) -> u32 {
        self.kills.iter().sum()
    }

    pub fn hit(&mut self, phase: Phase) {
        self.kills[phase as usize] += 1;
        self.misses[phase as usize] = 0;
    }

    pub fn miss(&mut self, phase: Phase) {
        self.misses[phase as usize] += 1;
    }

    /// The phase with the fewest kills; those that were missed of late count as if they had more, so that they are not
    /// tried for ever.
    pub fn next(&self, random: &mut Random) -> Phase {
        let weight = |phase: &Phase| self.kills[*phase as usize] + self.misses[*phase as usize] / 2;
        let fewest = Phase::ALL.iter().map(weight).min().unwrap_or_default();
        let choices: Vec<Phase> = Phase::ALL.into_iter().filter(|phase| weight(phase) == fewest).collect();
        choices[random.below(choices.len() as u64) as usize]
    }

    /// Phases with fewer kills than that.
    pub fn below(&self, kills_min: u32) -> Vec<Phase> {
        Phase::ALL.into_iter().filter(|phase| self.kills[*phase as usize] < kills_min).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            Phase::ALL.iter().map(|phase| format!("{phase} {}", self.kills[*phase as usize])).collect();
        f.write_str(&parts.join(", "))
    }
}
