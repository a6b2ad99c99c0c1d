//! From parsed SQL to scalars with their types: literals, features with their windows, attributes, arithmetic.

use super::shape::is_condition;
use super::{Checker, Scope};
use crate::document::nearest::{did_you_mean, nearest, nearest_name};
use crate::engine::calendar;
use crate::engine::event::{DAY, Millis};
use crate::engine::feature::find::{self, Found};
use crate::engine::feature::table::FEATURES;
use crate::engine::feature::{Arguments, Call, Feature, Parameters, Unit, attribute_unit};
use crate::engine::rule::compiled::scalar::{ArithmeticOperator, Decimal, Scalar};
use sqlparser::ast::{BinaryOperator, DataType, Expr, Ident, TimezoneInfo, TypedString, UnaryOperator, Value};

/// Bytes of a text literal at most. No text of an event is longer than 128 bytes; a pattern may be longer than what it
/// matches.
const TEXT_MAX: usize = 256;

/// Moments of literals are from 1900 to 2100, like those of attributes.
const MOMENT_MIN: Millis = -2_208_988_800_000;
const MOMENT_END: Millis = 4_133_980_800_000;

/// How moments are written, for messages.
pub const MOMENTS: &str = "moments are written like TIMESTAMP '2026-01-01T00:00:00Z' or DATE '2026-01-01'";

/// The same as arguments of functions.
pub const MOMENTS_IN_TEXT: &str = "moments are written like '2026-11-27' or '2026-11-27T18:00:00Z'";

pub fn moment_in_range(moment: &Millis) -> bool {
    (MOMENT_MIN..MOMENT_END).contains(moment)
}

/// The moment of a text in RFC 3339 with `Z` and at most milliseconds.
pub fn utc_moment(text: &str) -> Option<Millis> {
    let is_utc = text.ends_with('Z') && text.len() <= "2026-01-01T00:00:00.000Z".len();
    calendar::parse_rfc3339(text).filter(|_| is_utc)
}

/// The UTC midnight of a date.
pub fn midnight(text: &str) -> Option<Millis> {
    calendar::parse_date(text).map(|day| day * DAY)
}

/// A checked scalar and its type.
pub struct Term {
    pub scalar: Scalar,
    pub value_type: ValueType,
}

/// Values of one type compare with each other, NULL with all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    Null,
    Number,
    Text,
    Boolean,
    Time,
    Texts,
}

impl ValueType {
    /// With its article, for a message.
    pub fn described(self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Boolean => "a boolean",
            Self::Time => "a moment",
            Self::Texts => "a set of texts",
        }
    }

    fn of(unit: Unit) -> Self {
        match unit {
            Unit::Text => Self::Text,
            Unit::Boolean => Self::Boolean,
            Unit::Time => Self::Time,
            Unit::Texts => Self::Texts,
            _ => Self::Number,
        }
    }
}

impl Checker<'_, '_> {
    /// A scalar; `None` after a mistake.
    pub fn term(&mut self, expression: &Expr) -> Option<Term> {
        match expression {
            Expr::Nested(of) => self.term(of),
            Expr::Value(value) => self.literal(&value.value, expression),
            Expr::TypedString(literal) => self.moment(literal, expression),
            Expr::Identifier(name) => self.name(name, expression),
            Expr::Function(function) => self.function(function, expression),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                let of = self.number(expr)?;
                let scalar = match of {
                    Scalar::Decimal(decimal) => Scalar::Decimal(decimal.negative()),
                    of => Scalar::Negative(Box::new(of)),
                };
                Some(Term { scalar, value_type: ValueType::Number })
            }
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => {
                Some(Term { scalar: self.number(expr)?, value_type: ValueType::Number })
            }
            Expr::BinaryOp { left, op, right } if !is_condition(expression) => {
                self.arithmetic(left, op, right, expression)
            }
            _ if is_condition(expression) => {
                let message = format!("expected a value, found the condition `{expression}`");
                let hint = "conditions are operands of AND, OR, NOT, IS, COALESCE, = and <> only";
                self.refuse(expression, message, Some(hint.into()))
            }
            _ => {
                let message = format!("expected a feature, a literal or arithmetic, found `{expression}`");
                self.refuse(expression, message, None)
            }
        }
    }

    fn number(&mut self, expression: &Expr) -> Option<Scalar> {
        let term = self.term(expression)?;
        self.expect(&term, expression, ValueType::Number, "a number for arithmetic")?;
        Some(term.scalar)
    }

    fn arithmetic(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, whole: &Expr) -> Option<Term> {
        let operator = match op {
            BinaryOperator::Plus => ArithmeticOperator::Add,
            BinaryOperator::Minus => ArithmeticOperator::Subtract,
            BinaryOperator::Multiply => ArithmeticOperator::Multiply,
            BinaryOperator::Divide => ArithmeticOperator::Divide,
            _ => {
                let message = format!("expected a value made with + - * or /, found `{whole}`");
                return self.refuse(whole, message, None);
            }
        };
        let (left, right) = (self.number(left), self.number(right));
        let scalar = Scalar::Arithmetic(operator, Box::new(left?), Box::new(right?));
        Some(Term { scalar, value_type: ValueType::Number })
    }

    fn literal(&mut self, value: &Value, expression: &Expr) -> Option<Term> {
        match value {
            Value::Null => Some(Term { scalar: Scalar::Null, value_type: ValueType::Null }),
            Value::Boolean(boolean) => Some(Term { scalar: Scalar::Boolean(*boolean), value_type: ValueType::Boolean }),
            Value::Number(text, false) => match Decimal::parse(text) {
                Some(decimal) => Some(Term { scalar: Scalar::Decimal(decimal), value_type: ValueType::Number }),
                None => {
                    let message =
                        format!("expected a number of at most {} digits, found `{text}`", Decimal::DIGITS_MAX);
                    self.refuse(expression, message, None)
                }
            },
            Value::SingleQuotedString(text) if text.len() <= TEXT_MAX => {
                Some(Term { scalar: Scalar::Text(text.as_str().into()), value_type: ValueType::Text })
            }
            Value::SingleQuotedString(text) => {
                let message = format!("expected text of at most {TEXT_MAX} bytes, found {}", text.len());
                self.refuse(expression, message, None)
            }
            _ => {
                let message = format!(
                    "expected a number, text in single quotes, TRUE, FALSE or NULL, found the literal `{expression}`"
                );
                self.refuse(expression, message, None)
            }
        }
    }

    /// `TIMESTAMP '…Z'` or `DATE '…'` (F4).
    fn moment(&mut self, literal: &TypedString, expression: &Expr) -> Option<Term> {
        let is_timestamp = matches!(literal.data_type, DataType::Timestamp(None, TimezoneInfo::None));
        let (Value::SingleQuotedString(text), true) =
            (&literal.value.value, is_timestamp || literal.data_type == DataType::Date)
        else {
            let message = format!("expected a moment, found `{expression}`");
            return self.refuse(expression, message, Some(MOMENTS.into()));
        };
        let moment = if is_timestamp { utc_moment(text) } else { midnight(text) };
        match moment.filter(moment_in_range) {
            Some(moment) => Some(Term { scalar: Scalar::Time(moment), value_type: ValueType::Time }),
            None => {
                let expected = if is_timestamp { "a moment in UTC with at most milliseconds" } else { "a date" };
                let message = format!("expected {expected} from 1900 to 2100, found `{expression}`");
                self.refuse(expression, message, Some(MOMENTS.into()))
            }
        }
    }

    /// A feature without parentheses, or an attribute.
    fn name(&mut self, name: &Ident, expression: &Expr) -> Option<Term> {
        if name.quote_style.is_some() {
            let message = format!("expected the name of a feature, found `{name}` in quotes");
            let hint = match self.is_known(&name.value.to_lowercase()) {
                true => format!("names are written without quotes: {}", name.value),
                false => in_single_quotes(&name.value),
            };
            return self.refuse(expression, message, Some(hint));
        }
        if self.scope == Scope::Event {
            return self.event_column(name, expression);
        }
        let lower = name.value.to_lowercase();
        if let Some(term) = self.attribute(&lower) {
            return Some(term);
        }
        let (message, hint) = match find::find(&lower) {
            Found::Feature(feature, window) => {
                let mut arguments = Arguments::none(self.event_settings);
                arguments.window = window;
                arguments.event_type = find::counted_type(feature.name).unwrap_or(arguments.event_type);
                return Some(feature_term(feature, arguments));
            }
            Found::NeedsWindow(feature) => (
                format!("expected `{}` with a window, found `{}` without", feature.name, name.value),
                Some(format!("write `{}_7d` or `{}_24h`", feature.name, feature.name)),
            ),
            Found::TakesNoWindow(feature) => (
                format!("expected `{}` without a window, found `{}`", feature.name, name.value),
                Some(format!("write `{}`", feature.name)),
            ),
            Found::WindowOutOfBounds(_) => (format!("expected a window from 1h to 400d, found `{}`", name.value), None),
            Found::Function(feature) => (
                format!("expected `{}` with arguments, found `{}` without", feature.name, name.value),
                Some(format!("write `{}`", example(feature))),
            ),
            Found::Reserved => later(&name.value),
            Found::Unknown => (
                format!("expected a feature or a declared attribute, found `{}`", name.value),
                self.nearest_feature(&lower),
            ),
        };
        self.refuse(expression, message, hint)
    }

    /// Whether a name in lower case is one that the condition can have, such as that of a feature.
    fn is_known(&self, name: &str) -> bool {
        if self.scope == Scope::Event {
            return self.is_event_column(name);
        }
        self.attribute(name).is_some() || !matches!(find::find(name), Found::Unknown)
    }

    /// A scalar beside another one. Names that are not known beside a text are most likely a text without quotes.
    pub fn term_beside(&mut self, expression: &Expr, other: Option<&Term>) -> Option<Term> {
        if !other.is_some_and(|other| other.value_type == ValueType::Text) || !self.are_unknown_names(expression) {
            return self.term(expression);
        }
        let written = expression.to_string().replace(' ', "");
        let (expected, nearest) = match self.scope {
            Scope::Customer => ("a feature or a declared attribute", self.nearest_feature(&written.to_lowercase())),
            Scope::Event => ("a column of the event or a declared property", None),
        };
        let message = format!("expected a text, {expected}, found `{written}`");
        let quotes = in_single_quotes(&written);
        let hint = match nearest {
            Some(nearest) => format!("{nearest} {quotes}"),
            None => quotes,
        };
        self.refuse(expression, message, Some(hint))
    }

    /// Whether an expression is a name that is not known, or several with `-` or `/` between them.
    fn are_unknown_names(&self, expression: &Expr) -> bool {
        match expression {
            Expr::BinaryOp { left, op: BinaryOperator::Minus | BinaryOperator::Divide, right } => {
                self.are_unknown_names(left) && self.are_unknown_names(right)
            }
            other => self.is_unknown_name(other),
        }
    }

    /// Whether an expression is a name that is not known.
    pub fn is_unknown_name(&self, expression: &Expr) -> bool {
        matches!(expression, Expr::Identifier(name) if name.quote_style.is_none() && !self.is_known(&name.value.to_lowercase()))
    }

    fn attribute(&self, name: &str) -> Option<Term> {
        let (index, attribute) =
            self.event_settings.declared_attributes().find(|(_, attribute)| attribute.name == name)?;
        let mut arguments = Arguments::none(self.event_settings);
        arguments.attribute = index;
        let unit = attribute_unit(attribute.kind);
        let call = Call::new(find::attribute(), unit, arguments);
        Some(Term { scalar: Scalar::Feature(Box::new(call)), value_type: ValueType::of(unit) })
    }

    /// The nearest feature or attribute, with the window that was written.
    fn nearest_feature(&self, written: &str) -> Option<String> {
        let attributes = self.event_settings.declared_attributes().map(|(_, attribute)| attribute.name.as_str());
        let names = FEATURES.iter().filter(|feature| feature.parameters != Parameters::Attribute);
        if let Some((base, suffix)) = written.rsplit_once('_')
            && suffix.starts_with(|digit: char| digit.is_ascii_digit())
        {
            if find::by_name(base).is_some() {
                return Some("windows are hours or days, such as `24h` or `30d`".into());
            }
            let windowed = |parameters| matches!(parameters, Parameters::Window | Parameters::OptionalWindow);
            let windowed_names = names.filter(|feature| windowed(feature.parameters)).map(|feature| feature.name);
            return nearest_name(base, windowed_names).map(|name| did_you_mean(&format!("{name}_{suffix}")));
        }
        nearest(written, names.map(|feature| feature.name).chain(attributes))
    }
}

fn in_single_quotes(text: &str) -> String {
    format!("text is written in single quotes: '{}'", text.replace('\'', "''"))
}

pub fn feature_term(feature: &'static Feature, arguments: Arguments) -> Term {
    let call = Call::new(feature, feature.unit, arguments);
    Term { scalar: Scalar::Feature(Box::new(call)), value_type: ValueType::of(feature.unit) }
}

/// Message and hint for a name that a later release will know.
pub fn later(name: &str) -> (String, Option<String>) {
    (
        format!("expected a feature of this release, found `{name}`"),
        Some("scores and models come in a later release".into()),
    )
}

/// The spellings of a function, for a message.
pub fn example(feature: &Feature) -> String {
    crate::engine::feature::print::spellings(feature).join("` or `")
}
