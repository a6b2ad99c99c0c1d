//! Evaluations: what the rules want of a customer at an instant, and the changes that follow (T6, R2 to R5, R8, R9, R11).
//!
//! `evaluate` decides, `announce` turns what differs into changes. The truths just before the input stand in
//! `scratch.before`, those after it in `scratch.after`.

use super::{Bootstrap, Shard};
use crate::engine::effects::{Because, Cause, Change, Effects, Feature, Next, Run, Span, Touched, Trigger};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::{Customer, HeldValue, RowNumber};
use crate::engine::rule::{self, Direction, Rules, Target};

/// What all changes of one evaluation share.
#[derive(Clone, Copy)]
pub(super) struct Occasion {
    pub cause: Cause,
    pub at: Millis,
    pub trigger: Option<Trigger>,
    pub customer_id: Span,
    pub rules_version: Span,
    pub features: Run,
}

impl Occasion {
    pub(super) fn touched(self) -> Touched {
        Touched { customer_id: self.customer_id, effective_at: self.at, is_gone: false, features: self.features }
    }
}

/// One value that goes from one to another.
pub(super) struct Shift<'a> {
    pub segmentation: &'a str,
    pub from: Option<&'a str>,
    pub from_since: Option<Millis>,
    pub to: Option<&'a str>,
    pub direction: Direction,
    /// It goes back to the value before, within a day.
    pub is_return: bool,
}

impl Shard {
    /// Fires the armed deadline of a customer: evaluates at its instant; without a change it leaves no trace (T6).
    pub(super) fn fire_deadline(&mut self, row: RowNumber, effects: &mut Effects) {
        let at = self.profiles.row(row).armed;
        self.set_armed(row, NEVER);
        effects.counts.fired += 1;
        let changed = self.evaluate(row, at);
        if self.profiles.row(row).muted && self.settings.publish_from.is_some_and(|from| at >= from) {
            self.begin_publishing(row, at, effects);
        } else if changed {
            let rules = self.rules.clone();
            rules.read_truths(
                rules.customer_comparisons(),
                &self.profiles.customer(row),
                at - 1,
                &mut self.scratch.before,
            );
            self.announce(row, at, Cause::Time, None, effects);
        }
        self.arm_next(row, at);
    }

    /// Arms the first instant after `at` at which anything may turn.
    pub(super) fn arm_next(&mut self, row: RowNumber, at: Millis) {
        let turn = self.rules.next_deadline(&self.profiles.customer(row), at, &self.scratch.after);
        let publishing = match self.settings.publish_from {
            Some(from) if self.profiles.row(row).muted => from,
            _ => NEVER,
        };
        self.arm(row, turn.min(publishing));
    }

    /// Decides all values of a customer at `at`, obeying dwell; whether any differs from the one held. Arms the end of
    /// a dwell that holds one back.
    pub(super) fn evaluate(&mut self, row: RowNumber, at: Millis) -> bool {
        let Self { rules, profiles, scratch, .. } = self;
        rules.read_truths(rules.customer_comparisons(), &profiles.customer(row), at, &mut scratch.after);
        profiles.held(row, &mut scratch.held);
        rules.decide(&mut scratch.after, &scratch.held, at, true, &mut scratch.decided);
        let waits_until = scratch.decided.iter().map(|decided| decided.waits_until).min().unwrap_or(NEVER);
        let changed = scratch.decided.iter().zip(&scratch.held).any(|(decided, held)| decided.value != held.value);
        self.arm(row, waits_until);
        changed
    }

    /// Publishes what the last evaluation decided differently from what was held.
    pub(super) fn announce(
        &mut self,
        row: RowNumber,
        at: Millis,
        cause: Cause,
        trigger: Option<Trigger>,
        effects: &mut Effects,
    ) {
        let rules = self.rules.clone();
        self.take_decided(row, at, &rules);
        self.profiles.row_mut(row).clock = self.profiles.row(row).clock.max(at);
        if self.profiles.row(row).muted {
            return;
        }
        rules.read_target_truths(&self.scratch.held, &mut self.scratch.before);
        let occasion = self.occasion(row, at, cause, trigger, effects);
        for (target, place) in rules.targets.iter().zip(0..) {
            let held = self.scratch.held[place];
            let to = self.scratch.decided[place].value;
            if held.value == to {
                continue;
            }
            let because = effects.because.len();
            self.explain(row, place, occasion, effects);
            let shift = Shift {
                segmentation: &target.name,
                from: name_of(target, held.value),
                from_since: (held.value != HeldValue::NULL).then_some(held.since),
                to: name_of(target, to),
                direction: target.direction(held.value, to),
                is_return: held.is_return(to, at),
            };
            self.publish(row, occasion, &shift, Some(place), because, effects);
            if !rules.alerts.is_empty() {
                self.count_change(row, place, cause, at, to);
            }
        }
        effects.touched.push(occasion.touched());
    }

    /// What the changes of one evaluation share: the customer's id and the included features are kept once.
    pub(super) fn occasion(
        &self,
        row: RowNumber,
        at: Millis,
        cause: Cause,
        trigger: Option<Trigger>,
        effects: &mut Effects,
    ) -> Occasion {
        let start = effects.features.len();
        keep_features(&self.rules, &self.profiles.customer(row), &self.scratch.held_after, at, effects);
        let features = effects.features_since(start);
        Occasion { features, ..self.last_occasion(row, at, cause, trigger, effects) }
    }

    /// The same of a customer who leaves: no features are told.
    pub(super) fn last_occasion(
        &self,
        row: RowNumber,
        at: Millis,
        cause: Cause,
        trigger: Option<Trigger>,
        effects: &mut Effects,
    ) -> Occasion {
        Occasion {
            cause,
            at,
            trigger,
            customer_id: effects.keep(self.profiles.id(row)),
            rules_version: effects.keep(&self.rules.version),
            features: effects.features_since(effects.features.len()),
        }
    }

    /// Stores the decided values with the instant from which they are held.
    fn take_decided(&mut self, row: RowNumber, at: Millis, rules: &Rules) {
        let Self { profiles, scratch, members, .. } = self;
        scratch.held_after.clear();
        for (target, (held, decided)) in scratch.held.iter().zip(&scratch.decided).enumerate() {
            members.shift(target, held.value, decided.value);
        }
        scratch.held_after.extend(scratch.held.iter().zip(&scratch.decided).zip(&rules.targets).map(
            |((held, decided), target)| {
                if held.value == decided.value {
                    return *held;
                }
                held.then(decided.value, at, held.value != HeldValue::NULL || target.is_audience())
            },
        ));
        profiles.set_held(row, &scratch.held_after);
    }

    /// Lists the comparisons that turned (R9) at the end of [`Effects::because`].
    fn explain(&self, row: RowNumber, target: usize, occasion: Occasion, effects: &mut Effects) {
        let Self { rules, profiles, scratch, .. } = self;
        let change = rule::TargetChange {
            target,
            from: scratch.held[target].value,
            to: scratch.decided[target].value,
            by_time: occasion.cause == Cause::Time,
            before: &scratch.before,
            after: &scratch.after,
            held: &scratch.held,
            decided: &scratch.decided,
        };
        rules.for_each_reason(&change, &profiles.customer(row), occasion.at, |text, value, was, now| {
            let rule = effects.keep(text);
            let value = effects.keep_value(value);
            effects.because.push(Because { rule, value, was, now });
        });
    }

    /// Publishes one change: numbered, with its forecast and the included features. Entries of `because` from
    /// `because_start` on are its own; without a `target` (a value that ends) there is no forecast.
    pub(super) fn publish(
        &mut self,
        row: RowNumber,
        occasion: Occasion,
        shift: &Shift<'_>,
        target: Option<usize>,
        because_start: usize,
        effects: &mut Effects,
    ) {
        let Self { rules, profiles, scratch, .. } = self;
        let counted = profiles.row_mut(row);
        counted.sequence += 1;
        let (sequence, life) = (counted.sequence, counted.life);
        let customer = profiles.customer(row);
        let next = target.and_then(|target| {
            let held = &scratch.held_after;
            let (value, at) = rules.forecast(target, &customer, held, occasion.at, &mut scratch.forecast)?;
            Some(Next { to: effects.keep(rules.targets[target].value_name(value)), at })
        });
        let change = Change {
            customer_id: occasion.customer_id,
            life,
            sequence,
            segmentation: effects.keep(shift.segmentation),
            from: shift.from.map(|from| effects.keep(from)),
            from_since: shift.from_since,
            to: shift.to.map(|to| effects.keep(to)),
            cause: occasion.cause,
            effective_at: occasion.at,
            detected_at: self.now,
            trigger: occasion.trigger,
            because: effects.because_since(because_start),
            next,
            features: occasion.features,
            rules_version: occasion.rules_version,
            direction: shift.direction,
            is_return: shift.is_return,
        };
        effects.changes.push(change);
        effects.counts.changes[occasion.cause as usize] += 1;
        self.digest.change(&change, effects);
    }

    /// Begins to publish a customer at the moment from which changes are published (R11).
    fn begin_publishing(&mut self, row: RowNumber, at: Millis, effects: &mut Effects) {
        let rules = self.rules.clone();
        self.take_decided(row, at, &rules);
        // An event from before this moment is late from now on: nothing of before is published.
        self.profiles.row_mut(row).clock = self.profiles.row(row).clock.max(at);
        self.profiles.row_mut(row).muted = false;
        if self.settings.bootstrap == Bootstrap::Nothing {
            return;
        }
        let occasion = self.occasion(row, at, Cause::Bootstrap, None, effects);
        effects.touched.push(occasion.touched());
        if self.settings.bootstrap == Bootstrap::Membership {
            return;
        }
        for (target, place) in rules.targets.iter().zip(0..) {
            let value = self.scratch.held_after[place].value;
            if target.is_audience() && value == target.initial(at).value {
                continue;
            }
            let shift = Shift {
                segmentation: &target.name,
                from: None,
                from_since: None,
                to: name_of(target, value),
                direction: Direction::None,
                is_return: false,
            };
            self.publish(row, occasion, &shift, Some(place), effects.because.len(), effects);
        }
    }
}

/// The name of a value; null has none.
pub(super) fn name_of(target: &Target, value: u16) -> Option<&str> {
    (value != HeldValue::NULL).then(|| target.value_name(value))
}

/// Keeps the features listed under `include` with their values at `at`.
fn keep_features(rules: &Rules, customer: &Customer<'_>, held: &[HeldValue], at: Millis, effects: &mut Effects) {
    rules.for_each_included(customer, held, at, |name, value| {
        let name = effects.keep(name);
        let value = effects.keep_value(value);
        effects.features.push(Feature { name, value });
    });
}
