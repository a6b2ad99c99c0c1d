//! A customer's first event creates the customer (R3), if need be in place of the one to be forgotten (R7).

use super::Shard;
use super::changes::{Before, record_changes};
use super::deadlines::{arm, arm_next, catch_up};
use super::evaluation::{EvaluationContext, evaluate};
use super::incoming::IncomingEvent;
use super::remove_customer::remove_customer;
use crate::engine::effects::{Cause, Effects};
use crate::engine::profile::{Customer, RowNumber};
use crate::engine::rule::Rules;

/// Creates the customer of an event: every segmentation goes from null to its segment, every audience starts out (R3).
pub fn create_customer(
    shard: &mut Shard,
    rules: &Rules,
    incoming: &IncomingEvent<'_>,
    effects: &mut Effects,
) -> RowNumber {
    if shard.customers.profiles.len() >= rules.event_settings.max_customers as usize {
        forget_one(shard, rules, effects);
    }
    let (event, at) = (incoming.event, incoming.event.time);
    let row = insert(shard, rules, incoming);
    let Shard { customers, buffers, .. } = shard;
    customers.count_action(row, event, &rules.event_settings);
    effects.counts.overflow.add(&customers.profiles.update(row, event, at, &rules.event_settings));
    let counts = rules.own_counts_of(event);
    if counts != 0 {
        let intervals = &rules.event_settings.intervals;
        effects.counts.overflow.hours += customers.profiles.count_own(row, counts, event.time, at, intervals);
    }
    shard.forget.add(&customers.profiles, row);
    let evaluation = evaluate(rules, &customers.profiles, row, at, buffers);
    arm(shard, row, evaluation.dwell_ends());
    if evaluation.has_changes() {
        let truths = shard.buffers.truths(rules);
        let context = EvaluationContext::of(incoming, rules, Cause::Event, at);
        let before = Before { truths: &truths, at, unknown: Some(Customer::unknown(&event.customer_id)) };
        record_changes(shard, row, &context, &evaluation, &before, effects);
        shard.buffers.return_truths(truths);
    }
    arm_next(shard, rules, row, at, &evaluation.truths);
    shard.buffers.return_evaluation(evaluation);
    row
}

/// Inserts a customer with the values before the first evaluation.
fn insert(shard: &mut Shard, rules: &Rules, incoming: &IncomingEvent<'_>) -> RowNumber {
    let Shard { customers, buffers, settings, .. } = shard;
    let (event, at) = (incoming.event, incoming.event.time);
    let mut initial = buffers.evaluation();
    initial.held_before.clear();
    initial.held_before.extend(rules.targets.iter().map(|target| target.initial(at)));
    let row = customers.create(incoming.customer_hash, &event.customer_id, &initial.held_before);
    buffers.return_evaluation(initial);
    let new = customers.profiles.row_mut(row);
    new.clock = at;
    new.life = at;
    new.muted = settings.publish_from.is_some_and(|from| at < from);
    row
}

/// Forgets the customer that comes first in the queue, to make room for another (R7).
fn forget_one(shard: &mut Shard, rules: &Rules, effects: &mut Effects) {
    let row = shard.forget.next(&shard.customers.profiles);
    catch_up(shard, rules, row, shard.time.watermark, None, effects);
    if !shard.customers.profiles.is_live(row) {
        // Only published values were known of the customer, and the sweep has ended them.
        return;
    }
    effects.counts.forgotten += 1;
    let at = shard.customers.profiles.row(row).clock.max(shard.time.watermark);
    let context = EvaluationContext { rules, at, cause: Cause::Forgotten, event: None, arrival: None };
    remove_customer(shard, row, &context, rules, effects);
}
