//! New rules (R6): every customer is evaluated with them once, in slices between records, but before anything else
//! happens to it. Old and new rules are both parameters here: values are matched by their names.

use super::Shard;
use super::changes::{Explanation, SharedEntries, explain_value, forecast, record_change};
use super::digest::Verdict;
use super::evaluation::{Evaluation, EvaluationContext};
use super::transition::{Transition, value_name};
use crate::engine::decode::Decoder;
use crate::engine::effects::{Effects, Run};
use crate::engine::event::Millis;
use crate::engine::profile::{HeldValue, RowNumber};
use crate::engine::rule::{Direction, Rules, Target};
use std::sync::Arc;

/// A sweep that has not ended.
#[derive(Clone)]
pub struct Sweep {
    pub old_rules: Arc<Rules>,
    /// The counts of one's own that end with these rules, by index (B8).
    pub ended_counts: u32,
    /// The watermark when the new rules came.
    pub at: Millis,
    /// The first row that the slices have not reached.
    pub next_row: RowNumber,
    /// Whether the rules are new to the customers, so that their clocks move whether or not a value changes (T2).
    pub moves_clocks: bool,
}

/// The counts of one's own that end with new rules: what they have counted is removed customer by customer, before the
/// rules evaluate it.
pub fn ended_counts(rules: &Rules, old_rules: &Rules) -> u32 {
    rules.event_settings.ended_counts(&old_rules.event_settings)
}

/// Puts new rules into force and begins their sweep.
///
/// # Panics
/// If the sweep of the rules before has not ended.
pub fn begin_sweep(shard: &mut Shard, rules: Arc<Rules>, moves_clocks: bool) {
    assert!(shard.sweep.is_none(), "new rules came before the sweep of the previous ones had ended");
    shard.decoder = Decoder::new(&rules.event_settings);
    shard.duplicates.set_bounds(rules.event_settings.dedup_horizon_hours, rules.event_settings.dedup_max_ids);
    shard.census.change_rules(&rules);
    shard.customers.change_rules();
    let old_rules = std::mem::replace(&mut shard.rules, rules);
    let has_customers = !shard.customers.profiles.is_empty();
    let (ended_counts, at) = (ended_counts(&shard.rules, &old_rules), shard.time.watermark);
    shard.sweep = has_customers.then_some(Sweep { old_rules, ended_counts, at, next_row: 0, moves_clocks });
    shard.digest.input(0, Verdict::Rules, shard.time.watermark, 0);
}

/// Evaluates a customer with the rules of `context` for the first time, without waiting for dwell, and records what
/// differs from the values that it holds under the old rules.
pub fn enter_new_rules(
    shard: &mut Shard,
    row: RowNumber,
    context: &EvaluationContext<'_>,
    sweep: &Sweep,
    effects: &mut Effects,
) -> Evaluation {
    let EvaluationContext { rules, at, .. } = *context;
    let old_rules = &*sweep.old_rules;
    let Shard { customers, buffers, .. } = shard;
    let (old_intervals, intervals) = (&old_rules.event_settings.intervals, &rules.event_settings.intervals);
    if sweep.moves_clocks {
        customers.profiles.change_intervals(row, at, old_intervals, intervals);
    } else {
        customers.profiles.retain_intervals(row, intervals);
    }
    let mut old_held = Vec::new();
    customers.profiles.held(row, &mut old_held);
    let mut evaluation = buffers.evaluation();
    evaluation.held_before.clear();
    let carried = rules.targets.iter().map(|target| carried_over(target, old_rules, &old_held, at));
    evaluation.held_before.extend(carried);
    evaluation.decide(rules, &customers.profiles.customer(row), at, false);
    let transitions = transitions(rules, old_rules, &old_held, &mut evaluation, at);
    customers.enter_new_rules(row, &old_held, &evaluation.held_after);
    if sweep.moves_clocks || !transitions.is_empty() {
        // A later event from before this moment is late, so that these rules judge no earlier instant.
        customers.profiles.row_mut(row).clock = at;
    }
    if transitions.is_empty() {
        return evaluation;
    }
    if !customers.profiles.row(row).muted {
        let held_after = &evaluation.held_after;
        let shared = SharedEntries::new(shard, row, context, held_after, effects);
        for (transition, target) in &transitions {
            let Shard { customers, buffers, .. } = shard;
            let customer = customers.profiles.customer(row);
            let next = target.and_then(|target| forecast(target, &customer, context, held_after, buffers, effects));
            let because = match target.filter(|_| !transition.is_fill) {
                Some(target) => explain_value(target, &customer, context, &evaluation, effects),
                None => Run::EMPTY,
            };
            record_change(shard, row, context, &shared, transition, Explanation { because, next }, effects);
        }
        effects.touched.push(shared.touched(at, false));
    }
    evaluation
}

/// The values that differ, in byte order of the names of both files' segmentations and audiences, each with the index
/// of its target if the new rules have it. Fills `held_after` of the evaluation.
fn transitions<'a>(
    rules: &'a Rules,
    old_rules: &'a Rules,
    old_held: &[HeldValue],
    evaluation: &mut Evaluation,
    at: Millis,
) -> Vec<(Transition<'a>, Option<usize>)> {
    let Evaluation { held_before, decided, held_after, .. } = evaluation;
    held_after.clear();
    let mut transitions = Vec::new();
    for (index, target) in rules.targets.iter().enumerate() {
        let (held, decided) = (held_before[index], decided[index].value);
        let old_index = same_target(old_rules, target);
        let from = match old_index {
            Some(old_index) => value_name(&old_rules.targets[old_index], old_held[old_index].value),
            None => value_name(target, held.value),
        };
        let to = value_name(target, decided);
        if from == to {
            held_after.push(held);
            continue;
        }
        held_after.push(held.then(decided, at, from.is_some()));
        let from_since = from.map(|_| held.since);
        let transition = Transition {
            segmentation: &target.name,
            from,
            from_since,
            to,
            direction: direction(target, from, to),
            is_return: held.is_return(decided, at),
            is_fill: from.is_none() || old_index.is_none(),
        };
        transitions.push((transition, Some(index)));
    }
    for (target, held) in old_rules.targets.iter().zip(old_held) {
        let end = target.initial(at).value;
        if same_target(rules, target).is_none() && held.value != end {
            transitions.push((Transition { is_return: false, ..Transition::new(target, *held, end, at) }, None));
        }
    }
    transitions.sort_by_key(|(transition, target)| (transition.segmentation, target.is_some()));
    transitions
}

/// The direction of a change between values of two rules files: a value that the new rules do not have is not on their
/// ladder.
fn direction(target: &Target, from: Option<&str>, to: Option<&str>) -> Direction {
    let value = |name: Option<&str>| name.map_or(Some(HeldValue::NULL), |name| target.value_named(name));
    value(from).zip(value(to)).map_or(Direction::Side, |(from, to)| target.direction(from, to))
}

/// The index of the segmentation or audience of the same name and kind.
fn same_target(rules: &Rules, target: &Target) -> Option<usize> {
    let index = rules.targets.iter().position(|other| other.name == target.name)?;
    (rules.targets[index].is_audience() == target.is_audience()).then_some(index)
}

/// What a customer holds of a target of the new rules: the value of the same name, else the initial value.
fn carried_over(target: &Target, old_rules: &Rules, old_held: &[HeldValue], at: Millis) -> HeldValue {
    let initial = target.initial(at);
    let Some(index) = same_target(old_rules, target) else { return initial };
    let held = old_held[index];
    let value = |value: u16| target.value_named(value_name(&old_rules.targets[index], value)?);
    let before = value(held.before).unwrap_or(HeldValue::NULL);
    HeldValue { value: value(held.value).unwrap_or(initial.value), before, ..held }
}
