//! An event's path through the shard (T4, T5, E3, O2, R3, R7): is it dropped; which customer is it of; is it in order
//! or late; what does it change.

use super::Shard;
use super::changes::{Before, record_changes};
use super::create_customer::create_customer;
use super::deadlines::{arm, arm_next, catch_up, catch_up_to_arrival};
use super::digest::Verdict;
use super::evaluation::{EvaluationContext, evaluate, evaluate_touched};
use super::incoming::IncomingEvent;
use super::marks::Treatment;
use super::remove_customer::remove_by_event;
use crate::engine::effects::{Cause, Effects};
use crate::engine::event::{EventType, Unfit};
use crate::engine::profile::RowNumber;
use crate::engine::rule::{AddedEvents, Rules};

/// Processes an event: drops it without a trace (E4) or applies it. The customer's deadlines that come before it fire
/// first, and those that it lets the watermark pass fire afterwards.
pub fn process_event(shard: &mut Shard, rules: &Rules, incoming: &IncomingEvent<'_>, effects: &mut Effects) {
    let IncomingEvent { event, customer_hash, expected_row, .. } = *incoming;
    let mut row = shard.customers.profiles.find_expected(expected_row, customer_hash, &event.customer_id);
    if let Some(known) = row {
        let due_before = shard.time.due_before(incoming.record, &rules.event_settings);
        catch_up_to_arrival(shard, rules, known, due_before, effects);
        row = row.filter(|known| shard.customers.profiles.is_live(*known));
    }
    let (verdict, row) = match drop_verdict(shard, incoming, row) {
        Some(verdict) => (verdict, row),
        None => {
            let (verdict, row) = apply_event(shard, rules, incoming, row, effects);
            pass_event(shard, rules, incoming, row, effects);
            (verdict, row)
        }
    };
    count(verdict, incoming.event.unfit, effects);
    let (clock, deadline) = row.map_or((0, 0), |row| {
        let row = shard.customers.profiles.row(row);
        (row.clock, row.armed)
    });
    shard.digest.input(incoming.record.offset, verdict, clock, deadline);
}

/// Why an event is dropped, if it is.
fn drop_verdict(shard: &mut Shard, incoming: &IncomingEvent<'_>, row: Option<RowNumber>) -> Option<Verdict> {
    let IncomingEvent { event, customer_hash, .. } = *incoming;
    let Shard { customers, marks, duplicates, time, .. } = shard;
    match marks.treatment(customer_hash, event.time, time.watermark) {
        Treatment::DropErased => return Some(Verdict::Erased),
        Treatment::DropOptedOut if event.event_type == EventType::OPT_IN && marks.opt_in(customer_hash, event.time) => {
            return None;
        }
        Treatment::DropOptedOut => return Some(Verdict::OptedOut),
        Treatment::Accept => {}
    }
    let row = row?;
    if incoming.is_about_consent() {
        return None;
    }
    let (incarnation, clock) = (customers.profiles.row(row).incarnation, customers.profiles.row(row).clock);
    if incoming.id_hash(incarnation).is_some_and(|hash| duplicates.contains(hash)) {
        return Some(Verdict::Duplicate);
    }
    if !event.event_type.is_about_orders() {
        return None;
    }
    let at = event.time.max(clock);
    if customers.profiles.is_duplicate_return(row, event, at) {
        return Some(Verdict::Duplicate);
    }
    customers.profiles.is_duplicate_order(row, event, at).then_some(Verdict::DuplicateOrder)
}

/// Applies an event that is not dropped, and evaluates its customer. Returns the customer's row if there is one
/// afterwards.
fn apply_event(
    shard: &mut Shard,
    rules: &Rules,
    incoming: &IncomingEvent<'_>,
    row: Option<RowNumber>,
    effects: &mut Effects,
) -> (Verdict, Option<RowNumber>) {
    let Some(row) = row else {
        return (Verdict::Accepted, apply_to_unknown(shard, rules, incoming, effects));
    };
    let event = incoming.event;
    let (verdict, cause) = match event.time < shard.customers.profiles.row(row).clock {
        true => (Verdict::Late, Cause::Late),
        false => {
            catch_up(shard, rules, row, event.time, Some(incoming.arrival), effects);
            (Verdict::Accepted, Cause::Event)
        }
    };
    if matches!(event.event_type, EventType::ERASE | EventType::OPT_OUT) {
        remove_by_event(shard, rules, incoming, row, effects);
        return (verdict, None);
    }
    update_customer(shard, rules, incoming, row, cause, effects);
    (verdict, Some(row))
}

/// Applies an event of an unknown customer: creates the customer, unless the event only leaves a mark (R3).
fn apply_to_unknown(
    shard: &mut Shard,
    rules: &Rules,
    incoming: &IncomingEvent<'_>,
    effects: &mut Effects,
) -> Option<RowNumber> {
    let IncomingEvent { event, customer_hash, .. } = *incoming;
    match event.event_type {
        EventType::ERASE => shard.marks.erase(customer_hash, event.time),
        EventType::OPT_OUT => shard.marks.opt_out(customer_hash, event.time, event.time),
        EventType::OPT_IN => {}
        _ => return Some(create_customer(shard, rules, incoming, effects)),
    }
    None
}

/// Applies an event to an existing customer's profile, and evaluates the rules if it flipped a comparison or came
/// behind the watermark.
fn update_customer(
    shard: &mut Shard,
    rules: &Rules,
    incoming: &IncomingEvent<'_>,
    row: RowNumber,
    cause: Cause,
    effects: &mut Effects,
) {
    let event = incoming.event;
    let event_type = event.event_type;
    let Shard { customers, buffers, time, .. } = shard;
    let (truths_before, mut truths) = (buffers.truths(rules), buffers.truths(rules));
    let customer = customers.profiles.customer(row);
    let at = event.time.max(customer.row().clock);
    let starts_session = rules.event_settings.is_browsing(event_type) && customer.row().starts_session(event.time);
    // Late events, and events that push an hour out at the bound, may change more than one event in a window.
    if cause == Cause::Event && !customer.may_lose_hours() {
        rules.read_truths_before_event(event_type, &customer, at, &truths_before);
    } else {
        rules.read_truths(rules.affected_comparisons(event_type), &customer, at, &truths_before);
    }
    customers.count_action(row, event, &rules.event_settings);
    let mut overflow = customers.profiles.update(row, event, at, &rules.event_settings);
    let own_counts = rules.own_counts_of(event);
    if own_counts != 0 {
        let intervals = &rules.event_settings.intervals;
        overflow.hours += customers.profiles.count_own(row, own_counts, event.time, at, intervals);
    }
    effects.counts.overflow.add(&overflow);
    customers.profiles.row_mut(row).clock = at;
    let customer = customers.profiles.customer(row);
    let after = rules.reading(&customer, at, &truths);
    let added = AddedEvents { event_type, starts_session, own_counts };
    // Deadlines and ends of dwells between here and the watermark may have fired without a trace: after this event they
    // may have one, whether or not it flips a comparison.
    let is_behind = at < time.watermark;
    let held = |target: usize| customers.profiles.held_value(row, target);
    let has_flipped = (is_behind || rules.may_change_values(event_type, &after, held))
        && !rules.has_same_truths(added, &truths_before, &after);
    let deadline = rules.next_deadline_touched_by(event_type, &after);
    if is_behind || has_flipped {
        let (profiles, buffers) = (&shard.customers.profiles, &mut shard.buffers);
        let evaluation = match is_behind {
            true => evaluate(rules, profiles, row, at, buffers),
            false => evaluate_touched(rules, profiles, row, at, event_type, &mut truths, buffers),
        };
        arm(shard, row, evaluation.dwell_ends());
        if evaluation.has_changes() {
            let context = EvaluationContext::of(incoming, rules, cause, at);
            let before = Before { truths: &truths_before, at, unknown: None };
            record_changes(shard, row, &context, &evaluation, &before, effects);
        }
        // Where segment() is an argument of a feature, the deadline is another one with another segment.
        if is_behind || evaluation.has_changes() && !rules.comparisons_on_both().is_empty() {
            arm_next(shard, rules, row, at, &evaluation.truths);
        }
        shard.buffers.return_evaluation(evaluation);
    }
    if !is_behind {
        arm(shard, row, deadline);
    }
    shard.buffers.return_truths(truths_before);
    shard.buffers.return_truths(truths);
}

/// What follows from an applied event besides its changes: the watermark rises, the customer's deadlines up to it
/// fire, and the event's id is remembered in the hour in which the watermark then is (E3).
fn pass_event(
    shard: &mut Shard,
    rules: &Rules,
    incoming: &IncomingEvent<'_>,
    row: Option<RowNumber>,
    effects: &mut Effects,
) {
    let IncomingEvent { record, event, arrival, .. } = *incoming;
    shard.time.latest_event = shard.time.latest_event.max(event.time);
    shard.raise_watermark(event.time.min(record.arrival.unwrap_or(event.time)).min(shard.time.now));
    let Some(row) = row else { return };
    if !incoming.is_about_consent()
        && let Some(hash) = incoming.id_hash(shard.customers.profiles.row(row).incarnation)
    {
        shard.duplicates.insert(hash, shard.time.hour());
    }
    catch_up(shard, rules, row, shard.time.watermark, Some(arrival), effects);
}

fn count(verdict: Verdict, unfit: Unfit, effects: &mut Effects) {
    let counts = &mut effects.counts;
    match verdict {
        Verdict::Duplicate => counts.duplicates += 1,
        Verdict::DuplicateOrder => counts.duplicate_orders += 1,
        Verdict::Erased => counts.erased += 1,
        Verdict::OptedOut => counts.opted_out += 1,
        _ => {
            counts.accepted += 1;
            counts.late += u64::from(verdict == Verdict::Late);
            if !unfit.is_empty() {
                counts.add_unfit(unfit);
            }
        }
    }
}
