//! The services of a run: which of them run, which are held back until when, and the events in their logs.

mod member;
mod tend;

use crate::service::{Guard, Listener, Service, ServiceEvent};
use crate::store::Store;
use crate::support::proxy::Proxy;
use crate::trap::{Trap, listener};
use member::Member;
pub use member::{Crash, CrashPoint, Doing, Plan};
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A service that began a transaction within this time is at work.
const AT_WORK: Duration = Duration::from_secs(3);
/// Upper bound of an orderly stop.
const PATIENCE: Duration = Duration::from_secs(40);

pub struct Fleet {
    members: Vec<Member>,
    proxy: Arc<Proxy>,
    guard: Arc<Guard>,
    sender: Sender<(usize, ServiceEvent)>,
    events: Receiver<(usize, ServiceEvent)>,
    trap: Arc<Mutex<Trap>>,
    listener: Listener,
    /// The network is slow until then.
    slow_until: Option<Instant>,
    /// Services that ended without being asked to, with the ends of their logs.
    pub ended: Vec<String>,
    /// Services that aborted at a crash point since this was taken the last time.
    pub crashed: Vec<Crash>,
    /// Kills of services that had begun no transaction since the kill before.
    pub killed_in_recovery: u32,
    pub transactions: u64,
    pub store: Store,
}

impl Fleet {
    pub fn new(plans: Vec<Plan>, proxy: Arc<Proxy>, guard: Arc<Guard>, store: Store) -> Self {
        let (sender, events) = channel();
        let trap = Arc::new(Mutex::new(Trap::Unset));
        let names = plans.iter().map(|plan| plan.name.clone()).collect();
        let listener = listener(Arc::clone(&proxy), Arc::clone(&trap), names);
        let members = plans.into_iter().map(Member::new).collect();
        Self {
            members,
            proxy,
            guard,
            sender,
            events,
            trap,
            listener,
            slow_until: None,
            ended: Vec::new(),
            crashed: Vec::new(),
            killed_in_recovery: 0,
            transactions: 0,
            store,
        }
    }

    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    pub fn count(&self) -> usize {
        self.members.len()
    }

    pub fn name(&self, index: usize) -> &str {
        &self.members[index].plan.name
    }

    pub fn workers(&self, index: usize) -> u32 {
        self.members[index].plan.workers
    }

    pub fn doing(&self, index: usize) -> Doing {
        self.members[index].doing
    }

    pub fn set_trap(&self, trap: Trap) {
        *self.trap.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = trap;
    }

    pub fn trap(&self) -> Trap {
        *self.trap.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The crash point that a living service was started with.
    pub fn dies_at(&self, index: usize) -> Option<&'static str> {
        self.members[index].dies_at.map(|point| point.name)
    }

    /// Sets the crash point of its next start.
    pub fn arm(&mut self, index: usize, point: CrashPoint) {
        self.members[index].will_die_at = Some(point);
    }

    pub fn start(&mut self, index: usize) -> Result<(), String> {
        let member = &mut self.members[index];
        let (plan, sender, listener) = (&member.plan, self.sender.clone(), Arc::clone(&self.listener));
        member.dies_at = member.will_die_at.take();
        let crash_at = member.dies_at.map(|point| format!("{}@{}", point.name, point.passes));
        let service = Service::start(index, &plan.config, &plan.log, crash_at, &self.guard, sender, listener)?;
        member.service = Some(service);
        member.doing = Doing::Running;
        (member.is_up, member.last_begun) = (false, None);
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self, index: usize, back: Option<Instant>) {
        self.killed_in_recovery += u32::from(self.bury(index, back));
    }

    /// Notes that it is dead, and drops what the proxy holds of it. Returns whether it was recovering from another
    /// kill.
    fn bury(&mut self, index: usize, back: Option<Instant>) -> bool {
        let member = &mut self.members[index];
        self.proxy.forget(&member.plan.name);
        member.note_kill(back)
    }

    /// Sends SIGTERM and waits until it has ended, successfully or at its crash point.
    pub fn stop(&mut self, index: usize, back: Option<Instant>) -> Result<(), String> {
        let member = &mut self.members[index];
        let Some(mut service) = member.service.take() else { return Ok(()) };
        // It is started again after it has ended, not before.
        member.doing = Doing::Down { back: None };
        service.signal(Signal::TERM);
        let status = self.wait(PATIENCE, |_| service.ended())?;
        self.members[index].doing = Doing::Down { back };
        let name = self.name(index).to_owned();
        self.proxy.forget(&name);
        // Before it handles signals, SIGTERM ends it, and there is nothing to stop in order.
        let was_up = self.members[index].is_up;
        match status {
            Some(status) if status.success() || !was_up && status.signal() == Some(Signal::TERM.as_raw()) => {
                self.members[index].was_killed = false;
                self.members[index].dies_at = None;
                Ok(())
            }
            Some(status) if self.note_crash(index, status, back) => Ok(()),
            Some(status) => Err(format!("{name} ended with {status} after SIGTERM:\n{}", service.tail())),
            None => Err(format!("{name} did not end within {PATIENCE:?} of SIGTERM:\n{}", service.tail())),
        }
    }

    /// Does nothing if it has just died.
    pub fn hold_back(&mut self, index: usize, doing: Doing) {
        let member = &mut self.members[index];
        if member.doing != Doing::Running {
            return;
        }
        let (name, service) = (&member.plan.name, &member.service);
        match doing {
            Doing::Stopped { .. } => service.iter().for_each(|service| service.signal(Signal::STOP)),
            Doing::Frozen { .. } => self.proxy.freeze(name),
            Doing::CutOff { .. } => self.proxy.swallow(name),
            Doing::Running | Doing::Down { .. } => {}
        }
        member.doing = doing;
    }

    /// Slows down the network of all services.
    pub fn slow_down(&mut self, delay: Duration, bytes_per_second: Option<u32>, until: Instant) {
        self.proxy.slow_down(delay, bytes_per_second);
        self.slow_until = Some(until);
    }

    /// Ends what holds it back; starts it if it is not running.
    fn let_go(&mut self, index: usize) -> Result<(), String> {
        let member = &mut self.members[index];
        let (name, service) = (&member.plan.name, &member.service);
        match member.doing {
            Doing::Stopped { .. } => service.iter().for_each(|service| service.signal(Signal::CONT)),
            Doing::Frozen { .. } => self.proxy.thaw(name),
            Doing::CutOff { .. } => self.proxy.stop_swallowing(name),
            Doing::Down { .. } => return self.start(index),
            Doing::Running => {}
        }
        self.proxy.open_gate(name);
        member.doing = Doing::Running;
        Ok(())
    }

    /// Starts all services, ends all faults, and removes all crash points.
    pub fn settle(&mut self) -> Result<(), String> {
        self.set_trap(Trap::Unset);
        self.proxy.open_all_gates();
        self.proxy.slow_down(Duration::ZERO, None);
        self.store.settle()?;
        self.members.iter_mut().for_each(|member| member.will_die_at = None);
        (0..self.count()).try_for_each(|index| self.let_go(index))?;
        for index in 0..self.count() {
            if self.dies_at(index).is_some() {
                self.stop(index, None)?;
                self.start(index)?;
            }
        }
        Ok(())
    }

    /// Whether all services run and have all shards among them, so that none is being moved.
    pub fn is_whole(&self, shards: usize) -> bool {
        let live = |member: &Member| member.service.as_ref().and_then(Service::live_shards);
        self.members.iter().map(live).sum::<Option<usize>>() == Some(shards)
    }

    /// Services that run and have recently begun a transaction.
    pub fn at_work(&self) -> Vec<usize> {
        let is_at_work = |member: &Member| {
            member.doing == Doing::Running && member.last_begun.is_some_and(|begun| begun.elapsed() < AT_WORK)
        };
        (0..self.count()).filter(|&index| is_at_work(&self.members[index])).collect()
    }
}
