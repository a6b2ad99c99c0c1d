//! Which values follow from the truths: first match, hysteresis of `exit`, dwell (R2, R5), in order of dependence.

use super::Rules;
use super::compiled::scalar::Facts;
use super::compiled::target::{Audience, IN, OUT, TargetKind};
use super::compiled::truth::Truths;
use super::compiled::values::{Decision, TargetValues};
use crate::engine::event::{EventType, Millis, NEVER};
use crate::engine::profile::{Customer, HeldValue};

impl Rules {
    /// Reads the truths of the comparisons on segment() and audience() from the values held.
    pub fn read_target_truths(&self, held: &[HeldValue], truths: &mut Truths) {
        truths.resize(self.comparisons.len());
        let values = TargetValues::Held(&self.targets, held);
        let facts = Facts { customer: &Customer::unknown(""), now: 0, values, event: None };
        self.read_on_targets(&self.on_targets, facts, truths);
    }

    fn read_on_targets(&self, comparisons: &[u16], facts: Facts<'_, '_>, truths: &mut Truths) {
        for index in comparisons {
            let predicate = &self.comparisons[usize::from(*index)].predicate;
            truths.set(*index, predicate.truth(facts));
        }
    }

    /// Decides the values of all targets at `now`. `truths` are those of the customer's comparisons at `now`; the
    /// truths of comparisons on targets are added to them.
    pub fn decide(
        &self,
        truths: &mut Truths,
        customer: &Customer<'_>,
        held: &[HeldValue],
        now: Millis,
        obey_dwell: bool,
        decided: &mut Vec<Decision>,
    ) {
        truths.resize(self.comparisons.len());
        decided.clear();
        decided.resize(self.targets.len(), Decision { value: HeldValue::NULL, waits_until: NEVER });
        let facts = Facts { customer, now, values: TargetValues::None, event: None };
        for target in &self.order {
            self.decide_one(usize::from(*target), truths, facts, held, obey_dwell, decided);
        }
    }

    /// Decides one target, after those it refers to. `facts` have no values.
    pub(super) fn decide_one(
        &self,
        target: usize,
        truths: &mut Truths,
        facts: Facts<'_, '_>,
        held: &[HeldValue],
        obey_dwell: bool,
        decided: &mut [Decision],
    ) {
        let now = facts.now;
        let facts = Facts { values: TargetValues::Decided(&self.targets, decided), ..facts };
        self.read_on_targets(&self.targets[target].on_targets, facts, truths);
        let held = held[target];
        let wanted = self.wanted(target, truths, held.value);
        let dwell_end = held.since.saturating_add(self.targets[target].dwell(held.value));
        let is_held_back =
            obey_dwell && wanted != held.value && held.value != HeldValue::NULL && held.dwells && now < dwell_end;
        decided[target] = match is_held_back {
            true => Decision { value: held.value, waits_until: dwell_end },
            false => Decision { value: wanted, waits_until: NEVER },
        };
    }

    /// Whether an event of this type may have changed what the rules want, after which everything must be evaluated.
    /// `truths` are those of the affected and unaffected comparisons after the event. Before it the customer held what
    /// the rules wanted, or waited for the end of a dwell, whose deadline is armed: a target that the event does not
    /// touch stays as it is.
    #[inline(never)]
    pub fn may_change_values(&self, event_type: EventType, truths: &Truths, held: impl Fn(usize) -> u16) -> bool {
        let is_unsettled = |target: &u16| {
            let target = usize::from(*target);
            let held = held(target);
            !self.targets[target].on_targets.is_empty() || self.wanted(target, truths, held) != held
        };
        !self.on_both.is_empty() || self.touched[event_type.index()].targets.iter().any(is_unsettled)
    }

    /// The value that the rules want without regard to dwell (R2).
    pub fn wanted(&self, target: usize, truths: &Truths, held: u16) -> u16 {
        match &self.targets[target].kind {
            TargetKind::Segmentation { segments, .. } => {
                let mut conditions = segments.iter().map(|segment| segment.condition.as_ref());
                let first = conditions.position(|condition| condition.is_none_or(|of| of.truth(truths).is_true()));
                first.unwrap_or(segments.len() - 1) as u16
            }
            TargetKind::Audience(Audience { when, exit, .. }) => {
                let leaves = exit.as_ref().is_some_and(|exit| exit.truth(truths).is_true());
                let stays = held == IN && exit.is_some();
                if !leaves && (stays || when.truth(truths).is_true()) { IN } else { OUT }
            }
        }
    }
}
