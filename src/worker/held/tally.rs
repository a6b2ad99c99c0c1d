//! What a held shard counts: of the open transaction apart, of those that are committed in sums that the worker takes.

use super::HeldShard;
use crate::engine::effects::Effects;
use crate::engine::event::Millis;
use crate::engine::profile::HeldValue;
use crate::worker::journal::StepPart;
use crate::worker::tally::Tally;

/// The counters of a shard.
#[derive(Default)]
pub struct Counting {
    open: Tally,
    committed: Tally,
    /// Arrival of the oldest record of the step that was just made, and of the open transaction.
    stepped: Option<Millis>,
    oldest: Option<Millis>,
    /// The wall clock when the last records of each input were taken.
    taken: Vec<Option<Millis>>,
}

impl Counting {
    /// Effects that will be published.
    pub fn take(&mut self, effects: &Effects, grace: Millis) {
        self.open.take(effects, grace);
    }

    /// A step was made of these, at `now`; its oldest record arrived at `oldest`.
    pub fn step(&mut self, parts: &[StepPart], now: Millis, oldest: Option<Millis>) {
        for part in parts {
            self.open.add_records(part.topic, u64::from(part.records));
            let place = usize::from(part.topic);
            self.taken.resize(self.taken.len().max(place + 1), None);
            self.taken[place] = Some(now);
        }
        self.stepped = oldest;
        self.oldest = self.oldest.into_iter().chain(oldest).min();
    }

    /// The wall clock when records of an input were last taken.
    pub fn taken(&self, topic: u16) -> Option<Millis> {
        self.taken.get(usize::from(topic)).copied().flatten()
    }
}

impl HeldShard {
    /// The step that was made last is applied.
    pub fn note_applied(&mut self, now: Millis) {
        if let Some(oldest) = self.counting.stepped.take() {
            self.counting.open.applied.observe_ms(now - oldest);
        }
    }

    /// The transaction that was open until just now is committed.
    pub fn note_committed(&mut self, now: Millis) {
        if let Some(oldest) = self.counting.oldest.take() {
            self.counting.committed.committed.observe_ms(now - oldest);
        }
    }

    /// The sums since they were last taken.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.counting.committed)
    }

    /// Nothing of what was done until now is to be counted.
    pub fn count_from_here(&mut self) {
        self.counting.open = Tally::default();
        (self.counting.stepped, self.counting.oldest) = (None, None);
        if let Some(shard) = &mut self.shard {
            shard.take_deeds(|_, _, _| {});
        }
    }

    /// What customers did goes to the open transaction.
    pub(super) fn tally_deeds(&mut self) {
        let Some(shard) = &mut self.shard else { return };
        let open = &mut self.counting.open;
        shard.take_deeds(|target, value, deeds| {
            let value = (value != HeldValue::NULL).then(|| target.value_name(value));
            open.add_deeds(&target.name, value, &deeds);
        });
    }

    /// The open transaction is committed: what it came to is added to the sums.
    pub(super) fn settle_tally(&mut self) {
        self.tally_deeds();
        self.counting.committed.add(&self.counting.open);
        self.counting.open = Tally::default();
    }
}
