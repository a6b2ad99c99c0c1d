//! How shards come to a worker and go: assigned, recovered, given up, kept for a while, rebuilt.

use super::control::{ControlRecord, Inputs, Standing};
use super::held::HeldShard;
use super::lifecycle::Phase;
use super::merge::Feed;
use super::publish::{Beside, publish};
use super::recovery::Recovery;
use super::tail::Ended;
use super::throttle::Throttle;
use super::work::{Place, Worker};
use crate::fault_injection;
use crate::kafka::{Failure, Log, Own, Position, Topic};
use std::collections::BTreeMap;

/// After recovery failed for a reason that may pass, it waits so long.
const RETRY_MS: u64 = 500;
/// How long the state of a shard that was given up is kept.
const KEPT_MS: u64 = 5 * 60_000;

/// Shards that were given up with everything committed. If they come back and nobody else had them in between, they
/// go on from here.
#[derive(Default)]
pub struct Kept {
    /// With the monotonic millisecond at which each was given up.
    shards: BTreeMap<u32, (u64, HeldShard)>,
}

impl Kept {
    /// Lets go of what has been kept for long enough.
    pub fn expire(&mut self, now: u64) {
        self.shards.retain(|_, (since, _)| now < *since + KEPT_MS);
    }

    pub fn held(&mut self) -> impl Iterator<Item = &mut HeldShard> {
        self.shards.values_mut().map(|(_, held)| held)
    }
}

impl<L: Log> Worker<L> {
    pub(super) fn take_shards(&mut self, numbers: &[u32]) -> Result<(), Failure> {
        tracing::info!(shards = ?numbers, "shards assigned");
        if let Some(beyond) = numbers.iter().find(|number| **number >= self.job.partitions) {
            return Err(Failure::Stop(format!(
                "the inputs have a partition {beyond}, and had {} at the start. The number of partitions cannot change \
                 during the life of the state: customers would move to other shards",
                self.job.partitions
            )));
        }
        self.work_done.assigned += 1;
        numbers.iter().for_each(|&number| self.add_shard(number));
        Ok(())
    }

    pub(super) fn add_shard(&mut self, number: u32) {
        let kept = self.kept.shards.remove(&number);
        let is_kept = kept.is_some();
        let fresh = || HeldShard::new(number, self.job.shard.clone(), &self.job.inputs, &self.job.source);
        let held = kept.map_or_else(fresh, |(_, held)| held);
        let feed = Feed::new(self.job.inputs.len());
        let now = self.log.now().monotonic;
        let throttle = Throttle::new(self.job.max_changes_per_minute, self.job.partitions, now);
        let snapshot_due = self.snapshots.as_ref().map_or(u64::MAX, |snapshots| snapshots.next_due(now));
        self.places.insert(number, Place { held, feed, throttle, care: None, is_kept, snapshot_due });
        self.report_soon();
    }

    pub(super) fn drop_shard(&mut self, number: u32) {
        self.leave_snapshot(number);
        if number == 0 {
            self.leave_alerts();
        }
        if let Some(mut place) = self.places.remove(&number) {
            self.work_done.tally.add(&place.held.take_tally());
            place.held.become_next(Phase::Dropped);
        }
    }

    /// The snapshot of a shard that goes is given up.
    fn leave_snapshot(&mut self, number: u32) {
        if let Some(snapshots) = self.snapshots.as_mut().filter(|snapshots| snapshots.shard() == Some(number)) {
            snapshots.give_up(self.places.get_mut(&number).map(|place| &mut place.held));
        }
    }

    pub(super) fn give_up_shards(&mut self, numbers: &[u32], lost: bool) -> Result<(), Failure> {
        tracing::info!(lost, shards = ?numbers, "shards revoked");
        tracing::trace!(target: "shoal::group", "revoking");
        let rebalances = if lost { &mut self.work_done.lost } else { &mut self.work_done.revoked };
        *rebalances += 1;
        fault_injection::crash_point("revoke/begin");
        let committed = if lost { Ok(()) } else { self.commit() };
        fault_injection::crash_point("revoke/committed");
        self.report_soon();
        let now = self.log.now().monotonic;
        for &number in numbers {
            self.leave_snapshot(number);
            if number == 0 {
                self.leave_alerts();
            }
            match self.places.remove(&number) {
                Some(mut place) if place.held.phase() == Phase::Running && !place.held.moved() => {
                    place.held.become_next(Phase::Kept);
                    self.kept.shards.insert(number, (now, place.held));
                }
                Some(mut place) => {
                    self.work_done.tally.add(&place.held.take_tally());
                    place.held.become_next(Phase::Dropped);
                }
                None => {}
            }
        }
        fault_injection::crash_point("revoke/kept");
        self.log.release(numbers);
        fault_injection::crash_point("revoke/released");
        tracing::trace!(target: "shoal::group", "revoked");
        // Whoever gets them next recovers them anyway; those that stay and were in the transaction are rebuilt.
        self.rebuild_after(committed)
    }

    /// Brings the next shard that is not live yet to where its journal ends. One at a time, so that the others go on and
    /// the group is heard in between.
    pub(super) fn recover_next(&mut self) -> Result<(), Failure> {
        let is_next = |place: &Place<L::Batch>| matches!(place.held.phase(), Phase::Assigned | Phase::Kept);
        // Those that may go on as they are come first: that is quick.
        let next = self.places.iter().filter(|(_, place)| is_next(place)).min_by_key(|(_, place)| !place.is_kept);
        let next = next.map(|(&number, _)| number);
        if self.log.now().monotonic < self.retry_at || next.is_none() && self.follows_control {
            return Ok(());
        }
        fault_injection::crash_point("recovery/begin");
        let done = self.prepare().and_then(|()| next.map_or(Ok(()), |number| self.recover(number)));
        match done {
            Ok(()) => return Ok(()),
            Err(Ended::Interrupted) => {}
            // Nothing was published or lost: the broker is asked again until it answers.
            Err(Ended::Failed(Failure::Rebuild(words))) => {
                tracing::warn!(shard = next, "recovery is tried again: {words}");
                self.retry_at = self.log.now().monotonic + RETRY_MS;
                self.is_fenced = false;
            }
            Err(Ended::Failed(stop)) => return Err(stop),
        }
        if let Some(number) = next {
            self.stop_inputs(&[number]);
            self.drop_shard(number);
            self.add_shard(number);
        }
        Ok(())
    }

    /// What comes before the first shard, and before it is known whether there will be one: a process with other inputs
    /// must be refused though the group, which still knows its last ones, gives it none.
    fn prepare(&mut self) -> Result<(), Ended> {
        if !self.is_fenced {
            // What an earlier holder of our identity left open ends here; until then nothing can be read past it.
            self.log.fence()?;
            self.work_done.producers += 1;
            self.is_fenced = true;
            fault_injection::crash_point("recovery/fenced");
        }
        // What is followed live may lag behind what the shard's last owner knew.
        self.control.read_to_end(&mut self.log, &self.stop)?;
        if !self.follows_control {
            let inputs = self.inputs()?;
            self.control.check_inputs(&inputs)?;
            let position = Position { topic: Topic::Own(Own::Control), partition: 0, offset: self.control.next() };
            self.log.start(&[position])?;
            self.follows_control = true;
            self.tell_rules();
        }
        Ok(())
    }

    fn recover(&mut self, number: u32) -> Result<(), Ended> {
        let Some(place) = self.places.get_mut(&number) else { return Ok(()) };
        let store = self.snapshots.as_mut().map(|snapshots| &mut *snapshots.store);
        let (control, start, stop) = (&self.control, self.job.start, &self.stop);
        let board = self.reporting.as_ref().map(|reporting| &*reporting.board);
        let mut recovery = Recovery { log: &mut self.log, control, store, start, stop, board };
        if std::mem::take(&mut place.is_kept) {
            if !recovery.take_back(&mut place.held)? {
                fault_injection::crash_point("takeover/not-kept");
                self.drop_shard(number);
                self.add_shard(number);
                return Ok(());
            }
            fault_injection::crash_point("takeover/kept");
            tracing::info!(shard = number, "nobody had it meanwhile: its state is used again");
        } else {
            self.torn_repaired += recovery.recover(&mut place.held)?;
            let (transactions, records) = (place.held.transaction(), place.held.counts().records);
            tracing::info!(shard = number, transactions, records, "shard recovered");
            self.begin_with_care(number);
        }
        self.recoveries += 1;
        self.report_soon();
        if number == 0 {
            self.publish_control()?;
            self.begin_alerts()?;
        }
        if self.places.get(&number).is_some_and(|place| place.held.phase() == Phase::Running) {
            self.start(number)?;
        }
        Ok(self.take_control()?)
    }

    fn inputs(&mut self) -> Result<Inputs, Failure> {
        let ids = self.log.input_ids()?;
        Ok(Inputs { topics: self.job.inputs.clone(), partitions: self.job.partitions, ids })
    }

    /// Says if the rules file of this process is not the one in force.
    fn tell_rules(&self) {
        let own = &self.job.rules.version;
        match self.control.standing(own) {
            Standing::Replaced { by } if !self.job.force_rules => tracing::warn!(
                "the rules in force are version {by}; the rules file is version {own}, which they have replaced, and is \
                 not used. To go back to it start once with --force"
            ),
            Standing::New if self.control.next() > 0 => tracing::info!(
                "the rules file is version {own}, which was never in force: the owner of shard 0 publishes its own file"
            ),
            _ => {}
        }
    }

    /// The owner of shard 0 publishes what is missing in the control topic.
    fn publish_control(&mut self) -> Result<(), Ended> {
        // What another owner published until it lost the shard.
        self.control.read_to_end(&mut self.log, &self.stop)?;
        let inputs = self.inputs()?;
        let missing = self.control.missing(&inputs, &self.job.rules, self.job.force_rules)?;
        self.job.force_rules = false;
        let Some(first) = self.places.get_mut(&0).filter(|_| !missing.is_empty()) else { return Ok(()) };
        if self.control.rules_from(0).is_none() {
            // Once published they would be the first for good.
            first.held.check_rules(&self.job.rules)?;
        }
        tracing::info!(rules = self.job.rules.version, records = missing.len(), "published to the control topic");
        fault_injection::crash_point("control/before");
        let beside: Vec<Beside<'_>> = missing.iter().map(ControlRecord::beside).collect();
        let began = self.log.now().monotonic;
        let published = publish(&mut self.log, std::iter::once(&mut first.held), &beside)?;
        self.note_transaction(began, published);
        fault_injection::crash_point("control/published");
        self.control.read_to_end(&mut self.log, &self.stop)
    }
}
