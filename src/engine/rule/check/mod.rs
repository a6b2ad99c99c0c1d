//! From SQL to checked conditions: which expressions are connectives, which are comparisons (R9), and whether each
//! comparison makes sense.
//!
//! [`Checker`] descends through a condition; the files of this folder add its methods for comparisons, terms and
//! functions.

pub mod sql;

pub mod place;

mod foreign;

mod shape;

mod comparison;

mod event_column;

mod term;

mod function;

mod movement;

use super::compiled::comparison::Comparison;
use super::compiled::condition::Condition;
use super::compiled::scalar::Scalar;
use super::compiled::truth::Truth;
use crate::document::MistakeCollector;
use crate::engine::event::Millis;
use crate::engine::event_settings::EventSettings;
pub use event_column::is_column;
use shape::{
    coalesced, is_bare_condition, is_coalesce_of_conditions, is_condition, is_deeper, is_scalar, is_test, operands,
};
use sql::SqlText;
use sqlparser::ast::{BinaryOperator, Expr, Spanned, UnaryOperator, Value, ValueWithSpan};

/// Distinct comparisons of one file at most.
const COMPARISONS_MAX: usize = 1_024;
/// Expressions nested in each other at most.
const DEPTH_MAX: usize = 64;
/// Different absolute intervals in one file at most.
const INTERVALS_MAX: usize = 16;
/// Values in one IN list at most.
const LIST_MAX: usize = 256;

/// A segmentation or audience as far as conditions may refer to it.
#[derive(Debug)]
pub struct DeclaredTarget {
    pub name: String,
    /// Its segments' names; `None` for an audience.
    pub segments: Option<Vec<String>>,
}

/// A segmentation or audience that is no longer evaluated; its name stays taken (R13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiredTarget {
    pub name: String,
    pub is_audience: bool,
}

/// What names mean in a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Features of a customer.
    Customer,
    /// Columns of an event, for counts of one's own.
    Event,
}

/// Checks the conditions of one file.
pub struct Checker<'a, 't> {
    pub event_settings: &'a EventSettings,
    /// In byte order of their names; indexes in it are those of the compiled targets.
    pub targets: &'a [DeclaredTarget],
    pub retired: &'a [RetiredTarget],
    pub mistakes: &'a mut MistakeCollector<'t>,
    pub comparisons: &'a mut Vec<Comparison>,
    /// What names mean.
    pub scope: Scope,
    /// Absolute intervals so far, each once.
    pub intervals: &'a mut Vec<[Millis; 2]>,
    /// The text being checked.
    pub sql: &'a SqlText<'a>,
}

impl Checker<'_, '_> {
    /// A condition; `None` after a mistake.
    pub fn condition(&mut self, expression: &Expr) -> Option<Condition> {
        if is_deeper(expression, DEPTH_MAX) {
            let message = format!("expected expressions at most {DEPTH_MAX} deep, found a deeper one");
            self.mistakes.add(self.sql.start(), message, None);
            return None;
        }
        self.connective(expression)
    }

    /// One value under `include`; `None` after a mistake.
    pub fn scalar(&mut self, expression: &Expr) -> Option<Scalar> {
        Some(self.term(expression)?.scalar)
    }

    fn connective(&mut self, expression: &Expr) -> Option<Condition> {
        match expression {
            Expr::Nested(of) => self.connective(of),
            Expr::BinaryOp { op: BinaryOperator::And, .. } => Some(Condition::And(self.chain(expression)?)),
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => Some(Condition::Or(self.chain(expression)?)),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Some(Condition::Not(Box::new(self.connective(expr)?))),
            Expr::Value(ValueWithSpan { value: Value::Boolean(value), .. }) => {
                Some(Condition::Constant((*value).into()))
            }
            Expr::Value(ValueWithSpan { value: Value::Null, .. }) => Some(Condition::Constant(Truth::Null)),
            Expr::Function(function) if is_coalesce_of_conditions(function) => {
                Some(Condition::Coalesce(self.all(coalesced(function).unwrap_or_default())?))
            }
            Expr::BinaryOp { left, op: op @ (BinaryOperator::Eq | BinaryOperator::NotEq), right }
                if is_condition(left) || is_condition(right) =>
            {
                self.equal(left, op, right, expression)
            }
            _ => match is_test(expression) {
                Some((of, test, negated)) if !is_scalar(of) => {
                    Some(Condition::Is { of: Box::new(self.connective(of)?), test, negated })
                }
                _ => self.comparison(expression),
            },
        }
    }

    /// The operands of a chain of one connective. All of them are checked, also after a mistake.
    fn chain(&mut self, expression: &Expr) -> Option<Vec<Condition>> {
        self.all(operands(expression))
    }

    fn all(&mut self, operands: Vec<&Expr>) -> Option<Vec<Condition>> {
        let conditions: Vec<_> = operands.into_iter().map(|operand| self.connective(operand)).collect();
        conditions.into_iter().collect()
    }

    /// `=` or `<>` with a condition on at least one side.
    fn equal(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, whole: &Expr) -> Option<Condition> {
        if let Some(bare) = [left, right].into_iter().find(|side| is_bare_condition(side)) {
            let message =
                format!("expected parentheses around a condition that is compared with `{op}`, found `{bare}`");
            let in_parentheses =
                |side: &Expr| if is_bare_condition(side) { format!("({side})") } else { side.to_string() };
            let hint = format!("write `{} {op} {}`", in_parentheses(left), in_parentheses(right));
            return self.refuse(whole, message, Some(hint));
        }
        let (left, right) = (self.connective(left), self.connective(right));
        let negated = *op == BinaryOperator::NotEq;
        Some(Condition::Equal { left: Box::new(left?), right: Box::new(right?), negated })
    }

    /// The offset in the file where an expression begins.
    fn offset(&self, expression: &Expr) -> usize {
        self.sql.offset(expression.span().start)
    }

    /// Adds a mistake about an expression, unless something in it is no SQL of this language, which is known already.
    fn refuse<T>(&mut self, expression: &Expr, message: String, hint: Option<String>) -> Option<T> {
        if !self.sql.has_foreign(expression.span()) {
            self.mistakes.add(self.offset(expression), message, hint);
        }
        None
    }
}
