//! The sides of comparisons: literals, features, arithmetic and COALESCE, evaluated without allocation.
//!
//! Integers, money and decimal literals stay exact until arithmetic makes doubles of them (F2).

use super::event_column::EventColumn;
use super::values::TargetValues;
use crate::engine::event::{Event, Millis};
use crate::engine::feature::{Call, Unit, Value};
use crate::engine::profile::{Customer, HeldValue};
use std::cmp::Ordering;

/// An expression of one value.
#[derive(Clone, Debug)]
pub enum Scalar {
    Null,
    Decimal(Decimal),
    Text(Box<str>),
    Boolean(bool),
    /// TIMESTAMP or DATE.
    Time(Millis),
    Feature(Box<Call>),
    /// A column of the event, in conditions of counts of one's own.
    Column(EventColumn),
    /// segment() or audience() of a target.
    Target {
        index: u16,
        is_audience: bool,
    },
    Negative(Box<Scalar>),
    Arithmetic(ArithmeticOperator, Box<Scalar>, Box<Scalar>),
    Coalesce(Vec<Scalar>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithmeticOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A number as written: exact, and as the nearest double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decimal {
    /// The value is `digits / 10^decimals`; decimals at most 18.
    pub digits: i64,
    pub decimals: u32,
    pub double: f64,
    /// Written without point and exponent: published as an integer.
    pub is_integer: bool,
}

/// The value of a scalar for a customer at an instant.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    Null,
    Integer(i64),
    Money(i64, u32),
    Decimal(Decimal),
    Double(f64),
    Text(&'a str),
    Boolean(bool),
    Time(Millis),
    /// A set, which compares with nothing.
    Texts(&'a str),
}

/// What an evaluation reads.
#[derive(Clone, Copy)]
pub struct Facts<'a, 'b> {
    pub customer: &'b Customer<'a>,
    pub now: Millis,
    /// Values of segmentations and audiences.
    pub values: TargetValues<'a>,
    /// The event, in conditions of counts of one's own.
    pub event: Option<&'a Event<'a>>,
}

impl<'a> Facts<'a, '_> {
    /// The value of the segmentation from which a feature gets its category or channel, if it does.
    pub fn source(self, call: &Call) -> Option<&'a str> {
        let index = call.source_segment()?;
        match self.values {
            TargetValues::Stored(targets) => {
                let value = self.customer.held(index);
                (value != HeldValue::NULL).then(|| targets[usize::from(index)].value_name(value))
            }
            values => values.name(index),
        }
    }
}

impl Scalar {
    pub fn evaluate<'a>(&'a self, facts: Facts<'a, '_>) -> Operand<'a> {
        match self {
            Self::Null => Operand::Null,
            Self::Decimal(decimal) => Operand::Decimal(*decimal),
            Self::Text(text) => Operand::Text(text),
            Self::Boolean(boolean) => Operand::Boolean(*boolean),
            Self::Time(moment) => Operand::Time(*moment),
            Self::Feature(call) => call.read_with(facts.customer, facts.now, facts.source(call)).into(),
            Self::Column(column) => facts.event.map_or(Operand::Null, |event| column.read(event).into()),
            Self::Target { index, is_audience: false } => {
                facts.values.name(*index).map_or(Operand::Null, Operand::Text)
            }
            Self::Target { index, is_audience: true } => Operand::Boolean(facts.values.is_in(*index)),
            Self::Negative(of) => finite(of.evaluate(facts).double().map(|double| 0.0 - double)),
            Self::Arithmetic(operator, left, right) => {
                match (left.evaluate(facts).double(), right.evaluate(facts).double()) {
                    (Some(left), Some(right)) => finite(operator.apply(left, right)),
                    _ => Operand::Null,
                }
            }
            Self::Coalesce(of) => {
                let mut values = of.iter().map(|scalar| scalar.evaluate(facts));
                values.find(|value| !value.is_null()).unwrap_or(Operand::Null)
            }
        }
    }

    /// Calls `f` for this scalar and every scalar in it.
    fn for_each_part<'a>(&'a self, f: &mut impl FnMut(&'a Self)) {
        f(self);
        match self {
            Self::Negative(of) => of.for_each_part(f),
            Self::Arithmetic(_, left, right) => {
                left.for_each_part(f);
                right.for_each_part(f);
            }
            Self::Coalesce(of) => of.iter().for_each(|scalar| scalar.for_each_part(f)),
            Self::Null
            | Self::Decimal(_)
            | Self::Text(_)
            | Self::Boolean(_)
            | Self::Time(_)
            | Self::Column(_)
            | Self::Feature(_)
            | Self::Target { .. } => {}
        }
    }

    /// Calls `f` for every feature in it.
    pub fn for_each_feature(&self, f: &mut impl FnMut(&Call)) {
        self.for_each_part(&mut |part| {
            if let Self::Feature(call) = part {
                f(call);
            }
        });
    }

    /// Calls `f` for the index of every target that its value depends on.
    pub fn for_each_target(&self, f: &mut impl FnMut(u16)) {
        self.for_each_own_target(f);
        self.for_each_feature(&mut |call| call.source_segment().into_iter().for_each(&mut *f));
    }

    /// Calls `f` for the index of every target in it, but for those that stand in the place of a category or channel.
    pub fn for_each_own_target(&self, f: &mut impl FnMut(u16)) {
        self.for_each_part(&mut |part| {
            if let Self::Target { index, .. } = part {
                f(*index);
            }
        });
    }

    /// Calls `f` for every column of the event in it.
    pub fn for_each_column(&self, f: &mut impl FnMut(&EventColumn)) {
        self.for_each_part(&mut |part| {
            if let Self::Column(column) = part {
                f(column);
            }
        });
    }

    /// The value if it has no features and is not null.
    pub fn constant(&self) -> Option<f64> {
        self.constant_or_null().flatten()
    }

    /// The value if it has no features; `None` inside is null.
    pub fn constant_or_null(&self) -> Option<Option<f64>> {
        match self {
            Self::Null => Some(None),
            Self::Decimal(decimal) => Some(Some(decimal.double)),
            Self::Negative(of) => Some(of.constant_or_null()?.map(|of| 0.0 - of)),
            Self::Arithmetic(operator, left, right) => {
                let (left, right) = (left.constant_or_null()?, right.constant_or_null()?);
                let (Some(left), Some(right)) = (left, right) else { return Some(None) };
                Some(operator.apply(left, right).filter(|result| result.is_finite()))
            }
            _ => None,
        }
    }

    /// The unit of a feature that is a duration, if the scalar is nothing but that.
    pub fn duration_unit(&self) -> Option<Unit> {
        match self {
            Self::Feature(call) if call.unit.millis().is_some() => Some(call.unit),
            _ => None,
        }
    }
}

impl ArithmeticOperator {
    /// `None` for a division by 0.
    fn apply(self, left: f64, right: f64) -> Option<f64> {
        match self {
            Self::Add => Some(left + right),
            Self::Subtract => Some(left - right),
            Self::Multiply => Some(left * right),
            Self::Divide => (right != 0.0).then(|| left / right),
        }
    }
}

/// A result that a JSON number cannot represent is null.
fn finite<'a>(double: Option<f64>) -> Operand<'a> {
    double.filter(|double| double.is_finite()).map_or(Operand::Null, Operand::Double)
}

impl<'a> Operand<'a> {
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Digits and decimals of an exact number.
    fn exact(&self) -> Option<(i64, u32)> {
        match *self {
            Self::Integer(integer) => Some((integer, 0)),
            Self::Money(minor, decimals) => Some((minor, decimals)),
            Self::Decimal(decimal) => Some((decimal.digits, decimal.decimals)),
            _ => None,
        }
    }

    pub fn double(&self) -> Option<f64> {
        match *self {
            Self::Integer(integer) => Some(integer as f64),
            Self::Money(minor, decimals) => Some(minor as f64 / 10_i64.pow(decimals) as f64),
            Self::Decimal(decimal) => Some(decimal.double),
            Self::Double(double) => Some(double),
            _ => None,
        }
    }

    /// The order of two values of comparable types; `None` if one of them is null.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
            (Self::Boolean(left), Self::Boolean(right)) => Some(left.cmp(right)),
            (Self::Time(left), Self::Time(right)) => Some(left.cmp(right)),
            _ => match (self.exact(), other.exact()) {
                (Some(left), Some(right)) => Some(order_exact(left, right)),
                _ => self.double()?.partial_cmp(&other.double()?),
            },
        }
    }

    /// As it is published.
    pub fn value(self) -> Value<'a> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(integer) => Value::Integer(integer),
            Self::Money(minor, decimals) => Value::Money(minor, decimals),
            Self::Decimal(Decimal { digits, is_integer: true, .. }) => Value::Integer(digits),
            Self::Decimal(decimal) => Value::Double(decimal.double),
            Self::Double(double) => Value::Double(double),
            Self::Text(text) => Value::Text(text),
            Self::Boolean(boolean) => Value::Boolean(boolean),
            Self::Time(moment) => Value::Time(moment),
            Self::Texts(set) => Value::Texts(set),
        }
    }
}

/// Compares `digits / 10^decimals`: digits of 64 bits and at most 18 decimals fit 128 bits.
fn order_exact((left, left_decimals): (i64, u32), (right, right_decimals): (i64, u32)) -> Ordering {
    if left_decimals == right_decimals {
        return left.cmp(&right);
    }
    let common = left_decimals.max(right_decimals);
    let scale = |digits: i64, decimals: u32| i128::from(digits) * 10_i128.pow(common - decimals);
    scale(left, left_decimals).cmp(&scale(right, right_decimals))
}

impl<'a> From<Value<'a>> for Operand<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(integer) => Self::Integer(integer),
            Value::Money(minor, decimals) => Self::Money(minor, decimals),
            Value::Double(double) => Self::Double(double),
            Value::Text(text) => Self::Text(text),
            Value::Boolean(boolean) => Self::Boolean(boolean),
            Value::Time(moment) => Self::Time(moment),
            Value::Texts(set) => Self::Texts(set),
        }
    }
}

impl Decimal {
    /// Significant digits of a literal at most.
    pub const DIGITS_MAX: usize = 18;

    /// Reads a number literal of SQL without the trailing zeros of its fraction. `None` if it has too many digits.
    pub fn parse(text: &str) -> Option<Self> {
        let double: f64 = text.parse().ok()?;
        let is_integer = text.bytes().all(|byte| byte.is_ascii_digit());
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_end_matches('0');
        let zeros = i32::try_from(all.len() - significant.len()).ok()?;
        let power = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?.checked_add(zeros)?;
        if significant.trim_start_matches('0').is_empty() {
            return Some(Self { digits: 0, decimals: 0, double: 0.0, is_integer });
        }
        let digits: i64 = significant.parse().ok()?;
        let (digits, decimals) = match u32::try_from(power) {
            Ok(power) => (digits.checked_mul(10_i64.checked_pow(power)?)?, 0),
            Err(_) => (digits, power.unsigned_abs()),
        };
        let limit = 10_i64.pow(Self::DIGITS_MAX as u32);
        (digits < limit && decimals <= Self::DIGITS_MAX as u32).then_some(Self { digits, decimals, double, is_integer })
    }

    pub fn whole(digits: i64) -> Self {
        Self { digits, decimals: 0, double: digits as f64, is_integer: true }
    }

    pub fn negative(self) -> Self {
        Self { digits: -self.digits, double: 0.0 - self.double, ..self }
    }
}
