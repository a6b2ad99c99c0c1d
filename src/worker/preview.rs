//! What a restart with other rules would publish, shard by shard, from the newest snapshot of each. Nothing is written.
//!
//! A restart restores each shard to the end of its journal, which after an orderly stop is in the snapshot. The owner
//! of shard 0 publishes the rules file to the control topic, and each shard applies the new rules before its first tick
//! and its first record: every customer is evaluated at the later of its clock and the watermark of the restored state
//! (R6). A preview does the same with the same calls, but adds the rules to its copy of the control topic.

use super::config::{WorkerConfig, worker_config};
use super::control::{Control, RulesStatus};
use super::lifecycle::Phase;
use super::owned_shard::OwnedShard;
use super::recovery::restore;
use super::settings::RunSettings;
use super::transaction::outbox::Output;
use crate::engine::event::Millis;
use crate::engine::rule::Rules;
use crate::kafka::{DryRun, Failure, Own, read_readable};
use crate::store::LoadedSnapshot;
use anyhow::bail;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Previews the rules file of the settings; see the module.
pub struct RulesPreview {
    config: WorkerConfig,
    /// The control topic, since [`RulesPreview::put_in_force`] with the rules of the file.
    control: Control,
}

/// What happened to a shard besides its outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardPreview {
    /// Customers in the state.
    pub customers: u64,
    /// Changes by rules that came into force before: their sweep had not ended when the snapshot was made.
    pub changes_before: u64,
}

impl RulesPreview {
    /// Why a dry run that got a signal shows no changes.
    pub const STOPPED: &str = "a signal ended the dry run before all shards were evaluated, so no changes are shown: \
                               start it again";

    /// Reads the rules file of the settings and the control topic, outside of the group.
    pub fn begin(settings: &RunSettings) -> anyhow::Result<Self> {
        // The rights of a dry run are those on a group of its own, which is not joined.
        let kafka = DryRun::with_own_group(&settings.kafka);
        let group = settings.kafka.group.clone();
        let config = worker_config(&RunSettings { kafka: kafka.clone(), ..settings.clone() })?;
        let config = WorkerConfig { group, ..config };
        let mut control = Control::default();
        read_readable(&kafka, Own::Control, |batch| control.add(batch))?;
        let inputs = config.inputs_with(Vec::new());
        control.check_inputs(&inputs)?;
        control.check_memberships(&inputs)?;
        Ok(Self { config, control })
    }

    /// The rules of the file.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.config.rules
    }

    pub fn rules_in_force(&self) -> Option<&Arc<Rules>> {
        self.control.newest_rules()
    }

    /// Whether the rules of the file are in force.
    pub fn status(&self) -> RulesStatus {
        self.control.rules_status(&self.config.rules)
    }

    pub fn shards(&self) -> u32 {
        self.config.partitions
    }

    /// Puts the rules of the file in force in the copy of the control topic, if a start would publish them; whether it
    /// would.
    pub fn put_in_force(&mut self) -> Result<bool, Failure> {
        let record = self.control.missing_rules(&self.config.rules, self.config.force_rules)?;
        record.map_or(Ok(false), |record| self.control.add_unpublished(&record).map(|()| true))
    }

    /// Brings a shard under the rules from its snapshot, at this wall clock. Passes the outputs to `each`, transaction
    /// by transaction; a customer is in one of them.
    ///
    /// # Errors
    /// If the snapshot is of other inputs or other rules, if `each` fails, or if `stop` is set.
    pub fn shard(
        &self,
        number: u32,
        snapshot: LoadedSnapshot,
        wall: Millis,
        stop: &AtomicBool,
        mut each: impl FnMut(Output<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<ShardPreview> {
        let mut owned = OwnedShard::new(number, self.config.shard.clone(), self.config.outbox());
        owned.enter_phase(Phase::Recovering);
        restore(&self.control, &mut owned, snapshot)?;
        owned.enter_phase(Phase::Running);
        let mut done = ShardPreview::default();
        loop {
            let is_last = self.control.rules_from(owned.control_next()).is_none();
            let swept_before = owned.swept_changes();
            while owned.is_sweeping() {
                if stop.load(Ordering::Relaxed) {
                    bail!(Self::STOPPED);
                }
                owned.sweep_slice(wall);
                owned.end_unpublished(|output| if is_last { each(output) } else { Ok(()) })?;
            }
            if is_last {
                break;
            }
            done.changes_before += owned.swept_changes() - swept_before;
            owned.apply_next_rules(&self.control)?;
        }
        done.customers = owned.shard().map_or(0, |shard| shard.profiles().len() as u64);
        Ok(done)
    }
}
