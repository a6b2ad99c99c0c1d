//! The forecast (R9 `next`): the value that a target will change to if nothing more happens.
//!
//! It is the same evaluation, run forward from flip to flip. A target that depends on no other is run forward from
//! deadline to deadline instead, unless its comparisons might flip more often than a forecast looks: the flips in
//! between change no value, and only count.

use crate::engine::event::{DAY, Millis, NEVER};
use crate::engine::profile::{Customer, HeldValue};
use crate::engine::rule::compiled::scalar::Facts;
use crate::engine::rule::compiled::truth::{Truth, Truths};
use crate::engine::rule::compiled::values::{Decision, TargetValues};
use crate::engine::rule::{Closure, Rules};

/// How far a forecast looks.
const HORIZON: Millis = 400 * DAY;

/// Buffers of [`Rules::forecast`], kept by the caller so that nothing is allocated per change.
#[derive(Debug, Default)]
pub struct ForecastScratch {
    truths: Truths,
    /// The next flip of each comparison of the target's closure, in the closure's order.
    next_flips: Vec<Millis>,
    /// The same of its comparisons on both customers and targets, as long as the targets keep their values.
    next_flips_on_both: Vec<Millis>,
    held: Vec<HeldValue>,
    decided: Vec<Decision>,
    /// Truths of the target's own comparisons at the instant before.
    own: Vec<Option<Truth>>,
}

impl Rules {
    /// The value that this target will change to first if nothing else happens, and when. `held` are the values after
    /// the change at `now`.
    pub fn forecast(
        &self,
        target: usize,
        customer: &Customer<'_>,
        held: &[HeldValue],
        now: Millis,
        scratch: &mut ForecastScratch,
    ) -> Option<(u16, Millis)> {
        let closure = &self.closures[target];
        if self.may_skip_flips(target, customer) {
            return self.forecast_alone(target, customer, held[target], now, &mut scratch.truths);
        }
        self.begin(closure, customer, held, now, scratch);
        let own = &self.targets[target].comparisons;
        // The end of the target's own dwell is one of the instants, whether or not another value is wanted then.
        let own_dwell_end = match held[target].dwells {
            true => held[target].since.saturating_add(self.targets[target].dwell(held[target].value)),
            false => now,
        };
        let (mut instant, mut flips) = (now, 0);
        while flips < self.targets[target].instants_max {
            let dwell_end = if own_dwell_end > instant { own_dwell_end } else { NEVER };
            let next = scratch.next_instant(closure).min(dwell_end);
            if next == NEVER || next > now + HORIZON {
                return None;
            }
            debug_assert!(next > instant, "a forecast goes forward in time");
            instant = next;
            scratch.own.clear();
            scratch.own.extend(own.iter().map(|index| scratch.truths.known(*index)));
            self.advance(closure, customer, instant, scratch);
            if scratch.held[target].value != held[target].value {
                return Some((scratch.held[target].value, instant));
            }
            let flipped = own.iter().zip(&scratch.own).any(|(index, before)| scratch.truths.known(*index) != *before);
            flips += usize::from(flipped || instant == own_dwell_end);
        }
        None
    }

    /// Whether a target depends on no other, and looking at all its flips takes no more instants than a forecast has.
    fn may_skip_flips(&self, target: usize, customer: &Customer<'_>) -> bool {
        let closure = &self.closures[target];
        let flips = |index: &u16| self.comparisons[usize::from(*index)].flips_max(customer);
        closure.targets.len() == 1
            && closure.on_both.is_empty()
            // One more for the end of the dwell.
            && closure.comparisons.iter().map(flips).fold(1, usize::saturating_add) <= self.targets[target].instants_max
    }

    /// The forecast of such a target, which has the value `held` since the change at `now`.
    fn forecast_alone(
        &self,
        target: usize,
        customer: &Customer<'_>,
        held: HeldValue,
        now: Millis,
        truths: &mut Truths,
    ) -> Option<(u16, Millis)> {
        let dwell_end = match held.dwells && held.value != HeldValue::NULL {
            true => held.since.saturating_add(self.targets[target].dwell(held.value)),
            false => now,
        };
        let mut instant = now;
        loop {
            self.begin_reading(truths);
            let reading = self.reading(customer, instant, truths);
            let wanted = self.wanted(target, &reading, held.value);
            if wanted != held.value && instant >= dwell_end {
                return Some((wanted, instant));
            }
            let waits_until = if wanted == held.value { NEVER } else { dwell_end };
            instant = self.next_deadline_of(target, &reading).min(waits_until);
            if instant == NEVER || instant > now + HORIZON {
                return None;
            }
        }
    }

    fn begin(
        &self,
        closure: &Closure,
        customer: &Customer<'_>,
        held: &[HeldValue],
        now: Millis,
        scratch: &mut ForecastScratch,
    ) {
        self.begin_reading(&mut scratch.truths);
        scratch.held.clear();
        scratch.held.extend_from_slice(held);
        scratch.decided.clear();
        scratch.decided.resize(held.len(), Decision { value: HeldValue::NULL, waits_until: NEVER });
        scratch.next_flips.clear();
        scratch.next_flips.resize(closure.comparisons.len(), now);
        self.advance(closure, customer, now, scratch);
    }

    /// Evaluates the closure at an instant. Only comparisons that may flip there are read again.
    fn advance(&self, closure: &Closure, customer: &Customer<'_>, instant: Millis, scratch: &mut ForecastScratch) {
        for (index, next_flip) in closure.comparisons.iter().zip(&mut scratch.next_flips) {
            if *next_flip <= instant {
                let comparison = &self.comparisons[usize::from(*index)];
                let truth = comparison.truth(customer, instant);
                scratch.truths.set(*index, truth);
                *next_flip = comparison.next_flip(customer, instant, truth);
            }
        }
        for target in &closure.targets {
            let target = usize::from(*target);
            let ForecastScratch { truths, held, decided, .. } = &mut *scratch;
            let facts = Facts { customer, now: instant, values: TargetValues::None, event: None };
            self.decide_one(target, truths, facts, held, true, decided);
        }
        for target in &closure.targets {
            let target = usize::from(*target);
            let (held, value) = (&mut scratch.held[target], scratch.decided[target].value);
            if value != held.value {
                *held = held.then(value, instant, held.value != HeldValue::NULL);
            }
        }
        let ForecastScratch { next_flips_on_both, held, .. } = scratch;
        next_flips_on_both.clear();
        next_flips_on_both.extend(closure.on_both.iter().map(|index| {
            let comparison = &self.comparisons[usize::from(*index)];
            let values = TargetValues::Held(&self.targets, held);
            let facts = Facts { customer, now: instant, values, event: None };
            comparison.next_flip_with(facts, comparison.predicate.truth(facts))
        }));
    }
}

impl ForecastScratch {
    /// The next flip of a comparison or end of a dwell.
    fn next_instant(&self, closure: &Closure) -> Millis {
        let flips = self.next_flips.iter().chain(&self.next_flips_on_both);
        let flip = flips.copied().min().unwrap_or(NEVER);
        let waits = closure.targets.iter().map(|target| self.decided[usize::from(*target)].waits_until);
        flip.min(waits.min().unwrap_or(NEVER))
    }
}
