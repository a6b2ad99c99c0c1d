//! The end of a customer (R7): by an erasure or an opt-out, at the bound of memory, or by a sweep.

use super::Shard;
use super::changes::{Explanation, SharedEntries, record_change};
use super::evaluation::EvaluationContext;
use super::incoming::IncomingEvent;
use super::transition::Transition;
use crate::engine::effects::{Cause, Effects};
use crate::engine::event::EventType;
use crate::engine::profile::RowNumber;
use crate::engine::rule::Rules;

/// Removes a customer by an `erase` or `opt_out` event: all values end, and a mark stays.
pub fn remove_by_event(
    shard: &mut Shard,
    rules: &Rules,
    incoming: &IncomingEvent<'_>,
    row: RowNumber,
    effects: &mut Effects,
) {
    let IncomingEvent { event, customer_hash, .. } = *incoming;
    let at = event.time.max(shard.customers.profiles.row(row).clock);
    let is_erasure = event.event_type == EventType::ERASE;
    let cause = if is_erasure { Cause::Erase } else { Cause::OptOut };
    let context = EvaluationContext::of(incoming, rules, cause, at);
    remove_customer(shard, row, &context, rules, effects);
    if is_erasure {
        shard.marks.erase(customer_hash, at);
    } else {
        shard.marks.opt_out(customer_hash, event.time, at);
    }
}

/// Removes a customer and all that is known of it: every segmentation goes to null, every audience goes out. `rules`
/// are those whose values the customer holds. The last changes have no features.
pub fn remove_customer(
    shard: &mut Shard,
    row: RowNumber,
    context: &EvaluationContext<'_>,
    rules: &Rules,
    effects: &mut Effects,
) {
    let mut last = shard.buffers.evaluation();
    shard.customers.profiles.held(row, &mut last.held_before);
    if !shard.customers.profiles.row(row).muted {
        let shared = SharedEntries::without_features(shard, row, context, effects);
        for (target, held) in rules.targets.iter().zip(&last.held_before) {
            let end = target.initial(context.at).value;
            if held.value != end {
                let transition = Transition::new(target, *held, end, context.at);
                record_change(shard, row, context, &shared, &transition, Explanation::NONE, effects);
            }
        }
        effects.touched.push(shared.touched(context.at, true));
    }
    shard.customers.remove(row, &last.held_before);
    shard.buffers.return_evaluation(last);
}
