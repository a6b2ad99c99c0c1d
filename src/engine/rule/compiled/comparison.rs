//! A distinct comparison of a rules file: the atom whose truth is read, remembered and explained.

use super::countdown::Countdown;
use super::predicate::Predicate;
use super::range::Range;
use super::scalar::Facts;
use super::truth::Truth;
use super::values::TargetValues;
use crate::engine::event::Millis;
use crate::engine::profile::Customer;

/// A distinct comparison of a rules file (R9).
#[derive(Debug)]
pub struct Comparison {
    /// As SQL, printed by the parser.
    pub text: String,
    pub predicate: Predicate,
    /// The fast form, if the predicate has one.
    pub range: Option<Range>,
    /// When it flips, if it compares days that count down with literals.
    pub countdown: Option<Countdown>,
    /// Whether a pair of its sides moves with time: between steps the order of each pair changes at most twice.
    pub moving: bool,
    /// Whether it refers to other segmentations or audiences.
    pub on_targets: bool,
    /// Whether it refers to features of the customer. One that refers to both has segment() in the place of a category
    /// or channel.
    pub on_customer: bool,
    /// Whether a text feature or segment() stands in the place of a category or channel.
    pub has_source: bool,
    /// Event types that can change its truth, one bit each.
    pub affected_by: u64,
}

impl Comparison {
    /// The truth at an instant; null for a comparison on targets, whose values are not among a customer's features.
    #[inline]
    pub fn truth(&self, customer: &Customer<'_>, now: Millis) -> Truth {
        match &self.range {
            Some(range) => range.truth(customer, now),
            None => self.predicate.truth(Facts { customer, now, values: TargetValues::None, event: None }),
        }
    }
}
