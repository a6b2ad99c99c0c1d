//! Customers per value of each segmentation and audience.
//!
//! The counts form one table with 256 entries per target: at most 250 segments, and the last entry for null. A change
//! of value therefore costs one subtraction and one addition, whatever the rules are.

use crate::engine::profile::HeldValue;
use crate::engine::rule::{Rules, Target};

/// Entries per target, the last one for null.
pub const VALUES: usize = 256;
pub const NULL: usize = VALUES - 1;

/// Customers by the values that they hold.
#[derive(Clone, Debug, Default)]
pub struct MemberCounts(Vec<u32>);

impl MemberCounts {
    /// Counts a customer that holds these values.
    pub fn add(&mut self, held: impl ExactSizeIterator<Item = HeldValue>) {
        if self.0.len() < held.len() * VALUES {
            self.0.resize(held.len() * VALUES, 0);
        }
        held.enumerate().for_each(|(target, held)| self.0[entry(target, held.value)] += 1);
    }

    /// Removes a customer that was counted with these values.
    pub fn remove(&mut self, held: &[HeldValue]) {
        held.iter().enumerate().for_each(|(target, held)| self.0[entry(target, held.value)] -= 1);
    }

    /// Moves a counted customer from its values to others of the same targets.
    pub fn change(&mut self, before: &[HeldValue], after: &[HeldValue]) {
        for (target, (before, after)) in before.iter().zip(after).enumerate() {
            self.0[entry(target, before.value)] -= 1;
            self.0[entry(target, after.value)] += 1;
        }
    }

    /// Calls `f` with each value of the rules' targets, [`HeldValue::NULL`] last, and its count.
    pub fn for_each(&self, rules: &Rules, f: &mut impl FnMut(&Target, u16, u32)) {
        for (index, target) in rules.targets.iter().enumerate() {
            for value in target.values().chain([HeldValue::NULL]) {
                f(target, value, self.0.get(entry(index, value)).copied().unwrap_or(0));
            }
        }
    }
}

/// The index of a value of a target in the table.
fn entry(target: usize, value: u16) -> usize {
    target * VALUES + usize::from(value).min(NULL)
}
