//! `shoal rebuild`: new state from seed and inputs, where the journal cannot be replayed any more.
//!
//! For each shard: read the values that consumers know (`published`), make the state from the inputs up to the
//! journal's end, muted (`replay`), let it adopt the published values, store it as the snapshot of the next
//! transaction, and commit that transaction, which contains only the fact of the rebuild. `shoal run` continues from
//! there, applies the rules in force as new rules, and its sweep publishes what differs. Before the commit nothing has
//! changed, so a rebuild can be interrupted at any point and run again.

mod plan;
mod published;
mod replay;
mod service;

pub use plan::{InputPlan, ShardPlan};
pub use service::rebuild;

use super::config::WorkerConfig;
use super::control::{Control, ControlRecord, Inputs};
use super::journal::Operation;
use super::lifecycle::Phase;
use super::owned_shard::{EffectMode, OwnedShard, RebuildBase, commit};
use super::reading::{Aborted, check_interrupted};
use super::transaction::outbox::Memberships;
use super::transaction::publish::ExtraRecord;
use crate::engine::rule::Rules;
use crate::fault_injection;
use crate::kafka::{Failure, GroupEvent, Log, Own, Reader, Topic};
use crate::store::objects::Objects;
use crate::store::{LoadError, LoadedSnapshot, Piece, SnapshotStore, SnapshotWriter};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the group may take to assign all shards; this process is alone in it.
const ASSIGNMENT_MS_MAX: u64 = 120_000;
const POLL_WAIT: Duration = Duration::from_millis(100);
/// Customers swept, or captured for the snapshot, at once.
const CUSTOMERS_PER_PART: usize = 4_096;

/// A rebuild of all shards.
pub struct Rebuild<'a, L: Log, B: Objects> {
    log: &'a mut L,
    store: &'a mut SnapshotWriter<B>,
    config: &'a WorkerConfig,
    stop: &'a AtomicBool,
    control: Control,
}

impl<'a, L: Log, B: Objects> Rebuild<'a, L, B> {
    pub fn new(
        log: &'a mut L,
        store: &'a mut SnapshotWriter<B>,
        config: &'a WorkerConfig,
        stop: &'a AtomicBool,
    ) -> Self {
        Self { log, store, config, stop, control: Control::default() }
    }

    /// What has to be done, shard by shard. Changes nothing.
    pub fn plan(&mut self) -> Result<Vec<ShardPlan>, Failure> {
        self.plan_shards().map_err(final_failure)
    }

    fn plan_shards(&mut self) -> Result<Vec<ShardPlan>, Aborted> {
        self.join()?;
        self.log.fence()?;
        self.control.read_to_end(self.log, self.stop)?;
        // The ids may differ: if recreated topics have the same records, the state is made from those.
        let inputs = Inputs { ids: Vec::new(), ..self.inputs()? };
        self.control.check_inputs(&inputs)?;
        if self.control.memberships() != Memberships::All {
            let message = "a rebuild gives customers the values that the topic `membership` has, and those are out of date, because \
                           `membership` of [output] is, or was, false. Restore the snapshots, the inputs or the journal; otherwise begin \
                           without state, with another group and other output topics";
            return Err(stop(message));
        }
        self.rules()?;
        let Self { log, store, config, stop, .. } = self;
        (0..config.partitions).map(|shard| plan::plan(*log, *store, config, shard, stop)).collect()
    }

    fn inputs(&mut self) -> Result<Inputs, Failure> {
        let ids = self.log.input_ids()?;
        Ok(self.config.inputs_with(ids))
    }

    /// Rebuilds the shards that are not rebuilt already.
    pub fn carry_out(&mut self, plans: &[ShardPlan]) -> Result<(), Failure> {
        plans.iter().filter(|plan| !plan.is_done).try_for_each(|plan| self.rebuild(plan)).map_err(final_failure)
    }

    /// Joins the group and waits for all shards: only their owner can commit offsets.
    fn join(&mut self) -> Result<(), Aborted> {
        let mut assigned = BTreeSet::new();
        let deadline = self.log.now().monotonic + ASSIGNMENT_MS_MAX;
        while assigned.len() < self.config.partitions as usize {
            match self.log.poll(POLL_WAIT)? {
                GroupEvent::Assigned(shards) => assigned.extend(shards),
                GroupEvent::Revoked { .. } => return Err(stop("another process has joined the group: stop it first")),
                GroupEvent::None if self.log.now().monotonic > deadline => {
                    return Err(stop(&format!(
                        "expected all {} shards of the group within {} seconds, got {}: is another process in the group?",
                        self.config.partitions,
                        ASSIGNMENT_MS_MAX / 1_000,
                        assigned.len()
                    )));
                }
                GroupEvent::None => {}
            }
            check_interrupted(self.log, self.stop)
                .or_else(|aborted| if self.log.has_group_event() { Ok(()) } else { Err(aborted) })?;
        }
        Ok(())
    }

    /// The rules in force, with their offset in the control topic.
    fn rules(&self) -> Result<(i64, Arc<Rules>), Aborted> {
        let newest = self.control.rules_in_force().map(|(offset, rules)| (offset, Arc::clone(rules)));
        newest.ok_or_else(|| stop("the control topic has no rules, so there was never a state: use `shoal run`"))
    }

    fn rebuild(&mut self, plan: &ShardPlan) -> Result<(), Aborted> {
        let (shard, transaction) = (plan.shard, plan.transaction);
        tracing::info!(shard, transaction, "rebuilding the state of a shard from its inputs");
        let (rules_at, rules) = self.rules()?;
        let mut owned = self.begin(plan, rules_at, &rules)?;
        replay::replay(self.log, &mut owned, plan, self.stop)?;
        let published = published::read(self.log, shard, self.stop)?;
        let (customers, known) = (owned.shard().map_or(0, |shard| shard.profiles().len()), published.len());
        let names =
            published::rules_with_names(&rules, &published).map_err(|message| stop(&in_shard(shard, &message)))?;
        let journal_end = self.log.reader(Topic::Own(Own::Journal), shard, 0)?.end();
        let base = RebuildBase { transaction, outputs: plan.outputs, rules_at, journal_end };
        owned.adopt(&names, published, &base, self.log.now().wall);
        tracing::info!(
            shard,
            customers,
            published = known,
            "the shard adopted the published values: storing its snapshot"
        );
        self.store.remove_after(shard, transaction).map_err(|message| stop(&not_stored(shard, &message)))?;
        self.store_snapshot(&mut owned)?;
        fault_injection::crash_point("rebuild/snapshot");
        owned.step_back_before_rebuild();
        // The last shard also publishes the ids of the topics that the state was made from.
        let inputs = self.inputs()?;
        let is_last = shard + 1 == self.config.partitions;
        let missing = self.control.missing_inputs(&inputs).filter(|_| is_last);
        let extra: Vec<ExtraRecord<'_>> = missing.iter().map(ControlRecord::as_extra).collect();
        commit(self.log, std::iter::once(&mut owned), &extra)?;
        fault_injection::crash_point("rebuild/journal");
        tracing::info!(shard, transaction = owned.transaction(), "the shard is rebuilt");
        Ok(())
    }

    /// A shard that has read no record yet, under the rules in force.
    fn begin(&mut self, plan: &ShardPlan, rules_at: i64, rules: &Arc<Rules>) -> Result<OwnedShard, Aborted> {
        let mut owned = OwnedShard::new(plan.shard, self.config.shard.clone(), self.config.outbox());
        owned.enter_phase(Phase::Recovering);
        let seed = load_seed(self.store, plan.shard, self.stop)?;
        check_seed(plan, seed.as_ref())?;
        if let Some(seed) = seed {
            owned.restore_seed(seed).map_err(|message| stop(&in_shard(plan.shard, &message)))?;
        }
        owned.apply(&Operation::Control(rules_at), Some(rules), EffectMode::Muted);
        while owned.is_sweeping() {
            let now = self.log.now().wall;
            let sweep = Operation::Sweep { now, customers: CUSTOMERS_PER_PART as u32 };
            owned.apply(&sweep, None, EffectMode::Muted);
        }
        Ok(owned)
    }

    /// Stores the shard as the snapshot of its last transaction.
    fn store_snapshot(&mut self, owned: &mut OwnedShard) -> Result<(), Aborted> {
        let shard = owned.number();
        self.store.accept(shard, Piece::Begin(Box::new(owned.begin_snapshot())));
        while let Some(part) = owned.capture(CUSTOMERS_PER_PART) {
            check_interrupted(self.log, self.stop)?;
            self.store.accept(shard, Piece::Part(part));
        }
        self.store.accept(shard, Piece::End);
        owned.end_snapshot(None);
        let outcome = self.store.next_outcome().expect("each end has an outcome");
        outcome.result.map(drop).map_err(|message| stop(&not_stored(shard, &message)))
    }
}

fn load_seed(
    store: &mut dyn SnapshotStore,
    shard: u32,
    stop_flag: &AtomicBool,
) -> Result<Option<LoadedSnapshot>, Aborted> {
    let interrupted = || stop_flag.load(Ordering::Relaxed);
    store.load(shard, 0, &interrupted).map_err(|failed| match failed {
        LoadError::Unavailable(message) => stop(&in_shard(shard, &format!("the snapshot store failed: {message}"))),
        LoadError::Interrupted => Aborted::Interrupted,
    })
}

/// A shard that began from a seed begins from the same one. A shard whose journal is lost begins from the seed that is
/// there.
fn check_seed(plan: &ShardPlan, found: Option<&LoadedSnapshot>) -> Result<(), Aborted> {
    const AGAIN: &str = "Make it again with `shoal seed`, from the same files, with the same arguments and at the same \
                         location; then run `shoal rebuild` again";
    let shard = plan.shard;
    match (plan.seed, found.map(|seed| seed.head.state.digest)) {
        (Some(_), None) => {
            Err(stop(&format!("shard {shard} began from a seed that is not in the snapshot store any more. {AGAIN}")))
        }
        (Some(began), Some(found)) if began != found => Err(stop(&format!(
            "shard {shard} began from a seed with digest {began:016x}; the one in the snapshot store has {found:016x}. \
             {AGAIN}"
        ))),
        _ => Ok(()),
    }
}

fn in_shard(shard: u32, message: &str) -> String {
    format!("shard {shard}: {message}")
}

fn not_stored(shard: u32, message: &str) -> String {
    format!("shard {shard}: its new snapshot cannot be stored, so the shard is unchanged: {message}")
}

fn stop(message: &str) -> Aborted {
    Failure::Stop(message.to_owned()).into()
}

/// A rebuild retries nothing: the user runs it again.
fn final_failure(aborted: Aborted) -> Failure {
    match aborted {
        Aborted::Failed(Failure::Rebuild(message)) => {
            Failure::Stop(format!("{message}. Shards that are rebuilt stay so: run `shoal rebuild` again"))
        }
        Aborted::Failed(failure) => failure,
        Aborted::Interrupted => Failure::Stop(
            "interrupted, or the group assigned or revoked shards. Shards that are rebuilt stay so: run `shoal rebuild` \
             again"
                .into(),
        ),
    }
}
