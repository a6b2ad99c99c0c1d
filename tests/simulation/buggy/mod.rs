//! Deliberate bugs that are expressed from outside: wrappers that stand between a worker and its log or its snapshot
//! store and misbehave as a broken worker would. The program itself contains none of them.
//!
//! Every simulated worker runs behind these wrappers; without a bug they pass everything on unchanged. Bugs that cannot
//! be expressed at these traits are patches, see `bugs.rs`.

mod log;
mod store;

pub use log::BuggyLog;
pub use store::BuggyStore;

/// A deliberate bug of a wrapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Offsets are committed after the records, in a transaction of their own.
    OffsetsOutside,
    /// A transaction without input records leaves out the offsets, and with them the group's generation check.
    TickWithoutOffsets,
    /// The transaction that a revocation ends is never sent, and is treated as committed.
    RevokeWithoutCommit,
    /// Recovery skips the operations of one journal record in eight.
    JournalRecordSkipped,
    /// Recovery merges the first input topic behind the others.
    TopicsSwapped,
    /// Recovery uses the newest rules in place of those that were in force.
    NewestRules,
    /// Snapshots contain no event ids.
    IdsMissing,
    /// Snapshots of changes contain no customers.
    CustomersMissing,
    /// Snapshots contain no marks of erasures and opt-outs.
    MarksMissing,
}

impl Bug {
    pub const ALL: [Self; 9] = [
        Self::OffsetsOutside,
        Self::TickWithoutOffsets,
        Self::RevokeWithoutCommit,
        Self::JournalRecordSkipped,
        Self::TopicsSwapped,
        Self::NewestRules,
        Self::IdsMissing,
        Self::CustomersMissing,
        Self::MarksMissing,
    ];

    /// The name in reports and in `SHOAL_BUGS`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OffsetsOutside => "offsets-outside",
            Self::TickWithoutOffsets => "tick-without-offsets",
            Self::RevokeWithoutCommit => "revoke-without-commit",
            Self::JournalRecordSkipped => "journal-record-skipped",
            Self::TopicsSwapped => "topics-swapped",
            Self::NewestRules => "newest-rules",
            Self::IdsMissing => "ids-missing",
            Self::CustomersMissing => "customers-missing",
            Self::MarksMissing => "marks-missing",
        }
    }
}
