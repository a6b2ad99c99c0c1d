//! How scalars move with time (F2): only linearly with constant factors, and never both sides of a comparison alike.
//!
//! Between steps the sides of a comparison that moves are straight lines, so their order changes at most twice, and
//! bisection finds where.

use crate::engine::feature::Unit;
use crate::engine::rule::compiled::scalar::{ArithmeticOperator, Scalar};

/// How fast a scalar grows, as far as the rules alone determine it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Units per day by features in days and minutes.
    known: f64,
    /// Sum of the absolute values of the parts of `known`.
    known_size: f64,
    /// Factor of features whose speed differs by customer (overdue_ratio).
    ratio: f64,
    /// Sum of the absolute values of the parts of `ratio`.
    ratio_size: f64,
}

/// Why the movement of a scalar or comparison is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovementError {
    /// A feature that moves is multiplied by something that is not constant, or is a divisor.
    NotLinear,
    /// The movements of several features (may) cancel each other: only rounding would decide.
    Cancels,
    /// COALESCE has too many combinations of arguments.
    TooManySpeeds,
}

impl MovementError {
    /// What is expected instead, and what to do.
    pub fn message(self) -> (&'static str, &'static str) {
        match self {
            Self::NotLinear => (
                "features that move with time (days, minutes, overdue_ratio) with constant factors only",
                "divide or multiply the other side of the comparison instead",
            ),
            Self::Cancels => (
                "sides that move with time differently",
                "durations of one unit compare by themselves, without arithmetic",
            ),
            Self::TooManySpeeds => ("at most 64 combinations of arguments of COALESCE", "write several comparisons"),
        }
    }
}

/// Combinations of arguments of COALESCE at most.
const SPEEDS_MAX: usize = 64;

impl Speed {
    pub fn moves(&self) -> bool {
        self.known_size > 0.0 || self.ratio_size > 0.0
    }

    fn times(self, factor: f64) -> Self {
        let size = factor.abs();
        Self {
            known: self.known * factor,
            known_size: self.known_size * size,
            ratio: self.ratio * factor,
            ratio_size: self.ratio_size * size,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            known: self.known + other.known,
            known_size: self.known_size + other.known_size,
            ratio: self.ratio + other.ratio,
            ratio_size: self.ratio_size + other.ratio_size,
        }
    }

    /// Whether its parts (may) cancel each other although each moves: then only rounding would decide.
    pub fn cancels(&self) -> bool {
        const NEARLY: f64 = 1e-6;
        if !self.moves() {
            return false;
        }
        let known_cancels = self.known_size > 0.0 && self.known.abs() < NEARLY * self.known_size;
        let ratio_cancels = self.ratio_size > 0.0 && self.ratio.abs() < NEARLY * self.ratio_size;
        let mixed = |part: f64, size: f64| part.abs() < size * (1.0 - NEARLY);
        if self.ratio_size == 0.0 {
            return known_cancels;
        }
        if self.known_size == 0.0 {
            return ratio_cancels;
        }
        // The speed of a customer's own ratio is not known, so all parts must have the same sign.
        mixed(self.known, self.known_size)
            || mixed(self.ratio, self.ratio_size)
            || (self.known > 0.0) != (self.ratio > 0.0)
    }
}

/// The speeds a scalar may have, one for each combination of arguments of COALESCE.
pub fn speeds(scalar: &Scalar) -> Result<Vec<Speed>, MovementError> {
    let still = vec![Speed::default()];
    match scalar {
        Scalar::Feature(call) => Ok(vec![match call.unit {
            Unit::Days => Speed { known: 1.0, known_size: 1.0, ..Speed::default() },
            Unit::Minutes => Speed { known: 1_440.0, known_size: 1_440.0, ..Speed::default() },
            Unit::Ratio => Speed { ratio: 1.0, ratio_size: 1.0, ..Speed::default() },
            _ => Speed::default(),
        }]),
        Scalar::Negative(of) => Ok(speeds(of)?.into_iter().map(|speed| speed.times(-1.0)).collect()),
        Scalar::Arithmetic(operator, left, right) => arithmetic(*operator, left, right),
        Scalar::Coalesce(of) => {
            let mut all: Vec<Speed> = Vec::new();
            for scalar in of {
                for speed in speeds(scalar)? {
                    if !all.contains(&speed) {
                        all.push(speed);
                    }
                }
            }
            if all.len() > SPEEDS_MAX { Err(MovementError::TooManySpeeds) } else { Ok(all) }
        }
        _ => Ok(still),
    }
}

fn arithmetic(operator: ArithmeticOperator, left: &Scalar, right: &Scalar) -> Result<Vec<Speed>, MovementError> {
    let (left_speeds, right_speeds) = (speeds(left)?, speeds(right)?);
    let moves = |speeds: &[Speed]| speeds.iter().any(Speed::moves);
    let scaled = |speeds: Vec<Speed>, factor: f64| speeds.into_iter().map(|speed| speed.times(factor)).collect();
    match operator {
        ArithmeticOperator::Add => sums(&left_speeds, &right_speeds, 1.0),
        ArithmeticOperator::Subtract => sums(&left_speeds, &right_speeds, -1.0),
        ArithmeticOperator::Multiply | ArithmeticOperator::Divide if !moves(&left_speeds) && !moves(&right_speeds) => {
            Ok(vec![Speed::default()])
        }
        ArithmeticOperator::Divide if moves(&right_speeds) => Err(MovementError::NotLinear),
        ArithmeticOperator::Multiply if moves(&right_speeds) => {
            let factor = left.constant_or_null().ok_or(MovementError::NotLinear)?;
            Ok(scaled(right_speeds, factor.unwrap_or(0.0)))
        }
        ArithmeticOperator::Multiply => {
            let factor = right.constant_or_null().ok_or(MovementError::NotLinear)?;
            Ok(scaled(left_speeds, factor.unwrap_or(0.0)))
        }
        ArithmeticOperator::Divide => {
            let divisor = right.constant_or_null().ok_or(MovementError::NotLinear)?;
            Ok(scaled(left_speeds, divisor.filter(|divisor| *divisor != 0.0).map_or(0.0, |divisor| 1.0 / divisor)))
        }
    }
}

/// Every speed of the left with every one of the right.
pub fn sums(left: &[Speed], right: &[Speed], factor: f64) -> Result<Vec<Speed>, MovementError> {
    if left.len() * right.len() > SPEEDS_MAX {
        return Err(MovementError::TooManySpeeds);
    }
    Ok(left.iter().flat_map(|one| right.iter().map(move |other| one.plus(other.times(factor)))).collect())
}
