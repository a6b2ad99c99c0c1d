//! Conditions: AND, OR, NOT, IS, COALESCE, `=` and `<>` over the truths of comparisons.

use super::truth::{IsTest, Truth};

/// A condition of a segment or an audience.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Constant(Truth),
    /// Index of the comparison.
    Comparison(u16),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Is {
        of: Box<Condition>,
        test: IsTest,
        negated: bool,
    },
    /// The first truth that is not null.
    Coalesce(Vec<Condition>),
    /// `=` or, negated, `<>`.
    Equal {
        left: Box<Condition>,
        right: Box<Condition>,
        negated: bool,
    },
}

impl Condition {
    /// The truth by those of its comparisons. Operands behind one that decides are not asked for.
    pub fn truth(&self, truth_of: &impl Fn(u16) -> Truth) -> Truth {
        match self {
            Self::Constant(truth) => *truth,
            Self::Comparison(index) => truth_of(*index),
            Self::And(all) => {
                let mut result = Truth::True;
                for one in all {
                    result = result.and(one.truth(truth_of));
                    if result == Truth::False {
                        break;
                    }
                }
                result
            }
            Self::Or(any) => {
                let mut result = Truth::False;
                for one in any {
                    result = result.or(one.truth(truth_of));
                    if result == Truth::True {
                        break;
                    }
                }
                result
            }
            Self::Not(of) => !of.truth(truth_of),
            Self::Is { of, test, negated } => test.truth(of.truth(truth_of), *negated),
            Self::Coalesce(of) => {
                let mut given = of.iter().map(|one| one.truth(truth_of));
                given.find(|truth| *truth != Truth::Null).unwrap_or(Truth::Null)
            }
            Self::Equal { left, right, negated } => left.truth(truth_of).equals(right.truth(truth_of), *negated),
        }
    }

    /// Its comparisons from left to right, each once.
    pub fn comparisons(&self) -> Vec<u16> {
        let mut indexes = Vec::new();
        self.collect(&mut indexes);
        indexes
    }

    fn collect(&self, indexes: &mut Vec<u16>) {
        match self {
            Self::Constant(_) => {}
            Self::Comparison(index) => {
                if !indexes.contains(index) {
                    indexes.push(*index);
                }
            }
            Self::And(all) | Self::Or(all) | Self::Coalesce(all) => all.iter().for_each(|one| one.collect(indexes)),
            Self::Not(of) | Self::Is { of, .. } => of.collect(indexes),
            Self::Equal { left, right, .. } => {
                left.collect(indexes);
                right.collect(indexes);
            }
        }
    }
}
