//! The fast form of most comparisons: a whole number in a range.
//!
//! A count, an amount of money or a duration compared with literals asks whether a whole number lies in a range. The
//! ends of the range are found once, by bisection over the very comparison they replace, so both agree to the unit.

use super::predicate::{Comparator, Predicate};
use super::scalar::{Operand, Scalar};
use super::truth::Truth;
use crate::engine::event::{HOUR, Millis};
use crate::engine::feature::{Arguments, Call, Read, Unit};
use crate::engine::profile::{Customer, EVENTS_TOLD_APART};
use std::cmp::Ordering;

/// Whether a feature's whole number (a count, minor units, or milliseconds of a duration) is in a range, ends included.
#[derive(Clone, Debug)]
pub struct Range {
    pub call: Call,
    /// Above `high` if the range is empty.
    pub low: i64,
    pub high: i64,
    /// True outside instead of inside.
    pub negated: bool,
    /// All numbers from here on have the same truth.
    pub enough: u64,
}

impl Range {
    /// The range that is equal to a predicate, if that compares such a feature with literals.
    pub fn of(predicate: &Predicate) -> Option<Self> {
        match predicate {
            Predicate::Compare { operator, left: Scalar::Feature(call), right } => {
                Self::compared(call, *operator, &literal(right)?)
            }
            Predicate::Compare { operator, left, right: Scalar::Feature(call) } => {
                Self::compared(call, operator.mirrored(), &literal(left)?)
            }
            Predicate::Between { of: Scalar::Feature(call), low, high, negated } => {
                let (low, _) = ends(call, &literal(low)?)?;
                let (_, high) = ends(call, &literal(high)?)?;
                Some(Self::new(call, low, high, *negated))
            }
            _ => None,
        }
    }

    fn compared(call: &Call, operator: Comparator, literal: &Operand<'_>) -> Option<Self> {
        // `first` is the first number not below the literal, `last` the last one not above it.
        let (first, last) = ends(call, literal)?;
        let (low, high, negated) = match operator {
            Comparator::Equal => (first, last, false),
            Comparator::Unequal => (first, last, true),
            Comparator::GreaterOrEqual => (first, i64::MAX, false),
            Comparator::Less => (first, i64::MAX, true),
            Comparator::LessOrEqual => (i64::MIN, last, false),
            Comparator::Greater => (i64::MIN, last, true),
        };
        Some(Self::new(call, low, high, negated))
    }

    fn new(call: &Call, low: i64, high: i64, negated: bool) -> Self {
        let enough = match (low, high) {
            (low, high) if low > high => 0,
            (low, i64::MAX) => low,
            (_, high) => high + 1,
        };
        Self { call: call.clone(), low, high, negated, enough: enough.max(0) as u64 }
    }

    /// The feature's whole number now.
    #[inline]
    pub fn number(&self, customer: &Customer<'_>, now: Millis) -> Option<i64> {
        let arguments: &Arguments = &self.call.arguments;
        match self.call.feature.read {
            Read::Events => Some(arguments.events(customer, now)),
            Read::Whole(read) => read(arguments, customer, now),
            Read::WholeOf(_) => self.call.whole(customer, now, None),
            Read::Since(read) => read(arguments, customer, now).map(|moment| now - moment),
            Read::Value(_) | Read::Target => None,
        }
    }

    #[inline]
    pub fn truth(&self, customer: &Customer<'_>, now: Millis) -> Truth {
        if let Read::Events = self.call.feature.read {
            return self.contains(self.call.arguments.events_up_to(customer, now, self.enough)).into();
        }
        match self.number(customer, now) {
            None => Truth::Null,
            Some(number) => self.contains(number).into(),
        }
    }

    fn contains(&self, number: i64) -> bool {
        (self.low <= number && number <= self.high) != self.negated
    }

    /// Whether the truth before an event in order follows from the customer after it, if it is known how many events
    /// it added to the count. All events of an hour are in a window together, so a window of at least an hour has had
    /// those of the event's hour before it.
    pub fn follows_from_what_an_event_adds(&self) -> bool {
        matches!(self.call.feature.read, Read::Events)
            && self.call.arguments.window.is_some_and(|window| window >= HOUR)
            && self.enough < EVENTS_TOLD_APART
    }

    /// That truth, from the customer after the event that added `added` events.
    pub fn truth_before(&self, customer: &Customer<'_>, now: Millis, added: u64) -> Truth {
        let events = self.call.arguments.events_up_to(customer, now, self.enough + added);
        self.contains(events - added as i64).into()
    }
}

/// The value of a literal number, or of arithmetic with literals only.
fn literal(scalar: &Scalar) -> Option<Operand<'static>> {
    match scalar {
        Scalar::Decimal(decimal) => Some(Operand::Decimal(*decimal)),
        Scalar::Negative(_) | Scalar::Arithmetic(..) => scalar.constant().map(Operand::Double),
        _ => None,
    }
}

/// From a feature's whole number, and the decimals of the currency, to the value that is compared; `None` for a feature
/// that is no whole number.
pub fn operand_of(call: &Call) -> Option<fn(i64, u32) -> Operand<'static>> {
    match (call.feature.read, call.unit) {
        (Read::Events | Read::Whole(_) | Read::WholeOf(_), Unit::Count) => Some(|number, _| Operand::Integer(number)),
        (Read::Events | Read::Whole(_) | Read::WholeOf(_), Unit::Money) => Some(Operand::Money),
        (Read::Since(_), Unit::Days) => Some(|millis, _| Operand::Double(millis as f64 / 86_400_000.0)),
        (Read::Since(_), Unit::Minutes) => Some(|millis, _| Operand::Double(millis as f64 / 60_000.0)),
        _ => None,
    }
}

/// The first whole number of a feature not below the literal, and the last one not above it.
pub fn ends(call: &Call, literal: &Operand<'_>) -> Option<(i64, i64)> {
    if call.source_segment().is_some() {
        // The customer alone does not give its value.
        return None;
    }
    let operand = operand_of(call)?;
    let order = |number: i64| operand(number, call.arguments.decimals).order(literal);
    let first = first_where(|number| order(number) != Some(Ordering::Less));
    let above = first_where(|number| order(number) == Some(Ordering::Greater));
    // If no number is above the literal, or none is at or above it, the range ends beyond all numbers.
    let last = above.map_or(i64::MAX, |above| above.saturating_sub(1));
    match first {
        Some(first) => Some((first, last)),
        None => Some((i64::MAX, last)),
    }
}

/// The smallest number for which a condition is true that stays true for all larger ones.
fn first_where(condition: impl Fn(i64) -> bool) -> Option<i64> {
    let (mut low, mut high) = (i128::from(i64::MIN), i128::from(i64::MAX) + 1);
    while low < high {
        let middle = (low + high).div_euclid(2);
        if condition(middle as i64) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    i64::try_from(low).ok()
}
