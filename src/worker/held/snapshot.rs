//! A held shard to a snapshot, and back.

use super::HeldShard;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::engine::shard::{Part, Shard};
use crate::store::{LoadedSnapshot, ShardPosition, SnapshotHead};
use crate::worker::journal::Operation;
use std::sync::Arc;

/// When the last snapshots of a shard were made, by the journalled wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownSnapshots {
    /// The last one, and the one before it.
    pub last: Option<Millis>,
    pub before: Option<Millis>,
    /// Bytes written for the last one, or read.
    pub bytes: u64,
    begun: Millis,
}

impl KnownSnapshots {
    fn note(&mut self, at: Millis, bytes: u64) {
        (self.before, self.last, self.bytes) = (self.last, Some(at), bytes);
    }
}

impl HeldShard {
    /// Begins the snapshot of its state, which is that after its last committed transaction.
    pub fn begin_snapshot(&mut self) -> SnapshotHead {
        let position = self.position();
        self.snapshots.begun = self.now.max(self.ticked);
        let shard = self.shard.as_mut().expect("a shard without rules has nothing to store");
        SnapshotHead { position, state: shard.begin_capture() }
    }

    /// The next part of the snapshot.
    pub fn capture(&mut self, customers_max: usize) -> Option<Part> {
        self.shard.as_mut().and_then(|shard| shard.capture(customers_max))
    }

    /// Bytes of customers that changed before their turn.
    pub fn captured_early(&self) -> usize {
        self.shard.as_ref().map_or(0, Shard::captured_early)
    }

    /// The snapshot of the state after a transaction is stored, in so many bytes, or is not and never will be.
    pub fn end_snapshot(&mut self, stored: Option<(u64, u64)>) {
        if let Some(shard) = &mut self.shard {
            shard.end_capture(stored.is_some());
        }
        if let Some((transaction, bytes)) = stored {
            self.stored = Some(transaction);
            self.snapshots.note(self.snapshots.begun, bytes);
        }
    }

    /// The snapshots that it knows of.
    pub fn snapshots(&self) -> &KnownSnapshots {
        &self.snapshots
    }

    /// Whether anything happened since the last snapshot.
    pub fn has_unstored(&self) -> bool {
        self.shard.is_some() && self.stored != Some(self.transaction)
    }

    /// What was stored is lost: the next snapshot is of everything.
    pub fn forget_stored(&mut self) {
        self.stored = None;
        if let Some(shard) = &mut self.shard {
            shard.forget_stored();
        }
    }

    /// Takes the state of a snapshot. The rules are those it was made under; those before, if they were being swept in.
    pub fn restore(&mut self, loaded: LoadedSnapshot, rules: Arc<Rules>, old_rules: Option<Arc<Rules>>) {
        let LoadedSnapshot { head: SnapshotHead { position, state }, restored, bytes } = loaded;
        self.snapshots = KnownSnapshots::default();
        self.snapshots.note(position.now.max(position.ticked), bytes);
        let shard = Shard::restore(self.settings.clone(), rules, old_rules, &state, restored);
        if position.transaction > 0 {
            self.positions = position.positions;
        }
        self.shard = Some(shard);
        self.transaction = position.transaction;
        self.outputs = position.outputs;
        self.control_next = position.control_next;
        self.rules_at = position.rules_at;
        self.old_rules_at = position.old_rules_at;
        self.now = position.now;
        self.ticked = position.ticked;
        self.last_arrival = position.last_arrival;
        self.journal_known = (position.transaction, position.journal_from);
        self.stored = Some(position.transaction);
    }

    /// The state is that of a seed, and nothing was done with it yet: the journal has to say so.
    pub fn begin_from_seed(&mut self) {
        self.operations.push(&Operation::Seed(self.digest()));
    }

    /// Of the rules in force and those that are being swept out the ones that do not stand in the control topic.
    fn rules_apart(&self) -> Option<&Rules> {
        let shard = self.shard.as_ref()?;
        match (self.rules_at, self.old_rules_at) {
            (None, _) => Some(shard.rules()),
            (Some(_), None) => shard.old_rules(),
            (Some(_), Some(_)) => None,
        }
    }

    fn position(&self) -> ShardPosition {
        let shard = self.shard.as_ref().expect("a shard without rules has nothing to store");
        ShardPosition {
            transaction: self.transaction,
            outputs: self.outputs,
            positions: self.positions.clone(),
            inputs: self.outbox.inputs().to_vec(),
            partitions: self.settings.source.partitions(),
            control_next: self.control_next,
            rules_at: self.rules_at,
            old_rules_at: self.old_rules_at.filter(|_| shard.sweeping()),
            rules_version: shard.rules().version.clone(),
            rules: self.rules_apart().map(|rules| rules.bytes.clone()),
            now: self.now,
            ticked: self.ticked,
            last_arrival: self.last_arrival,
            journal_from: self.journal_from(),
        }
    }
}
