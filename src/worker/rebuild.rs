//! `shoal rebuild`: the state anew, from seed and inputs, where the journal cannot be followed any more.
//!
//! For each shard: read what was published (`membership`), make the state from the inputs up to where the journal ends,
//! muted, let it hold what was published, store it as the snapshot of the next transaction, and commit that transaction
//! with nothing in it but the word of it. `shoal run` starts from there, takes the rules in force as new ones, and its
//! sweep publishes what differs. Until the commit nothing has changed; so it can end anywhere, and be run again.

mod plan;
mod replay;
mod service;

pub use plan::{InputPlan, ShardPlan};
pub use service::rebuild;

use super::control::{Control, ControlRecord, Inputs};
use super::held::{Effect, HeldShard, Standing};
use super::journal::Operation;
use super::lifecycle::Phase;
use super::membership;
use super::publish::{Beside, publish};
use super::tail::{Ended, check_interrupted};
use super::work::Job;
use crate::engine::rule::Rules;
use crate::fault_injection;
use crate::kafka::{Failure, GroupEvent, Log, Own, Reader, Topic};
use crate::store::objects::Objects;
use crate::store::{LoadError, LoadedSnapshot, Piece, SnapshotStore, SnapshotWriter};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the group may take to give us all shards; nobody else is in it.
const GATHER_MS_MAX: u64 = 120_000;
const POLL_WAIT: Duration = Duration::from_millis(100);
const CUSTOMERS_PER_PART: usize = 4_096;

/// What making states anew needs.
pub struct Rebuild<'a, L: Log, B: Objects> {
    log: &'a mut L,
    writer: &'a mut SnapshotWriter<B>,
    job: &'a Job,
    stop: &'a AtomicBool,
    control: Control,
}

impl<'a, L: Log, B: Objects> Rebuild<'a, L, B> {
    pub fn new(log: &'a mut L, writer: &'a mut SnapshotWriter<B>, job: &'a Job, stop: &'a AtomicBool) -> Self {
        Self { log, writer, job, stop, control: Control::default() }
    }

    /// What there is to do, shard by shard. Changes nothing.
    pub fn plan(&mut self) -> Result<Vec<ShardPlan>, Failure> {
        let done = self.look();
        done.map_err(in_words)
    }

    fn look(&mut self) -> Result<Vec<ShardPlan>, Ended> {
        self.gather()?;
        self.log.fence()?;
        self.control.read_to_end(self.log, self.stop)?;
        // Not their ids: if other topics hold the same records, the state is made from these.
        let inputs = Inputs { ids: Vec::new(), ..self.inputs()? };
        self.control.check_inputs(&inputs)?;
        self.rules()?;
        (0..self.job.partitions).map(|shard| plan::look(self.log, self.writer, self.job, shard, self.stop)).collect()
    }

    fn inputs(&mut self) -> Result<Inputs, Failure> {
        let ids = self.log.input_ids()?;
        Ok(Inputs { topics: self.job.inputs.clone(), partitions: self.job.partitions, ids })
    }

    /// Makes the shards anew that are not so already.
    pub fn carry_out(&mut self, plans: &[ShardPlan]) -> Result<(), Failure> {
        plans.iter().filter(|plan| !plan.is_done).try_for_each(|plan| self.make(plan)).map_err(in_words)
    }

    /// Takes all shards: offsets are committed only by whoever has them.
    fn gather(&mut self) -> Result<(), Ended> {
        let mut own = BTreeSet::new();
        let deadline = self.log.now().monotonic + GATHER_MS_MAX;
        while own.len() < self.job.partitions as usize {
            match self.log.poll(POLL_WAIT)? {
                GroupEvent::Assigned(shards) => own.extend(shards),
                GroupEvent::Revoked { .. } => return Err(stop("another process has joined the group: stop it first")),
                GroupEvent::None if self.log.now().monotonic > deadline => {
                    return Err(stop("the group does not give this process all shards: is another one in it?"));
                }
                GroupEvent::None => {}
            }
            check_interrupted(self.log, self.stop)
                .or_else(|ended| if self.log.has_group_event() { Ok(()) } else { Err(ended) })?;
        }
        Ok(())
    }

    /// The rules in force, and where they stand.
    fn rules(&self) -> Result<(i64, Arc<Rules>), Ended> {
        let newest = self.control.rules_in_force().map(|(offset, rules)| (offset, Arc::clone(rules)));
        newest
            .ok_or_else(|| stop("there are no rules in the control topic, so there never was a state: use `shoal run`"))
    }

    fn make(&mut self, plan: &ShardPlan) -> Result<(), Ended> {
        let (shard, transaction) = (plan.shard, plan.transaction);
        tracing::info!(shard, transaction, "the state is made anew from the inputs");
        let (rules_at, rules) = self.rules()?;
        let mut held = self.begin(plan, rules_at, &rules)?;
        replay::replay(self.log, &mut held, plan, self.stop)?;
        let published = membership::read(self.log, shard, self.stop)?;
        let (known, told) = (held.shard().map_or(0, |shard| shard.profiles().len()), published.len());
        let names = membership::names(&rules, &published).map_err(|words| stop(&format!("shard {shard}: {words}")))?;
        let journal_end = self.log.reader(Topic::Own(Own::Journal), shard, 0)?.end();
        let standing = Standing { transaction, outputs: plan.outputs, rules_at, journal_end };
        held.adopt(&names, published, &standing, self.log.now().wall);
        tracing::info!(shard, customers = known, published = told, "it holds what was published, and is stored");
        self.writer.remove_after(shard, transaction).map_err(|words| stop(&not_stored(shard, &words)))?;
        self.store(&mut held)?;
        fault_injection::crash_point("rebuild/snapshot");
        held.stand_before_rebuild();
        // The last shard says of which topics the state is now.
        let inputs = self.inputs()?;
        let is_last = shard + 1 == self.job.partitions;
        let anew = self.control.inputs_anew(&inputs).filter(|_| is_last);
        let anew: Vec<Beside<'_>> = anew.iter().map(ControlRecord::beside).collect();
        publish(self.log, std::iter::once(&mut held), &anew)?;
        fault_injection::crash_point("rebuild/journal");
        tracing::info!(shard, transaction = held.transaction(), "made anew");
        Ok(())
    }

    /// A shard that has yet to read its first record, under the rules in force.
    fn begin(&mut self, plan: &ShardPlan, rules_at: i64, rules: &Arc<Rules>) -> Result<HeldShard, Ended> {
        let mut held = HeldShard::new(plan.shard, self.job.shard.clone(), &self.job.inputs, &self.job.source);
        held.become_next(Phase::Recovering);
        let seed = load_seed(self.writer, plan.shard, self.stop)?;
        check_seed(plan, seed.as_ref())?;
        if let Some(seed) = seed {
            held.restore_seed(seed).map_err(|words| stop(&format!("shard {}: {words}", plan.shard)))?;
        }
        held.apply(&Operation::Control(rules_at), Some(rules), Effect::Muted);
        while held.is_sweeping() {
            held.apply(&Operation::Sweep(CUSTOMERS_PER_PART as u32), None, Effect::Muted);
        }
        Ok(held)
    }

    /// Stores the shard as the snapshot of its last transaction.
    fn store(&mut self, held: &mut HeldShard) -> Result<(), Ended> {
        let shard = held.number();
        self.writer.accept(shard, Piece::Begin(Box::new(held.begin_snapshot())));
        while let Some(part) = held.capture(CUSTOMERS_PER_PART) {
            check_interrupted(self.log, self.stop)?;
            self.writer.accept(shard, Piece::Part(part));
        }
        self.writer.accept(shard, Piece::End);
        held.end_snapshot(None);
        let outcome = self.writer.next_outcome().expect("an outcome for each end");
        outcome.result.map(drop).map_err(|words| stop(&not_stored(shard, &words)))
    }
}

fn load_seed(
    store: &mut dyn SnapshotStore,
    shard: u32,
    stop_flag: &AtomicBool,
) -> Result<Option<LoadedSnapshot>, Ended> {
    let interrupted = || stop_flag.load(Ordering::Relaxed);
    store.load(shard, 0, &interrupted).map_err(|failed| match failed {
        LoadError::Unavailable(words) => stop(&format!("shard {shard}: the store of snapshots: {words}")),
        LoadError::Interrupted => Ended::Interrupted,
    })
}

/// A shard that began from a seed begins from the same one. One whose journal is lost takes the seed that is there.
fn check_seed(plan: &ShardPlan, found: Option<&LoadedSnapshot>) -> Result<(), Ended> {
    const AGAIN: &str = "Make it again with `shoal seed` from the same files, with the same arguments and into the same \
                         place, then run this again";
    let shard = plan.shard;
    match (plan.seed, found.map(|seed| seed.head.state.digest)) {
        (Some(_), None) => {
            Err(stop(&format!("shard {shard} began from a seed, which is not in the store any more. {AGAIN}")))
        }
        (Some(began), Some(found)) if began != found => Err(stop(&format!(
            "shard {shard} began from a seed with digest {began:016x}; the one in the store has {found:016x}. {AGAIN}"
        ))),
        _ => Ok(()),
    }
}

fn not_stored(shard: u32, words: &str) -> String {
    format!("shard {shard}: its new snapshot cannot be stored, so nothing of it was changed: {words}")
}

fn stop(words: &str) -> Ended {
    Failure::Stop(words.to_owned()).into()
}

/// Nothing is repeated here: whoever started this starts it again.
fn in_words(ended: Ended) -> Failure {
    match ended {
        Ended::Failed(Failure::Rebuild(words)) => {
            Failure::Stop(format!("{words}. What was done until here is kept: run `shoal rebuild` again"))
        }
        Ended::Failed(failure) => failure,
        Ended::Interrupted => Failure::Stop(
            "interrupted, or the group has news. What was done until here is kept: run `shoal rebuild` again".into(),
        ),
    }
}
