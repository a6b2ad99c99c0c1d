//! Deadlines: what happens to a customer by time alone (T3, T4, T6).
//!
//! Each customer has at most one armed deadline: its row has the moment, and the wheel an entry. Arming an earlier
//! moment leaves a stale entry in the wheel, which is skipped when it comes up. When the deadline fires, the rules are
//! evaluated at its instant, and the next deadline is armed.

use super::Shard;
use super::changes::{Before, begin_publishing, record_changes};
use super::evaluation::{EvaluationContext, evaluate};
use super::remove_customer::remove_customer;
use super::sweep::enter_new_rules;
use crate::engine::effects::{Cause, Effects};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::RowNumber;
use crate::engine::rule::{Rules, Truths};

/// How many customers ahead of the one whose deadline fires are prefetched.
const PREFETCHED: usize = 8;

/// Fires the deadlines of the first `customers` that are due up to the watermark. Stale entries of the wheel do not
/// count, so which customers these are follows from the state alone and not from the wheel's history.
#[inline(never)]
pub fn fire(shard: &mut Shard, rules: &Rules, customers: usize, effects: &mut Effects) {
    let mut due = std::mem::take(&mut shard.due);
    let mut left = customers;
    while left > 0 {
        due.clear();
        let profiles = &shard.customers.profiles;
        shard.wheel.advance(shard.time.watermark, left, |row| profiles.row(row).armed, &mut due);
        if due.is_empty() {
            break;
        }
        for (index, &(row, at)) in due.iter().enumerate() {
            if let Some(&(ahead, _)) = due.get(index + PREFETCHED) {
                shard.customers.profiles.prefetch_number(ahead);
            }
            if shard.customers.profiles.row(row).armed == at {
                catch_up(shard, rules, row, shard.time.watermark, None, effects);
                left -= 1;
            }
        }
    }
    shard.due = due;
}

/// Fires a customer's deadlines up to `until`, each at its own instant, in order (T4, T6). A customer that new rules
/// have yet to reach is evaluated with them first; afterwards it may be gone. `arrival` is that of the event being
/// processed. Inlined: it is called three times per event, and mostly nothing is due.
#[inline(always)]
pub fn catch_up(
    shard: &mut Shard,
    rules: &Rules,
    row: RowNumber,
    until: Millis,
    arrival: Option<Millis>,
    effects: &mut Effects,
) {
    if !shard.customers.is_swept(row) {
        sweep_customer(shard, rules, row, effects);
    }
    fire_until(shard, rules, row, until, arrival, effects);
}

/// Fires the deadlines of an event's customer up to `until`, which may be after the watermark. Those after it that
/// leave no trace stay armed: the event may come before them and give them one.
#[inline(always)]
pub fn catch_up_to_arrival(shard: &mut Shard, rules: &Rules, row: RowNumber, until: Millis, effects: &mut Effects) {
    catch_up(shard, rules, row, shard.time.watermark, None, effects);
    if shard.customers.profiles.row(row).armed <= until {
        fire_after_watermark(shard, rules, row, until, effects);
    }
}

#[inline(never)]
fn fire_after_watermark(shard: &mut Shard, rules: &Rules, row: RowNumber, until: Millis, effects: &mut Effects) {
    let mut untraced = NEVER;
    while shard.customers.profiles.row(row).armed <= until {
        let at = shard.customers.profiles.row(row).armed;
        untraced = if fire_deadline(shard, rules, row, None, effects) { NEVER } else { untraced.min(at) };
    }
    if untraced != NEVER {
        // Its entry of the wheel is still there.
        shard.customers.set_armed(row, untraced);
    }
}

/// Evaluates a customer with the new rules, after firing under the old rules the deadlines that were due when the new
/// ones came (R6). A customer of which only published values are known ends here.
#[inline(never)]
pub fn sweep_customer(shard: &mut Shard, rules: &Rules, row: RowNumber, effects: &mut Effects) {
    let Some(sweep) = shard.sweep.clone() else { return };
    let (old_rules, rules_at) = (&*sweep.old_rules, sweep.at);
    let context = |at: Millis| EvaluationContext { rules, at, cause: Cause::Rules, event: None, arrival: None };
    if shard.customers.profiles.row(row).first_event == NEVER {
        let at = shard.customers.profiles.row(row).clock.max(rules_at);
        remove_customer(shard, row, &context(at), old_rules, effects);
        return;
    }
    fire_until(shard, old_rules, row, rules_at, None, effects);
    shard.customers.set_armed(row, NEVER);
    if sweep.ended_counts != 0 {
        shard.customers.profiles.drop_own_counts(row, sweep.ended_counts);
    }
    let at = shard.customers.profiles.row(row).clock.max(rules_at);
    let evaluation = enter_new_rules(shard, row, &context(at), &sweep, effects);
    arm_next(shard, rules, row, at, &evaluation.truths);
    shard.buffers.return_evaluation(evaluation);
}

#[inline(always)]
fn fire_until(
    shard: &mut Shard,
    rules: &Rules,
    row: RowNumber,
    until: Millis,
    arrival: Option<Millis>,
    effects: &mut Effects,
) {
    while shard.customers.profiles.row(row).armed <= until {
        fire_deadline(shard, rules, row, arrival, effects);
    }
}

/// Fires a customer's deadline: evaluates the rules at its instant. Without a change this leaves no trace (T6). Returns
/// whether it left one.
#[inline(never)]
fn fire_deadline(
    shard: &mut Shard,
    rules: &Rules,
    row: RowNumber,
    arrival: Option<Millis>,
    effects: &mut Effects,
) -> bool {
    let Shard { customers, buffers, settings, .. } = shard;
    let at = customers.profiles.row(row).armed;
    customers.set_armed(row, NEVER);
    effects.counts.fired += 1;
    let begins = customers.profiles.row(row).muted && settings.publish_from.is_some_and(|from| at >= from);
    let evaluation = evaluate(rules, &customers.profiles, row, at, buffers);
    let has_trace = begins || evaluation.has_changes();
    arm(shard, row, evaluation.dwell_ends());
    if begins {
        let context = EvaluationContext { rules, at, cause: Cause::Bootstrap, event: None, arrival };
        begin_publishing(shard, row, &context, &evaluation, effects);
    } else if has_trace {
        let truths = shard.buffers.truths(rules);
        let customer = shard.customers.profiles.customer(row);
        rules.read_truths(rules.comparisons_on_both(), &customer, at - 1, &truths);
        let context = EvaluationContext { rules, at, cause: Cause::Time, event: None, arrival };
        let before = Before { truths: &truths, at: at - 1, unknown: None };
        record_changes(shard, row, &context, &evaluation, &before, effects);
        shard.buffers.return_truths(truths);
    }
    arm_next(shard, rules, row, at, &evaluation.truths);
    shard.buffers.return_evaluation(evaluation);
    has_trace
}

/// Arms the first instant after `at` at which anything about the customer can change by time alone. `truths` are those
/// at `at`, as far as they are known.
#[inline(never)]
pub fn arm_next(shard: &mut Shard, rules: &Rules, row: RowNumber, at: Millis, truths: &Truths) {
    let deadline = rules.next_deadline(&shard.customers.profiles.customer(row), at, truths);
    let publishing_begins = match shard.settings.publish_from {
        Some(from) if shard.customers.profiles.row(row).muted => from,
        _ => NEVER,
    };
    arm(shard, row, deadline.min(publishing_begins));
}

/// Moves a customer's deadline forward if `deadline` comes before the armed one. A later one needs nothing: when the
/// armed one fires, the next is computed afresh.
#[inline(always)]
pub fn arm(shard: &mut Shard, row: RowNumber, deadline: Millis) {
    if deadline < shard.customers.profiles.row(row).armed {
        arm_earlier(shard, row, deadline);
    }
}

#[inline(never)]
fn arm_earlier(shard: &mut Shard, row: RowNumber, deadline: Millis) {
    shard.customers.set_armed(row, deadline);
    shard.wheel.insert(row, deadline);
}
