//! Tests of rules: what a file may contain, what conditions mean, when they flip, which changes follow, and why.

mod evaluate;
mod explain;
mod flips;
mod mistakes;
mod random;
mod reading;
mod warnings;

use super::{Rules, read};
use crate::engine::event::{AttributeValue, Event, EventType, Millis};
use crate::engine::profile::{Customer, Profiles, RowNumber};
use std::path::Path;
use std::sync::Arc;

/// Where the tests' time begins: an hour's start, far from any bound.
pub(super) const START: Millis = 1_700_006_400_000;

pub(super) fn rules(file: &str) -> Arc<Rules> {
    read(file).unwrap_or_else(|mistakes| panic!("{file}\n{mistakes}"))
}

/// Compares what is found in each of the cases of a file beside the tests with what the file expects; `SHOAL_REFRESH=1`
/// rewrites what is expected. A case is a line of prose, a rules file, a line `--`, and what is expected.
pub(super) fn check_cases(name: &str, found: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/rule/tests").join(name);
    let cases = std::fs::read_to_string(&path).expect(name);
    let mut renewed = String::new();
    let mut wrong = Vec::new();
    for case in cases.split_inclusive("\n\n\n") {
        let (given, expected) = case.split_once("\n--\n").expect("a case is a file, a line --, and what is expected");
        let file = given.split_once('\n').map_or("", |(_, file)| file);
        let found = found(&format!("{file}\n"));
        if expected.trim_end() != found.trim_end() {
            wrong.push(format!("{case}is now\n{found}"));
        }
        renewed += &format!("{given}\n--\n{found}\n\n");
    }
    if std::env::var_os("SHOAL_REFRESH").is_some() {
        std::fs::write(&path, renewed.trim_end().to_string() + "\n").expect(name);
        return;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
