//! Three-valued truth of comparisons and conditions at one instant (R1), and the value that each segmentation and
//! audience gets at that instant (R2, R5).

use super::counts::column;
use super::decode::Event;
use super::expression::{Comparison, Condition, Is, Scalar, Test};
use super::facts::Facts;
use super::feature::Feature;
use super::rules::{Kind, Rules, Target};
use super::value::{Value, compare, like};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// TRUE, FALSE or NULL.
pub type Truth = Option<bool>;

/// The value of a segmentation (`None` before the first) or `in`/`out` of an audience.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldValue {
    pub value: Option<String>,
    pub since: Option<i64>,
    /// Whether it replaced another value, so that `min_dwell` applies to it (R5).
    pub dwells: bool,
}

pub type Values = BTreeMap<String, HeldValue>;

/// A customer at one instant, with the values that it held just before or holds now.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub facts: &'a Facts,
    pub id: &'a str,
    pub now: i64,
    pub held: &'a Values,
    /// The event that the condition of a count of one's own is about (B8).
    pub event: Option<&'a Event>,
}

impl<'a> View<'a> {
    pub fn at(self, now: i64) -> View<'a> {
        View { now, ..self }
    }

    pub fn scalar(self, scalar: &Scalar) -> Option<Value> {
        match scalar {
            Scalar::Null => None,
            Scalar::Literal(value) => Some(value.clone()),
            Scalar::Feature(feature @ Feature::Of { source, .. }) => match self.scalar(source)? {
                Value::Text(text) => feature.with_text(&text).value(self.facts, self.id, self.now),
                other => panic!("no text: {other:?}"),
            },
            Scalar::Feature(feature) => match self.event {
                Some(event) => column(event, self.facts.decimals, feature),
                None => feature.value(self.facts, self.id, self.now),
            },
            Scalar::Coalesce(parts) => parts.iter().find_map(|part| self.scalar(part)),
            Scalar::Segment(name) => self.held.get(name)?.value.clone().map(Value::Text),
            Scalar::Audience(name) => {
                Some(Value::Boolean(self.held.get(name).is_some_and(|held| held.value.as_deref() == Some("in"))))
            }
            Scalar::Arithmetic(operator, left, right) => {
                let left = self.scalar(left)?.double().expect("a number");
                let right = self.scalar(right)?.double().expect("a number");
                match operator {
                    '+' => Some(left + right),
                    '-' => Some(left - right),
                    '*' => Some(left * right),
                    _ => (right != 0.0).then(|| left / right),
                }
                .map(Value::Double)
            }
        }
    }

    /// The order of two scalars; `None` if one is NULL.
    pub fn order(self, left: &Scalar, right: &Scalar) -> Option<Ordering> {
        compare(&self.scalar(left)?, &self.scalar(right)?)
    }

    pub fn comparison(self, comparison: &Comparison) -> Truth {
        let left = &comparison.left;
        match &comparison.test {
            Test::Compare(operator, right) => {
                let order = self.order(left, right)?;
                Some(match *operator {
                    "=" => order.is_eq(),
                    "<>" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            Test::Between { negated, low, high } => {
                let above = self.order(left, low).map(Ordering::is_ge);
                let below = self.order(left, high).map(Ordering::is_le);
                and(above, below).map(|between| between != *negated)
            }
            Test::In { negated, list } => {
                let equal = |one: &Scalar| self.order(left, one).map(Ordering::is_eq);
                list.iter().map(equal).fold(Some(false), or).map(|found| found != *negated)
            }
            Test::Like { negated, pattern } => {
                let Value::Text(text) = self.scalar(left)? else { panic!("LIKE is for texts: {}", comparison.text) };
                let text: Vec<char> = text.chars().collect();
                Some(like(&text, pattern) != *negated)
            }
            Test::Is { negated, what: Is::Null } => Some(self.scalar(left).is_none() != *negated),
            Test::Is { negated, what } => Some(is(boolean(self.scalar(left)), *what) != *negated),
            Test::Bare => boolean(self.scalar(left)),
        }
    }

    pub fn condition(self, condition: &Condition) -> Truth {
        match condition {
            Condition::Comparison(comparison) => self.comparison(comparison),
            Condition::And(left, right) => and(self.condition(left), self.condition(right)),
            Condition::Or(left, right) => or(self.condition(left), self.condition(right)),
            Condition::Not(of) => self.condition(of).map(|truth| !truth),
            Condition::Is { negated, what, of } => Some(is(self.condition(of), *what) != *negated),
            Condition::Coalesce(operands) => operands.iter().find_map(|operand| self.condition(operand)),
            Condition::Same { negated, left, right } => {
                let (left, right) = (self.condition(left)?, self.condition(right)?);
                Some((left == right) != *negated)
            }
            Condition::Constant(truth) => *truth,
        }
    }

    /// The value that the rules choose for a target whose value is `held`.
    fn wanted(self, target: &Target, held: Option<&str>) -> String {
        let is_true = |condition: &Condition| self.condition(condition) == Some(true);
        match &target.kind {
            Kind::Segmentation(segments) => {
                let matches = |(_, when): &&(String, Option<Condition>)| when.as_ref().is_none_or(is_true);
                segments.iter().find(matches).expect("the last segment has no condition").0.clone()
            }
            Kind::Audience { when, exit } => {
                let inside = match exit {
                    None => is_true(when),
                    Some(exit) if held == Some("in") => !is_true(exit),
                    Some(exit) => is_true(when) && !is_true(exit),
                };
                if inside { "in" } else { "out" }.to_string()
            }
        }
    }

    /// Whether the rules choose another value than the one that is held.
    pub fn wants_other(self, target: &Target, held: &HeldValue) -> bool {
        held.value.as_deref() != Some(&self.wanted(target, held.value.as_deref()))
    }
}

impl HeldValue {
    /// The instant from which the value may change again; `None` if it always may.
    pub fn held_until(&self, target: &Target) -> Option<i64> {
        let dwell = if self.value.as_deref() == Some("out") { target.dwell_out } else { target.dwell_in };
        (self.dwells && dwell > 0).then(|| self.since.expect("a value that dwells has a beginning") + dwell)
    }
}

/// One evaluation: the values after it.
pub fn evaluate(rules: &Rules, view: View, applies_dwell: bool) -> Values {
    let mut values = view.held.clone();
    for name in &rules.order {
        let target = &rules.targets[name];
        let held = values[name].clone();
        let seen = View { held: &values, ..view };
        let wanted = Some(seen.wanted(target, held.value.as_deref()));
        let is_held = applies_dwell && held.held_until(target).is_some_and(|until| view.now < until);
        if wanted != held.value && !is_held {
            let dwells = held.value.is_some();
            values.insert(name.clone(), HeldValue { value: wanted, since: Some(view.now), dwells });
        }
    }
    values
}

fn and(left: Truth, right: Truth) -> Truth {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(left: Truth, right: Truth) -> Truth {
    match (left, right) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

fn is(truth: Truth, what: Is) -> bool {
    match what {
        Is::Null => truth.is_none(),
        Is::True => truth == Some(true),
        Is::False => truth == Some(false),
    }
}

fn boolean(value: Option<Value>) -> Truth {
    match value {
        None => None,
        Some(Value::Boolean(boolean)) => Some(boolean),
        Some(other) => panic!("no boolean: {other:?}"),
    }
}
