//! Evaluates the rules for one customer at one instant (T6, R2 to R5).
//!
//! An evaluation only reads: its result is a value that `changes` records, with the truths from which the customer's
//! next deadline follows. The memory of evaluations is reused, so that they do not allocate.

use super::incoming::IncomingEvent;
use crate::engine::effects::Cause;
use crate::engine::event::{EventType, Millis, NEVER};
use crate::engine::profile::{Customer, HeldValue, Profiles, RowNumber};
use crate::engine::rule::{Decision, ForecastScratch, Rules, Truths};

/// What all changes of one evaluation share.
#[derive(Clone, Copy)]
pub struct EvaluationContext<'a> {
    /// The rules whose version the changes have.
    pub rules: &'a Rules,
    pub cause: Cause,
    /// The instant of the evaluation.
    pub at: Millis,
    /// The event that led to it.
    pub event: Option<&'a IncomingEvent<'a>>,
    /// While an event is processed, the earliest moment in whose minute changes count for alerts.
    pub arrival: Option<Millis>,
}

impl<'a> EvaluationContext<'a> {
    /// The context of an evaluation that an event leads to.
    pub fn of(incoming: &'a IncomingEvent<'a>, rules: &'a Rules, cause: Cause, at: Millis) -> Self {
        Self { rules, cause, at, event: Some(incoming), arrival: Some(incoming.arrival) }
    }
}

/// What the rules make of one customer at one instant.
#[derive(Default)]
pub struct Evaluation {
    /// Truths at that instant, as far as they were read.
    pub truths: Truths,
    /// All values held before, by target.
    pub held_before: Vec<HeldValue>,
    pub decided: Vec<Decision>,
    /// All values held afterwards, with the instants since which they are held.
    pub held_after: Vec<HeldValue>,
}

/// Evaluates all rules for a customer at `at`, obeying dwell.
#[inline(never)]
pub fn evaluate(
    rules: &Rules,
    profiles: &Profiles,
    row: RowNumber,
    at: Millis,
    buffers: &mut EvaluationBuffers,
) -> Evaluation {
    let mut evaluation = buffers.evaluation();
    profiles.held(row, &mut evaluation.held_before);
    evaluation.decide(rules, &profiles.customer(row), at, true);
    evaluation.hold_decided(rules, at);
    evaluation
}

/// The same after an event of this type in order, whose `truths` at `at` are known in part: only the targets that it
/// touches are evaluated.
#[inline(never)]
pub fn evaluate_touched(
    rules: &Rules,
    profiles: &Profiles,
    row: RowNumber,
    at: Millis,
    event_type: EventType,
    truths: &mut Truths,
    buffers: &mut EvaluationBuffers,
) -> Evaluation {
    let mut evaluation = buffers.evaluation();
    profiles.held(row, &mut evaluation.held_before);
    std::mem::swap(&mut evaluation.truths, truths);
    let Evaluation { truths, held_before, decided, .. } = &mut evaluation;
    rules.decide_touched(event_type, truths, &profiles.customer(row), held_before, at, decided);
    evaluation.hold_decided(rules, at);
    evaluation
}

impl Evaluation {
    /// Decides all values from those in `held_before`.
    pub fn decide(&mut self, rules: &Rules, customer: &Customer<'_>, at: Millis, obey_dwell: bool) {
        rules.begin_reading(&mut self.truths);
        rules.decide(&self.truths, customer, &self.held_before, at, obey_dwell, &mut self.decided);
    }

    /// Fills `held_after` with the decided values.
    fn hold_decided(&mut self, rules: &Rules, at: Millis) {
        let Self { held_before, decided, held_after, .. } = self;
        held_after.clear();
        held_after.extend(held_before.iter().zip(decided).zip(&rules.targets).map(|((held, decided), target)| {
            if held.value == decided.value {
                return *held;
            }
            // A segment that comes from null is not held by dwell (R5).
            held.then(decided.value, at, held.value != HeldValue::NULL || target.is_audience())
        }));
    }

    /// Whether any value differs from the one held.
    pub fn has_changes(&self) -> bool {
        self.decided.iter().zip(&self.held_before).any(|(decided, held)| decided.value != held.value)
    }

    /// The first end of a dwell that keeps a value which the rules no longer want.
    pub fn dwell_ends(&self) -> Millis {
        self.decided.iter().map(|decided| decided.waits_until).min().unwrap_or(NEVER)
    }
}

/// Memory of evaluations and truths that are not in use, kept to spare allocations. It holds no data from one
/// evaluation to the next.
#[derive(Default)]
pub struct EvaluationBuffers {
    evaluations: Vec<Evaluation>,
    truths: Vec<Truths>,
    pub forecast: ForecastScratch,
}

impl EvaluationBuffers {
    /// An evaluation to be filled; return it with [`Self::return_evaluation`].
    pub fn evaluation(&mut self) -> Evaluation {
        self.evaluations.pop().unwrap_or_default()
    }

    pub fn return_evaluation(&mut self, evaluation: Evaluation) {
        self.evaluations.push(evaluation);
    }

    /// Truths of comparisons of these rules, of which none is known; return them with [`Self::return_truths`].
    pub fn truths(&mut self, rules: &Rules) -> Truths {
        let mut truths = self.truths.pop().unwrap_or_default();
        rules.begin_reading(&mut truths);
        truths
    }

    pub fn return_truths(&mut self, truths: Truths) {
        self.truths.push(truths);
    }
}
