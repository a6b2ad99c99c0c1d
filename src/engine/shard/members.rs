//! How many customers hold which value, kept as values change: nothing ever walks over all customers to count them.
//!
//! A value's place in the table is that of its target, times 256, and its own: 250 segments at most, and one place for
//! null. So a change costs one subtraction and one addition, whatever the rules are.

use super::Shard;
use crate::engine::profile::HeldValue;
use crate::engine::rule::{Rules, Target};

/// Values of a target, null as the last.
pub(super) const VALUES: usize = 256;
pub(super) const NULL: usize = VALUES - 1;

/// The place of a value of a target in tables like this one.
fn place_of(target: usize, value: u16) -> usize {
    target * VALUES + usize::from(value).min(NULL)
}

/// All values of the rules' targets with their places in such tables, null last.
fn places(rules: &Rules) -> impl Iterator<Item = (&Target, u16, usize)> {
    rules.targets.iter().enumerate().flat_map(|(place, target)| {
        let values = target.values().chain([HeldValue::NULL]);
        values.map(move |value| (target, value, place_of(place, value)))
    })
}

/// Customers by the values that they hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Members(Vec<u32>);

impl Members {
    /// A customer comes who holds these.
    pub fn enter(&mut self, held: impl ExactSizeIterator<Item = HeldValue>) {
        if self.0.len() < held.len() * VALUES {
            self.0.resize(held.len() * VALUES, 0);
        }
        held.enumerate().for_each(|(target, held)| self.0[place_of(target, held.value)] += 1);
    }

    /// A customer goes who held these.
    pub fn leave(&mut self, held: &[HeldValue]) {
        held.iter().enumerate().for_each(|(target, held)| self.0[place_of(target, held.value)] -= 1);
    }

    /// A customer who is counted goes from one value of a target to another.
    pub fn shift(&mut self, target: usize, from: u16, to: u16) {
        self.0[place_of(target, from)] -= 1;
        self.0[place_of(target, to)] += 1;
    }

    fn tell(&self, rules: &Rules, tell: &mut impl FnMut(&Target, u16, u32)) {
        for (target, value, place) in places(rules) {
            tell(target, value, self.0.get(place).copied().unwrap_or(0));
        }
    }
}

impl Shard {
    /// How many customers hold each value, [`HeldValue::NULL`] included. While a sweep goes on those it has not come to are told
    /// of too, with their targets of the rules before: whoever adds up does so by names.
    pub fn members(&self, mut tell: impl FnMut(&Target, u16, u32)) {
        self.members.tell(&self.rules, &mut tell);
        if let Some(sweep) = &self.sweep {
            sweep.members.tell(&sweep.old, &mut tell);
        }
    }

    /// Counts all customers anew.
    pub(super) fn count_anew(&mut self) {
        (self.members, self.agenda) = Default::default();
        let mut held = Vec::new();
        for row in self.profiles.rows() {
            self.profiles.held(row, &mut held);
            self.members.enter(held.iter().copied());
            self.agenda.add(self.profiles.row(row).armed);
        }
    }
}
