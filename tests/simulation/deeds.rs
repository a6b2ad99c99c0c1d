//! What happens to workers and to the cluster: strikes, starts, ends, and whatever the plan says.

use super::load::{Arrival, Upstream};
use super::plan::{BEGIN, Blow, CrashAt, Happening};
use super::process::Process;
use super::tally;
use super::world::{World, job};
use shoal::kafka::Failure;
use shoal::kafka::memory::Fault;

/// What the driver does itself at a moment.
pub enum Deed {
    Start { slot: usize },
    Continue { client: usize },
    Heal { client: usize },
    EndUpstream { topic: u16, shard: u32, is_commit: bool },
    Happen(Happening),
}

impl Deed {
    /// Whether there is no rest before it is done.
    pub fn is_waited_for(&self) -> bool {
        match self {
            Self::Happen(happening) => matches!(happening, Happening::Away { is_away: false, .. }),
            _ => true,
        }
    }
}

impl World<'_> {
    pub(super) fn process_ended(&mut self, place: usize, ended: Result<(), Failure>) {
        let process = self.processes.remove(place);
        let (client, slot) = (process.client, process.slot);
        self.take_leave(&process);
        // Two processes of one name fight for it until one is told that it must go.
        let has_rival = self.processes.iter().any(|process| process.slot == slot);
        match ended {
            Err(failure) if !has_rival && !self.cluster.is_fenced(client) => {
                panic!("worker {client} stopped: {failure}")
            }
            ended => self.cluster.note(|| format!("w{client} ended: {ended:?}")),
        }
        self.cluster.kill(client);
        let restart = self.random.between(10, 1_000);
        self.plan_deed(self.now + restart, Deed::Start { slot });
    }

    /// It came to a crash point that was armed for it.
    pub(super) fn process_crashed(&mut self, place: usize, crash: CrashAt) {
        let process = self.processes.remove(place);
        self.take_leave(&process);
        let CrashAt { name, slot, restart, .. } = crash;
        self.cluster.note(|| format!("w{} crashes at {name}", process.client));
        self.tally.count(&format!("crash at {name}"));
        self.cluster.kill(process.client);
        self.plan_deed(self.now + restart, Deed::Start { slot });
    }

    pub(super) fn strike(&mut self, place: usize, blow: Blow) {
        let process = &mut self.processes[place];
        let (client, slot, at) = (process.client, process.slot, process.standing.at);
        self.cluster.note(|| format!("w{client} at {at:?}: {blow:?}"));
        let now = self.now;
        match blow {
            Blow::Crash { restart } => {
                self.tally.count_crash(at);
                let process = self.processes.remove(place);
                self.take_leave(&process);
                drop(process);
                self.cluster.kill(client);
                self.plan_deed(now + restart, Deed::Start { slot });
            }
            Blow::Stop { pause } | Blow::StopAndReplace { pause, .. } => {
                self.tally.count(tally::STOPPED);
                process.is_stopped = true;
                self.cluster.set_stopped(client, true);
                self.plan_deed(now + pause, Deed::Continue { client });
                if let Blow::StopAndReplace { replace, .. } = blow {
                    self.tally.count(tally::REPLACED);
                    self.plan_deed(now + replace, Deed::Start { slot });
                }
            }
            Blow::Cut { pause } => {
                self.cluster.set_cut(client, true);
                self.plan_deed(now + pause, Deed::Heal { client });
            }
            Blow::Leave => {
                self.tally.count(tally::LEFT);
                process.status.borrow_mut().is_leaving = true;
            }
        }
    }

    /// Does what is due by now.
    pub(super) fn do_due(&mut self) {
        while let Some(entry) = self.deeds.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let deed = entry.remove();
            self.perform(deed);
            self.disturb();
        }
        while self.arrivals.front().is_some_and(|arrival| BEGIN + arrival.moment <= self.now) {
            let arrival = self.arrivals.pop_front().expect("the one that was looked at");
            self.append(&arrival);
            self.disturb();
        }
        while self.strikes.front().is_some_and(|strike| BEGIN + strike.from <= self.now) {
            self.armed.extend(self.strikes.pop_front());
        }
        while self.crashes_left.front().is_some_and(|crash| BEGIN + crash.from <= self.now) {
            self.crashes_left.pop_front().into_iter().for_each(|crash| self.crashes.arm(crash));
        }
    }

    fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::Start { slot } => self.start(slot),
            Deed::Continue { client } => {
                self.cluster.note(|| format!("w{client} goes on"));
                self.cluster.set_stopped(client, false);
                self.processes.iter_mut().filter(|process| process.client == client).for_each(|p| p.is_stopped = false);
            }
            Deed::Heal { client } => self.cluster.set_cut(client, false),
            Deed::EndUpstream { topic, shard, is_commit } => {
                self.open_upstream.remove(&(topic, shard));
                self.cluster.end_open(topic, shard, is_commit);
            }
            Deed::Happen(happening) => self.happen(happening),
        }
    }

    fn happen(&mut self, happening: Happening) {
        self.cluster.note(|| format!("{happening:?}"));
        match happening {
            Happening::Away { topic, shard, is_away } => {
                self.cluster.set_away(topic, shard, is_away);
                if is_away {
                    self.cluster.count(Fault::LeaderAway);
                }
            }
            Happening::Silent { topic, is_silent } => {
                self.cluster.set_silent(topic, is_silent);
                if is_silent {
                    self.cluster.count(Fault::TopicSilent);
                }
            }
            Happening::Clock { slot, skew } => {
                self.skews[slot] = skew;
                self.tally.count(tally::CLOCK_SET);
                let of_slot = self.processes.iter().filter(|process| process.slot == slot);
                of_slot.for_each(|process| self.cluster.set_skew(process.client, skew));
            }
            Happening::ForgetOffset { topic, shard } => {
                self.cluster.set_committed(topic, shard, None);
                self.cluster.count(Fault::OffsetsForgotten);
            }
            Happening::DamageSnapshot { shard } => self.store.damage(shard, &mut self.random),
        }
    }

    fn start(&mut self, slot: usize) {
        // Of two processes of one name the one that was fenced ends, and another is there already.
        if self.processes.iter().any(|process| process.slot == slot && !process.is_stopped) {
            return;
        }
        let client = self.cluster.connect(&format!("w{slot}"), self.skews[slot]);
        let job = job(self.plan, &self.rules);
        let snapshots = self.plan.snapshots.map(|snapshots| (self.store.clone(), snapshots));
        self.processes.push(Process::start(&self.cluster, client, slot, self.plan.batch_max, job, snapshots));
    }

    fn append(&mut self, arrival: &Arrival) {
        let Arrival { topic, shard, key, value, .. } = arrival;
        let (key, value) = (key.as_deref(), value.as_deref());
        let timestamp = Some(arrival.timestamp());
        let is_commit = match arrival.upstream {
            // One transaction at a time: the next record of the partition joins it or stands beside it.
            _ if self.open_upstream.contains(&(*topic, *shard)) => None,
            Upstream::Plain => None,
            Upstream::Commits(after) => Some((after, true)),
            Upstream::Aborts(after) => Some((after, false)),
        };
        let Some((after, is_commit)) = is_commit else {
            self.cluster.append(*topic, *shard, timestamp, key, value);
            return;
        };
        self.cluster.append_open(*topic, *shard, timestamp, key, value);
        self.open_upstream.insert((*topic, *shard));
        self.plan_deed(self.now + after, Deed::EndUpstream { topic: *topic, shard: *shard, is_commit });
    }
}
