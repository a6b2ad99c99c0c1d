//! Conditions: AND, OR, NOT and IS over the truths of comparisons.

use super::compare::What;
use super::truth::{Truth, Truths};

/// A condition of a segment or an audience.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Constant(Truth),
    /// Place of the comparison.
    Comparison(u16),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Is {
        of: Box<Condition>,
        what: What,
        negated: bool,
    },
}

impl What {
    /// The answer to `IS [NOT] …` of a truth.
    pub fn asks(&self, truth: Truth, negated: bool) -> Truth {
        let asked = match self {
            Self::Null => Truth::Null,
            Self::True => Truth::True,
            Self::False => Truth::False,
        };
        ((truth == asked) != negated).into()
    }
}

impl Condition {
    pub fn truth(&self, truths: &Truths) -> Truth {
        match self {
            Self::Constant(truth) => *truth,
            Self::Comparison(place) => truths.get(*place),
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
            Self::Is { of, what, negated } => what.asks(of.truth(truths), *negated),
        }
    }

    /// Its comparisons from left to right, each once.
    pub fn comparisons(&self) -> Vec<u16> {
        let mut places = Vec::new();
        self.collect(&mut places);
        places
    }

    fn collect(&self, places: &mut Vec<u16>) {
        match self {
            Self::Constant(_) => {}
            Self::Comparison(place) => {
                if !places.contains(place) {
                    places.push(*place);
                }
            }
            Self::And(all) | Self::Or(all) => all.iter().for_each(|one| one.collect(places)),
            Self::Not(of) | Self::Is { of, .. } => of.collect(places),
        }
    }
}
