//! What a shard counts: the open transaction apart, and sums of what is committed, which the worker collects.
//!
//! So nothing that is replayed muted, or lost with a failed transaction, is ever counted.

use super::OwnedShard;
use crate::engine::effects::{Cause, Counts, Effects, Rejected};
use crate::engine::event::Millis;
use crate::engine::profile::HeldValue;
use crate::worker::counters::rejected::RejectedExample;
use crate::worker::counters::tally::Tally;
use crate::worker::journal::StepPart;

/// The counters of a shard.
#[derive(Default)]
pub struct ShardCounters {
    /// What happened to inputs, recovery included.
    counts: Counts,
    /// Published changes that new rules caused.
    swept_changes: u64,
    open: Tally,
    committed: Tally,
    /// A rejected record of each reason, of the open transaction and of what is committed.
    open_examples: Vec<RejectedExample>,
    examples: Vec<RejectedExample>,
    /// Arrival of the oldest record of the last step, and of the open transaction.
    oldest_of_step: Option<Millis>,
    oldest: Option<Millis>,
    /// The wall clock when records of each input were last applied.
    applied_at: Vec<Option<Millis>>,
}

impl ShardCounters {
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn swept_changes(&self) -> u64 {
        self.swept_changes
    }

    pub fn add_counts(&mut self, counts: &Counts) {
        self.counts.add(counts);
    }

    /// Counts effects that will be published.
    pub fn add_effects(&mut self, effects: &Effects, grace: Millis) {
        self.open.add_effects(effects, grace);
        self.swept_changes += effects.changes.iter().filter(|change| change.cause == Cause::Rules).count() as u64;
        for rejected in &effects.rejected {
            if !self.open_examples.iter().any(|known| known.reason == rejected.reason) {
                let Rejected { reason, topic, partition, offset, message, .. } = *rejected;
                let message = effects.text(message).to_owned();
                self.open_examples.push(RejectedExample { reason, topic, partition, offset, message });
            }
        }
    }

    /// Counts a step made at `now`, whose oldest record arrived at `oldest`.
    pub fn add_step(&mut self, parts: &[StepPart], now: Millis, oldest: Option<Millis>) {
        for part in parts {
            self.open.add_records(part.topic, u64::from(part.records));
            let topic = usize::from(part.topic);
            self.applied_at.resize(self.applied_at.len().max(topic + 1), None);
            self.applied_at[topic] = Some(now);
        }
        self.oldest_of_step = oldest;
        self.oldest = self.oldest.into_iter().chain(oldest).min();
    }

    /// The wall clock when records of an input were last applied.
    pub fn applied_at(&self, topic: u16) -> Option<Millis> {
        self.applied_at.get(usize::from(topic)).copied().flatten()
    }

    /// Observes the delay of the last step, which is applied at `now`.
    pub fn observe_applied(&mut self, now: Millis) {
        if let Some(oldest) = self.oldest_of_step.take() {
            self.open.applied.observe_ms(now - oldest);
        }
    }

    /// Observes the delay of the transaction that was committed at `now`.
    pub fn observe_committed(&mut self, now: Millis) {
        if let Some(oldest) = self.oldest.take() {
            self.committed.committed.observe_ms(now - oldest);
        }
    }

    /// The sums since the last call.
    pub fn drain(&mut self) -> Tally {
        std::mem::take(&mut self.committed)
    }

    /// A rejected record of each reason since the last call.
    pub fn take_examples(&mut self) -> Vec<RejectedExample> {
        std::mem::take(&mut self.examples)
    }

    /// The open transaction is committed: its counters are added to the sums.
    pub fn settle(&mut self) {
        for example in self.open_examples.drain(..) {
            if !self.examples.iter().any(|known| known.reason == example.reason) {
                self.examples.push(example);
            }
        }
        self.committed.add(&self.open);
        self.open = Tally::default();
    }

    /// Drops what the open transaction counted.
    fn clear_open(&mut self) {
        self.open = Tally::default();
        self.open_examples.clear();
        (self.oldest_of_step, self.oldest) = (None, None);
    }
}

impl OwnedShard {
    /// Counts from here: what was applied until now was counted when it was first applied.
    pub fn count_from_here(&mut self) {
        self.counters.clear_open();
        if let Some(shard) = &mut self.shard {
            shard.take_actions(|_, _, _| {});
        }
    }

    /// Counts what customers did under the rules in force, in the open transaction.
    pub(super) fn count_actions(&mut self) {
        let Some(shard) = &mut self.shard else { return };
        let open = &mut self.counters.open;
        shard.take_actions(|target, value, actions| {
            let value = (value != HeldValue::NULL).then(|| target.value_name(value));
            open.add_actions(&target.name, value, &actions);
        });
    }
}
