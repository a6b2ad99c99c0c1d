//! The next deadline: the first instant at which a value can change by time alone (F3).
//!
//! A flip counts only if the value depends on it. `a AND b` that is false because of `a` stays false until `a` flips,
//! whenever `b` flips; segments after the one that matches do not count at all. A deadline may be too early, never too
//! late. Comparisons on other targets have no flips of their own: they change in an evaluation, after which all
//! deadlines are computed anew. Where segment() is an argument of a feature, every step of the feature is a deadline.

use super::compiled::condition::Condition;
use super::compiled::target::{Target, TargetKind};
use super::compiled::truth::{Truth, Truths};
use super::{Reading, Rules};
use crate::engine::event::{EventType, Millis, NEVER};
use crate::engine::profile::Customer;

impl Rules {
    /// The first instant after `now` at which the value of any target can change. `truths` are those at `now`, as far
    /// as they are known.
    #[inline(never)]
    pub fn next_deadline(&self, customer: &Customer<'_>, now: Millis, truths: &Truths) -> Millis {
        let search = DeadlineSearch { truths: self.reading(customer, now, truths) };
        self.targets.iter().map(|target| search.target(target)).min().unwrap_or(NEVER)
    }

    /// The same of one target.
    pub(super) fn next_deadline_of(&self, target: usize, truths: &Reading<'_>) -> Millis {
        DeadlineSearch { truths: *truths }.target(&self.targets[target])
    }

    /// The same of the targets that an event of this type touches.
    #[inline(never)]
    pub fn next_deadline_touched_by(&self, event: EventType, truths: &Reading<'_>) -> Millis {
        let search = DeadlineSearch { truths: *truths };
        let touched = self.touched[event.index()].targets.iter();
        touched.map(|target| search.target(&self.targets[usize::from(*target)])).min().unwrap_or(NEVER)
    }
}

/// The search for the next deadline of a customer.
struct DeadlineSearch<'a> {
    truths: Reading<'a>,
}

impl DeadlineSearch<'_> {
    fn target(&self, target: &Target) -> Millis {
        match &target.kind {
            TargetKind::Segmentation { segments, .. } => {
                let mut first = NEVER;
                for condition in segments.iter().filter_map(|segment| segment.condition.as_ref()) {
                    first = first.min(self.condition(condition));
                    if self.truth(condition) == Some(Truth::True) {
                        break;
                    }
                }
                first
            }
            TargetKind::Audience(audience) => {
                let exit = audience.exit.as_ref().map_or(NEVER, |exit| self.condition(exit));
                exit.min(self.condition(&audience.when))
            }
        }
    }

    /// The truth of a condition at `now`; `None` if it depends on other targets.
    fn truth(&self, condition: &Condition) -> Option<Truth> {
        match condition {
            Condition::Comparison(index) if self.truths.rules.comparisons[usize::from(*index)].on_targets => None,
            Condition::Comparison(index) => Some(self.truths.get(*index)),
            Condition::And(all) => self.joined(all, Truth::False, Truth::and),
            Condition::Or(any) => self.joined(any, Truth::True, Truth::or),
            Condition::Not(of) => self.truth(of).map(|truth| !truth),
            Condition::Is { of, test, negated } => self.truth(of).map(|truth| test.truth(truth, *negated)),
            Condition::Coalesce(of) => {
                let given = of.iter().map(|one| self.truth(one)).find(|truth| *truth != Some(Truth::Null));
                given.unwrap_or(Some(Truth::Null))
            }
            Condition::Equal { left, right, negated } => match (self.truth(left), self.truth(right)) {
                (Some(Truth::Null), _) | (_, Some(Truth::Null)) => Some(Truth::Null),
                (left, right) => left.zip(right).map(|(left, right)| left.equals(right, *negated)),
            },
            Condition::Constant(truth) => Some(*truth),
        }
    }

    /// The truth of AND or OR: one operand that decides it is enough, otherwise all must be known.
    fn joined(&self, operands: &[Condition], decides: Truth, join: fn(Truth, Truth) -> Truth) -> Option<Truth> {
        let mut result = Some(!decides);
        for operand in operands {
            match self.truth(operand) {
                Some(truth) if truth == decides => return Some(decides),
                truth => result = result.zip(truth).map(|(result, truth)| join(result, truth)),
            }
        }
        result
    }

    /// The first instant at which the truth of a condition can change.
    fn condition(&self, condition: &Condition) -> Millis {
        match condition {
            Condition::Constant(_) => NEVER,
            Condition::Comparison(index) => {
                let Reading { rules, customer, now, .. } = self.truths;
                let comparison = &rules.comparisons[usize::from(*index)];
                if comparison.on_targets {
                    let on_both = comparison.on_customer;
                    return if on_both { comparison.next_wake(rules.facts(customer, now)) } else { NEVER };
                }
                comparison.next_flip(customer, now, self.truths.get(*index))
            }
            Condition::And(all) => self.operands(all.iter(), Truth::False),
            Condition::Or(any) => self.operands(any.iter(), Truth::True),
            Condition::Equal { left, right, .. } => self.operands([&**left, &**right].into_iter(), Truth::Null),
            Condition::Not(of) | Condition::Is { of, .. } => self.condition(of),
            Condition::Coalesce(of) => {
                // The operands after the first that is certainly not null do not count.
                let last = of.iter().position(|one| matches!(self.truth(one), Some(Truth::True | Truth::False)));
                let counting = &of[..last.map_or(of.len(), |last| last + 1)];
                counting.iter().map(|one| self.condition(one)).min().unwrap_or(NEVER)
            }
        }
    }

    /// While one operand decides AND, OR or `=`, the flips of the others do not count; while none does, those of all
    /// count.
    fn operands<'c>(&self, operands: impl Iterator<Item = &'c Condition> + Clone, decides: Truth) -> Millis {
        let mut decided_until = None;
        for operand in operands.clone().filter(|operand| self.truth(operand) == Some(decides)) {
            decided_until = decided_until.max(Some(self.condition(operand)));
            if decided_until == Some(NEVER) {
                break;
            }
        }
        decided_until.unwrap_or_else(|| operands.map(|operand| self.condition(operand)).min().unwrap_or(NEVER))
    }
}
