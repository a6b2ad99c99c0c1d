//! Records the changes that follow from an evaluation (R4, R8, R9, R11): [`record_changes`] stores the decided values
//! and goes through those that differ, [`record_change`] appends one change to the effects.

use super::census::count_change;
use super::evaluation::{Evaluation, EvaluationBuffers, EvaluationContext};
use super::transition::Transition;
use super::{Bootstrap, Shard};
use crate::engine::effects::{Because, Cause, Change, Effects, Feature, Next, Run, Span, Touched, Trigger};
use crate::engine::event::Millis;
use crate::engine::profile::{Customer, HeldValue, RowNumber};
use crate::engine::rule::{self, Truth, Truths};

/// The entries of [`Effects`] that all changes of one evaluation share, kept once.
#[derive(Clone, Copy)]
pub struct SharedEntries {
    trigger: Option<Trigger>,
    customer_id: Span,
    rules_version: Span,
    features: Run,
}

impl SharedEntries {
    /// Keeps the entries, with the included features of a customer that holds `held`.
    pub fn new(
        shard: &Shard,
        row: RowNumber,
        context: &EvaluationContext<'_>,
        held: &[HeldValue],
        effects: &mut Effects,
    ) -> Self {
        let start = effects.features.len();
        context.rules.for_each_included(&shard.customers.profiles.customer(row), held, context.at, |name, value| {
            let name = effects.keep(name);
            let value = effects.keep_value(value);
            effects.features.push(Feature { name, value });
        });
        let features = effects.features_since(start);
        Self { features, ..Self::without_features(shard, row, context, effects) }
    }

    /// Keeps the entries of a customer that is removed.
    pub fn without_features(
        shard: &Shard,
        row: RowNumber,
        context: &EvaluationContext<'_>,
        effects: &mut Effects,
    ) -> Self {
        Self {
            trigger: context.event.map(|incoming| incoming.trigger(&context.rules.event_settings, effects)),
            customer_id: effects.keep(shard.customers.profiles.id(row)),
            rules_version: effects.keep(&context.rules.version),
            features: effects.features_since(effects.features.len()),
        }
    }

    pub fn touched(&self, at: Millis, is_gone: bool) -> Touched {
        Touched { customer_id: self.customer_id, effective_at: at, is_gone, features: self.features }
    }
}

/// Why a value changed, and what comes next (R9).
pub struct Explanation {
    pub because: Run,
    pub next: Option<Next>,
}

impl Explanation {
    pub const NONE: Self = Self { because: Run::EMPTY, next: None };
}

/// A customer just before an evaluation: what the reasons of a change compare with (R9).
pub struct Before<'a> {
    /// The truths that can no longer be read, and those that were.
    pub truths: &'a Truths,
    /// When the others are read, of the customer as it is now.
    pub at: Millis,
    /// The customer as it was, if it was not known.
    pub unknown: Option<Customer<'a>>,
}

/// Stores what an evaluation decided, and records each value that differs from the one held before.
#[inline(never)]
pub fn record_changes(
    shard: &mut Shard,
    row: RowNumber,
    context: &EvaluationContext<'_>,
    evaluation: &Evaluation,
    before: &Before<'_>,
    effects: &mut Effects,
) {
    store_values(shard, row, context.at, evaluation);
    if shard.customers.profiles.row(row).muted {
        return;
    }
    let rules = context.rules;
    rules.read_target_truths(&evaluation.held_before, before.truths);
    let shared = SharedEntries::new(shard, row, context, &evaluation.held_after, effects);
    for (index, target) in rules.targets.iter().enumerate() {
        let (held, to) = (evaluation.held_before[index], evaluation.decided[index].value);
        if held.value == to {
            continue;
        }
        let Shard { customers, buffers, .. } = shard;
        let customer = customers.profiles.customer(row);
        let because = explain(index, &customer, context, evaluation, before, effects);
        let next = forecast(index, &customer, context, &evaluation.held_after, buffers, effects);
        let transition = Transition::new(target, held, to, context.at);
        record_change(shard, row, context, &shared, &transition, Explanation { because, next }, effects);
        count_change(shard, row, context, index, (held.value, to));
    }
    effects.touched.push(shared.touched(context.at, false));
}

/// Begins to publish a customer's changes at the moment from which changes are published (R11).
pub fn begin_publishing(
    shard: &mut Shard,
    row: RowNumber,
    context: &EvaluationContext<'_>,
    evaluation: &Evaluation,
    effects: &mut Effects,
) {
    // This raises the clock: an event from before this moment is late from now on, so that its changes are never
    // published with an earlier instant.
    store_values(shard, row, context.at, evaluation);
    shard.customers.profiles.row_mut(row).muted = false;
    if shard.settings.bootstrap == Bootstrap::Nothing {
        return;
    }
    let held_after = &evaluation.held_after;
    let shared = SharedEntries::new(shard, row, context, held_after, effects);
    effects.touched.push(shared.touched(context.at, false));
    if shard.settings.bootstrap == Bootstrap::Membership {
        return;
    }
    for (index, target) in context.rules.targets.iter().enumerate() {
        let value = held_after[index].value;
        if target.is_audience() && value == target.initial(context.at).value {
            continue;
        }
        let Shard { customers, buffers, .. } = shard;
        let next = forecast(index, &customers.profiles.customer(row), context, held_after, buffers, effects);
        let transition = Transition::bootstrap(target, value);
        record_change(shard, row, context, &shared, &transition, Explanation { next, ..Explanation::NONE }, effects);
    }
}

/// Stores the values that a customer holds from now on, and moves its clock to the instant of the evaluation.
fn store_values(shard: &mut Shard, row: RowNumber, at: Millis, evaluation: &Evaluation) {
    let Shard { customers, .. } = shard;
    customers.set_held(row, &evaluation.held_before, &evaluation.held_after);
    customers.profiles.row_mut(row).clock = customers.profiles.row(row).clock.max(at);
}

/// Appends the comparisons that explain the change of a target (R9) to [`Effects::because`].
#[inline(never)]
fn explain(
    target: usize,
    customer: &Customer<'_>,
    context: &EvaluationContext<'_>,
    evaluation: &Evaluation,
    before: &Before<'_>,
    effects: &mut Effects,
) -> Run {
    let (rules, start) = (context.rules, effects.because.len());
    let change = rule::TargetChange {
        target,
        from: evaluation.held_before[target].value,
        to: evaluation.decided[target].value,
        by_time: context.cause == Cause::Time,
        before: rules.reading(before.unknown.as_ref().unwrap_or(customer), before.at, before.truths),
        after: rules.reading(customer, context.at, &evaluation.truths),
        held: &evaluation.held_before,
        decided: &evaluation.decided,
    };
    rules.for_each_reason(&change, |text, value, was, now| {
        let rule = effects.keep(text);
        let value = effects.keep_value(value);
        effects.because.push(Because { rule, value, was, now });
    });
    effects.because_since(start)
}

/// Appends the comparisons of a value that new rules give, as they are now (R9), to [`Effects::because`].
pub fn explain_value(
    target: usize,
    customer: &Customer<'_>,
    context: &EvaluationContext<'_>,
    evaluation: &Evaluation,
    effects: &mut Effects,
) -> Run {
    let start = effects.because.len();
    let truths = context.rules.reading(customer, context.at, &evaluation.truths);
    context.rules.for_each_reason_of_value(target, &truths, &evaluation.decided, |text, value, now| {
        let rule = effects.keep(text);
        let value = effects.keep_value(value);
        effects.because.push(Because { rule, value, was: Truth::Null, now });
    });
    effects.because_since(start)
}

/// The first change of a target if nothing more happens (R9).
#[inline(never)]
pub fn forecast(
    target: usize,
    customer: &Customer<'_>,
    context: &EvaluationContext<'_>,
    held_after: &[HeldValue],
    buffers: &mut EvaluationBuffers,
    effects: &mut Effects,
) -> Option<Next> {
    let (value, at) = context.rules.forecast(target, customer, held_after, context.at, &mut buffers.forecast)?;
    Some(Next { to: effects.keep(context.rules.targets[target].value_name(value)), at })
}

/// Appends one change to the effects, with the customer's next number.
pub fn record_change(
    shard: &mut Shard,
    row: RowNumber,
    context: &EvaluationContext<'_>,
    shared: &SharedEntries,
    transition: &Transition<'_>,
    explanation: Explanation,
    effects: &mut Effects,
) {
    let Shard { customers, digest, time, .. } = shard;
    let numbered = customers.profiles.row_mut(row);
    numbered.sequence += 1;
    let change = Change {
        customer_id: shared.customer_id,
        life: numbered.life,
        sequence: numbered.sequence,
        segmentation: effects.keep(transition.segmentation),
        from: transition.from.map(|from| effects.keep(from)),
        from_since: transition.from_since,
        to: transition.to.map(|to| effects.keep(to)),
        cause: context.cause,
        is_fill: transition.is_fill,
        effective_at: context.at,
        detected_at: time.now,
        trigger: shared.trigger,
        because: explanation.because,
        next: explanation.next,
        features: shared.features,
        rules_version: shared.rules_version,
        direction: transition.direction,
        is_return: transition.is_return,
    };
    effects.changes.push(change);
    effects.counts.changes[context.cause as usize] += 1;
    digest.change(&change, effects);
}
