//! From a parsed comparison to a checked one: its predicate, the types of its sides, and how they move with time.

use super::movement::{MovementError, Speed, speeds, sums};
use super::shape::{is_scalar, is_test};
use super::term::{MOMENTS, Term, ValueType, midnight, utc_moment};
use super::{COMPARISONS_MAX, Checker, LIST_MAX};
use crate::document::nearest::nearest;
use crate::document::table::quoted;
use crate::engine::rule::compiled::comparison::Comparison;
use crate::engine::rule::compiled::condition::Condition;
use crate::engine::rule::compiled::countdown::Countdown;
use crate::engine::rule::compiled::like::Pattern;
use crate::engine::rule::compiled::predicate::{Comparator, Predicate};
use crate::engine::rule::compiled::range::Range;
use crate::engine::rule::compiled::scalar::Scalar;
use crate::engine::rule::compiled::truth::IsTest;
use sqlparser::ast::{BinaryOperator, Expr, Value, ValueWithSpan};

/// Moments that are features, and the days since each.
pub const DURATIONS: [(&str, &str); 4] = [
    ("first_order_at", "first_order_days"),
    ("last_order_at", "recency_days"),
    ("first_seen_at", "tenure_days"),
    ("last_seen_at", "inactive_days"),
];

impl Checker<'_, '_> {
    /// A comparison: the one with the same text, or a new one.
    pub fn comparison(&mut self, expression: &Expr) -> Option<Condition> {
        let predicate = self.predicate(expression)?;
        let text = expression.to_string();
        if let Some(known) = self.comparisons.iter().position(|known| known.text == text) {
            return Some(Condition::Comparison(known as u16));
        }
        let countdown = self.countdown(&predicate, expression)?;
        let moving = self.moves(&predicate, expression)?;
        let (on_targets, on_customer) = self.refers_to(&predicate, expression)?;
        if self.comparisons.len() == COMPARISONS_MAX {
            let message = format!("expected at most {COMPARISONS_MAX} different comparisons in the file, found more");
            self.mistakes.add(self.offset(expression), message, None);
            return None;
        }
        let (mut affected_by, mut has_source) = (0, false);
        predicate.for_each_operand(|operand| {
            operand.for_each_feature(&mut |call| {
                affected_by |= call.affected_by(self.event_settings);
                has_source |= call.has_source();
            });
        });
        let range = Range::of(&predicate);
        self.comparisons.push(Comparison {
            text,
            predicate,
            range,
            countdown,
            moving,
            on_targets,
            on_customer,
            has_source,
            affected_by,
        });
        Some(Condition::Comparison((self.comparisons.len() - 1) as u16))
    }

    fn predicate(&mut self, expression: &Expr) -> Option<Predicate> {
        if let Some((of, test, negated)) = is_test(expression) {
            let term = self.term(of)?;
            if test != IsTest::Null {
                self.expect(&term, of, ValueType::Boolean, "a boolean for IS TRUE and IS FALSE")?;
            }
            return Some(Predicate::Is { of: term.scalar, test, negated });
        }
        match expression {
            Expr::BinaryOp { left, op, right } => self.compare(left, op, right, expression),
            Expr::Between { expr, negated, low, high } => {
                let of = self.term(expr);
                let (low_term, high_term) = (self.term_beside(low, of.as_ref()), self.term_beside(high, of.as_ref()));
                let (of, low_term, high_term) = (of?, low_term?, high_term?);
                self.comparable(&of, expr, &low_term, low)?;
                self.comparable(&of, expr, &high_term, high)?;
                Some(Predicate::Between {
                    of: of.scalar,
                    low: low_term.scalar,
                    high: high_term.scalar,
                    negated: *negated,
                })
            }
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(expr, pattern, escape_char.as_deref(), *negated)
            }
            Expr::Like { .. } => {
                let message = format!("expected LIKE with one pattern, found `{expression}`");
                self.refuse(expression, message, Some("join several LIKE with OR".into()))
            }
            Expr::IsUnknown(_) | Expr::IsNotUnknown(_) => {
                let message = format!("expected IS [NOT] NULL, TRUE or FALSE, found `{expression}`");
                self.refuse(expression, message, Some("write IS NULL for IS UNKNOWN".into()))
            }
            _ if is_scalar(expression) => {
                let term = self.term(expression)?;
                self.expect(&term, expression, ValueType::Boolean, "a condition")?;
                Some(Predicate::Boolean(term.scalar))
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

    fn compare(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, whole: &Expr) -> Option<Predicate> {
        let operator = match op {
            BinaryOperator::Eq => Comparator::Equal,
            BinaryOperator::NotEq => Comparator::Unequal,
            BinaryOperator::Lt => Comparator::Less,
            BinaryOperator::LtEq => Comparator::LessOrEqual,
            BinaryOperator::Gt => Comparator::Greater,
            BinaryOperator::GtEq => Comparator::GreaterOrEqual,
            _ if is_scalar(whole) => {
                let term = self.term(whole)?;
                self.expect(&term, whole, ValueType::Boolean, "a condition")?;
                return None;
            }
            _ => {
                let message = format!("expected an operator of the rule language, found `{op}`");
                let hint = "operators are = <> != < <= > >= + - * / AND OR NOT".to_string();
                return self.refuse(whole, message, Some(hint));
            }
        };
        let (left_term, right_term) = match self.is_unknown_name(left) {
            true => {
                let right_term = self.term(right);
                (self.term_beside(left, right_term.as_ref()), right_term)
            }
            false => {
                let left_term = self.term(left);
                let right_term = self.term_beside(right, left_term.as_ref());
                (left_term, right_term)
            }
        };
        let (left_term, right_term) = (left_term?, right_term?);
        self.comparable(&left_term, left, &right_term, right)?;
        if matches!(operator, Comparator::Equal | Comparator::Unequal) {
            self.segment_exists(&left_term.scalar, &right_term.scalar, right)?;
            self.segment_exists(&right_term.scalar, &left_term.scalar, left)?;
        }
        Some(Predicate::Compare { operator, left: left_term.scalar, right: right_term.scalar })
    }

    fn in_list(&mut self, of: &Expr, list: &[Expr], negated: bool) -> Option<Predicate> {
        let term = self.term(of);
        let terms: Vec<_> = list.iter().map(|one| self.term_beside(one, term.as_ref())).collect();
        let (term, terms) = (term?, terms.into_iter().collect::<Option<Vec<_>>>()?);
        if list.is_empty() || list.len() > LIST_MAX {
            let message = format!("expected 1 to {LIST_MAX} values in IN, found {}", list.len());
            return self.refuse(of, message, None);
        }
        let mut good = true;
        for (one, expression) in terms.iter().zip(list) {
            good &= self.comparable(&term, of, one, expression).is_some()
                && self.segment_exists(&term.scalar, &one.scalar, expression).is_some();
        }
        good.then(|| Predicate::In {
            of: term.scalar,
            list: terms.into_iter().map(|one| one.scalar).collect(),
            negated,
        })
    }

    fn like(&mut self, of: &Expr, pattern: &Expr, escape: Option<&Expr>, negated: bool) -> Option<Predicate> {
        let term = self.term(of);
        let pattern_term = self.term_beside(pattern, term.as_ref());
        let escape = escape.map(|escape| self.escape(escape));
        let (term, pattern_term) = (term?, pattern_term?);
        let escape = match escape {
            Some(escape) => Some(escape?),
            None => None,
        };
        self.expect(&term, of, ValueType::Text, "text before LIKE")?;
        let pattern = match pattern_term.scalar {
            Scalar::Null => None,
            Scalar::Text(text) => match Pattern::new(&text, escape) {
                Some(pattern) => Some(pattern),
                None => {
                    let message =
                        format!("expected a character after the escape character, found the end of `{pattern}`");
                    return self.refuse(pattern, message, Some("write the escape character twice for itself".into()));
                }
            },
            _ => {
                let message = format!("expected a pattern in single quotes after LIKE, found `{pattern}`");
                return self.refuse(pattern, message, None);
            }
        };
        Some(Predicate::Like { of: term.scalar, pattern, negated })
    }

    /// The escape character of LIKE.
    fn escape(&mut self, expression: &Expr) -> Option<char> {
        if let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = expression {
            let mut letters = text.chars();
            if let (Some(letter), None) = (letters.next(), letters.next()) {
                return Some(letter);
            }
        }
        let message = format!("expected one character in single quotes after ESCAPE, found `{expression}`");
        self.refuse(expression, message, None)
    }

    /// The two sides must be of one type.
    fn comparable(&mut self, left: &Term, left_text: &Expr, right: &Term, right_text: &Expr) -> Option<()> {
        for (term, expression) in [(left, left_text), (right, right_text)] {
            if term.value_type == ValueType::Texts {
                let message = format!("expected a value to compare, found the set of texts `{expression}`");
                return self.refuse(
                    expression,
                    message,
                    Some(format!("ask for one of them: has({expression}, 'text')")),
                );
            }
        }
        if left.value_type == ValueType::Null
            || right.value_type == ValueType::Null
            || left.value_type == right.value_type
        {
            return Some(());
        }
        let message = format!(
            "expected {} to compare with `{left_text}`, found {} `{right_text}`",
            left.value_type.described(),
            right.value_type.described()
        );
        let hint = self.moment_hint((left, left_text), (right, right_text));
        self.refuse(right_text, message, hint.or_else(|| self.moment_hint((right, right_text), (left, left_text))))
    }

    /// What to write instead of comparing a moment with text or a number.
    fn moment_hint(&self, (moment, moment_text): (&Term, &Expr), (other, _): (&Term, &Expr)) -> Option<String> {
        if moment.value_type != ValueType::Time {
            return None;
        }
        match (&other.scalar, &moment.scalar) {
            (Scalar::Text(text), _) if midnight(text).is_some() => Some(format!("write DATE '{text}'")),
            (Scalar::Text(text), _) if utc_moment(text).is_some() => Some(format!("write TIMESTAMP '{text}'")),
            (_, Scalar::Feature(call)) if other.value_type == ValueType::Number => {
                let days = DURATIONS.iter().find(|(moment, _)| *moment == call.feature.name);
                let days = days.map_or_else(|| format!("days_since({moment_text})"), |(_, days)| (*days).into());
                Some(format!("compare {days} with days"))
            }
            _ => Some(MOMENTS.into()),
        }
    }

    /// The flips of a comparison of days_to_anniversary() with literals; it compares with nothing else.
    fn countdown(&mut self, predicate: &Predicate, expression: &Expr) -> Option<Option<Countdown>> {
        match Countdown::of(predicate) {
            Ok(countdown) => Some(countdown),
            Err(name) => {
                let message = format!("expected `{name}` compared with literals only, found `{expression}`");
                self.refuse(expression, message, Some(format!("write it like `{name}(born) <= 7`")))
            }
        }
    }

    pub fn expect(&mut self, term: &Term, expression: &Expr, value_type: ValueType, expected: &str) -> Option<()> {
        if term.value_type == value_type || term.value_type == ValueType::Null {
            return Some(());
        }
        let message = format!("expected {expected}, found {} `{expression}`", term.value_type.described());
        self.refuse(expression, message, None)
    }

    /// A text that is compared with segment('x') must be the name of one of its segments.
    fn segment_exists(&mut self, side: &Scalar, other: &Scalar, other_text: &Expr) -> Option<()> {
        let (Scalar::Target { index, is_audience: false }, Scalar::Text(text)) = (side, other) else { return Some(()) };
        let targets = self.targets;
        let target = &targets[usize::from(*index)];
        let segments = target.segments.as_deref().unwrap_or_default();
        // A segmentation whose segments could not be read has been reported itself.
        if segments.is_empty() || segments.iter().any(|segment| **segment == **text) {
            return Some(());
        }
        let message = format!("expected a segment of {:?}, found {}", target.name, quoted(text));
        self.refuse(other_text, message, nearest(text, segments.iter().map(String::as_str)))
    }

    /// Whether its sides move with time. Movement whose next flip cannot be computed is refused (F2).
    fn moves(&mut self, predicate: &Predicate, expression: &Expr) -> Option<bool> {
        let (mut refused, mut moving) = (None, false);
        let mut note = |problem| refused = refused.or(Some(problem));
        predicate.for_each_operand(|operand| {
            if let Err(problem) = speeds(operand) {
                note(problem);
            }
        });
        predicate.for_each_pair(|left, right| {
            let same_unit = left.duration_unit().is_some() && left.duration_unit() == right.duration_unit();
            let (Ok(left), Ok(right)) = (speeds(left), speeds(right)) else { return };
            match sums(&left, &right, -1.0) {
                // Their milliseconds are compared: the difference is constant until one of them steps.
                _ if same_unit => {}
                Ok(speeds) if speeds.iter().any(Speed::cancels) => note(MovementError::Cancels),
                Ok(_) => moving |= left.iter().chain(&right).any(Speed::moves),
                Err(problem) => note(problem),
            }
        });
        match refused {
            None => Some(moving),
            Some(problem) => {
                let (expected, hint) = problem.message();
                self.refuse(expression, format!("expected {expected}, found `{expression}`"), Some(hint.into()))
            }
        }
    }

    /// Whether it refers to targets, and to features of the customer. One comparison cannot have both side by side.
    fn refers_to(&mut self, predicate: &Predicate, expression: &Expr) -> Option<(bool, bool)> {
        let (mut targets, mut features, mut sources) = (false, false, false);
        predicate.for_each_operand(|operand| {
            operand.for_each_own_target(&mut |_| targets = true);
            operand.for_each_feature(&mut |call| {
                features = true;
                sources |= call.source_segment().is_some();
            });
        });
        if targets && features {
            let message =
                format!("expected segment() and audience() beside literals or each other only, found `{expression}`");
            return self.refuse(expression, message, Some("write two comparisons and join them with AND or OR".into()));
        }
        Some((targets || sources, features || !targets))
    }
}
