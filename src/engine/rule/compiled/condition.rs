//! Conditions: AND, OR, NOT, IS, COALESCE, `=` and `<>` over the truths of comparisons.

use super::truth::{IsTest, Truth, Truths};

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
    pub fn truth(&self, truths: &Truths) -> Truth {
        match self {
            Self::Constant(truth) => *truth,
            Self::Comparison(index) => truths.get(*index),
            Self::And(all) => {
                let mut result = Truth::True;
                for one in all {
                    result = result.and(one.truth(truths));
                    if result == Truth::False {
                        break;
                    }
                }
                result
            }
            Self::Or(any) => {
                let mut result = Truth::False;
                for one in any {
                    result = result.or(one.truth(truths));
                    if result == Truth::True {
                        break;
                    }
                }
                result
            }
            Self::Not(of) => !of.truth(truths),
            Self::Is { of, test, negated } => test.truth(of.truth(truths), *negated),
            Self::Coalesce(of) => {
                let mut given = of.iter().map(|one| one.truth(truths));
                given.find(|truth| *truth != Truth::Null).unwrap_or(Truth::Null)
            }
            Self::Equal { left, right, negated } => left.truth(truths).equals(right.truth(truths), *negated),
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
