//! Which truths of a customer's comparisons are read, and when: as few as decide.
//!
//! After an event each truth is read when a condition first asks for it ([`Reading`]). The truths before the event are
//! asked for only where a value may change, when most of them can still be told: a comparison that the event's type
//! does not affect is as it was, and a count was lower by what the event added. Only the others are read before every
//! event.

use super::Rules;
use super::compiled::comparison::Comparison;
use super::compiled::scalar::Facts;
use super::compiled::truth::{Truth, Truths};
use super::compiled::values::TargetValues;
use crate::engine::event::{EventType, Millis};
use crate::engine::profile::Customer;

/// The truths of a customer's comparisons at an instant. Each is read when it is first asked for, and then remembered.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub(super) rules: &'a Rules,
    pub(super) customer: &'a Customer<'a>,
    pub(super) now: Millis,
    known: &'a Truths,
}

/// What an event in order adds to the counts of the customer's newest hours.
#[derive(Clone, Copy)]
pub struct AddedEvents {
    pub event_type: EventType,
    pub starts_session: bool,
    /// The counts of one's own that count the event, one bit each.
    pub own_counts: u32,
}

impl Reading<'_> {
    #[inline]
    pub fn get(&self, comparison: u16) -> Truth {
        self.known.known(comparison).unwrap_or_else(|| self.read_comparison(comparison))
    }

    #[inline(never)]
    fn read_comparison(&self, comparison: u16) -> Truth {
        let truth = self.rules.truth(&self.rules.comparisons[usize::from(comparison)], self.customer, self.now);
        self.known.set(comparison, truth);
        truth
    }
}

impl AddedEvents {
    /// How many events of a type.
    fn of(self, counted: EventType) -> u64 {
        let is_added = match counted.own_count_index() {
            Some(index) => self.own_counts >> index & 1 == 1,
            None if counted == EventType::SESSION => self.starts_session,
            None => counted == self.event_type,
        };
        is_added.into()
    }
}

impl Rules {
    /// Begins to read truths, of which none is known.
    #[inline]
    pub fn begin_reading(&self, truths: &mut Truths) {
        truths.begin(self.comparisons.len());
    }

    /// The truths of a customer at `now`, of which `known` has some or none.
    #[inline]
    pub fn reading<'a>(&'a self, customer: &'a Customer<'a>, now: Millis, known: &'a Truths) -> Reading<'a> {
        Reading { rules: self, customer, now, known }
    }

    /// Reads the truths of the given comparisons at `now` into `truths`.
    #[inline(never)]
    pub fn read_truths(&self, comparisons: &[u16], customer: &Customer<'_>, now: Millis, truths: &Truths) {
        for index in comparisons {
            truths.set(*index, self.truth(&self.comparisons[usize::from(*index)], customer, now));
        }
    }

    /// Reads the truths before an event in order, of the type's comparisons that cannot be told afterwards.
    #[inline(never)]
    pub fn read_truths_before_event(
        &self,
        event_type: EventType,
        customer: &Customer<'_>,
        now: Millis,
        before: &Truths,
    ) {
        for index in &self.lost[event_type.index()] {
            before.set(*index, self.truth(&self.comparisons[usize::from(*index)], customer, now));
        }
    }

    /// Whether the truths of the comparisons that an event of this type affects are the same before and after it.
    /// Those in `before` that are not known follow from the customer after the event.
    #[inline(never)]
    pub fn has_same_truths(&self, added: AddedEvents, before: &Truths, after: &Reading<'_>) -> bool {
        let mut is_same = true;
        for &index in self.affected_comparisons(added.event_type) {
            let truth = before.known(index).unwrap_or_else(|| {
                let range = self.comparisons[usize::from(index)].range.as_ref().expect("a count has a range");
                let truth = range.truth_before(after.customer, after.now, added.of(range.call.arguments.event_type));
                before.set(index, truth);
                truth
            });
            is_same &= truth == after.get(index);
        }
        is_same
    }

    #[inline]
    fn truth(&self, comparison: &Comparison, customer: &Customer<'_>, now: Millis) -> Truth {
        match comparison.on_targets {
            false => comparison.truth(customer, now),
            true => comparison.predicate.truth(self.facts(customer, now)),
        }
    }

    /// What a comparison on both customers and targets reads: the targets' values are those that the customer holds.
    pub(super) fn facts<'a, 'b>(&'a self, customer: &'b Customer<'a>, now: Millis) -> Facts<'a, 'b> {
        Facts { customer, now, values: TargetValues::Stored(&self.targets), event: None }
    }

    /// The first instant after `now` at which one of the comparisons may change its truth if nothing else happens:
    /// never too late, possibly too early, `NEVER` if there is none. `truths` are those of `now`.
    #[cfg(test)]
    pub fn next_flip(&self, comparisons: &[u16], customer: &Customer<'_>, now: Millis, truths: &Truths) -> Millis {
        let flips = comparisons.iter().map(|index| {
            let comparison = &self.comparisons[usize::from(*index)];
            comparison.next_flip(customer, now, truths.get(*index))
        });
        flips.min().unwrap_or(crate::engine::event::NEVER)
    }
}
