//! How scalars move with time (F2): only linearly with constant factors, and not so that two sides move alike.
//!
//! Between steps a moving comparison's sides are straight lines, so their order turns at most twice and bisection finds where.

use super::scalar::{Operator, Scalar};
use crate::engine::feature::Unit;

/// How fast a scalar grows, as far as the rules alone say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Units per day by features in days and minutes.
    known: f64,
    /// Sum of the sizes of the parts of `known`.
    known_size: f64,
    /// Factor of features whose speed differs by customer (overdue_ratio).
    ratio: f64,
    /// Sum of the sizes of its parts.
    ratio_size: f64,
}

/// Why a scalar's movement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A moving feature is multiplied by something that is not constant, or stands below a line.
    NotLinear,
    /// The movements of several features (may) leave nothing that moves: only rounding would decide.
    Cancels,
    /// There are too many ways in which COALESCE may choose.
    TooMany,
}

impl Refused {
    /// What is expected instead, and what to do.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NotLinear => (
                "features that move with time (days, minutes, overdue_ratio) with constant factors only",
                "divide or multiply the other side of the comparison instead",
            ),
            Self::Cancels => (
                "sides that move with time differently",
                "durations of one unit compare by themselves, without arithmetic",
            ),
            Self::TooMany => ("at most 64 ways in which COALESCE may choose", "write several comparisons"),
        }
    }
}

/// Ways to choose among the arguments of COALESCE at most.
const WAYS_MAX: usize = 64;

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

    /// Whether its parts (may) stand still together although each moves: then only rounding would decide.
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
        // A customer's own speed may be any: all parts must pull the same way.
        mixed(self.known, self.known_size)
            || mixed(self.ratio, self.ratio_size)
            || (self.known > 0.0) != (self.ratio > 0.0)
    }
}

/// The value of a scalar without features; `None` inside is NULL.
pub fn constant_or_null(scalar: &Scalar) -> Option<Option<f64>> {
    match scalar {
        Scalar::Null => Some(None),
        Scalar::Decimal(decimal) => Some(Some(decimal.double)),
        Scalar::Negative(of) => Some(constant_or_null(of)?.map(|of| 0.0 - of)),
        Scalar::Arithmetic(operator, left, right) => {
            let (left, right) = (constant_or_null(left)?, constant_or_null(right)?);
            let (Some(left), Some(right)) = (left, right) else { return Some(None) };
            Some(operator.apply(left, right).filter(|result| result.is_finite()))
        }
        _ => None,
    }
}

/// The value of a scalar without features that is not NULL.
pub fn constant(scalar: &Scalar) -> Option<f64> {
    constant_or_null(scalar).flatten()
}

/// The speeds a scalar may have, one for each way COALESCE may choose.
pub fn speeds(scalar: &Scalar) -> Result<Vec<Speed>, Refused> {
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
            if all.len() > WAYS_MAX { Err(Refused::TooMany) } else { Ok(all) }
        }
        _ => Ok(still),
    }
}

fn arithmetic(operator: Operator, left: &Scalar, right: &Scalar) -> Result<Vec<Speed>, Refused> {
    let (left_speeds, right_speeds) = (speeds(left)?, speeds(right)?);
    let moves = |speeds: &[Speed]| speeds.iter().any(Speed::moves);
    let scaled = |speeds: Vec<Speed>, factor: f64| speeds.into_iter().map(|speed| speed.times(factor)).collect();
    match operator {
        Operator::Plus => sums(&left_speeds, &right_speeds, 1.0),
        Operator::Minus => sums(&left_speeds, &right_speeds, -1.0),
        Operator::Times | Operator::By if !moves(&left_speeds) && !moves(&right_speeds) => Ok(vec![Speed::default()]),
        Operator::By if moves(&right_speeds) => Err(Refused::NotLinear),
        Operator::Times if moves(&right_speeds) => {
            let factor = constant_or_null(left).ok_or(Refused::NotLinear)?;
            Ok(scaled(right_speeds, factor.unwrap_or(0.0)))
        }
        Operator::Times => {
            let factor = constant_or_null(right).ok_or(Refused::NotLinear)?;
            Ok(scaled(left_speeds, factor.unwrap_or(0.0)))
        }
        Operator::By => {
            let divisor = constant_or_null(right).ok_or(Refused::NotLinear)?;
            Ok(scaled(left_speeds, divisor.filter(|divisor| *divisor != 0.0).map_or(0.0, |divisor| 1.0 / divisor)))
        }
    }
}

/// Every speed of the left with every one of the right.
pub fn sums(left: &[Speed], right: &[Speed], factor: f64) -> Result<Vec<Speed>, Refused> {
    if left.len() * right.len() > WAYS_MAX {
        return Err(Refused::TooMany);
    }
    Ok(left.iter().flat_map(|one| right.iter().map(move |other| one.plus(other.times(factor)))).collect())
}
