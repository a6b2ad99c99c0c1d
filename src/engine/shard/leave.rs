//! The end of a customer: by an erasure, an opt-out, or at the bound of memory (R7).

use super::evaluate::{Shift, name_of};
use super::{Shard, trigger_of};
use crate::engine::effects::{Cause, Effects, Touched, Trigger};
use crate::engine::event::{Event, EventType, Millis, Record};
use crate::engine::profile::{HeldValue, RowNumber};
use crate::engine::rule::Rules;

impl Shard {
    /// An `erase` or `opt_out` of a customer who exists: everything ends, and a mark stays.
    pub(super) fn leave_by_event(
        &mut self,
        record: &Record<'_>,
        event: &Event<'_>,
        hash: u64,
        row: RowNumber,
        effects: &mut Effects,
    ) {
        let at = event.time.max(self.profiles.row(row).clock);
        let trigger = trigger_of(record, event, &self.rules.clone(), effects);
        if event.event_type == EventType::ERASE {
            self.leave(row, at, Cause::Erase, Some(trigger), effects);
            self.marks.erase(hash, at);
        } else {
            self.leave(row, at, Cause::OptOut, Some(trigger), effects);
            self.marks.opt_out(hash, event.time, at);
        }
    }

    /// Forgets the customer whose turn it is, to make room for another.
    pub(super) fn forget_one(&mut self, effects: &mut Effects) {
        let row = self.forget.next(&self.profiles);
        let arrived = std::mem::replace(&mut self.scratch.arrived, Millis::MIN);
        self.catch_up(row, self.watermark, effects);
        self.scratch.arrived = arrived;
        if !self.profiles.is_live(row) {
            // It was only known from what was published, and ended with the sweep.
            return;
        }
        let at = self.profiles.row(row).clock.max(self.watermark);
        effects.counts.forgotten += 1;
        self.leave(row, at, Cause::Forgotten, None, effects);
    }

    /// Ends a customer of whom nothing is known but what was published: it came from `membership` when the state was made
    /// anew, and the inputs tell nothing of it. What it held stands in the rules before the sweep.
    pub(super) fn end_ghost(&mut self, row: RowNumber, at: Millis, old: &Rules, effects: &mut Effects) {
        self.end(row, at, (Cause::Rules, None), old, effects);
    }

    fn leave(&mut self, row: RowNumber, at: Millis, cause: Cause, trigger: Option<Trigger>, effects: &mut Effects) {
        let rules = self.rules.clone();
        self.end(row, at, (cause, trigger), &rules, effects);
    }

    /// Every segmentation goes to null and every audience to out; all that is known of the customer goes. `rules` are those
    /// of the values held. Of a customer who leaves no features are told.
    fn end(
        &mut self,
        row: RowNumber,
        at: Millis,
        (cause, trigger): (Cause, Option<Trigger>),
        rules: &Rules,
        effects: &mut Effects,
    ) {
        self.profiles.held(row, &mut self.scratch.held);
        self.members.leave(&self.scratch.held);
        self.agenda.remove(self.profiles.row(row).armed);
        if !self.profiles.row(row).muted {
            let occasion = self.last_occasion(row, at, cause, trigger, effects);
            for (target, place) in rules.targets.iter().zip(0..) {
                let held = self.scratch.held[place];
                let end = target.initial(at).value;
                if held.value == end {
                    continue;
                }
                let shift = Shift {
                    segmentation: &target.name,
                    from: name_of(target, held.value),
                    from_since: (held.value != HeldValue::NULL).then_some(held.since),
                    to: name_of(target, end),
                    direction: target.direction(held.value, end),
                    is_return: held.is_return(end, at),
                };
                self.publish(row, occasion, &shift, None, effects.because.len(), effects);
            }
            effects.touched.push(Touched { is_gone: true, ..occasion.touched() });
        }
        self.profiles.remove(row);
    }
}
