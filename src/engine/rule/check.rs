//! From parsed SQL to checked conditions: which expressions are connectives, which are comparisons (R9), and whether each
//! comparison makes sense.

use super::compare::{Comparator, Comparison, Range, Test, What};
use super::condition::Condition;
use super::like::Pattern;
use super::mistake::{Mistakes, nearest};
use super::movement;
use super::scalar::Scalar;
use super::shape::{is, is_deeper, is_scalar, links};
use super::sql::SqlText;
use super::term::{Kind, Term};
use super::truth::Truth;
use crate::engine::meaning::Meaning;
use sqlparser::ast::{BinaryOperator, Expr, Spanned, UnaryOperator, Value, ValueWithSpan};

/// Distinct comparisons of one file at most.
pub const COMPARISONS_MAX: usize = 1_024;
/// Expressions within each other at most.
pub const DEPTH_MAX: usize = 64;
/// Values in one IN list at most.
pub const LIST_MAX: usize = 256;

/// A segmentation or audience as far as other rules may refer to it.
#[derive(Debug)]
pub struct Name {
    pub name: String,
    /// Its segments' names; `None` for an audience.
    pub segments: Option<Vec<String>>,
}

/// Checks the conditions of one file.
pub struct Checker<'a, 't> {
    pub meaning: &'a Meaning,
    /// In byte order: places in it are places of targets.
    pub names: &'a [Name],
    pub mistakes: &'a mut Mistakes<'t>,
    pub comparisons: &'a mut Vec<Comparison>,
    /// The text being checked.
    pub sql: &'a SqlText<'a>,
}

impl Checker<'_, '_> {
    /// A condition; `None` after a mistake.
    pub fn condition(&mut self, expression: &Expr) -> Option<Condition> {
        if is_deeper(expression, DEPTH_MAX) {
            let what = format!("expected expressions at most {DEPTH_MAX} deep, found a deeper one");
            self.mistakes.add(self.sql.start(), what, None);
            return None;
        }
        self.logical(expression)
    }

    fn logical(&mut self, expression: &Expr) -> Option<Condition> {
        match expression {
            Expr::Nested(of) => self.logical(of),
            Expr::BinaryOp { op: BinaryOperator::And, .. } => Some(Condition::And(self.chain(expression)?)),
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => Some(Condition::Or(self.chain(expression)?)),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Some(Condition::Not(Box::new(self.logical(expr)?))),
            Expr::Value(ValueWithSpan { value: Value::Boolean(value), .. }) => {
                Some(Condition::Constant((*value).into()))
            }
            Expr::Value(ValueWithSpan { value: Value::Null, .. }) => Some(Condition::Constant(Truth::Null)),
            _ => match is(expression) {
                Some((of, what, negated)) if !is_scalar(of) => {
                    Some(Condition::Is { of: Box::new(self.logical(of)?), what, negated })
                }
                _ => self.comparison(expression),
            },
        }
    }

    /// The operands of a chain of one connective, all of them checked.
    fn chain(&mut self, expression: &Expr) -> Option<Vec<Condition>> {
        let conditions: Vec<_> = links(expression).into_iter().map(|link| self.logical(link)).collect();
        conditions.into_iter().collect()
    }

    fn comparison(&mut self, expression: &Expr) -> Option<Condition> {
        let test = self.test(expression)?;
        let text = expression.to_string();
        if let Some(known) = self.comparisons.iter().position(|known| known.text == text) {
            return Some(Condition::Comparison(known as u16));
        }
        let moving = self.movement(&test, expression)?;
        let on_targets = self.on_targets(&test, expression)?;
        if self.comparisons.len() == COMPARISONS_MAX {
            let what = format!("expected at most {COMPARISONS_MAX} different comparisons in the file, found more");
            self.mistakes.add(self.place(expression), what, None);
            return None;
        }
        let mut affected_by = 0;
        test.for_each_operand(|operand| {
            operand.for_each_feature(&mut |call| affected_by |= call.affected_by(self.meaning));
        });
        let range = Range::of(&test);
        self.comparisons.push(Comparison { text, test, range, moving, on_targets, affected_by });
        Some(Condition::Comparison((self.comparisons.len() - 1) as u16))
    }

    fn test(&mut self, expression: &Expr) -> Option<Test> {
        if let Some((of, what, negated)) = is(expression) {
            let term = self.term(of)?;
            if what != What::Null {
                self.expect(&term, of, Kind::Boolean, "a boolean for IS TRUE and IS FALSE")?;
            }
            return Some(Test::Is { of: term.scalar, what, negated });
        }
        match expression {
            Expr::BinaryOp { left, op, right } => self.compare(left, op, right, expression),
            Expr::Between { expr, negated, low, high } => {
                let (of, low_term, high_term) = (self.term(expr), self.term(low), self.term(high));
                let (of, low_term, high_term) = (of?, low_term?, high_term?);
                self.comparable(&of, expr, &low_term, low)?;
                self.comparable(&of, expr, &high_term, high)?;
                Some(Test::Between { of: of.scalar, low: low_term.scalar, high: high_term.scalar, negated: *negated })
            }
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => self.like(expr, pattern, *negated),
            Expr::Like { .. } | Expr::ILike { .. } => {
                let what = format!("expected LIKE with one pattern and nothing else, found `{expression}`");
                self.refuse(expression, what, Some("LIKE minds case and has no escape".into()))
            }
            Expr::IsUnknown(_) | Expr::IsNotUnknown(_) => {
                let what = format!("expected IS [NOT] NULL, TRUE or FALSE, found `{expression}`");
                self.refuse(expression, what, Some("write IS NULL for IS UNKNOWN".into()))
            }
            _ if is_scalar(expression) => {
                let term = self.term(expression)?;
                self.expect(&term, expression, Kind::Boolean, "a condition")?;
                Some(Test::Holds(term.scalar))
            }
            _ => self.refuse(
                expression,
                format!("expected a condition, found `{expression}`"),
                Some(
                    "conditions are comparisons, BETWEEN, IN, LIKE, IS [NOT] NULL, TRUE or FALSE, AND, OR and NOT"
                        .into(),
                ),
            ),
        }
    }

    fn compare(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, whole: &Expr) -> Option<Test> {
        let operator = match op {
            BinaryOperator::Eq => Comparator::Equal,
            BinaryOperator::NotEq => Comparator::Unequal,
            BinaryOperator::Lt => Comparator::Less,
            BinaryOperator::LtEq => Comparator::LessOrEqual,
            BinaryOperator::Gt => Comparator::Greater,
            BinaryOperator::GtEq => Comparator::GreaterOrEqual,
            _ if is_scalar(whole) => {
                let term = self.term(whole)?;
                self.expect(&term, whole, Kind::Boolean, "a condition")?;
                return None;
            }
            _ => {
                let what = format!("expected an operator of the rule language, found `{op}`");
                let hint = "operators are = <> != < <= > >= + - * / AND OR NOT".to_string();
                return self.refuse(whole, what, Some(hint));
            }
        };
        let (left_term, right_term) = (self.term(left), self.term(right));
        let (left_term, right_term) = (left_term?, right_term?);
        self.comparable(&left_term, left, &right_term, right)?;
        if matches!(operator, Comparator::Equal | Comparator::Unequal) {
            self.segment_exists(&left_term.scalar, &right_term.scalar, right)?;
            self.segment_exists(&right_term.scalar, &left_term.scalar, left)?;
        }
        Some(Test::Compare { operator, left: left_term.scalar, right: right_term.scalar })
    }

    fn in_list(&mut self, of: &Expr, list: &[Expr], negated: bool) -> Option<Test> {
        let term = self.term(of);
        let terms: Vec<_> = list.iter().map(|one| self.term(one)).collect();
        let (term, terms) = (term?, terms.into_iter().collect::<Option<Vec<_>>>()?);
        if list.is_empty() || list.len() > LIST_MAX {
            let what = format!("expected 1 to {LIST_MAX} values in IN, found {}", list.len());
            return self.refuse(of, what, None);
        }
        let mut good = true;
        for (one, expression) in terms.iter().zip(list) {
            good &= self.comparable(&term, of, one, expression).is_some()
                && self.segment_exists(&term.scalar, &one.scalar, expression).is_some();
        }
        good.then(|| Test::In { of: term.scalar, list: terms.into_iter().map(|one| one.scalar).collect(), negated })
    }

    fn like(&mut self, of: &Expr, pattern: &Expr, negated: bool) -> Option<Test> {
        let (term, pattern_term) = (self.term(of), self.term(pattern));
        let (term, pattern_term) = (term?, pattern_term?);
        self.expect(&term, of, Kind::Text, "text before LIKE")?;
        let pattern = match pattern_term.scalar {
            Scalar::Text(text) => Some(Pattern::new(&text)),
            Scalar::Null => None,
            _ => {
                let what = format!("expected a pattern in single quotes after LIKE, found `{pattern}`");
                return self.refuse(pattern, what, None);
            }
        };
        Some(Test::Like { of: term.scalar, pattern, negated })
    }

    /// Two sides must be of one kind.
    fn comparable(&mut self, left: &Term, left_text: &Expr, right: &Term, right_text: &Expr) -> Option<()> {
        for (term, expression) in [(left, left_text), (right, right_text)] {
            if term.kind == Kind::Time {
                let what = format!("expected a value to compare, found the moment `{expression}`");
                return self.refuse(expression, what, Some(format!("compare days_since({expression}) with days")));
            }
        }
        if left.kind == Kind::Null || right.kind == Kind::Null || left.kind == right.kind {
            return Some(());
        }
        let what = format!(
            "expected {} to compare with `{left_text}`, found {} `{right_text}`",
            left.kind.words(),
            right.kind.words()
        );
        self.refuse(right_text, what, None)
    }

    pub fn expect(&mut self, term: &Term, expression: &Expr, kind: Kind, expected: &str) -> Option<()> {
        if term.kind == kind || term.kind == Kind::Null {
            return Some(());
        }
        let what = format!("expected {expected}, found {} `{expression}`", term.kind.words());
        self.refuse(expression, what, None)
    }

    /// A text beside segment('x') must be the name of one of its segments.
    fn segment_exists(&mut self, side: &Scalar, other: &Scalar, other_text: &Expr) -> Option<()> {
        let (Scalar::Target { place, is_audience: false }, Scalar::Text(text)) = (side, other) else { return Some(()) };
        let names = self.names;
        let target = &names[usize::from(*place)];
        let segments = target.segments.as_deref().unwrap_or_default();
        // A segmentation whose segments could not be read has been reported itself.
        if segments.is_empty() || segments.iter().any(|segment| **segment == **text) {
            return Some(());
        }
        let what = format!("expected a segment of {:?}, found {}", target.name, super::document::quoted(text));
        self.refuse(other_text, what, nearest(text, segments.iter().map(String::as_str)))
    }

    /// Whether sides move with time; refuses what could not be foreseen (F2).
    fn movement(&mut self, test: &Test, expression: &Expr) -> Option<bool> {
        let (mut refused, mut moving) = (None, false);
        let mut note = |problem| refused = refused.or(Some(problem));
        test.for_each_operand(|operand| {
            if let Err(problem) = movement::speeds(operand) {
                note(problem);
            }
        });
        test.for_each_pair(|left, right| {
            let same_unit = left.duration().is_some() && left.duration() == right.duration();
            let (Ok(left), Ok(right)) = (movement::speeds(left), movement::speeds(right)) else { return };
            match movement::sums(&left, &right, -1.0) {
                // Their milliseconds compare: the difference stays until one of them steps.
                _ if same_unit => {}
                Ok(speeds) if speeds.iter().any(movement::Speed::cancels) => note(movement::Refused::Cancels),
                Ok(_) => moving |= left.iter().chain(&right).any(movement::Speed::moves),
                Err(problem) => note(problem),
            }
        });
        match refused {
            None => Some(moving),
            Some(problem) => {
                let (expected, hint) = problem.words();
                self.refuse(expression, format!("expected {expected}, found `{expression}`"), Some(hint.into()))
            }
        }
    }

    /// Whether it looks at targets; they do not mix with the customer's own features in one comparison.
    fn on_targets(&mut self, test: &Test, expression: &Expr) -> Option<bool> {
        let (mut targets, mut features) = (false, false);
        test.for_each_operand(|operand| {
            operand.for_each_target(&mut |_| targets = true);
            operand.for_each_feature(&mut |_| features = true);
        });
        if targets && features {
            let what =
                format!("expected segment() and audience() beside literals or each other only, found `{expression}`");
            return self.refuse(expression, what, Some("write two comparisons and join them with AND or OR".into()));
        }
        Some(targets)
    }

    /// The place in the file where an expression begins.
    pub fn place(&self, expression: &Expr) -> usize {
        self.sql.place(expression.span().start)
    }

    pub fn refuse<T>(&mut self, expression: &Expr, what: String, hint: Option<String>) -> Option<T> {
        self.mistakes.add(self.place(expression), what, hint);
        None
    }
}
