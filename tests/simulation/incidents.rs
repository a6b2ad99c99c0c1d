//! What the driver does to workers and to the cluster: faults, starts, ends, incidents, and records that arrive.

use super::load::{Arrival, BEGIN, Upstream};
use super::plan::{Incident, PlannedCrash, WorkerFault};
use super::process::{Process, Start};
use super::schedule::Task;
use super::tally;
use super::world::World;
use shoal::kafka::Failure;
use shoal::kafka::memory::Fault;

impl World<'_> {
    pub(super) fn process_ended(&mut self, index: usize, ended: Result<(), Failure>) {
        let process = self.processes.remove(index);
        let (client, slot) = (process.client, process.slot);
        self.collect(&process);
        // Two processes with one name fence each other until one of them ends.
        let has_rival = self.processes.iter().any(|process| process.slot == slot);
        match ended {
            Err(failure) if !has_rival && !self.cluster.is_fenced(client) => {
                panic!("worker {client} stopped: {failure}")
            }
            ended => self.cluster.note(|| format!("w{client} ended: {ended:?}")),
        }
        self.cluster.kill(client);
        let restart = self.random.between(10, 1_000);
        self.schedule.add(self.now + restart, Task::Start { slot });
    }

    /// A process reached a crash point that was armed for it.
    pub(super) fn process_crashed(&mut self, index: usize, crash: PlannedCrash) {
        let process = self.processes.remove(index);
        self.collect(&process);
        let PlannedCrash { name, slot, restart, .. } = crash;
        self.cluster.note(|| format!("w{} crashes at {name}", process.client));
        self.tally.count(&format!("crash at {name}"));
        self.cluster.kill(process.client);
        self.schedule.add(self.now + restart, Task::Start { slot });
    }

    pub(super) fn apply_fault(&mut self, index: usize, fault: WorkerFault) {
        let process = &mut self.processes[index];
        let (client, slot, at) = (process.client, process.slot, process.suspended.at);
        self.cluster.note(|| format!("w{client} at {at:?}: {fault:?}"));
        let now = self.now;
        match fault {
            WorkerFault::Kill { restart } => {
                self.tally.count_crash(at);
                let process = self.processes.remove(index);
                self.collect(&process);
                drop(process);
                self.cluster.kill(client);
                self.schedule.add(now + restart, Task::Start { slot });
            }
            WorkerFault::Pause { duration } | WorkerFault::PauseAndReplace { duration, .. } => {
                self.tally.count(tally::PAUSED);
                process.is_paused = true;
                self.cluster.set_stopped(client, true);
                self.schedule.add(now + duration, Task::Resume { client });
                if let WorkerFault::PauseAndReplace { replace, .. } = fault {
                    self.tally.count(tally::REPLACED);
                    self.schedule.add(now + replace, Task::Start { slot });
                }
            }
            WorkerFault::Disconnect { duration } => {
                self.cluster.set_cut(client, true);
                self.schedule.add(now + duration, Task::Reconnect { client });
            }
            WorkerFault::Terminate => {
                self.tally.count(tally::RESTARTED);
                process.status.borrow_mut().is_leaving = true;
            }
        }
    }

    /// Does what is due by now.
    pub(super) fn do_due(&mut self) {
        while let Some(task) = self.schedule.pop_due(self.now) {
            self.perform(task);
            self.disturb();
        }
        while self.arrivals.front().is_some_and(|arrival| BEGIN + arrival.moment <= self.now) {
            let arrival = self.arrivals.pop_front().expect("the front exists");
            self.append(&arrival);
            self.disturb();
        }
        while self.faults.front().is_some_and(|fault| BEGIN + fault.from <= self.now) {
            self.armed.extend(self.faults.pop_front());
        }
        while self.planned_crashes.front().is_some_and(|crash| BEGIN + crash.from <= self.now) {
            self.planned_crashes.pop_front().into_iter().for_each(|crash| self.crashes.arm(crash));
        }
    }

    fn perform(&mut self, task: Task) {
        match task {
            Task::Start { slot } => self.start(slot),
            Task::Resume { client } => {
                self.cluster.note(|| format!("w{client} is resumed"));
                self.cluster.set_stopped(client, false);
                let of_client = self.processes.iter_mut().filter(|process| process.client == client);
                of_client.for_each(|process| process.is_paused = false);
            }
            Task::Reconnect { client } => self.cluster.set_cut(client, false),
            Task::EndUpstream { topic, shard, is_commit } => {
                self.open_upstream.remove(&(topic, shard));
                self.cluster.end_open(topic, shard, is_commit);
            }
            Task::Incident(incident) => self.apply_incident(incident),
        }
    }

    fn apply_incident(&mut self, incident: Incident) {
        self.cluster.note(|| format!("{incident:?}"));
        match incident {
            Incident::PartitionAway { topic, shard, is_away } => {
                self.cluster.set_away(topic, shard, is_away);
                if is_away {
                    self.cluster.count(Fault::LeaderAway);
                }
            }
            Incident::TopicSilent { topic, is_silent } => {
                self.cluster.set_silent(topic, is_silent);
                if is_silent {
                    self.cluster.count(Fault::TopicSilent);
                }
            }
            Incident::ClockSet { slot, skew } => {
                self.skews[slot] = skew;
                self.tally.count(tally::CLOCK_SET);
                let of_slot = self.processes.iter().filter(|process| process.slot == slot);
                of_slot.for_each(|process| self.cluster.set_skew(process.client, skew));
            }
            Incident::OffsetForgotten { topic, shard } => {
                self.cluster.set_committed(topic, shard, None);
                self.cluster.count(Fault::OffsetsForgotten);
            }
            Incident::SnapshotDamaged { shard } => self.storage.damage(shard, &mut self.random),
        }
    }

    fn start(&mut self, slot: usize) {
        // Of two processes with one name the fenced one ends, and another is there already.
        if self.processes.iter().any(|process| process.slot == slot && !process.is_paused) {
            return;
        }
        let client = self.cluster.connect(&format!("w{slot}"), self.skews[slot]);
        let start = Start {
            client,
            slot,
            batch_max: self.plan.batch_max,
            config: self.plan.config(&self.rules),
            snapshots: self.plan.snapshots.map(|snapshots| (self.storage.clone(), snapshots)),
            bug: self.bug,
        };
        self.processes.push(Process::start(&self.cluster, start));
    }

    fn append(&mut self, arrival: &Arrival) {
        let Arrival { topic, shard, key, value, .. } = arrival;
        let (key, value) = (key.as_deref(), value.as_deref());
        let timestamp = Some(arrival.timestamp());
        let transaction = match arrival.upstream {
            // One transaction at a time: the next record of the partition is outside of it.
            _ if self.open_upstream.contains(&(*topic, *shard)) => None,
            Upstream::Plain => None,
            Upstream::Commits(after) => Some((after, true)),
            Upstream::Aborts(after) => Some((after, false)),
        };
        let Some((after, is_commit)) = transaction else {
            self.cluster.append(*topic, *shard, timestamp, key, value);
            return;
        };
        self.cluster.append_open(*topic, *shard, timestamp, key, value);
        self.open_upstream.insert((*topic, *shard));
        self.schedule.add(self.now + after, Task::EndUpstream { topic: *topic, shard: *shard, is_commit });
    }
}
