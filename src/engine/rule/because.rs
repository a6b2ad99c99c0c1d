//! Why a value changed (R9), and the features published with each change.

use super::decide::{Decided, Values};
use super::scalar::Facts;
use super::truth::{Truth, Truths};
use super::{Rules, Value};
use crate::engine::event::Millis;
use crate::engine::profile::{Customer, Held};

/// Reasons given for a change at most.
pub const REASONS_MAX: usize = 8;

/// A change of one target, to be explained.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    pub target: usize,
    /// [`Held::NULL`] for null.
    pub from: u16,
    pub to: u16,
    /// The cause is `time`: only then can an expired dwell be among the reasons.
    pub by_time: bool,
    /// Truths just before: at `effective_at` - 1 ms if the cause is `time`, else at the same instant before the input;
    /// comparisons on targets filled from `held` ([`Rules::read_held`]).
    pub before: &'a Truths,
    /// Truths after, as [`Rules::decide`] left them.
    pub after: &'a Truths,
    /// All targets' values before the change.
    pub held: &'a [Held],
    /// All targets' values after it.
    pub decided: &'a [Decided],
}

impl Rules {
    /// Calls `f` with text, value of the left side after the change, truth before and after; at most 8 times.
    pub fn because(
        &self,
        change: &Change<'_>,
        customer: &Customer<'_>,
        now: Millis,
        mut f: impl FnMut(&str, Value<'_>, Truth, Truth),
    ) {
        let target = &self.targets[change.target];
        let facts = Facts { customer, now, values: Values::Decided(self, change.decided) };
        let mut given = 0;
        for place in target.reasons(change.from, change.to) {
            let (was, is) = (change.before.get(place), change.after.get(place));
            if was == is || given == REASONS_MAX {
                continue;
            }
            let comparison = &self.comparisons[usize::from(place)];
            f(&comparison.text, comparison.test.left().evaluate(facts).value(), was, is);
            given += 1;
        }
        let held = change.held[change.target];
        if given < REASONS_MAX && change.by_time && self.dwelt(change, held, now) {
            f("min_dwell", Value::Integer(target.dwell(held.value)), Truth::False, Truth::True);
        }
    }

    /// Whether the change waited for its dwell until this instant.
    fn dwelt(&self, change: &Change<'_>, held: Held, now: Millis) -> bool {
        held.value != Held::NULL
            && held.dwells
            && held.since.saturating_add(self.targets[change.target].dwell(held.value)) == now
            && self.wanted(change.target, change.before, held.value) != held.value
    }

    /// The features under `include`, by name.
    pub fn include_values(
        &self,
        customer: &Customer<'_>,
        held: &[Held],
        now: Millis,
        mut f: impl FnMut(&str, Value<'_>),
    ) {
        let facts = Facts { customer, now, values: Values::Held(self, held) };
        for (name, scalar) in &self.include {
            f(name, scalar.evaluate(facts).value());
        }
    }
}
