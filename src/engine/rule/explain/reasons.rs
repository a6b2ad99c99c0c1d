//! The reasons of a change (R9), and the features that are published with it.

use crate::engine::event::Millis;
use crate::engine::feature::Value;
use crate::engine::profile::{Customer, HeldValue};
use crate::engine::rule::compiled::scalar::Facts;
use crate::engine::rule::compiled::truth::Truth;
use crate::engine::rule::compiled::values::{Decision, TargetValues};
use crate::engine::rule::{Reading, Rules};

/// Reasons given for a change at most.
pub const REASONS_MAX: usize = 8;

/// A change of one target that is to be explained.
#[derive(Clone, Copy)]
pub struct TargetChange<'a> {
    pub target: usize,
    /// [`HeldValue::NULL`] for null.
    pub from: u16,
    pub to: u16,
    /// Whether the cause is `time`: only then can an expired dwell be among the reasons.
    pub by_time: bool,
    /// Truths just before: at `effective_at` - 1 ms if the cause is `time`, else at the same instant before the input.
    /// Those of comparisons on targets are read from `held` ([`Rules::read_target_truths`]).
    pub before: Reading<'a>,
    /// Truths after, those of comparisons on targets as [`Rules::decide`] left them.
    pub after: Reading<'a>,
    /// All targets' values before the change.
    pub held: &'a [HeldValue],
    /// All targets' values after it.
    pub decided: &'a [Decision],
}

impl Rules {
    /// Calls `f` for each reason, at most 8 times: with the text of a comparison, the value of its left side after the
    /// change, and its truth before and after.
    pub fn for_each_reason(&self, change: &TargetChange<'_>, mut f: impl FnMut(&str, Value<'_>, Truth, Truth)) {
        let Reading { customer, now, .. } = change.after;
        let target = &self.targets[change.target];
        let facts = Facts { customer, now, values: TargetValues::Decided(&self.targets, change.decided), event: None };
        let mut given = 0;
        for index in target.reasons(change.from, change.to) {
            let (was, is) = (change.before.get(index), change.after.get(index));
            if was == is || given == REASONS_MAX {
                continue;
            }
            let comparison = &self.comparisons[usize::from(index)];
            f(&comparison.text, comparison.predicate.left().evaluate(facts).value(), was, is);
            given += 1;
        }
        let held = change.held[change.target];
        if given < REASONS_MAX && change.by_time && self.is_end_of_dwell(change, held, now) {
            f("min_dwell", Value::Integer(target.dwell(held.value)), Truth::False, Truth::True);
        }
    }

    /// Calls `f` for each comparison that explains a target's value by itself, at most 8 times: with its text, the
    /// value of its left side and its truth now. `truths` and `decided` are as [`Rules::decide`] left them.
    pub fn for_each_reason_of_value(
        &self,
        target: usize,
        truths: &Reading<'_>,
        decided: &[Decision],
        mut f: impl FnMut(&str, Value<'_>, Truth),
    ) {
        let Reading { customer, now, .. } = *truths;
        let facts = Facts { customer, now, values: TargetValues::Decided(&self.targets, decided), event: None };
        for index in self.targets[target].reasons_of_value(decided[target].value).into_iter().take(REASONS_MAX) {
            let comparison = &self.comparisons[usize::from(index)];
            f(&comparison.text, comparison.predicate.left().evaluate(facts).value(), truths.get(index));
        }
    }

    /// Whether the dwell of the value held before ends at this instant.
    fn is_end_of_dwell(&self, change: &TargetChange<'_>, held: HeldValue, now: Millis) -> bool {
        held.value != HeldValue::NULL
            && held.dwells
            && held.since.saturating_add(self.targets[change.target].dwell(held.value)) == now
    }

    /// Calls `f` with name and value of each feature under `include`.
    pub fn for_each_included(
        &self,
        customer: &Customer<'_>,
        held: &[HeldValue],
        now: Millis,
        mut f: impl FnMut(&str, Value<'_>),
    ) {
        let facts = Facts { customer, now, values: TargetValues::Held(&self.targets, held), event: None };
        for (name, scalar) in &self.include {
            f(name, scalar.evaluate(facts).value());
        }
    }
}
