//! Counts of one's own (B8): for which of them an accepted event is counted.

use super::comparison::Comparison;
use super::condition::Condition;
use super::scalar::Facts;
use super::values::TargetValues;
use crate::engine::event::{Event, EventType};
use crate::engine::event_settings::EventSettings;
use crate::engine::profile::Customer;

/// A condition on one event, with its comparisons.
#[derive(Debug)]
pub struct EventCondition {
    pub condition: Condition,
    pub comparisons: Vec<Comparison>,
}

impl EventCondition {
    fn is_true(&self, event: &Event<'_>) -> bool {
        let customer = &Customer::unknown("");
        let facts = Facts { customer, now: 0, values: TargetValues::None, event: Some(event) };
        self.condition.truth(&|index| self.comparisons[usize::from(index)].predicate.truth(facts)).is_true()
    }
}

/// A count: its index in customers' state, and its condition if it has one.
#[derive(Debug)]
struct OwnCount {
    index: u8,
    condition: Option<EventCondition>,
}

/// All counts of a rules file, by the type of the events that they count.
#[derive(Debug)]
pub struct OwnCounts(Vec<Vec<OwnCount>>);

impl OwnCounts {
    /// `conditions` are those of the declared counts, in their order.
    pub fn new(event_settings: &EventSettings, conditions: Vec<Option<EventCondition>>) -> Self {
        let mut by_type: Vec<Vec<OwnCount>> = (0..EventType::COUNT).map(|_| Vec::new()).collect();
        for (declared, condition) in event_settings.counts.iter().zip(conditions) {
            let of = event_settings.type_named(&declared.of).expect("checked: a count is of a known type");
            by_type[of.index()].push(OwnCount { index: declared.index, condition });
        }
        Self(by_type)
    }

    /// The counts that count the event, by their indexes in customers' state, one bit each.
    #[inline]
    pub fn of(&self, event: &Event<'_>) -> u32 {
        let counts = &self.0[event.event_type.index()];
        if counts.is_empty() { 0 } else { counted(counts, event) }
    }
}

#[inline(never)]
fn counted(counts: &[OwnCount], event: &Event<'_>) -> u32 {
    let is_counted = |count: &&OwnCount| count.condition.as_ref().is_none_or(|of| of.is_true(event));
    counts.iter().filter(is_counted).fold(0, |bits, count| bits | 1 << count.index)
}
