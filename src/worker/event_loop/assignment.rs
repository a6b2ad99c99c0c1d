//! Shards come and go: assigned, recovered, revoked, kept for a while, replaced.

use super::{ShardSlot, Worker};
use crate::fault_injection;
use crate::kafka::{Failure, Log};
use crate::worker::control::{ControlRecord, Inputs};
use crate::worker::lifecycle::Phase;
use crate::worker::owned_shard::commit;
use crate::worker::poison_record::PoisonRecordGuard;
use crate::worker::reading::Aborted;
use crate::worker::recovery::Recovery;
use crate::worker::snapshots::Snapshots;

impl<L: Log> Worker<L> {
    /// The group assigned shards to this worker.
    pub(super) fn add_assigned(&mut self, numbers: &[u32]) -> Result<(), Failure> {
        tracing::info!(shards = ?numbers, "shards assigned");
        if let Some(beyond) = numbers.iter().find(|number| **number >= self.config.partitions) {
            return Err(Failure::Stop(format!(
                "the inputs have a partition {beyond}, and had {} partitions at the start. The number of partitions cannot \
                 change while there is a state: customers would move to other shards",
                self.config.partitions
            )));
        }
        self.reporting.done.assigned += 1;
        numbers.iter().for_each(|&number| self.add_shard(number));
        Ok(())
    }

    fn add_shard(&mut self, number: u32) {
        let now = self.log.now().monotonic;
        self.shards.add(number, &self.config, now);
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.schedule(number, now);
        }
        self.reporting.report_soon();
    }

    /// Replaces a shard by one without state, which is recovered next.
    pub(super) fn replace_shard(&mut self, number: u32) {
        self.leave_shard(number);
        if let Some(slot) = self.shards.remove(number) {
            self.drop_slot(slot);
        }
        self.add_shard(number);
    }

    /// Ends what goes on beside a shard that is removed: its snapshot, and alerts with shard 0.
    fn leave_shard(&mut self, number: u32) {
        if let Some(snapshots) = self.snapshots.as_mut().filter(|snapshots| snapshots.shard() == Some(number)) {
            snapshots.abandon(self.shards.get_mut(number).map(|slot| &mut slot.owned));
        }
        if number == 0 {
            self.alerts.leave(&mut self.log, self.config.partitions);
        }
    }

    fn drop_slot(&mut self, mut slot: ShardSlot<L::Batch>) {
        self.reporting.done.tally.add(&slot.owned.counters_mut().drain());
        slot.owned.enter_phase(Phase::Dropped);
    }

    /// The group revoked shards. Their transaction is committed before the group learns that they are given up; if that
    /// is not possible (`lost`), another worker may own them already.
    pub(super) fn give_up_revoked(&mut self, numbers: &[u32], lost: bool) -> Result<(), Failure> {
        tracing::info!(lost, shards = ?numbers, "shards revoked");
        tracing::trace!(target: "shoal::group", "revoking");
        let rebalances = if lost { &mut self.reporting.done.lost } else { &mut self.reporting.done.revoked };
        *rebalances += 1;
        fault_injection::crash_point("revoke/begin");
        let committed = if lost { Ok(()) } else { self.commit() };
        fault_injection::crash_point("revoke/committed");
        self.reporting.report_soon();
        let now = self.log.now().monotonic;
        for &number in numbers {
            self.leave_shard(number);
            match self.shards.remove(number) {
                Some(slot) if slot.owned.is_running() && !slot.owned.has_work() => self.shards.keep(slot.owned, now),
                Some(slot) => self.drop_slot(slot),
                None => {}
            }
        }
        fault_injection::crash_point("revoke/kept");
        self.log.release(numbers);
        fault_injection::crash_point("revoke/released");
        tracing::trace!(target: "shoal::group", "revoked");
        // The next owner of the revoked shards recovers them; shards that stay and were in the transaction are rebuilt.
        self.rebuild_after(committed)
    }

    /// Recovers the next shard that is not live yet. One per round, so that the others go on and the group is polled in
    /// between.
    pub(super) fn recover_next(&mut self) -> Result<(), Failure> {
        let next = self.shards.next_to_recover();
        if !self.retries.may_recover(self.log.now().monotonic) || next.is_none() && self.control.is_live() {
            return Ok(());
        }
        fault_injection::crash_point("recovery/begin");
        let done = self.prepare().and_then(|()| next.map_or(Ok(()), |number| self.recover(number)));
        match done {
            Ok(()) => return Ok(()),
            Err(Aborted::Interrupted) => {}
            // Nothing was published and nothing is lost, so it is tried until the broker answers.
            Err(Aborted::Failed(Failure::Rebuild(message))) => {
                tracing::warn!(shard = next, error = message, "recovery failed and is tried again");
                self.retries.pause_after_recovery(&message, self.log.now());
                self.reporting.report_soon();
            }
            Err(Aborted::Failed(stop)) => return Err(stop),
        }
        if let Some(number) = next {
            self.stop_fetching(&[number]);
            self.replace_shard(number);
        }
        Ok(())
    }

    /// What is done before the first shard is recovered, and even without a shard: a process with other inputs must be
    /// refused although the group, which still knows its previous inputs, assigns it none.
    fn prepare(&mut self) -> Result<(), Aborted> {
        if !self.retries.is_fenced {
            self.fence()?;
            fault_injection::crash_point("recovery/fenced");
        }
        if !self.control.is_live() {
            self.control.topic.read_to_end(&mut self.log, &self.stop)?;
            let inputs = self.inputs()?;
            self.control.topic.check_inputs(&inputs)?;
            self.control.topic.check_memberships(&inputs)?;
            self.control.start(&mut self.log)?;
        }
        Ok(())
    }

    fn recover(&mut self, number: u32) -> Result<(), Aborted> {
        let Some(ShardSlot { owned, guard, is_kept, .. }) = self.shards.get_mut(number) else { return Ok(()) };
        let store = self.snapshots.as_mut().map(Snapshots::store);
        let (control, start, stop) = (&mut self.control.topic, self.config.start, &*self.stop);
        let status = self.reporting.status();
        let mut recovery = Recovery { log: &mut self.log, control, store, start, stop, status };
        if std::mem::take(is_kept) {
            if !recovery.reuse(owned)? {
                fault_injection::crash_point("takeover/not-kept");
                self.replace_shard(number);
                return Ok(());
            }
            fault_injection::crash_point("takeover/kept");
            tracing::info!(
                shard = number,
                "the shard had no other owner since it was revoked: its state is used again"
            );
        } else {
            let repaired = recovery.recover(owned)?;
            let (transactions, records) = (owned.transaction(), owned.counts().records);
            tracing::info!(shard = number, transactions, records, "shard recovered");
            let store = self.snapshots.as_mut().map(Snapshots::store);
            *guard =
                Some(PoisonRecordGuard::begin(number, &self.process, owned.transaction(), owned.positions(), store));
            self.reporting.torn_repaired += repaired;
        }
        self.retries.recovered();
        self.reporting.recoveries += 1;
        self.reporting.report_soon();
        if number == 0 {
            self.publish_control()?;
            self.alerts.leave(&mut self.log, self.config.partitions);
            self.alerts.begin(&mut self.log, &self.stop)?;
        }
        if self.shards.get(number).is_some_and(|slot| slot.owned.is_running()) {
            self.start_fetching(number)?;
        }
        Ok(self.apply_new_rules()?)
    }

    fn inputs(&mut self) -> Result<Inputs, Failure> {
        let ids = self.log.input_ids()?;
        Ok(self.config.inputs_with(ids))
    }

    /// The owner of shard 0 publishes what is missing in the control topic.
    fn publish_control(&mut self) -> Result<(), Aborted> {
        // What another owner published until it lost the shard.
        self.control.topic.read_to_end(&mut self.log, &self.stop)?;
        let inputs = self.inputs()?;
        self.control.topic.check_inputs(&inputs)?;
        if self.control.topic.rules_in_force().is_none() {
            // Once published they would be the first rules for good.
            self.shards.get_mut(0).map_or(Ok(()), |first| first.owned.check_rules(&self.config.rules))?;
        }
        if let Some(record) = self.control.topic.missing_inputs(&inputs) {
            if !inputs.membership && self.control.topic.rules_in_force().is_some() {
                tracing::warn!(
                    "memberships are published no more, because `membership` of [output] is false: the topic becomes out of date, \
                     except that customers who are removed get a tombstone. This cannot be undone for this state"
                );
            }
            self.publish_control_record(&record)?;
            // Another group may have been faster: then the topics are not ours.
            self.control.topic.check_inputs(&inputs)?;
        }
        if let Some(record) = self.control.topic.missing_rules(&self.config.rules, self.config.force_rules)? {
            tracing::info!(rules = self.config.rules.version, "rules published to the control topic");
            self.publish_control_record(&record)?;
        }
        self.config.force_rules = false;
        Ok(())
    }

    fn publish_control_record(&mut self, record: &ControlRecord) -> Result<(), Aborted> {
        let Some(first) = self.shards.get_mut(0) else { return Ok(()) };
        fault_injection::crash_point("control/before");
        let began = self.log.now().monotonic;
        let published = commit(&mut self.log, std::iter::once(&mut first.owned), &[record.as_extra()])?;
        self.note_transaction(began, published);
        fault_injection::crash_point("control/published");
        self.control.topic.read_to_end(&mut self.log, &self.stop)
    }
}
