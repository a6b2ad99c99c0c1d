//! The worker's side of one shard: the engine's shard, its positions, and its open transaction.
//!
//! Every change of the state is an [`Operation`], applied the same way live and in recovery. Live, each operation is
//! added to the open transaction with the outputs that follow from it; in recovery the effects are muted.
//!
//! `transaction` applies records and commits, `time` decides about ticks, `snapshot` and `adopt` replace the state as a
//! whole. `positions`, `counters` and the open transaction have state of their own and take arguments.

mod adopt;
mod counters;
mod positions;
mod snapshot;
mod time;
mod transaction;

pub use adopt::RebuildBase;
pub use snapshot::LastSnapshots;
pub use transaction::commit;

use crate::engine::decode::{Partitioner, Source};
use crate::engine::effects::{Counts, Effects};
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::engine::shard::{Input, Settings, Shard};
use crate::kafka::{Failure, InputOffset};
use crate::worker::control::Control;
use crate::worker::journal::Operation;
use crate::worker::lifecycle::Phase;
use crate::worker::transaction::open::OpenTransaction;
use crate::worker::transaction::outbox::{Outbox, no_header};
use counters::ShardCounters;
use positions::{Committed, Positions};
use snapshot::ShardSnapshots;
use std::sync::Arc;
use time::ShardTime;

/// Deadlines that fire, and customers that are swept, between two batches of records.
const FIRE_SLICE: u32 = 4_096;
const SWEEP_SLICE: u32 = 256;

/// See the module.
pub struct OwnedShard {
    number: u32,
    phase: Phase,
    settings: Settings,
    /// `None` before the first rules.
    shard: Option<Shard>,
    positions: Positions,
    time: ShardTime,
    /// The last committed transaction.
    committed: Committed,
    open: OpenTransaction,
    counters: ShardCounters,
    snapshots: ShardSnapshots,
    /// Buffer of the effects of one input.
    effects: Effects,
}

/// Whether effects are published, or muted because they were published before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectMode {
    Published,
    Muted,
}

impl OwnedShard {
    /// `outbox` is empty; it knows the inputs.
    pub fn new(number: u32, settings: Settings, outbox: Outbox) -> Self {
        Self {
            number,
            phase: Phase::Assigned,
            settings,
            shard: None,
            positions: Positions::new(outbox.inputs().len()),
            time: ShardTime::default(),
            committed: Committed::default(),
            open: OpenTransaction::new(outbox),
            counters: ShardCounters::default(),
            snapshots: ShardSnapshots::default(),
            effects: Effects::default(),
        }
    }

    pub fn number(&self) -> u32 {
        self.number
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Moves to the next phase of the shard's life.
    pub fn enter_phase(&mut self, next: Phase) {
        self.phase.enter(next);
    }

    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    pub fn shard(&self) -> Option<&Shard> {
        self.shard.as_ref()
    }

    /// What happened to the shard's inputs while this worker owned it, recovery included.
    pub fn counts(&self) -> &Counts {
        self.counters.counts()
    }

    /// Number of the last committed transaction.
    pub fn transaction(&self) -> u64 {
        self.committed.transaction
    }

    /// Number of the last committed output.
    pub fn outputs(&self) -> u64 {
        self.committed.outputs
    }

    /// Name of an input topic.
    pub fn input_name(&self, topic: u16) -> &str {
        self.open.outbox().inputs().get(usize::from(topic)).map_or("?", String::as_str)
    }

    /// Next offset of each input topic.
    pub fn positions(&self) -> &[i64] {
        self.positions.inputs()
    }

    pub fn set_position(&mut self, topic: u16, position: i64) {
        self.positions.set_input(topic, position);
    }

    /// Next offsets of all the shard's inputs.
    pub fn input_offsets(&self) -> impl Iterator<Item = InputOffset> {
        self.positions.input_offsets(self.number)
    }

    /// Next offset of the control topic.
    pub fn control_next(&self) -> i64 {
        self.positions.control_next()
    }

    /// An offset in the journal at or before that of the next transaction.
    pub fn journal_from(&self) -> i64 {
        self.committed.journal_from()
    }

    /// The journal record of the last transaction is at this offset.
    pub fn set_journal_offset(&mut self, offset: i64) {
        self.committed.set_journal_offset(offset);
    }

    /// Number of partitions of each input.
    pub fn partitions(&self) -> u32 {
        self.settings.source.partitions()
    }

    /// How keys are checked.
    pub fn partitioner(&self) -> Partitioner {
        match self.settings.source {
            Source::Kafka { partitioner, .. } => partitioner,
            Source::File => Partitioner::Any,
        }
    }

    /// The state's digest; 0 before the first rules.
    pub fn digest(&self) -> u64 {
        self.shard.as_ref().map_or(0, Shard::digest)
    }

    /// Whether deadlines are due that have not fired yet.
    pub fn has_due(&self) -> bool {
        self.shard.as_ref().is_some_and(Shard::has_due)
    }

    /// Whether customers have yet to be evaluated with the newest rules.
    pub fn is_sweeping(&self) -> bool {
        self.shard.as_ref().is_some_and(Shard::sweeping)
    }

    /// Whether deadlines or customers wait for a slice.
    pub fn has_slices(&self) -> bool {
        self.has_due() || self.is_sweeping()
    }

    /// Changes published so far that new rules caused.
    pub fn swept_changes(&self) -> u64 {
        self.counters.swept_changes()
    }

    /// Counters that only the worker's report reads.
    pub fn counters_mut(&mut self) -> &mut ShardCounters {
        &mut self.counters
    }

    /// Fires a slice of due deadlines.
    pub fn fire_slice(&mut self) {
        self.apply_live(Operation::Fire(FIRE_SLICE), None);
    }

    /// Evaluates a slice of customers with new rules, at this wall clock.
    pub fn sweep_slice(&mut self, wall: Millis) {
        let now = self.step_clock(wall);
        self.apply_live(Operation::Sweep { now, customers: SWEEP_SLICE }, None);
    }

    /// Applies the next rules of the control topic, if there are some and the sweep of those before has ended; whether
    /// it did.
    ///
    /// # Errors
    /// If the state is that of a seed, and these are not the seed's rules.
    pub fn apply_next_rules(&mut self, control: &Control) -> Result<bool, Failure> {
        let Some((offset, rules)) = control.rules_from(self.control_next()).filter(|_| !self.is_sweeping()) else {
            return Ok(false);
        };
        self.check_rules(rules)?;
        self.apply_live(Operation::Control(offset), Some(rules));
        Ok(true)
    }

    /// Whether the state is that of a seed, with the rules of the seed.
    pub fn has_seed_rules(&self) -> bool {
        // A rebuilt state has no rules in the control topic either, but it knows its position in that topic.
        self.shard.is_some() && self.positions.rules_at().is_none() && self.control_next() == 0
    }

    /// Checks that rules from the control topic may follow those of the shard.
    ///
    /// # Errors
    /// If the state is that of a seed, and these are not the seed's rules.
    pub fn check_rules(&self, rules: &Rules) -> Result<(), Failure> {
        match self.shard.as_ref().filter(|_| self.has_seed_rules()) {
            Some(shard) if shard.rules().version != rules.version => Err(Failure::Stop(format!(
                "shard {}: the snapshots are a seed made with rules version {}, and the first rules are version {}: start \
                 with the rules file that the seed was made with, and change the rules afterwards",
                self.number,
                shard.rules().version,
                rules.version
            ))),
            _ => Ok(()),
        }
    }

    /// Applies an operation and adds it to the open transaction.
    fn apply_live(&mut self, operation: Operation, rules: Option<&Arc<Rules>>) {
        self.apply(&operation, rules, EffectMode::Published);
        self.open.push(&operation, 0);
    }

    /// Applies an operation that takes no records. `rules` are those of a control operation.
    pub fn apply(&mut self, operation: &Operation, rules: Option<&Arc<Rules>>, mode: EffectMode) {
        let input = match (operation, rules) {
            (Operation::Control(offset), Some(rules)) => match self.replace_rules(*offset, rules) {
                Some(input) => input,
                None => return,
            },
            (Operation::Tick(moment), _) => {
                self.time.tick(*moment);
                Input::Tick(*moment)
            }
            (&Operation::Sweep { now, customers }, _) => {
                self.time.now = self.time.now.max(now);
                Input::Sweep { now, customers }
            }
            (Operation::Fire(deadlines), _) => Input::Fire(*deadlines),
            (Operation::Census(mark), _) => Input::Census(*mark),
            _ => unreachable!("{operation:?} takes records, or is not applied"),
        };
        self.apply_input(input, &[], &no_header, mode);
    }

    /// Notes the position of new rules; the input that they are to a shard that has others.
    fn replace_rules(&mut self, offset: i64, rules: &Arc<Rules>) -> Option<Input<'static>> {
        let before = self.positions.enter_rules(offset);
        match &self.shard {
            None => {
                self.shard = Some(Shard::new(self.settings.clone(), Arc::clone(rules)));
                None
            }
            // The seed brought them.
            Some(shard) if shard.rules().version == rules.version => None,
            Some(_) => {
                self.positions.set_old_rules_at(before);
                self.count_actions();
                // Only a rebuild begins with rules that are not in the control topic and goes on with others.
                Some(match before {
                    Some(_) => Input::Rules(Arc::clone(rules)),
                    None => Input::RulesAfterRebuild(Arc::clone(rules)),
                })
            }
        }
    }

    /// The wall clock of the next step: it never goes back.
    fn step_clock(&self, wall: Millis) -> Millis {
        self.time.now.max(wall)
    }
}
