//! Which values follow from the truths: first match, hysteresis of `exit`, dwell (R2, R5), in order of dependence.

use super::compiled::condition::Condition;
use super::compiled::scalar::Facts;
use super::compiled::target::{Audience, IN, OUT, TargetKind};
use super::compiled::truth::Truths;
use super::compiled::values::{Decision, TargetValues};
use super::{Reading, Rules};
use crate::engine::event::{EventType, Millis, NEVER};
use crate::engine::profile::{Customer, HeldValue};

impl Rules {
    /// Reads the truths of the comparisons on segment() and audience() from the values held.
    pub fn read_target_truths(&self, held: &[HeldValue], truths: &Truths) {
        let values = TargetValues::Held(&self.targets, held);
        let facts = Facts { customer: &Customer::unknown(""), now: 0, values, event: None };
        self.read_on_targets(&self.on_targets, facts, truths);
    }

    fn read_on_targets(&self, comparisons: &[u16], facts: Facts<'_, '_>, truths: &Truths) {
        for index in comparisons {
            let predicate = &self.comparisons[usize::from(*index)].predicate;
            truths.set(*index, predicate.truth(facts));
        }
    }

    /// Decides the values of all targets at `now`. `truths` are those of the customer's comparisons at `now`, as far as
    /// they are known; those that decide are added to them, and those of comparisons on targets.
    pub fn decide(
        &self,
        truths: &Truths,
        customer: &Customer<'_>,
        held: &[HeldValue],
        now: Millis,
        obey_dwell: bool,
        decided: &mut Vec<Decision>,
    ) {
        decided.clear();
        decided.resize(self.targets.len(), Decision { value: HeldValue::NULL, waits_until: NEVER });
        let facts = Facts { customer, now, values: TargetValues::None, event: None };
        for target in &self.order {
            self.decide_one(usize::from(*target), truths, facts, held, obey_dwell, decided);
        }
    }

    /// The same after an event of this type, obeying dwell: all targets that it does not touch keep their values.
    pub fn decide_touched(
        &self,
        event_type: EventType,
        truths: &Truths,
        customer: &Customer<'_>,
        held: &[HeldValue],
        now: Millis,
        decided: &mut Vec<Decision>,
    ) {
        decided.clear();
        decided.extend(held.iter().map(|held| Decision { value: held.value, waits_until: NEVER }));
        let facts = Facts { customer, now, values: TargetValues::None, event: None };
        for target in &self.touched[event_type.index()].with_dependents {
            self.decide_one(usize::from(*target), truths, facts, held, true, decided);
        }
    }

    /// Decides one target, after those it refers to. `facts` have no values.
    pub(super) fn decide_one(
        &self,
        target: usize,
        truths: &Truths,
        facts: Facts<'_, '_>,
        held: &[HeldValue],
        obey_dwell: bool,
        decided: &mut [Decision],
    ) {
        let now = facts.now;
        let facts = Facts { values: TargetValues::Decided(&self.targets, decided), ..facts };
        self.read_on_targets(&self.targets[target].on_targets, facts, truths);
        let held = held[target];
        let wanted = self.wanted(target, &self.reading(facts.customer, now, truths), held.value);
        let dwell_end = held.since.saturating_add(self.targets[target].dwell(held.value));
        let is_held_back =
            obey_dwell && wanted != held.value && held.value != HeldValue::NULL && held.dwells && now < dwell_end;
        decided[target] = match is_held_back {
            true => Decision { value: held.value, waits_until: dwell_end },
            false => Decision { value: wanted, waits_until: NEVER },
        };
    }

    /// Whether an event of this type may have changed what the rules want, after which the targets that it touches must
    /// be evaluated. `after` are the truths after the event. Before it the customer held what
    /// the rules wanted, or waited for the end of a dwell, whose deadline is armed: a target that the event does not
    /// touch stays as it is.
    #[inline(never)]
    pub fn may_change_values(&self, event_type: EventType, after: &Reading<'_>, held: impl Fn(usize) -> u16) -> bool {
        let is_unsettled = |target: &u16| {
            let target = usize::from(*target);
            let held = held(target);
            !self.targets[target].on_targets.is_empty() || self.wanted(target, after, held) != held
        };
        !self.on_both.is_empty() || self.touched[event_type.index()].targets.iter().any(is_unsettled)
    }

    /// The value that the rules want without regard to dwell (R2).
    pub fn wanted(&self, target: usize, truths: &Reading<'_>, held: u16) -> u16 {
        let is_true = |condition: &Condition| condition.truth(&|index| truths.get(index)).is_true();
        match &self.targets[target].kind {
            TargetKind::Segmentation { segments, .. } => {
                let mut conditions = segments.iter().map(|segment| segment.condition.as_ref());
                let first = conditions.position(|condition| condition.is_none_or(is_true));
                first.unwrap_or(segments.len() - 1) as u16
            }
            TargetKind::Audience(Audience { when, exit, .. }) => {
                let leaves = exit.as_ref().is_some_and(is_true);
                let stays = held == IN && exit.is_some();
                if !leaves && (stays || is_true(when)) { IN } else { OUT }
            }
        }
    }
}
