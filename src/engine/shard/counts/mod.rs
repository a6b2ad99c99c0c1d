//! What a shard counts for metrics as it works, so that nothing ever walks over all customers to count them.
//!
//! None of it is stored or part of the digest. The counts of members and of deadlines follow from the state and are
//! made anew where a state is restored or adopted; the counts of actions are collected for each transaction.

pub mod action_counts;
pub mod deadline_counts;
pub mod member_counts;

use deadline_counts::DeadlineCounts;
use member_counts::MemberCounts;

/// The counts that follow from the state of the customers.
#[derive(Default)]
pub struct CustomerCounts {
    /// Customers that were evaluated with the rules in force, by their values.
    pub swept: MemberCounts,
    /// Customers that a sweep has yet to reach, by their values under the previous rules.
    pub unswept: MemberCounts,
    pub deadlines: DeadlineCounts,
}

impl CustomerCounts {
    /// The member counts in which a customer is counted.
    pub fn members(&mut self, is_swept: bool) -> &mut MemberCounts {
        if is_swept { &mut self.swept } else { &mut self.unswept }
    }
}
