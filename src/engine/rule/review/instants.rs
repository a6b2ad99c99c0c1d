//! Comparisons that hold, or do not hold, for a single millisecond: durations grow with each millisecond, so they are
//! equal to a number only once.

use super::domain::Domain;
use crate::engine::feature::Read;
use crate::engine::rule::compiled::comparison::Comparison;
use crate::engine::rule::compiled::predicate::{Comparator, Predicate};
use crate::engine::rule::compiled::range::Range;
use crate::engine::rule::compiled::scalar::Scalar;

/// Milliseconds, ends included.
type Interval = (i64, i64);

/// The end of a message, and what to do, if the comparison is true or false for a millisecond only.
pub fn of_comparison(comparison: &Comparison) -> Option<(&'static str, String)> {
    const TRUE: &str = "is true for one millisecond only";
    const FALSE: &str = "is false for one millisecond only";
    const HINT: &str =
        "durations grow with each millisecond: write a range, such as `recency_days >= 30 AND recency_days < 31`";
    let message = match (&comparison.predicate, &comparison.range) {
        (_, Some(range)) if is_instant(&[range]) => TRUE,
        (_, Some(range)) if is_instant(&[&Range { negated: !range.negated, ..range.clone() }]) => FALSE,
        (_, Some(_)) => return None,
        (Predicate::Compare { operator, left, right }, None) if is_linear(left) && is_linear(right) => match operator {
            Comparator::Equal if comparison.moving => TRUE,
            Comparator::Unequal if comparison.moving => FALSE,
            _ => return None,
        },
        (Predicate::In { of: Scalar::Feature(call), list, negated }, None)
            if call.unit.moves() && list.iter().all(|one| one.constant_or_null().is_some()) =>
        {
            if *negated {
                FALSE
            } else {
                TRUE
            }
        }
        _ => return None,
    };
    Some((message, HINT.into()))
}

/// Whether ranges of one duration have nothing but single milliseconds in common.
pub fn is_instant(ranges: &[&Range]) -> bool {
    let Some((first, others)) = ranges.split_first() else { return false };
    let is_same = |other: &&&Range| {
        other.call.feature.name == first.call.feature.name && other.call.arguments == first.call.arguments
    };
    if !matches!(first.call.feature.read, Read::Since(_)) || !others.iter().all(|other| is_same(&other)) {
        return false;
    }
    let domain = Domain::of(&first.call);
    let common = ranges.iter().fold(vec![(domain.low, domain.high)], |common, range| intersection(&common, range));
    !common.is_empty() && common.iter().all(|(low, high)| low == high)
}

/// The parts of the intervals that are in a range.
fn intersection(intervals: &[Interval], range: &Range) -> Vec<Interval> {
    let parts: Vec<Interval> = match (range.negated, range.low > range.high) {
        (false, _) => vec![(range.low, range.high)],
        (true, true) => vec![(i64::MIN, i64::MAX)],
        (true, false) => {
            let below = range.low.checked_sub(1).map(|end| (i64::MIN, end));
            below.into_iter().chain(range.high.checked_add(1).map(|start| (start, i64::MAX))).collect()
        }
    };
    let of = |interval: &Interval| {
        let interval = *interval;
        parts.iter().map(move |part| (interval.0.max(part.0), interval.1.min(part.1))).collect::<Vec<_>>()
    };
    intervals.iter().flat_map(of).filter(|(low, high)| low <= high).collect()
}

/// Whether a scalar moves in one way only: with COALESCE it may stand still for some customers.
fn is_linear(scalar: &Scalar) -> bool {
    match scalar {
        Scalar::Coalesce(_) => false,
        Scalar::Negative(of) => is_linear(of),
        Scalar::Arithmetic(_, left, right) => is_linear(left) && is_linear(right),
        _ => true,
    }
}
