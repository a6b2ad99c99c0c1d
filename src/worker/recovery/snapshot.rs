//! The snapshot that a recovery begins with: which one, whether it belongs to this service, and under which rules it
//! was made.

use super::fallback::warn_of_gaps;
use super::refusal::refuse;
use super::tail::Tail;
use crate::engine::rule::Rules;
use crate::kafka::{Failure, Log};
use crate::store::seed::{self, SeedNote};
use crate::store::{LoadError, LoadedSnapshot, SnapshotStore};
use crate::worker::control::{Control, read_rules};
use crate::worker::owned_shard::OwnedShard;
use crate::worker::reading::{Aborted, check_interrupted};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Restores the newest good snapshot that is not ahead of the journal. If the last transaction may be torn, its outputs
/// are needed, so it is left to the replay.
pub fn load<L: Log>(
    log: &mut L,
    control: &Control,
    store: &mut dyn SnapshotStore,
    stop: &AtomicBool,
    owned: &mut OwnedShard,
    tail: &Tail,
) -> Result<(), Aborted> {
    let last = tail.last_transaction();
    let at_most = if tail.agrees() { last } else { last.saturating_sub(1) };
    let interrupted = || check_interrupted(log, stop).is_err();
    let found = match store.load(owned.number(), at_most, &interrupted) {
        Ok(found) => found,
        Err(LoadError::Interrupted) => return Err(Aborted::Interrupted),
        Err(LoadError::Unavailable(message)) => {
            return Err(Failure::Rebuild(format!("the snapshot store cannot be read: {message}")).into());
        }
    };
    if last == 0 {
        check_seed(store, owned, found.as_ref())?;
    }
    let Some(loaded) = found else { return Ok(()) };
    let (transaction, digest) = (loaded.head.position.transaction, loaded.head.state.digest);
    restore(control, owned, loaded)?;
    tracing::info!(shard = owned.number(), transaction, journal_end = last, "snapshot loaded");
    warn_of_gaps(log, store, owned.number(), transaction);
    match &tail.journal {
        Some(record) if record.transaction == transaction && record.digest != digest => {
            let message = format!(
                "its snapshot has digest {digest:016x}, the journal {:016x}: the snapshots belong to another journal. \
                 Configure the right snapshots, or rebuild the state with `shoal rebuild`",
                record.digest
            );
            Err(refuse(record, &message))
        }
        _ => Ok(()),
    }
}

/// Restores a shard from a snapshot, if it is of the configured inputs.
pub fn restore(control: &Control, owned: &mut OwnedShard, loaded: LoadedSnapshot) -> Result<(), Failure> {
    check_inputs(owned, &loaded)?;
    let (rules, old_rules) = rules_of(control, owned, &loaded)?;
    owned.restore(loaded, rules, old_rules);
    Ok(())
}

/// The rules under which a snapshot was made, and those before, if they were being swept out.
fn rules_of(
    control: &Control,
    owned: &OwnedShard,
    loaded: &LoadedSnapshot,
) -> Result<(Arc<Rules>, Option<Arc<Rules>>), Failure> {
    let position = &loaded.head.position;
    let (shard, transaction) = (owned.number(), position.transaction);
    let at = |offset: i64| {
        control.rules_at(offset).cloned().ok_or_else(|| {
            Failure::Stop(format!(
                "the snapshot of shard {shard} at transaction {transaction} was made under the rules at offset {offset} of \
                 the control topic, which has no rules there. Was the control topic recreated? Then use the snapshots that \
                 belong to it"
            ))
        })
    };
    let own = || {
        let bytes = position.rules.as_deref().ok_or("there are none".to_owned());
        bytes.and_then(read_rules).map_err(|message| {
            Failure::Stop(format!(
                "the rules in the snapshot of shard {shard} at transaction {transaction} cannot be read: {message}"
            ))
        })
    };
    let rules = position.rules_at.map_or_else(own, at)?;
    let is_sweeping = loaded.head.state.sweep.is_some();
    let old_rules = is_sweeping.then(|| position.old_rules_at.map_or_else(own, at)).transpose()?;
    Ok((rules, old_rules))
}

/// Whether a snapshot is of the configured inputs.
fn check_inputs(owned: &OwnedShard, loaded: &LoadedSnapshot) -> Result<(), Failure> {
    let position = &loaded.head.position;
    let (inputs, partitions) = (owned.outbox().inputs(), owned.partitions());
    // A seed is made from files, whose names differ.
    if position.partitions == partitions && (position.inputs == inputs || position.transaction == 0) {
        return Ok(());
    }
    Err(Failure::Stop(format!(
        "the snapshots of shard {} are of the inputs {:?} with {} partitions; configured are {inputs:?} with {partitions}. \
         They belong to another service, or were made for another number of partitions: configure another location for \
         snapshots",
        owned.number(),
        position.inputs,
        position.partitions
    )))
}

/// Whether a shard with an empty journal may begin: from its part of a complete seed, or without a seed.
fn check_seed(
    store: &mut dyn SnapshotStore,
    owned: &OwnedShard,
    loaded: Option<&LoadedSnapshot>,
) -> Result<(), Failure> {
    let note = SeedNote::read(store)
        .map_err(|message| Failure::Rebuild(format!("the snapshot store cannot be read: {message}")))?;
    let found = seed::NewShard {
        shard: owned.number(),
        partitions: owned.partitions(),
        partitioner: owned.partitioner().name(),
        digest: loaded.map(|loaded| loaded.head.state.digest),
    };
    note.and_then(|note| seed::check(note.as_ref(), found)).map_err(Failure::Stop)
}
