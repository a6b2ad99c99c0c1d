//! All customers of a shard with what is counted of them.
//!
//! Values and deadlines of customers change through this type only, so that the counts always agree with them.

use super::counts::CustomerCounts;
use super::counts::action_counts::{ActionCountsByValue, CustomerAction};
use crate::engine::event::{Event, Millis};
use crate::engine::event_settings::EventSettings;
use crate::engine::profile::{HeldValue, Profiles, RowNumber};

pub struct Customers {
    pub profiles: Profiles,
    /// Counts the rules that came into force; a sweep has yet to reach the rows that have another number.
    pub generation: u8,
    /// How many customers were ever created.
    pub created: u32,
    pub counts: CustomerCounts,
    pub actions: ActionCountsByValue,
}

impl Customers {
    pub fn new(profiles: Profiles, generation: u8, created: u32, counts: CustomerCounts) -> Self {
        Self { profiles, generation, created, counts, actions: ActionCountsByValue::default() }
    }

    /// Whether a customer was evaluated with the rules in force.
    #[inline]
    pub fn is_swept(&self, row: RowNumber) -> bool {
        self.profiles.row(row).generation == self.generation
    }

    /// Creates a customer that holds these values of the rules in force, without a deadline.
    pub fn create(&mut self, hash: u64, id: &str, held: &[HeldValue]) -> RowNumber {
        let row = self.profiles.create(hash, id, held.len());
        self.profiles.set_held(row, held);
        self.counts.swept.add(held.iter().copied());
        self.created = self.created.wrapping_add(1);
        let new = self.profiles.row_mut(row);
        new.incarnation = self.created;
        new.generation = self.generation;
        row
    }

    /// Removes a customer that holds these values.
    pub fn remove(&mut self, row: RowNumber, held: &[HeldValue]) {
        let is_swept = self.is_swept(row);
        self.counts.members(is_swept).remove(held);
        self.counts.deadlines.remove(self.profiles.row(row).armed);
        self.profiles.remove(row);
    }

    /// Lets a customer hold other values of the same targets.
    pub fn set_held(&mut self, row: RowNumber, before: &[HeldValue], after: &[HeldValue]) {
        let is_swept = self.is_swept(row);
        self.counts.members(is_swept).change(before, after);
        self.profiles.set_held(row, after);
    }

    /// Lets a customer that held values of the previous rules hold values of the rules in force.
    pub fn enter_new_rules(&mut self, row: RowNumber, before: &[HeldValue], after: &[HeldValue]) {
        self.counts.unswept.remove(before);
        self.profiles.row_mut(row).generation = self.generation;
        self.profiles.set_held(row, after);
        self.counts.swept.add(after.iter().copied());
    }

    /// New rules came into force: all customers have yet to be evaluated with them.
    pub fn change_rules(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.counts.unswept = std::mem::take(&mut self.counts.swept);
        self.actions.clear();
    }

    /// Sets a customer's deadline; the wheel is the caller's.
    #[inline]
    pub fn set_armed(&mut self, row: RowNumber, deadline: Millis) {
        self.counts.deadlines.remove(self.profiles.row(row).armed);
        self.profiles.row_mut(row).armed = deadline;
        self.counts.deadlines.add(deadline);
    }

    /// Counts the action that an event reports, before the event is applied.
    #[inline(never)]
    pub fn count_action(&mut self, row: RowNumber, event: &Event<'_>, event_settings: &EventSettings) {
        if let Some(action) = CustomerAction::of(event, self.profiles.row(row), event_settings) {
            self.actions.count(action, self.profiles.held_bytes(row));
        }
    }

    /// Counts all customers again, all of them evaluated with the rules in force.
    pub fn recount(&mut self) {
        self.counts = CustomerCounts::default();
        let mut held = Vec::new();
        for row in self.profiles.rows() {
            self.profiles.held(row, &mut held);
            self.counts.swept.add(held.iter().copied());
            self.counts.deadlines.add(self.profiles.row(row).armed);
        }
    }
}
