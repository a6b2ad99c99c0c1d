//! The predicate of a comparison as the file has it, and its truth by SQL's rules: `=`, BETWEEN, IN, LIKE, IS.

use super::like::Pattern;
use super::scalar::{Facts, Operand, Scalar};
use super::truth::{IsTest, Truth};
use std::cmp::Ordering;

#[derive(Clone, Debug)]
pub enum Predicate {
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
        test: IsTest,
        negated: bool,
    },
    /// A boolean by itself.
    Boolean(Scalar),
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

impl Comparator {
    pub fn accepts(self, order: Ordering) -> bool {
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
        left.order(right).map(|order| self.accepts(order)).into()
    }

    /// The same with the sides exchanged.
    pub fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::Unequal => self,
        }
    }
}

impl Predicate {
    pub fn truth(&self, facts: Facts<'_, '_>) -> Truth {
        let negate_if = |negated: bool, truth: Truth| if negated { !truth } else { truth };
        match self {
            Self::Compare { operator, left, right } => operator.truth(&left.evaluate(facts), &right.evaluate(facts)),
            Self::Between { of, low, high, negated } => {
                let of = of.evaluate(facts);
                let above = Comparator::GreaterOrEqual.truth(&of, &low.evaluate(facts));
                let below = Comparator::LessOrEqual.truth(&of, &high.evaluate(facts));
                negate_if(*negated, above.and(below))
            }
            Self::In { of, list, negated } => {
                let of = of.evaluate(facts);
                let equal = list.iter().map(|one| Comparator::Equal.truth(&of, &one.evaluate(facts)));
                negate_if(*negated, equal.fold(Truth::False, Truth::or))
            }
            Self::Like { of, pattern, negated } => match (of.evaluate(facts), pattern) {
                (Operand::Text(text), Some(pattern)) => negate_if(*negated, pattern.matches(text).into()),
                _ => Truth::Null,
            },
            Self::Is { of, test, negated } => {
                let of = of.evaluate(facts);
                let is = match test {
                    IsTest::Null => of.is_null(),
                    IsTest::True => matches!(of, Operand::Boolean(true)),
                    IsTest::False => matches!(of, Operand::Boolean(false)),
                };
                (is != *negated).into()
            }
            Self::Boolean(of) => match of.evaluate(facts) {
                Operand::Boolean(boolean) => boolean.into(),
                _ => Truth::Null,
            },
        }
    }

    /// The first operand, whose value a change gives as the reason.
    pub fn left(&self) -> &Scalar {
        match self {
            Self::Compare { left, .. } => left,
            Self::Between { of, .. } | Self::In { of, .. } | Self::Like { of, .. } | Self::Is { of, .. } => of,
            Self::Boolean(of) => of,
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
            Self::Like { .. } | Self::Is { .. } | Self::Boolean(_) => {}
        }
    }

    /// The same, to replace them.
    pub fn for_each_operand_mut(&mut self, mut f: impl FnMut(&mut Scalar)) {
        match self {
            Self::Compare { left, right, .. } => [left, right].into_iter().for_each(f),
            Self::Between { of, low, high, .. } => [of, low, high].into_iter().for_each(f),
            Self::In { of, list, .. } => {
                f(of);
                list.iter_mut().for_each(f);
            }
            Self::Like { of, .. } | Self::Is { of, .. } | Self::Boolean(of) => f(of),
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
            Self::Like { .. } | Self::Is { .. } | Self::Boolean(_) => {}
        }
    }
}
