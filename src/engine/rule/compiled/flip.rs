//! When a comparison flips, that is, changes its truth, if nothing else happens (F3).
//!
//! A range is solved by arithmetic. Anything else is walked from step to step, with bisection of the straight stretches
//! in between.

use super::comparison::Comparison;
use super::range::Range;
use super::scalar::{Facts, Scalar};
use super::truth::Truth;
use super::values::TargetValues;
use crate::engine::event::{Millis, NEVER};
use crate::engine::feature::{Read, Steps};
use crate::engine::profile::Customer;

/// Steps walked at most. After them the instant that was reached is returned: an evaluation too early does no harm.
const STEPS_MAX: usize = 64;

/// The end of a last stretch without a step: later than any deadline, and exact as a double.
const FAR: Millis = 1 << 52;

impl Comparison {
    /// The first instant after `now` at which the truth may change: never too late, possibly too early. `truth` is that
    /// of `now`.
    pub fn next_flip(&self, customer: &Customer<'_>, now: Millis, truth: Truth) -> Millis {
        match (&self.range, &self.countdown) {
            (_, Some(countdown)) => countdown.next_flip(customer, now),
            (Some(range), None) => range.next_flip(customer, now, truth),
            (None, None) => self.walk(Facts { customer, now, values: TargetValues::None, event: None }, truth),
        }
    }

    /// The same of a comparison that refers to targets too, as long as these keep their values. `truth` is that of
    /// `facts`.
    pub fn next_flip_with(&self, facts: Facts<'_, '_>, truth: Truth) -> Millis {
        self.walk(facts, truth)
    }

    /// The first instant at which such a comparison may change its truth, soon found and often too early.
    pub fn next_wake(&self, facts: Facts<'_, '_>) -> Millis {
        let step = self.next_step(facts);
        if self.moving { step.min(self.crossing(facts, (step - 1).min(FAR))) } else { step }
    }

    /// How often the truth can flip, at most, if nothing else happens; `usize::MAX` if it is not known.
    pub fn flips_max(&self, customer: &Customer<'_>) -> usize {
        if let Some(range) = &self.range {
            return range.flips_max(customer);
        }
        let mut steps = if self.moving || self.countdown.is_some() { usize::MAX } else { 0 };
        self.predicate.for_each_operand(|operand| {
            operand.for_each_feature(&mut |call| steps = usize::saturating_add(steps, call.steps_max(customer)));
        });
        steps
    }

    fn walk(&self, facts: Facts<'_, '_>, truth: Truth) -> Millis {
        let mut from = facts;
        for _ in 0..STEPS_MAX {
            let step = self.next_step(from);
            if self.moving {
                let crossing = self.crossing(from, (step - 1).min(FAR));
                if crossing < step {
                    return crossing;
                }
            }
            from = Facts { now: step, ..facts };
            if step == NEVER || self.predicate.truth(from) != truth {
                return step;
            }
        }
        from.now
    }

    /// The first step of any of its features after now.
    fn next_step(&self, facts: Facts<'_, '_>) -> Millis {
        let mut next = NEVER;
        self.predicate.for_each_operand(|operand| {
            operand.for_each_feature(&mut |call| {
                next = next.min(call.step_with(facts.customer, facts.now, facts.source(call)));
            });
        });
        next
    }

    /// The first instant after now, up to `last`, at which the order of a pair of sides differs from that of now.
    fn crossing(&self, facts: Facts<'_, '_>, last: Millis) -> Millis {
        let mut first = NEVER;
        self.predicate.for_each_pair(|left, right| first = first.min(pair_crossing((left, right), facts, last)));
        first
    }
}

fn pair_crossing((left, right): (&Scalar, &Scalar), facts: Facts<'_, '_>, last: Millis) -> Millis {
    let from = facts.now;
    let order = |now: Millis| {
        let facts = Facts { now, ..facts };
        left.evaluate(facts).order(&right.evaluate(facts))
    };
    let before = order(from);
    if last <= from || order(last) == before {
        return NEVER;
    }
    let (mut same, mut other) = (from, last);
    while other - same > 1 {
        let middle = same + (other - same) / 2;
        if order(middle) == before {
            same = middle;
        } else {
            other = middle;
        }
    }
    other
}

impl Range {
    fn next_flip(&self, customer: &Customer<'_>, now: Millis, truth: Truth) -> Millis {
        match (self.call.feature.read, self.call.steps) {
            (Read::Since(_), _) => self.next_duration_flip(customer, now),
            (_, Steps::Never) => NEVER,
            (_, Steps::Falls(_) | Steps::FallsOf(_)) if !self.call.has_source() => {
                let left = match self.falls_to(customer, now, truth) {
                    Some(left) if left >= 1 => left,
                    _ => return NEVER,
                };
                self.call.fewer(customer, now, None, left as u64)
            }
            _ => self.walk(customer, now, truth),
        }
    }

    fn flips_max(&self, customer: &Customer<'_>) -> usize {
        match (self.call.feature.read, self.call.steps) {
            // Time enters the range and leaves it, or the moment from which it counts is forgotten.
            (Read::Since(_), _) => 3,
            // A count falls into the range and out of it.
            (_, Steps::Falls(_) | Steps::FallsOf(_)) if !self.call.has_source() => 2,
            _ => self.call.steps_max(customer),
        }
    }

    /// The number below which a falling count must go for the truth to change; `None` if the truth stays whatever the
    /// count falls to. With one end of the range open the truth tells on which side the count is, without reading it.
    fn falls_to(&self, customer: &Customer<'_>, now: Millis, truth: Truth) -> Option<i64> {
        let inside = match truth {
            Truth::Null => return None,
            Truth::True => !self.negated,
            Truth::False => self.negated,
        };
        if inside {
            return Some(self.low);
        }
        let above = match (self.low, self.high) {
            (_, i64::MAX) => false,
            (i64::MIN, _) => true,
            (low, high) => self.number(customer, now).is_some_and(|number| number > high && number >= low),
        };
        above.then(|| self.high.saturating_add(1))
    }

    /// Elapsed milliseconds grow with time: they enter the range at its low end and leave it after its high end.
    fn next_duration_flip(&self, customer: &Customer<'_>, now: Millis) -> Millis {
        let step = self.call.step(customer, now);
        let Some(elapsed) = self.number(customer, now) else { return step };
        let boundary = if self.low > self.high || elapsed > self.high || (elapsed >= self.low && self.high == i64::MAX)
        {
            return step;
        } else if elapsed < self.low {
            self.low
        } else {
            self.high + 1
        };
        step.min((now - elapsed).saturating_add(boundary))
    }

    fn walk(&self, customer: &Customer<'_>, now: Millis, truth: Truth) -> Millis {
        let mut from = now;
        for _ in 0..STEPS_MAX {
            let step = self.call.step(customer, from);
            if step == NEVER || self.truth(customer, step) != truth {
                return step;
            }
            from = step;
        }
        from
    }
}
