//! Values of all targets, as segment() and audience() read them: those held, or those decided so far.

use super::target::{IN, Target};
use crate::engine::event::Millis;
use crate::engine::profile::HeldValue;

/// The value of a target after an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub value: u16,
    /// `since + min_dwell` if the rules want another value but the dwell holds this one: a deadline. Else `NEVER`.
    pub waits_until: Millis,
}

/// Where segment() and audience() get their values.
#[derive(Clone, Copy)]
pub enum TargetValues<'a> {
    /// For comparisons that do not refer to targets.
    None,
    Held(&'a [Target], &'a [HeldValue]),
    /// Those that the customer itself holds.
    Stored(&'a [Target]),
    /// Of the targets decided so far.
    Decided(&'a [Target], &'a [Decision]),
}

impl<'a> TargetValues<'a> {
    fn get(self, target: u16) -> Option<(&'a Target, u16)> {
        let index = usize::from(target);
        let (targets, value) = match self {
            Self::None | Self::Stored(_) => return None,
            Self::Held(targets, held) => (targets, held[index].value),
            Self::Decided(targets, decided) => (targets, decided[index].value),
        };
        (value != HeldValue::NULL).then_some((&targets[index], value))
    }

    /// The name of the value; `None` for null.
    pub fn name(self, target: u16) -> Option<&'a str> {
        self.get(target).map(|(target, value)| target.value_name(value))
    }

    pub fn is_in(self, target: u16) -> bool {
        self.get(target).is_some_and(|(_, value)| value == IN)
    }
}
