//! What comparisons are about: a feature with the values that it can have, divided into cells that all its comparisons
//! treat alike.
//!
//! A cell has one value as its example. The constants of the comparisons are the borders of the cells, so the example's
//! truths are those of all values in the cell; they are computed by the comparison itself.

use super::domain::{Domain, Known, extra_borders, facts};
use super::search::{Cell, FACTS, Truthset, Variable};
use crate::engine::feature::{Call, Unit};
use crate::engine::rule::check::DeclaredTarget;
use crate::engine::rule::compiled::comparison::Comparison;
use crate::engine::rule::compiled::predicate::{Comparator, Predicate};
use crate::engine::rule::compiled::range;
use crate::engine::rule::compiled::scalar::{Operand, Scalar};
use crate::engine::rule::compiled::truth::{IsTest, Truth};
use std::collections::BTreeSet;

/// What one or several comparisons are about.
#[derive(Clone, Copy, Debug)]
enum Subject<'a> {
    Feature(&'a Call),
    Target { index: u16, is_audience: bool },
}

impl Subject<'_> {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Feature(one), Self::Feature(other)) => {
                one.feature.name == other.feature.name && one.unit == other.unit && one.arguments == other.arguments
            }
            (Self::Target { index: one, .. }, Self::Target { index: other, .. }) => one == other,
            _ => false,
        }
    }
}

/// The variables that have all the given comparisons.
pub fn variables(indexes: &[u16], comparisons: &[Comparison], targets: &[DeclaredTarget]) -> Vec<Variable> {
    let mut groups: Vec<(Option<Subject<'_>>, Vec<u16>)> = Vec::new();
    for index in indexes {
        let subject = subject_of(&comparisons[usize::from(*index)].predicate);
        let known =
            groups.iter_mut().find(|(known, _)| known.zip(subject).is_some_and(|(one, other)| one.is_same(&other)));
        match known {
            Some((_, group)) => group.push(*index),
            None => groups.push((subject, vec![*index])),
        }
    }
    groups.into_iter().map(|(subject, group)| variable(subject, group, comparisons, targets)).collect()
}

fn variable(
    subject: Option<Subject<'_>>,
    indexes: Vec<u16>,
    comparisons: &[Comparison],
    targets: &[DeclaredTarget],
) -> Variable {
    let predicates: Vec<_> = indexes.iter().map(|index| &comparisons[usize::from(*index)].predicate).collect();
    let Some(subject) = subject else { return free(indexes, &predicates) };
    let mut cells = BTreeSet::new();
    for value in examples(subject, &predicates, targets) {
        let facts = match subject {
            Subject::Feature(call) => facts(call, value),
            Subject::Target { .. } => [None; FACTS],
        };
        cells.insert(Cell { truths: predicates.iter().map(|predicate| truths(predicate, value)).collect(), facts });
    }
    Variable { comparisons: indexes, cells: cells.into_iter().collect() }
}

/// A comparison of several features or with arithmetic: it may have any truth, but IS is never null.
fn free(comparisons: Vec<u16>, predicates: &[&Predicate]) -> Variable {
    let all = match predicates {
        [Predicate::Is { .. }] => Truthset::KNOWN,
        [predicate] if is_constant(predicate) => truths(predicate, Known::Null),
        _ => Truthset::ALL,
    };
    let cells = all.truths().map(|truth| Cell { truths: vec![Truthset::of(truth)], facts: [None; FACTS] });
    Variable { comparisons, cells: cells.collect() }
}

/// The one feature or target of a predicate in which everything else is constant.
fn subject_of(predicate: &Predicate) -> Option<Subject<'_>> {
    let mut found: Vec<Subject<'_>> = Vec::new();
    let mut is_simple = true;
    predicate.for_each_operand(|operand| is_simple &= collect(operand, &mut found));
    let first = *found.first().filter(|_| is_simple)?;
    found.iter().all(|other| first.is_same(other)).then_some(first)
}

fn is_constant(predicate: &Predicate) -> bool {
    let mut found = Vec::new();
    let mut is_simple = true;
    predicate.for_each_operand(|operand| is_simple &= collect(operand, &mut found));
    is_simple && found.is_empty()
}

/// Collects features and targets; false if the scalar is more than one of them, a constant, or COALESCE of such.
fn collect<'a>(scalar: &'a Scalar, found: &mut Vec<Subject<'a>>) -> bool {
    match scalar {
        Scalar::Feature(call) => found.push(Subject::Feature(call)),
        Scalar::Target { index, is_audience } => {
            found.push(Subject::Target { index: *index, is_audience: *is_audience });
        }
        Scalar::Text(_) | Scalar::Boolean(_) => {}
        Scalar::Coalesce(of) => return of.iter().all(|one| collect(one, found)),
        _ => return scalar.constant_or_null().is_some(),
    }
    true
}

/// The constants of the predicates.
fn constants<'a>(predicates: &[&'a Predicate]) -> Vec<Operand<'a>> {
    let mut found = Vec::new();
    for predicate in predicates {
        predicate.for_each_operand(|operand| add_constants(operand, &mut found));
    }
    found
}

fn add_constants<'a>(scalar: &'a Scalar, found: &mut Vec<Operand<'a>>) {
    match scalar {
        Scalar::Feature(_) | Scalar::Target { .. } => {}
        Scalar::Coalesce(of) => of.iter().for_each(|one| add_constants(one, found)),
        constant => {
            if let Known::Is(operand) = value(constant, Known::Null) {
                found.push(operand);
            }
        }
    }
}

/// An example of every cell of the subject's values.
fn examples<'a>(subject: Subject<'a>, predicates: &[&'a Predicate], targets: &'a [DeclaredTarget]) -> Vec<Known<'a>> {
    let booleans = || [true, false].map(|boolean| Known::Is(Operand::Boolean(boolean))).to_vec();
    let call = match subject {
        Subject::Target { is_audience: true, .. } => return booleans(),
        Subject::Target { index, .. } => {
            let segments = targets[usize::from(index)].segments.iter().flatten();
            return segments.map(|segment| Known::Is(Operand::Text(segment))).collect();
        }
        Subject::Feature(call) => call,
    };
    let constants = constants(predicates);
    let domain = Domain::of(call);
    let mut values = match call.unit {
        Unit::Boolean => booleans(),
        Unit::Text => {
            let texts = constants.iter().filter(|constant| matches!(constant, Operand::Text(_)));
            texts.map(|text| Known::Is(*text)).chain([Known::Other]).collect()
        }
        _ if range::operand_of(call).is_some() => whole_numbers(call, &constants, domain),
        Unit::Number | Unit::Ratio => doubles(&constants, domain),
        _ => vec![Known::Other],
    };
    if domain.nullable {
        values.push(Known::Null);
    }
    values
}

/// The numbers at both sides of every border, and the ends of the domain.
fn whole_numbers<'a>(call: &Call, constants: &[Operand<'a>], domain: Domain) -> Vec<Known<'a>> {
    let Some(operand) = range::operand_of(call) else { return Vec::new() };
    let mut numbers = vec![domain.low, domain.high];
    for border in extra_borders(call) {
        numbers.extend([border - 1, *border, border + 1]);
    }
    for (first, last) in constants.iter().filter_map(|constant| range::ends(call, constant)) {
        numbers.extend([first.saturating_sub(1), first, last, last.saturating_add(1)]);
    }
    numbers.retain(|number| (domain.low..=domain.high).contains(number));
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(|number| Known::Is(operand(number, call.arguments.decimals))).collect()
}

fn doubles<'a>(constants: &[Operand<'a>], domain: Domain) -> Vec<Known<'a>> {
    let low = if domain.low == i64::MIN { f64::MIN } else { domain.low as f64 };
    let mut numbers = vec![low, f64::MAX];
    for constant in constants.iter().filter_map(Operand::double) {
        numbers.extend([constant.next_down(), constant, constant.next_up()]);
    }
    numbers.retain(|number| (low..=f64::MAX).contains(number));
    numbers.into_iter().map(|number| Known::Is(Operand::Double(number))).collect()
}

/// The value of a scalar whose only feature has this value.
fn value<'a>(scalar: &'a Scalar, subject: Known<'a>) -> Known<'a> {
    match scalar {
        Scalar::Feature(_) | Scalar::Target { .. } => subject,
        Scalar::Text(text) => Known::Is(Operand::Text(text)),
        Scalar::Boolean(boolean) => Known::Is(Operand::Boolean(*boolean)),
        Scalar::Decimal(decimal) => Known::Is(Operand::Decimal(*decimal)),
        Scalar::Coalesce(of) => {
            let mut values = of.iter().map(|one| value(one, subject));
            values.find(|value| !matches!(value, Known::Null)).unwrap_or(Known::Null)
        }
        constant => constant.constant().map_or(Known::Null, |constant| Known::Is(Operand::Double(constant))),
    }
}

/// The truths that a predicate may have if its only feature has this value.
pub fn truths(predicate: &Predicate, subject: Known<'_>) -> Truthset {
    let negate_if = |negated: bool, truths: Truthset| truths.map(|truth| if negated { !truth } else { truth });
    match predicate {
        Predicate::Compare { operator, left, right } => {
            compared(*operator, value(left, subject), value(right, subject))
        }
        Predicate::Between { of, low, high, negated } => {
            let of = value(of, subject);
            let above = compared(Comparator::GreaterOrEqual, of, value(low, subject));
            let below = compared(Comparator::LessOrEqual, of, value(high, subject));
            negate_if(*negated, above.with(below, Truth::and))
        }
        Predicate::In { of, list, negated } => {
            let of = value(of, subject);
            let equal = list.iter().map(|one| compared(Comparator::Equal, of, value(one, subject)));
            negate_if(*negated, equal.fold(Truthset::of(Truth::False), |set, one| set.with(one, Truth::or)))
        }
        Predicate::Like { of, pattern, negated } => match (value(of, subject), pattern) {
            (Known::Null, _) | (_, None) => Truthset::NULL,
            (Known::Is(Operand::Text(text)), Some(pattern)) => {
                negate_if(*negated, Truthset::of(pattern.matches(text).into()))
            }
            _ => Truthset::KNOWN,
        },
        Predicate::Is { of, test, negated } => {
            let is = match (value(of, subject), test) {
                (Known::Null, test) => *test == IsTest::Null,
                (_, IsTest::Null) => false,
                (Known::Is(Operand::Boolean(boolean)), test) => boolean == (*test == IsTest::True),
                _ => return Truthset::KNOWN,
            };
            Truthset::of((is != *negated).into())
        }
        Predicate::Boolean(of) => match value(of, subject) {
            Known::Null => Truthset::NULL,
            Known::Is(Operand::Boolean(boolean)) => Truthset::of(boolean.into()),
            _ => Truthset::KNOWN,
        },
    }
}

fn compared(operator: Comparator, left: Known<'_>, right: Known<'_>) -> Truthset {
    match (left, right) {
        (Known::Null, _) | (_, Known::Null) => Truthset::NULL,
        (Known::Is(left), Known::Is(right)) => {
            Truthset::of(left.order(&right).map(|order| operator.accepts(order)).into())
        }
        // Another text than all constants equals none of them.
        (Known::Other, Known::Is(Operand::Text(_))) | (Known::Is(Operand::Text(_)), Known::Other) => match operator {
            Comparator::Equal => Truthset::of(Truth::False),
            Comparator::Unequal => Truthset::TRUE,
            _ => Truthset::KNOWN,
        },
        _ => Truthset::ALL,
    }
}
