//! What a target will change to if nothing more happens (R9 `next`): the same evaluation, run forward from turn to turn.

use super::decide::Decided;
use super::truth::{Truth, Truths};
use super::{Closure, Rules};
use crate::engine::event::{DAY, Millis, NEVER};
use crate::engine::profile::{Customer, Held};

/// How far a forecast looks.
const HORIZON: Millis = 400 * DAY;

/// Instants at which the target's own comparisons turn, at most.
const TURNS_MAX: usize = 64;

/// Room for [`Rules::forecast`], kept by the caller so that nothing is allocated per change.
#[derive(Debug, Default)]
pub struct Scratch {
    truths: Truths,
    /// When each comparison of the target's closure may turn next; same order as the closure's.
    turns: Vec<Millis>,
    held: Vec<Held>,
    decided: Vec<Decided>,
    /// Truths of the target's own comparisons as of the instant before.
    own: Vec<Truth>,
}

impl Rules {
    /// The value this target will change to first if nothing else happens, and when. `held` as after the change at `now`.
    pub fn forecast(
        &self,
        target: usize,
        customer: &Customer<'_>,
        held: &[Held],
        now: Millis,
        scratch: &mut Scratch,
    ) -> Option<(u16, Millis)> {
        let closure = &self.closures[target];
        self.begin(closure, customer, held, now, scratch);
        let own = &self.targets[target].comparisons;
        // The end of the target's own dwell is one of the instants, whether or not another value is wanted then.
        let dwell_ends = match held[target].dwells {
            true => held[target].since.saturating_add(self.targets[target].dwell(held[target].value)),
            false => now,
        };
        let (mut instant, mut turns) = (now, 0);
        while turns < TURNS_MAX {
            let dwell_end = if dwell_ends > instant { dwell_ends } else { NEVER };
            let next = scratch.next_instant(closure).min(dwell_end);
            if next == NEVER || next > now + HORIZON {
                return None;
            }
            debug_assert!(next > instant, "a forecast goes forward");
            instant = next;
            scratch.own.clear();
            scratch.own.extend(own.iter().map(|place| scratch.truths.get(*place)));
            self.advance(closure, customer, instant, scratch);
            if scratch.held[target].value != held[target].value {
                return Some((scratch.held[target].value, instant));
            }
            let turned = own.iter().zip(&scratch.own).any(|(place, before)| scratch.truths.get(*place) != *before);
            turns += usize::from(turned || instant == dwell_ends);
        }
        None
    }

    fn begin(&self, closure: &Closure, customer: &Customer<'_>, held: &[Held], now: Millis, scratch: &mut Scratch) {
        scratch.truths.resize(self.comparisons.len());
        scratch.held.clear();
        scratch.held.extend_from_slice(held);
        scratch.decided.clear();
        scratch.decided.resize(held.len(), Decided { value: Held::NULL, waits_until: NEVER });
        scratch.turns.clear();
        scratch.turns.resize(closure.comparisons.len(), now);
        self.advance(closure, customer, now, scratch);
    }

    /// Evaluates the closure at an instant: only what may turn there is read again.
    fn advance(&self, closure: &Closure, customer: &Customer<'_>, instant: Millis, scratch: &mut Scratch) {
        for (place, turn) in closure.comparisons.iter().zip(&mut scratch.turns) {
            if *turn <= instant {
                let comparison = &self.comparisons[usize::from(*place)];
                let truth = comparison.truth(customer, instant);
                scratch.truths.set(*place, truth);
                *turn = comparison.next_turn(customer, instant, truth);
            }
        }
        for target in &closure.targets {
            let target = usize::from(*target);
            self.decide_one(target, &mut scratch.truths, &scratch.held, instant, true, &mut scratch.decided);
        }
        for target in &closure.targets {
            let target = usize::from(*target);
            let (held, value) = (&mut scratch.held[target], scratch.decided[target].value);
            if value != held.value {
                *held = held.then(value, instant, held.value != Held::NULL);
            }
        }
    }
}

impl Scratch {
    /// The next turn of a comparison or end of a dwell.
    fn next_instant(&self, closure: &Closure) -> Millis {
        let turn = self.turns.iter().copied().min().unwrap_or(NEVER);
        let waits = closure.targets.iter().map(|target| self.decided[usize::from(*target)].waits_until);
        turn.min(waits.min().unwrap_or(NEVER))
    }
}
