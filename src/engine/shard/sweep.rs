//! New rules (R6): every customer is evaluated with them once, in slices between records, but before anything else
//! happens to it.

use super::Shard;
use super::digest::Verdict;
use super::evaluate::{Shift, name_of};
use super::members::Members;
use crate::engine::decode::Decoder;
use crate::engine::effects::{Cause, Effects};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::{HeldValue, RowNumber};
use crate::engine::rule::{Direction, Rules, Target};
use std::sync::Arc;

/// A sweep that has yet to end.
pub(super) struct Sweep {
    /// The rules before.
    pub old: Arc<Rules>,
    /// The watermark as it stood when the new rules came.
    pub at: Millis,
    pub next_row: RowNumber,
    /// Of the customers that it has yet to come to.
    pub members: Members,
}

impl Sweep {
    /// Puts the rules of before into the shard with what is counted under them, and those of now here; or back.
    fn exchange(&mut self, shard: &mut Shard) {
        std::mem::swap(&mut shard.rules, &mut self.old);
        std::mem::swap(&mut shard.members, &mut self.members);
    }
}

impl Shard {
    pub(super) fn take_rules(&mut self, rules: Arc<Rules>) {
        assert!(self.sweep.is_none(), "new rules came before the sweep of the ones before had ended");
        self.decoder = Decoder::new(&rules.event_settings);
        self.duplicates.set_bounds(rules.event_settings.dedup_horizon_hours, rules.event_settings.dedup_max_ids);
        let old = std::mem::replace(&mut self.rules, rules);
        self.census.take_rules(&self.rules);
        self.generation = self.generation.wrapping_add(1);
        let members = std::mem::take(&mut self.members);
        self.drop_deeds();
        self.sweep = (!self.profiles.is_empty()).then_some(Sweep { old, at: self.watermark, next_row: 0, members });
        self.digest.input(0, Verdict::Rules, self.watermark, 0);
    }

    /// Evaluates up to `budget` customers with the new rules.
    pub(super) fn sweep(&mut self, budget: u32, effects: &mut Effects) {
        for _ in 0..budget {
            let Some(sweep) = &mut self.sweep else { return };
            let Some(row) = self.profiles.next_row(sweep.next_row) else {
                self.sweep = None;
                return;
            };
            sweep.next_row = row + 1;
            self.sweep_customer(row, effects);
        }
    }

    /// Evaluates one customer with the new rules unless it has been; what was due under the old ones comes first. Afterwards
    /// it may be gone: one that is known only from what was published, since the state was made anew, ends here.
    pub(super) fn sweep_customer(&mut self, row: RowNumber, effects: &mut Effects) {
        if self.profiles.row(row).generation == self.generation {
            return;
        }
        let Some(mut sweep) = self.sweep.take() else { return };
        if self.profiles.row(row).first_event == NEVER {
            let at = self.profiles.row(row).clock.max(sweep.at);
            std::mem::swap(&mut self.members, &mut sweep.members);
            self.end_ghost(row, at, &sweep.old, effects);
            std::mem::swap(&mut self.members, &mut sweep.members);
            self.sweep = Some(sweep);
            return;
        }
        sweep.exchange(self);
        while self.profiles.row(row).armed <= sweep.at {
            self.fire_deadline(row, effects);
        }
        sweep.exchange(self);
        self.take_over(row, &mut sweep, effects);
        self.sweep = Some(sweep);
    }

    /// Takes a customer from the old rules to the new ones.
    fn take_over(&mut self, row: RowNumber, sweep: &mut Sweep, effects: &mut Effects) {
        let at = self.profiles.row(row).clock.max(sweep.at);
        let rules = self.rules.clone();
        let mut before = Vec::new();
        self.profiles.held(row, &mut before);
        sweep.members.leave(&before);
        self.scratch.held.clear();
        let carried = rules.targets.iter().map(|target| carried_over(target, &sweep.old, &before, at));
        self.scratch.held.extend(carried);
        self.profiles.row_mut(row).generation = self.generation;
        self.set_armed(row, NEVER);
        let shifts = self.decide_with_new_rules(row, at, &rules, &sweep.old, &before);
        if !shifts.is_empty() {
            self.profiles.row_mut(row).clock = at;
            if !self.profiles.row(row).muted {
                let occasion = self.occasion(row, at, Cause::Rules, None, effects);
                for (shift, target) in &shifts {
                    self.publish(row, occasion, shift, *target, effects.because.len(), effects);
                }
                effects.touched.push(occasion.touched());
            }
        }
        self.arm_next(row, at);
    }

    /// Decides under the new rules without waiting for dwell, and lists what differs, in byte order of the names of
    /// both files' segmentations and audiences; those that ended have no place among the new ones.
    fn decide_with_new_rules<'a>(
        &mut self,
        row: RowNumber,
        at: Millis,
        rules: &'a Rules,
        old: &'a Rules,
        before: &[HeldValue],
    ) -> Vec<(Shift<'a>, Option<usize>)> {
        let Self { profiles, scratch, members, .. } = self;
        rules.read_truths(rules.customer_comparisons(), &profiles.customer(row), at, &mut scratch.after);
        rules.decide(&mut scratch.after, &scratch.held, at, false, &mut scratch.decided);
        scratch.held_after.clear();
        let mut shifts = Vec::new();
        for (place, target) in rules.targets.iter().enumerate() {
            let (held, decided) = (scratch.held[place], scratch.decided[place].value);
            let from = match same_kind(old, target) {
                Some(old_place) => name_of(&old.targets[old_place], before[old_place].value),
                None => name_of(target, held.value),
            };
            let to = name_of(target, decided);
            if from == to {
                scratch.held_after.push(held);
                continue;
            }
            scratch.held_after.push(held.then(decided, at, from.is_some()));
            let from_since = from.map(|_| held.since);
            let (direction, is_return) = (direction(target, from, to), held.is_return(decided, at));
            let shift = Shift { segmentation: &target.name, from, from_since, to, direction, is_return };
            shifts.push((shift, Some(place)));
        }
        profiles.set_held(row, &scratch.held_after);
        members.enter(scratch.held_after.iter().copied());
        for (place, target) in old.targets.iter().enumerate() {
            let held = before[place];
            let end = target.initial(at).value;
            if same_kind(rules, target).is_none() && held.value != end {
                shifts.push((
                    Shift {
                        segmentation: &target.name,
                        from: name_of(target, held.value),
                        from_since: Some(held.since),
                        to: name_of(target, end),
                        direction: target.direction(held.value, end),
                        is_return: false,
                    },
                    None,
                ));
            }
        }
        shifts.sort_by_key(|(shift, target)| (shift.segmentation, target.is_some()));
        shifts
    }
}

/// Which way a change goes that has values of two rules: one that the new ones do not know has no place on their ladder.
fn direction(target: &Target, from: Option<&str>, to: Option<&str>) -> Direction {
    let value = |name: Option<&str>| name.map_or(Some(HeldValue::NULL), |name| target.value_named(name));
    value(from).zip(value(to)).map_or(Direction::Side, |(from, to)| target.direction(from, to))
}

/// The place of the segmentation or audience of the same name and kind.
fn same_kind(rules: &Rules, target: &Target) -> Option<usize> {
    let place = rules.targets.iter().position(|other| other.name == target.name)?;
    (rules.targets[place].is_audience() == target.is_audience()).then_some(place)
}

/// What a customer holds of a new target: the value of the same name, else as if it had just begun.
fn carried_over(target: &Target, old: &Rules, before: &[HeldValue], at: Millis) -> HeldValue {
    let initial = target.initial(at);
    let Some(place) = same_kind(old, target) else { return initial };
    let held = before[place];
    let value = |value: u16| target.value_named(name_of(&old.targets[place], value)?);
    let before = value(held.before).unwrap_or(HeldValue::NULL);
    HeldValue { value: value(held.value).unwrap_or(initial.value), before, ..held }
}
