//! A comparison: its test as written, and the fast form that most have.
//!
//! A count, an amount of money or a duration against literals is a test whether a whole number lies in a range: its ends are
//! found once, by bisection over the very comparison they replace, so both agree to the unit.

use super::like::Pattern;
use super::scalar::{Facts, Operand, Scalar};
use super::truth::Truth;
use crate::engine::event::Millis;
use crate::engine::feature::{Arguments, Call, Read, Unit};
use crate::engine::profile::Customer;
use std::cmp::Ordering;

/// A distinct comparison of a rules file (R9).
#[derive(Debug)]
pub struct Comparison {
    /// As SQL, printed by the parser.
    pub text: String,
    pub test: Test,
    /// The same, fast, if it has that form.
    pub range: Option<Range>,
    /// Pairs of sides of which at least one moves with time: between steps each pair's order turns at most twice.
    pub moving: bool,
    /// Whether it looks at other segmentations or audiences.
    pub on_targets: bool,
    /// Event types that can change its truth, one bit each.
    pub affected_by: u64,
}

/// What a comparison asks.
#[derive(Clone, Debug)]
pub enum Test {
    Compare {
        operator: Comparator,
        left: Scalar,
        right: Scalar,
    },
    Between {
        of: Scalar,
        low: Scalar,
        high: Scalar,
        negated: bool,
    },
    In {
        of: Scalar,
        list: Vec<Scalar>,
        negated: bool,
    },
    Like {
        of: Scalar,
        pattern: Option<Pattern>,
        negated: bool,
    },
    Is {
        of: Scalar,
        what: What,
        negated: bool,
    },
    /// A boolean by itself.
    Holds(Scalar),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What `IS` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Null,
    True,
    False,
}

impl Comparator {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    fn truth(self, left: &Operand<'_>, right: &Operand<'_>) -> Truth {
        left.order(right).map(|order| self.holds(order)).into()
    }

    /// The same with the sides exchanged.
    fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::Unequal => self,
        }
    }
}

impl Test {
    pub fn truth(&self, facts: Facts<'_, '_>) -> Truth {
        let flip = |truth: Truth, negated: bool| if negated { !truth } else { truth };
        match self {
            Self::Compare { operator, left, right } => operator.truth(&left.evaluate(facts), &right.evaluate(facts)),
            Self::Between { of, low, high, negated } => {
                let of = of.evaluate(facts);
                let above = Comparator::GreaterOrEqual.truth(&of, &low.evaluate(facts));
                let below = Comparator::LessOrEqual.truth(&of, &high.evaluate(facts));
                flip(above.and(below), *negated)
            }
            Self::In { of, list, negated } => {
                let of = of.evaluate(facts);
                let equal = list.iter().map(|one| Comparator::Equal.truth(&of, &one.evaluate(facts)));
                flip(equal.fold(Truth::False, Truth::or), *negated)
            }
            Self::Like { of, pattern, negated } => match (of.evaluate(facts), pattern) {
                (Operand::Text(text), Some(pattern)) => flip(pattern.matches(text).into(), *negated),
                _ => Truth::Null,
            },
            Self::Is { of, what, negated } => {
                let of = of.evaluate(facts);
                let is = match what {
                    What::Null => of.is_null(),
                    What::True => matches!(of, Operand::Boolean(true)),
                    What::False => matches!(of, Operand::Boolean(false)),
                };
                (is != *negated).into()
            }
            Self::Holds(of) => match of.evaluate(facts) {
                Operand::Boolean(boolean) => boolean.into(),
                _ => Truth::Null,
            },
        }
    }

    /// The first operand.
    pub fn left(&self) -> &Scalar {
        match self {
            Self::Compare { left, .. } => left,
            Self::Between { of, .. } | Self::In { of, .. } | Self::Like { of, .. } | Self::Is { of, .. } => of,
            Self::Holds(of) => of,
        }
    }

    /// Calls `f` for every operand.
    pub fn for_each_operand<'a>(&'a self, mut f: impl FnMut(&'a Scalar)) {
        f(self.left());
        match self {
            Self::Compare { right, .. } => f(right),
            Self::Between { low, high, .. } => {
                f(low);
                f(high);
            }
            Self::In { list, .. } => list.iter().for_each(f),
            Self::Like { .. } | Self::Is { .. } | Self::Holds(_) => {}
        }
    }

    /// Calls `f` for every pair of operands whose order decides.
    pub fn for_each_pair<'a>(&'a self, mut f: impl FnMut(&'a Scalar, &'a Scalar)) {
        match self {
            Self::Compare { left, right, .. } => f(left, right),
            Self::Between { of, low, high, .. } => {
                f(of, low);
                f(of, high);
            }
            Self::In { of, list, .. } => list.iter().for_each(|one| f(of, one)),
            Self::Like { .. } | Self::Is { .. } | Self::Holds(_) => {}
        }
    }
}

/// A feature's whole number (a count, minor units, or milliseconds of a duration) in a range, both ends in it.
#[derive(Clone, Debug)]
pub struct Range {
    pub call: Call,
    /// Above `high` if nothing is in it.
    pub low: i64,
    pub high: i64,
    /// True outside instead of inside.
    pub negated: bool,
}

impl Range {
    /// The range that a test is, if it compares such a feature with literals.
    pub fn of(test: &Test) -> Option<Self> {
        match test {
            Test::Compare { operator, left: Scalar::Feature(call), right } => {
                Self::compared(call, *operator, &number(right)?)
            }
            Test::Compare { operator, left, right: Scalar::Feature(call) } => {
                Self::compared(call, operator.mirrored(), &number(left)?)
            }
            Test::Between { of: Scalar::Feature(call), low, high, negated } => {
                let (low, _) = ends(call, &number(low)?)?;
                let (_, high) = ends(call, &number(high)?)?;
                Some(Self { call: (**call).clone(), low, high, negated: *negated })
            }
            _ => None,
        }
    }

    fn compared(call: &Call, operator: Comparator, literal: &Operand<'_>) -> Option<Self> {
        // From the first number not below the literal to the last one not above it.
        let (first, last) = ends(call, literal)?;
        let (low, high, negated) = match operator {
            Comparator::Equal => (first, last, false),
            Comparator::Unequal => (first, last, true),
            Comparator::GreaterOrEqual => (first, i64::MAX, false),
            Comparator::Less => (first, i64::MAX, true),
            Comparator::LessOrEqual => (i64::MIN, last, false),
            Comparator::Greater => (i64::MIN, last, true),
        };
        Some(Self { call: call.clone(), low, high, negated })
    }

    /// The feature's whole number now.
    #[inline]
    pub fn number(&self, customer: &Customer<'_>, now: Millis) -> Option<i64> {
        let arguments: &Arguments = &self.call.arguments;
        match self.call.feature.read {
            Read::Whole(read) => read(arguments, customer, now),
            Read::Since(read) => read(arguments, customer, now).map(|moment| now - moment),
            Read::Value(_) | Read::Target => None,
        }
    }

    #[inline]
    pub fn truth(&self, customer: &Customer<'_>, now: Millis) -> Truth {
        match self.number(customer, now) {
            None => Truth::Null,
            Some(number) => ((self.low <= number && number <= self.high) != self.negated).into(),
        }
    }
}

/// A literal number, or arithmetic of nothing but literals.
fn number(scalar: &Scalar) -> Option<Operand<'static>> {
    match scalar {
        Scalar::Decimal(decimal) => Some(Operand::Decimal(*decimal)),
        Scalar::Negative(_) | Scalar::Arithmetic(..) => super::movement::constant(scalar).map(Operand::Double),
        _ => None,
    }
}

/// The first whole number of a feature not below the literal, and the last one not above it.
fn ends(call: &Call, literal: &Operand<'_>) -> Option<(i64, i64)> {
    let operand: fn(i64, u32) -> Operand<'static> = match (call.feature.read, call.unit) {
        (Read::Whole(_), Unit::Count) => |number, _| Operand::Integer(number),
        (Read::Whole(_), Unit::Money) => Operand::Money,
        (Read::Since(_), Unit::Days) => |millis, _| Operand::Double(millis as f64 / 86_400_000.0),
        (Read::Since(_), Unit::Minutes) => |millis, _| Operand::Double(millis as f64 / 60_000.0),
        _ => return None,
    };
    let order = |number: i64| operand(number, call.arguments.decimals).order(literal);
    let first = first_where(|number| order(number) != Some(Ordering::Less));
    let above = first_where(|number| order(number) == Some(Ordering::Greater));
    // Beyond all numbers: nothing is in the range, and no number is ever near its low end.
    let last = above.map_or(i64::MAX, |above| above.saturating_sub(1));
    match first {
        Some(first) => Some((first, last)),
        None => Some((i64::MAX, last)),
    }
}

/// The smallest number for which a condition that stays true once it is true holds.
fn first_where(holds: impl Fn(i64) -> bool) -> Option<i64> {
    let (mut low, mut high) = (i128::from(i64::MIN), i128::from(i64::MAX) + 1);
    while low < high {
        let middle = (low + high).div_euclid(2);
        if holds(middle as i64) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    i64::try_from(low).ok()
}
