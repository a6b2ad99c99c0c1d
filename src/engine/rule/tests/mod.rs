//! Tests of rules: what a file may contain, what conditions mean, when they flip, which changes follow, and why.

mod evaluate;
mod explain;
mod flips;
mod mistakes;
mod random;
mod warnings;

use super::{Rules, read};
use crate::engine::event::{AttributeValue, Event, EventType, Millis};
use crate::engine::profile::{Customer, Profiles, RowNumber};
use std::sync::Arc;

/// Where the tests' time begins: an hour's start, far from any bound.
pub(super) const START: Millis = 1_700_006_400_000;

pub(super) fn rules(file: &str) -> Arc<Rules> {
    read(file).unwrap_or_else(|mistakes| panic!("{file}\n{mistakes}"))
}

/// One customer and the rules it is judged by.
pub(super) struct World {
    pub rules: Arc<Rules>,
    pub profiles: Profiles,
    pub row: RowNumber,
    /// The latest event's time.
    pub clock: Millis,
}

impl World {
    pub fn new(rules: Arc<Rules>) -> Self {
        let mut profiles = Profiles::new();
        let row = profiles.create(Profiles::hash(b"c"), "c", rules.targets.len());
        Self { rules, profiles, row, clock: START }
    }

    pub fn customer(&self) -> Customer<'_> {
        self.profiles.customer(self.row)
    }

    /// Applies an event, late or not.
    pub fn apply(&mut self, event: &Event<'_>) {
        self.clock = self.clock.max(event.time);
        self.profiles.update(self.row, event, self.clock, &self.rules.event_settings);
    }

    /// Sets a declared attribute.
    pub fn attribute(&mut self, name: &str, value: AttributeValue<'static>) {
        let index =
            self.rules.event_settings.attributes.iter().position(|attribute| attribute.name == name).expect(name);
        let attributes = vec![(index as u8, value)];
        self.apply(&Event { attributes, ..event(EventType::PROFILE, self.clock) });
    }
}

/// An event without any optional field.
pub(super) fn event(event_type: EventType, time: Millis) -> Event<'static> {
    Event::bare(event_type, time)
}

/// A purchase of this amount in minor units.
pub(super) fn purchase(time: Millis, amount: i64) -> Event<'static> {
    Event { amount: Some(amount), ..event(EventType::PURCHASE, time) }
}
