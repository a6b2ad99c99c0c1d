//! The life of a shard on a worker: a table of legal moves.
//!
//! ```text
//! assigned ──► recovering ──► waiting (for rules) ──► running ──► given up
//!     │             │ ▲                │                 │ ▲
//!     │             │ └── the end of a transaction is not known ┘
//!     └─────────────┴── revoked ───────┴──► given up
//! ```

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The group gave it to this worker.
    Assigned,
    /// Its state is being made from the journal.
    Recovering,
    /// There are no rules yet, anywhere.
    Waiting,
    Running,
    /// The state is gone or of no more use.
    GivenUp,
}

/// All moves there are.
const MOVES: [(Phase, Phase); 10] = [
    (Phase::Assigned, Phase::Recovering),
    (Phase::Assigned, Phase::GivenUp),
    (Phase::Recovering, Phase::Waiting),
    (Phase::Recovering, Phase::Running),
    (Phase::Recovering, Phase::GivenUp),
    (Phase::Waiting, Phase::Running),
    (Phase::Waiting, Phase::Recovering),
    (Phase::Waiting, Phase::GivenUp),
    (Phase::Running, Phase::Recovering),
    (Phase::Running, Phase::GivenUp),
];

impl Phase {
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
        f.write_str(match self {
            Self::Assigned => "assigned",
            Self::Recovering => "recovering",
            Self::Waiting => "waiting for rules",
            Self::Running => "running",
            Self::GivenUp => "given up",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_can_be_left_but_the_last_and_reached_but_the_first() {
        let all = [Phase::Assigned, Phase::Recovering, Phase::Waiting, Phase::Running, Phase::GivenUp];
        for phase in all {
            assert_eq!(MOVES.iter().any(|(from, _)| *from == phase), phase != Phase::GivenUp, "{phase}");
            assert_eq!(MOVES.iter().any(|(_, to)| *to == phase), phase != Phase::Assigned, "{phase}");
        }
    }

    #[test]
    #[should_panic(expected = "from given up to running")]
    fn a_move_that_is_not_in_the_table_is_a_crash() {
        Phase::GivenUp.become_next(Phase::Running);
    }
}
