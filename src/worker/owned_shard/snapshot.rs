//! Snapshots of an owned shard: captured piece by piece, and restored as a whole.

use super::OwnedShard;
use super::positions::Committed;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::engine::shard::{Part, Shard};
use crate::store::{LoadedSnapshot, ShardPosition, SnapshotHead};
use crate::worker::control::read_rules;
use crate::worker::journal::Operation;
use std::sync::Arc;

/// The last snapshots of a shard, by the journalled wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastSnapshots {
    /// The last one, and the one before it.
    pub last: Option<Millis>,
    pub before: Option<Millis>,
    /// Bytes written for the last one, or read from it.
    pub bytes: u64,
}

/// The snapshots of a shard: those that are stored, and the one in progress.
#[derive(Default)]
pub struct ShardSnapshots {
    known: LastSnapshots,
    /// The last transaction that is in a snapshot.
    stored: Option<u64>,
    /// The wall clock of the state that is being captured.
    begun: Millis,
}

impl ShardSnapshots {
    fn add(&mut self, transaction: u64, at: Millis, bytes: u64) {
        self.stored = Some(transaction);
        let LastSnapshots { last, before, bytes: last_bytes } = &mut self.known;
        (*before, *last, *last_bytes) = (*last, Some(at), bytes);
    }
}

impl OwnedShard {
    /// Begins a snapshot of the state, which is the one after the last committed transaction.
    pub fn begin_snapshot(&mut self) -> SnapshotHead {
        let position = self.snapshot_position();
        self.snapshots.begun = self.time.now.max(self.time.ticked);
        let shard = self.shard.as_mut().expect("a shard without rules is not stored");
        SnapshotHead { position, state: shard.begin_capture() }
    }

    /// The next part of the snapshot; `None` after the last one.
    pub fn capture(&mut self, customers_max: usize) -> Option<Part> {
        self.shard.as_mut().and_then(|shard| shard.capture(customers_max))
    }

    /// Bytes of customers that changed before they were captured.
    pub fn captured_early(&self) -> usize {
        self.shard.as_ref().map_or(0, Shard::captured_early)
    }

    /// The snapshot of a transaction is stored in this many bytes; or, with `None`, it is abandoned.
    pub fn end_snapshot(&mut self, stored: Option<(u64, u64)>) {
        if let Some(shard) = &mut self.shard {
            shard.end_capture(stored.is_some());
        }
        if let Some((transaction, bytes)) = stored {
            self.snapshots.add(transaction, self.snapshots.begun, bytes);
        }
    }

    pub fn last_snapshots(&self) -> LastSnapshots {
        self.snapshots.known
    }

    /// Whether anything was committed since the last snapshot.
    pub fn has_unstored(&self) -> bool {
        self.shard.is_some() && self.snapshots.stored != Some(self.transaction())
    }

    /// The stored snapshots are lost: the next one contains the whole state.
    pub fn forget_stored(&mut self) {
        self.snapshots.stored = None;
        if let Some(shard) = &mut self.shard {
            shard.forget_stored();
        }
    }

    /// Replaces the state by that of a snapshot, which was made under `rules`; `old_rules` are those before them, if
    /// they were being swept out.
    pub fn restore(&mut self, loaded: LoadedSnapshot, rules: Arc<Rules>, old_rules: Option<Arc<Rules>>) {
        let LoadedSnapshot { head: SnapshotHead { position, state }, restored, bytes } = loaded;
        self.shard = Some(Shard::restore(self.settings.clone(), rules, old_rules, &state, restored));
        self.snapshots = ShardSnapshots::default();
        self.snapshots.add(position.transaction, position.now.max(position.ticked), bytes);
        if position.transaction > 0 {
            self.positions.set_inputs(position.positions);
        }
        self.positions.set_control(position.control_next, position.rules_at, position.old_rules_at);
        self.committed = Committed::at(position.transaction, position.outputs, position.journal_from);
        self.time.now = position.now;
        self.time.ticked = position.ticked;
        self.time.last_arrival = position.last_arrival;
    }

    /// Replaces the state by that of a seed, which has not read any input of the service yet.
    pub fn restore_seed(&mut self, seed: LoadedSnapshot) -> Result<(), String> {
        let bytes = seed.head.position.rules.clone().ok_or("the seed has no rules")?;
        let rules = read_rules(&bytes).map_err(|message| format!("the rules of the seed: {message}"))?;
        self.restore(seed, rules, None);
        Ok(())
    }

    /// The state is that of a seed and has not changed yet: the journal has to name the seed.
    pub fn begin_from_seed(&mut self) {
        let seed = Operation::Seed(self.digest());
        self.open.push(&seed, 0);
    }

    /// Of the rules in force and those that are being swept out, the ones that are not in the control topic.
    fn rules_outside_control(&self) -> Option<&Rules> {
        let shard = self.shard.as_ref()?;
        match (self.positions.rules_at(), self.positions.old_rules_at()) {
            (None, _) => Some(shard.rules()),
            (Some(_), None) => shard.old_rules(),
            (Some(_), Some(_)) => None,
        }
    }

    fn snapshot_position(&self) -> ShardPosition {
        let shard = self.shard.as_ref().expect("a shard without rules is not stored");
        ShardPosition {
            transaction: self.committed.transaction,
            outputs: self.committed.outputs,
            positions: self.positions.inputs().to_vec(),
            inputs: self.open.outbox().inputs().to_vec(),
            partitions: self.settings.source.partitions(),
            control_next: self.positions.control_next(),
            rules_at: self.positions.rules_at(),
            old_rules_at: self.positions.old_rules_at().filter(|_| shard.sweeping()),
            rules_version: shard.rules().version.clone(),
            rules: self.rules_outside_control().map(|rules| rules.bytes.clone()),
            now: self.time.now,
            ticked: self.time.ticked,
            last_arrival: self.time.last_arrival,
            journal_from: self.journal_from(),
        }
    }
}
