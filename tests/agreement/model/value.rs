//! Values and how they compare (F1, F2): integers and money exactly, durations of one unit by their milliseconds,
//! everything else in doubles. `None` stands for NULL.

use super::expression::Pattern;
use super::{moment, money};
use rust_decimal::Decimal;
use std::cmp::Ordering;

pub const DAY: i64 = 86_400_000;
pub const HOUR: i64 = 3_600_000;
pub const MINUTE: i64 = 60_000;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Boolean(bool),
    Text(String),
    Integer(i64),
    /// A literal that is not an integer, as written.
    Literal(String),
    Money {
        minor: i64,
        decimals: u32,
    },
    Double(f64),
    /// Days or minutes: `milliseconds / unit`.
    Duration {
        milliseconds: i64,
        unit: i64,
    },
    Moment(i64),
    /// Distinct texts in order of their bytes.
    Texts(Vec<String>),
}

impl Value {
    pub fn days(milliseconds: i64) -> Value {
        Value::Duration { milliseconds, unit: DAY }
    }

    /// The number as a double; `None` if the value is not a number.
    pub fn double(&self) -> Option<f64> {
        match self {
            Value::Integer(integer) => Some(*integer as f64),
            Value::Literal(text) => Some(text.parse().expect("a literal is a number")),
            Value::Money { minor, decimals } => Some(*minor as f64 / 10_f64.powi(*decimals as i32)),
            Value::Double(double) => Some(*double),
            Value::Duration { milliseconds, unit } => Some(*milliseconds as f64 / *unit as f64),
            Value::Boolean(_) | Value::Text(_) | Value::Moment(_) | Value::Texts(_) => None,
        }
    }

    fn exact(&self) -> Option<Decimal> {
        match self {
            Value::Integer(integer) => Some(Decimal::from(*integer)),
            Value::Literal(text) => Decimal::from_str_exact(text).ok(),
            Value::Money { minor, decimals } => Some(Decimal::new(*minor, *decimals)),
            _ => None,
        }
    }

    /// As changes contain it.
    pub fn json(&self) -> String {
        match self {
            Value::Boolean(boolean) => boolean.to_string(),
            Value::Text(text) => json_text(text),
            Value::Integer(integer) => integer.to_string(),
            Value::Money { minor, decimals } => format!("\"{}\"", money::major_text(*minor, *decimals)),
            Value::Texts(texts) => serde_json::to_string(texts).expect("texts"),
            Value::Moment(moment) => format!("\"{}\"", moment::text(*moment)),
            number => serde_json::to_string(&number.double()).expect("a number"),
        }
    }
}

/// A JSON string as serde_json escapes it.
pub fn json_text(text: &str) -> String {
    serde_json::to_string(text).expect("a text")
}

/// The order of two values of comparable types.
pub fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Boolean(left), Value::Boolean(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
        (Value::Moment(left), Value::Moment(right)) => Some(left.cmp(right)),
        (Value::Duration { milliseconds: left, unit: one }, Value::Duration { milliseconds: right, unit: other })
            if one == other =>
        {
            Some(left.cmp(right))
        }
        _ => match (left.exact(), right.exact()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.double().expect("a number").partial_cmp(&right.double().expect("a number")),
        },
    }
}

/// LIKE: `%` any characters, `_` exactly one, everything else itself.
pub fn like(text: &[char], pattern: &[Pattern]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((Pattern::Anything, rest)) => (0..=text.len()).any(|skipped| like(&text[skipped..], rest)),
        Some((Pattern::OneCharacter, rest)) => !text.is_empty() && like(&text[1..], rest),
        Some((Pattern::Character(one), rest)) => text.first() == Some(one) && like(&text[1..], rest),
    }
}
