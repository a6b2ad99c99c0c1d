//! The snapshot that a recovery begins with: which one, whether it is of this service, and under which rules it was made.

use super::super::control::read_rules;
use super::super::held::HeldShard;
use super::super::tail::{Ended, Tail, check_interrupted};
use super::{Recovery, refuse};
use crate::engine::rule::Rules;
use crate::kafka::{Failure, Log};
use crate::store::seed::{self, SeedNote};
use crate::store::{LoadError, LoadedSnapshot, SnapshotStore};
use std::sync::Arc;

impl<L: Log> Recovery<'_, L> {
    /// Takes the newest good snapshot that is not ahead of the journal. Of a transaction that may be torn the outputs are
    /// needed, so it is done again.
    pub(super) fn load(&mut self, held: &mut HeldShard, tail: &Tail) -> Result<(), Ended> {
        let Some(store) = &mut self.store else { return Ok(()) };
        let last = tail.last_transaction();
        let at_most = if tail.agrees() { last } else { last.saturating_sub(1) };
        let interrupted = || check_interrupted(self.log, self.stop).is_err();
        let found = match store.load(held.number(), at_most, &interrupted) {
            Ok(found) => found,
            Err(LoadError::Interrupted) => return Err(Ended::Interrupted),
            Err(LoadError::Unavailable(words)) => {
                return Err(Failure::Rebuild(format!("no snapshot can be read: {words}")).into());
            }
        };
        if last == 0 {
            check_seed(*store, held, found.as_ref())?;
        }
        let Some(loaded) = found else { return Ok(()) };
        let (position, digest) = (loaded.head.position.clone(), loaded.head.state.digest);
        check_inputs(held, &loaded)?;
        let (rules, old_rules) = self.rules_of(held, &loaded)?;
        held.restore(loaded, rules, old_rules);
        tracing::info!(
            shard = held.number(),
            transaction = position.transaction,
            journal_end = last,
            "snapshot loaded"
        );
        self.tell_gaps(held, position.transaction);
        match &tail.journal {
            Some(record) if record.transaction == position.transaction && record.digest != digest => {
                let words = format!(
                    "its snapshot has digest {digest:016x}, the journal {:016x}: it is of another history. Make the state \
                     anew with `shoal rebuild`",
                    record.digest
                );
                Err(refuse(record, &words))
            }
            _ => Ok(()),
        }
    }

    /// The rules under which a snapshot was made, and those before while they were being swept out.
    fn rules_of(&self, held: &HeldShard, loaded: &LoadedSnapshot) -> Result<(Arc<Rules>, Option<Arc<Rules>>), Failure> {
        let position = &loaded.head.position;
        let (shard, transaction) = (held.number(), position.transaction);
        let at = |offset: i64| {
            self.control.rules_at(offset).cloned().ok_or_else(|| {
                Failure::Stop(format!(
                    "the snapshot of shard {shard} at transaction {transaction} was made under the rules at offset {offset} \
                     of the control topic, which has none there. Was the topic made anew? Then other snapshots are needed"
                ))
            })
        };
        let own = || {
            let bytes = position.rules.as_deref().ok_or("there are none".to_owned());
            bytes.and_then(read_rules).map_err(|words| {
                Failure::Stop(format!(
                    "the rules in the snapshot of shard {shard} at transaction {transaction}: {words}"
                ))
            })
        };
        let rules = position.rules_at.map_or_else(own, at)?;
        let is_sweeping = loaded.head.state.sweep.is_some();
        let old_rules = is_sweeping.then(|| position.old_rules_at.map_or_else(own, at)).transpose()?;
        Ok((rules, old_rules))
    }
}

/// Whether a snapshot is of the inputs that are configured.
fn check_inputs(held: &HeldShard, loaded: &LoadedSnapshot) -> Result<(), Failure> {
    let position = &loaded.head.position;
    let (inputs, partitions) = (held.outbox().inputs(), held.partitions());
    // Files, of which a seed is made, have other names.
    if position.partitions == partitions && (position.inputs == inputs || position.transaction == 0) {
        return Ok(());
    }
    Err(Failure::Stop(format!(
        "the snapshots of shard {} are of the inputs {:?} with {} partitions; configured are {inputs:?} with {partitions}. \
         They belong to another service, or were made for another number of partitions: use another location for snapshots",
        held.number(),
        position.inputs,
        position.partitions
    )))
}

/// A shard without a journal begins from its part of a whole seed, or where there is none.
fn check_seed(store: &mut dyn SnapshotStore, held: &HeldShard, loaded: Option<&LoadedSnapshot>) -> Result<(), Failure> {
    let note = SeedNote::read(store).map_err(|words| Failure::Rebuild(format!("no snapshot can be read: {words}")))?;
    let found = seed::NewShard {
        shard: held.number(),
        partitions: held.partitions(),
        partitioner: held.partitioner().name(),
        digest: loaded.map(|loaded| loaded.head.state.digest),
    };
    note.and_then(|note| seed::check(note.as_ref(), found)).map_err(Failure::Stop)
}
