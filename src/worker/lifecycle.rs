//! The life of a shard on a worker: a table of legal moves.
//!
//! ```text
//! assigned ──► recovering ──► running ──► kept (given up, the state may still be what the journal ends with)
//!                 ▲  │          ▲          │
//!                 │  └► waiting ┘          │
//!                 └── assigned again ──────┘
//! ```
//! From each it can come to be dropped: revoked before it ran or with something uncommitted, or to be rebuilt, which
//! begins anew.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The group gave it to this worker.
    Assigned,
    /// Its state is being made from the journal, or compared with it.
    Recovering,
    /// There are no rules yet, anywhere.
    Waiting,
    Running,
    /// Revoked, all of it committed.
    Kept,
    /// The state is gone or of no more use.
    Dropped,
}

/// All moves there are.
const MOVES: [(Phase, Phase); 11] = [
    (Phase::Assigned, Phase::Recovering),
    (Phase::Assigned, Phase::Dropped),
    (Phase::Recovering, Phase::Waiting),
    (Phase::Recovering, Phase::Running),
    (Phase::Recovering, Phase::Dropped),
    (Phase::Waiting, Phase::Running),
    (Phase::Waiting, Phase::Dropped),
    (Phase::Running, Phase::Kept),
    (Phase::Running, Phase::Dropped),
    (Phase::Kept, Phase::Recovering),
    (Phase::Kept, Phase::Dropped),
];

impl Phase {
    pub const ALL: [Self; 6] =
        [Self::Assigned, Self::Recovering, Self::Waiting, Self::Running, Self::Kept, Self::Dropped];

    /// In one word, for labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Recovering => "recovering",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Kept => "kept",
            Self::Dropped => "dropped",
        }
    }

    /// Moves on.
    ///
    /// # Panics
    /// If the table does not have the move: the worker is broken.
    pub fn become_next(&mut self, next: Self) {
        assert!(MOVES.contains(&(*self, next)), "a shard cannot go from {self} to {next}");
        *self = next;
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Waiting { "waiting for rules" } else { self.label() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_can_be_left_but_the_last_and_reached_but_the_first() {
        for phase in Phase::ALL {
            assert_eq!(MOVES.iter().any(|(from, _)| *from == phase), phase != Phase::Dropped, "{phase}");
            assert_eq!(MOVES.iter().any(|(_, to)| *to == phase), phase != Phase::Assigned, "{phase}");
        }
    }

    #[test]
    #[should_panic(expected = "from dropped to running")]
    fn a_move_that_is_not_in_the_table_is_a_crash() {
        Phase::Dropped.become_next(Phase::Running);
    }
}
