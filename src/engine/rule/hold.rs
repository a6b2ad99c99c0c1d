//! Until when values hold if nothing else happens: the deadlines that matter (F3).
//!
//! A turn matters only if it can change what follows from it. `a AND b` that is false because of `a` stays false until `a`
//! turns, whenever `b` does; segments after the one that matches do not matter at all. What is found may be early, never
//! late. Comparisons on other targets have no instant of their own: they turn in an evaluation, after which everything is
//! looked at again.

use super::condition::Condition;
use super::truth::{Truth, Truths};
use super::{Kind, Rules, Target};
use crate::engine::event::{EventType, Millis, NEVER};
use crate::engine::profile::Customer;

impl Rules {
    /// First instant > now at which the value of a target that an event of this type touches may change. `truths` as of
    /// `now`, of the decisive comparisons.
    #[inline]
    pub fn holds_after(&self, event: EventType, customer: &Customer<'_>, now: Millis, truths: &Truths) -> Millis {
        let look = Look { rules: self, customer, now, truths };
        let touched = self.touched[event.index()].targets.iter();
        touched.map(|target| look.target(&self.targets[usize::from(*target)])).min().unwrap_or(NEVER)
    }

    /// First instant > now at which the value of any target may change. `truths` as of `now`, of all comparisons.
    pub fn holds(&self, customer: &Customer<'_>, now: Millis, truths: &Truths) -> Millis {
        let look = Look { rules: self, customer, now, truths };
        self.targets.iter().map(|target| look.target(target)).min().unwrap_or(NEVER)
    }
}

/// A customer at an instant.
struct Look<'a> {
    rules: &'a Rules,
    customer: &'a Customer<'a>,
    now: Millis,
    truths: &'a Truths,
}

impl Look<'_> {
    fn target(&self, target: &Target) -> Millis {
        match &target.kind {
            Kind::Segmentation { segments, .. } => {
                let mut until = NEVER;
                for condition in segments.iter().filter_map(|segment| segment.condition.as_ref()) {
                    until = until.min(self.condition(condition));
                    if self.truth(condition) == Some(Truth::True) {
                        break;
                    }
                }
                until
            }
            Kind::Audience(audience) => {
                let exit = audience.exit.as_ref().map_or(NEVER, |exit| self.condition(exit));
                exit.min(self.condition(&audience.when))
            }
        }
    }

    /// `None` if it depends on other targets.
    fn truth(&self, condition: &Condition) -> Option<Truth> {
        match condition {
            Condition::Comparison(place) if self.rules.comparisons[usize::from(*place)].on_targets => None,
            Condition::Comparison(place) => Some(self.truths.get(*place)),
            Condition::And(all) => self.joined(all, Truth::False, Truth::and),
            Condition::Or(any) => self.joined(any, Truth::True, Truth::or),
            Condition::Not(of) => self.truth(of).map(|truth| !truth),
            Condition::Is { of, what, negated } => self.truth(of).map(|truth| what.asks(truth, *negated)),
            Condition::Constant(truth) => Some(*truth),
        }
    }

    /// One operand that decides is enough; else all must be known.
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

    /// Until when a condition keeps its truth.
    fn condition(&self, condition: &Condition) -> Millis {
        match condition {
            Condition::Constant(_) => NEVER,
            Condition::Comparison(place) => {
                let comparison = &self.rules.comparisons[usize::from(*place)];
                if comparison.on_targets {
                    return NEVER;
                }
                comparison.next_turn(self.customer, self.now, self.truths.get(*place))
            }
            Condition::And(all) => self.operands(all, Truth::False),
            Condition::Or(any) => self.operands(any, Truth::True),
            Condition::Not(of) | Condition::Is { of, .. } => self.condition(of),
        }
    }

    /// While one operand decides, the others do not matter; while none does, all of them do.
    fn operands(&self, operands: &[Condition], decides: Truth) -> Millis {
        let mut decided_until = None;
        for operand in operands.iter().filter(|operand| self.truth(operand) == Some(decides)) {
            decided_until = decided_until.max(Some(self.condition(operand)));
            if decided_until == Some(NEVER) {
                break;
            }
        }
        decided_until.unwrap_or_else(|| operands.iter().map(|operand| self.condition(operand)).min().unwrap_or(NEVER))
    }
}
