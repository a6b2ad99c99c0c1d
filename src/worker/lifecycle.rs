//! The life of a shard on a worker: its phases, and a table of the legal moves between them.
//!
//! ```text
//! assigned ──► recovering ──► running ──► kept (revoked; the state may still be the one at the journal's end)
//!                 ▲  │          ▲          │
//!                 │  └► waiting ┘          │
//!                 └── assigned again ──────┘
//! ```
//! Every phase but the last can be followed by `dropped`: the shard was revoked before it ran or with an uncommitted
//! transaction, or it is rebuilt, which begins with a new shard.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The group assigned it to this worker.
    Assigned,
    /// Its state is being restored from the journal, or compared with it.
    Recovering,
    /// The control topic has no rules yet.
    Waiting,
    Running,
    /// Revoked, with everything committed.
    Kept,
    /// Its state is discarded.
    Dropped,
}

/// All legal moves.
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

    /// One word, for metric labels.
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

    /// Moves to the next phase.
    ///
    /// # Panics
    /// If the table does not have the move: that is a bug of the worker.
    pub fn enter(&mut self, next: Self) {
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
        Phase::Dropped.enter(Phase::Running);
    }
}
