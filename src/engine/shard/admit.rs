//! One event's path: is it dropped, whose is it, in order or late, what does it change (T4, T5, E3, O2, R3, R7).

use super::deeds::Deed;
use super::digest::Verdict;
use super::marks::Treatment;
use super::{Shard, duplicate_hash, is_about_consent, trigger_of};
use crate::engine::effects::{Cause, Effects};
use crate::engine::event::{Event, EventType, HOUR, Millis, NEVER, Record};
use crate::engine::event_settings::Clock;
use crate::engine::profile::{Customer, RowNumber};

impl Shard {
    /// Handles an event that decoded. Dropped ones leave no trace (E4).
    pub(super) fn admit(&mut self, record: &Record<'_>, event: &Event<'_>, hash: u64, effects: &mut Effects) {
        let mut row = self.profiles.find(hash, &event.customer_id);
        if let Some(known) = row {
            self.catch_up(known, self.passed(record), effects);
            row = row.filter(|known| self.profiles.is_live(*known));
        }
        let (verdict, row) = match self.dropped(event, hash, row) {
            Some(verdict) => (verdict, row),
            None => {
                self.scratch.arrived = self.arrived(record);
                self.accept(record, event, hash, row, effects)
            }
        };
        match verdict {
            Verdict::Duplicate => effects.counts.duplicates += 1,
            Verdict::DuplicateOrder => effects.counts.duplicate_orders += 1,
            Verdict::Erased => effects.counts.erased += 1,
            Verdict::OptedOut => effects.counts.opted_out += 1,
            _ => {
                effects.counts.accepted += 1;
                effects.counts.late += u64::from(verdict == Verdict::Late);
                self.latest_event = self.latest_event.max(event.time);
                self.raise_watermark(event.time.min(record.arrival.unwrap_or(event.time)).min(self.now));
                if let Some(row) = row {
                    self.remember_id(event, hash, row);
                    self.catch_up(row, self.watermark, effects);
                }
            }
        }
        self.scratch.arrived = Millis::MIN;
        let (clock, deadline) = row.map_or((0, 0), |row| {
            let row = self.profiles.row(row);
            (row.clock, row.armed)
        });
        self.digest.input(record.offset, verdict, clock, deadline);
    }

    /// The moment up to which the deadlines of a record's customer have fired before it: the watermark or, with a wall
    /// clock, what a tick at its arrival would make of it (T3). So a backlog gives what running live would have given.
    fn passed(&self, record: &Record<'_>) -> Millis {
        match record.arrival {
            Some(arrival) if self.rules.event_settings.clock == Clock::Wall => {
                self.watermark.max(arrival.min(self.now) - self.rules.event_settings.grace)
            }
            _ => self.watermark,
        }
    }

    /// The moment to which what a record brings belongs at the earliest, for [`super::Census`]: that of its arrival, whatever
    /// clocks and ticks were there.
    fn arrived(&self, record: &Record<'_>) -> Millis {
        match record.arrival {
            // A clock that is far ahead must not take it away.
            Some(arrival) if self.rules.event_settings.clock == Clock::Wall => {
                arrival.min(self.now.saturating_add(self.rules.event_settings.max_future))
                    - self.rules.event_settings.grace
            }
            _ => self.watermark,
        }
    }

    /// Why an event is dropped, if it is.
    fn dropped(&mut self, event: &Event<'_>, hash: u64, row: Option<RowNumber>) -> Option<Verdict> {
        match self.marks.treatment(hash, event.time, self.watermark) {
            Treatment::DropErased => return Some(Verdict::Erased),
            Treatment::DropOptedOut if event.event_type == EventType::OPT_IN && self.marks.opt_in(hash, event.time) => {
                return None;
            }
            Treatment::DropOptedOut => return Some(Verdict::OptedOut),
            Treatment::Accept => {}
        }
        let row = row?;
        if is_about_consent(event.event_type) {
            return None;
        }
        if let Some(id) = event.event_id.as_deref()
            && self.duplicates.contains(duplicate_hash(hash, self.profiles.row(row).incarnation, id))
        {
            return Some(Verdict::Duplicate);
        }
        let at = event.time.max(self.profiles.row(row).clock);
        (event.event_type == EventType::PURCHASE && self.profiles.is_duplicate_order(row, event, at))
            .then_some(Verdict::DuplicateOrder)
    }

    /// Applies an event that counts, and evaluates its customer. Gives the customer's row if there is one afterwards.
    fn accept(
        &mut self,
        record: &Record<'_>,
        event: &Event<'_>,
        hash: u64,
        row: Option<RowNumber>,
        effects: &mut Effects,
    ) -> (Verdict, Option<RowNumber>) {
        let Some(row) = row else {
            return (Verdict::Accepted, self.accept_unknown(record, event, hash, effects));
        };
        let late = event.time < self.profiles.row(row).clock;
        if !late {
            self.catch_up(row, event.time, effects);
        }
        let verdict = if late { Verdict::Late } else { Verdict::Accepted };
        if matches!(event.event_type, EventType::ERASE | EventType::OPT_OUT) {
            self.leave_by_event(record, event, hash, row, effects);
            return (verdict, None);
        }
        self.change_profile(record, event, row, late, effects);
        (verdict, Some(row))
    }

    /// An event of a customer who does not exist: makes one, unless it only leaves a mark (R3).
    fn accept_unknown(
        &mut self,
        record: &Record<'_>,
        event: &Event<'_>,
        hash: u64,
        effects: &mut Effects,
    ) -> Option<RowNumber> {
        match event.event_type {
            EventType::ERASE => self.marks.erase(hash, event.time),
            EventType::OPT_OUT => self.marks.opt_out(hash, event.time, event.time),
            EventType::OPT_IN => {}
            _ => return Some(self.welcome(record, event, hash, effects)),
        }
        None
    }

    /// Applies an event to the profile of an existing customer and evaluates the rules it can have changed.
    fn change_profile(
        &mut self,
        record: &Record<'_>,
        event: &Event<'_>,
        row: RowNumber,
        late: bool,
        effects: &mut Effects,
    ) {
        let Self { rules, profiles, scratch, deeds, .. } = self;
        let at = event.time.max(profiles.row(row).clock);
        let affected = rules.affected_comparisons(event.event_type);
        rules.read_truths(affected, &profiles.customer(row), at, &mut scratch.before);
        if let Some(deed) = Deed::of(event, profiles.row(row), &rules.event_settings) {
            deeds.count(deed, profiles.held_bytes(row));
        }
        effects.counts.overflow.add(&profiles.update(row, event, at, &rules.event_settings));
        profiles.row_mut(row).clock = at;
        let customer = profiles.customer(row);
        rules.read_truths(rules.decisive_comparisons(event.event_type), &customer, at, &mut scratch.after);
        let turn = rules.next_deadline_touched_by(event.event_type, &customer, at, &scratch.after);
        if !rules.same_truths(affected, &scratch.before, &scratch.after) && self.evaluate(row, at) {
            let rules = self.rules.clone();
            self.scratch.before.fill_except(&self.scratch.after, rules.affected_comparisons(event.event_type));
            let cause = if late { Cause::Late } else { Cause::Event };
            let trigger = trigger_of(record, event, &rules, effects);
            self.announce(row, at, cause, Some(trigger), effects);
        }
        if at < self.watermark {
            // Deadlines between here and the watermark may have fired without a trace: after this event they may have one.
            let Self { rules, profiles, scratch, .. } = self;
            rules.read_truths(rules.customer_comparisons(), &profiles.customer(row), at, &mut scratch.after);
            self.arm_next(row, at);
        } else {
            self.arm(row, turn);
        }
    }

    /// Makes a customer of an event: every segmentation goes from null to its segment, every audience starts out (R3).
    fn welcome(&mut self, record: &Record<'_>, event: &Event<'_>, hash: u64, effects: &mut Effects) -> RowNumber {
        if self.profiles.len() >= self.rules.event_settings.max_customers as usize {
            self.forget_one(effects);
        }
        let rules = self.rules.clone();
        let at = event.time;
        rules.read_truths(
            rules.customer_comparisons(),
            &Customer::unknown(&event.customer_id),
            at,
            &mut self.scratch.before,
        );
        let row = self.profiles.create(hash, &event.customer_id, rules.targets.len());
        self.scratch.held.clear();
        self.scratch.held.extend(rules.targets.iter().map(|target| target.initial(at)));
        self.profiles.set_held(row, &self.scratch.held);
        self.members.enter(self.scratch.held.iter().copied());
        if let Some(deed) = Deed::of(event, self.profiles.row(row), &rules.event_settings) {
            self.deeds.count(deed, self.profiles.held_bytes(row));
        }
        self.customers_made = self.customers_made.wrapping_add(1);
        let new = self.profiles.row_mut(row);
        new.clock = at;
        new.life = at;
        new.armed = NEVER;
        new.incarnation = self.customers_made;
        new.generation = self.generation;
        new.muted = self.settings.publish_from.is_some_and(|from| at < from);
        let overflow = self.profiles.update(row, event, at, &rules.event_settings);
        effects.counts.overflow.add(&overflow);
        self.forget.add(&self.profiles, row);
        if self.evaluate(row, at) {
            let trigger = trigger_of(record, event, &rules, effects);
            self.announce(row, at, Cause::Event, Some(trigger), effects);
        }
        self.arm_next(row, at);
        row
    }

    /// Remembers an accepted event's id, in the hour in which the watermark stands with it (E3).
    fn remember_id(&mut self, event: &Event<'_>, hash: u64, row: RowNumber) {
        if let Some(id) = event.event_id.as_deref()
            && !is_about_consent(event.event_type)
        {
            let incarnation = self.profiles.row(row).incarnation;
            self.duplicates.insert(duplicate_hash(hash, incarnation, id), self.watermark.div_euclid(HOUR));
        }
    }
}
