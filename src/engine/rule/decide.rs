//! Which values follow from the truths: first match, hysteresis of `exit`, dwell (R2, R5), in order of dependence.

use super::scalar::{Facts, Operand};
use super::truth::Truths;
use super::{Audience, Kind, Rules};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::{Customer, Held};

/// An audience's values.
pub const OUT: u16 = 0;
pub const IN: u16 = 1;

/// The value of a target after an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    pub value: u16,
    /// `since + min_dwell` when the rules want another value but dwell holds this one: a deadline. Else `NEVER`.
    pub waits_until: Millis,
}

/// Where segment() and audience() get their values.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// Nowhere: for comparisons that do not ask.
    Unknown,
    Held(&'a Rules, &'a [Held]),
    /// Of the targets decided so far.
    Decided(&'a Rules, &'a [Decided]),
}

impl<'a> Values<'a> {
    fn get(self, target: u16) -> Option<(&'a Rules, u16)> {
        let (rules, value) = match self {
            Self::Unknown => return None,
            Self::Held(rules, held) => (rules, held[usize::from(target)].value),
            Self::Decided(rules, decided) => (rules, decided[usize::from(target)].value),
        };
        (value != Held::NULL).then_some((rules, value))
    }

    pub(super) fn segment(self, target: u16) -> Operand<'a> {
        let value = self.get(target);
        value
            .map_or(Operand::Null, |(rules, value)| Operand::Text(rules.targets[usize::from(target)].value_name(value)))
    }

    pub(super) fn is_in(self, target: u16) -> bool {
        self.get(target).is_some_and(|(_, value)| value == IN)
    }
}

impl Rules {
    /// Fills the comparisons on segment() and audience() from held values.
    pub fn read_held(&self, held: &[Held], truths: &mut Truths) {
        truths.resize(self.comparisons.len());
        self.read_targets(&self.on_targets, Values::Held(self, held), truths);
    }

    fn read_targets(&self, which: &[u16], values: Values<'_>, truths: &mut Truths) {
        let customer = &Customer::unknown("");
        for place in which {
            let test = &self.comparisons[usize::from(*place)].test;
            truths.set(*place, test.truth(Facts { customer, now: 0, values }));
        }
    }

    /// The values of all targets after an evaluation at `now`; fills the comparisons on targets in `truths` on the way.
    pub fn decide(
        &self,
        truths: &mut Truths,
        held: &[Held],
        now: Millis,
        obey_dwell: bool,
        decided: &mut Vec<Decided>,
    ) {
        truths.resize(self.comparisons.len());
        decided.clear();
        decided.resize(self.targets.len(), Decided { value: Held::NULL, waits_until: NEVER });
        for target in &self.order {
            self.decide_one(usize::from(*target), truths, held, now, obey_dwell, decided);
        }
    }

    /// Decides one target; those it refers to have been decided.
    pub(super) fn decide_one(
        &self,
        target: usize,
        truths: &mut Truths,
        held: &[Held],
        now: Millis,
        obey_dwell: bool,
        decided: &mut [Decided],
    ) {
        self.read_targets(&self.targets[target].on_targets, Values::Decided(self, decided), truths);
        let held = held[target];
        let wanted = self.wanted(target, truths, held.value);
        let end = held.since.saturating_add(self.targets[target].dwell(held.value));
        let holds = obey_dwell && wanted != held.value && held.value != Held::NULL && held.dwells && now < end;
        decided[target] = match holds {
            true => Decided { value: held.value, waits_until: end },
            false => Decided { value: wanted, waits_until: NEVER },
        };
    }

    /// The value that the rules want, dwell apart (R2).
    pub fn wanted(&self, target: usize, truths: &Truths, held: u16) -> u16 {
        match &self.targets[target].kind {
            Kind::Segmentation { segments, .. } => {
                let mut conditions = segments.iter().map(|segment| segment.condition.as_ref());
                let first = conditions.position(|condition| condition.is_none_or(|of| of.truth(truths).is_true()));
                first.unwrap_or(segments.len() - 1) as u16
            }
            Kind::Audience(Audience { when, exit, .. }) => {
                let leaves = exit.as_ref().is_some_and(|exit| exit.truth(truths).is_true());
                let stays = held == IN && exit.is_some();
                if !leaves && (stays || when.truth(truths).is_true()) { IN } else { OUT }
            }
        }
    }
}
