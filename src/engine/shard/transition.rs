//! One segmentation or audience that goes from one value to another, by the names that are published.

use crate::engine::event::Millis;
use crate::engine::profile::HeldValue;
use crate::engine::rule::{Direction, Target};

/// One value that goes to another.
pub struct Transition<'a> {
    pub segmentation: &'a str,
    pub from: Option<&'a str>,
    pub from_since: Option<Millis>,
    pub to: Option<&'a str>,
    pub direction: Direction,
    /// The value before comes back within a day.
    pub is_return: bool,
    /// The first value that new rules or a bootstrap give (R14).
    pub is_fill: bool,
}

impl<'a> Transition<'a> {
    /// From the value that a customer holds to `to`, at `at`.
    pub fn new(target: &'a Target, held: HeldValue, to: u16, at: Millis) -> Self {
        Self {
            segmentation: &target.name,
            from: value_name(target, held.value),
            from_since: (held.value != HeldValue::NULL).then_some(held.since),
            to: value_name(target, to),
            direction: target.direction(held.value, to),
            is_return: held.is_return(to, at),
            is_fill: false,
        }
    }

    /// The first value that is published of a customer that held it before (R11).
    pub fn bootstrap(target: &'a Target, to: u16) -> Self {
        Self {
            segmentation: &target.name,
            from: None,
            from_since: None,
            to: value_name(target, to),
            direction: Direction::None,
            is_return: false,
            is_fill: true,
        }
    }
}

/// The name of a value; null has none.
pub fn value_name(target: &Target, value: u16) -> Option<&str> {
    (value != HeldValue::NULL).then(|| target.value_name(value))
}
