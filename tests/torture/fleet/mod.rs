//! The services of a run: which are up, which are held back until when, and who tells what.

mod member;
mod tend;

use crate::service::{Guard, Listener, Service, Told};
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

/// A service that has begun a transaction within so long is at work.
const AT_WORK: Duration = Duration::from_secs(3);
/// Orderly ends take no longer.
const PATIENCE: Duration = Duration::from_secs(40);

pub struct Fleet {
    members: Vec<Member>,
    proxy: Arc<Proxy>,
    guard: Arc<Guard>,
    sender: Sender<(usize, Told)>,
    told: Receiver<(usize, Told)>,
    trap: Arc<Mutex<Trap>>,
    listener: Listener,
    /// The network is slow so long.
    slow_until: Option<Instant>,
    /// Who ended without being asked to, and its last words.
    pub ended: Vec<String>,
    /// Who died at a crash point; whoever looks takes them away.
    pub crashed: Vec<Crash>,
    /// Kills of services that had not begun anything since the kill before.
    pub killed_in_recovery: u32,
    pub transactions: u64,
    pub store: Store,
}

impl Fleet {
    pub fn new(plans: Vec<Plan>, proxy: Arc<Proxy>, guard: Arc<Guard>, store: Store) -> Self {
        let (sender, told) = channel();
        let trap = Arc::new(Mutex::new(Trap::Unset));
        let names = plans.iter().map(|plan| plan.name.clone()).collect();
        let listener = listener(Arc::clone(&proxy), Arc::clone(&trap), names);
        let members = plans.into_iter().map(Member::new).collect();
        Self {
            members,
            proxy,
            guard,
            sender,
            told,
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

    pub fn name(&self, place: usize) -> &str {
        &self.members[place].plan.name
    }

    pub fn workers(&self, place: usize) -> u32 {
        self.members[place].plan.workers
    }

    pub fn doing(&self, place: usize) -> Doing {
        self.members[place].doing
    }

    pub fn set_trap(&self, trap: Trap) {
        *self.trap.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = trap;
    }

    pub fn trap(&self) -> Trap {
        *self.trap.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether it was started with a crash point and lives.
    pub fn dies_at(&self, place: usize) -> Option<&'static str> {
        self.members[place].dies_at.map(|point| point.name)
    }

    /// When it is started the next time it is to die there.
    pub fn arm(&mut self, place: usize, point: CrashPoint) {
        self.members[place].will_die_at = Some(point);
    }

    pub fn start(&mut self, place: usize) -> Result<(), String> {
        let member = &mut self.members[place];
        let (plan, sender, listener) = (&member.plan, self.sender.clone(), Arc::clone(&self.listener));
        member.dies_at = member.will_die_at.take();
        let crash_at = member.dies_at.map(|point| format!("{}@{}", point.name, point.passes));
        let service = Service::start(place, &plan.config, &plan.log, crash_at, &self.guard, sender, listener)?;
        member.service = Some(service);
        member.doing = Doing::Running;
        (member.is_up, member.last_begun) = (false, None);
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self, place: usize, back: Option<Instant>) {
        self.killed_in_recovery += u32::from(self.bury(place, back));
    }

    /// It is dead, and what the proxy holds of it never arrives. Whether that was in the recovery from a kill.
    fn bury(&mut self, place: usize, back: Option<Instant>) -> bool {
        let member = &mut self.members[place];
        self.proxy.forget(&member.plan.name);
        member.note_kill(back)
    }

    /// SIGTERM, and waits until it has ended, which must be well; or where it was to die.
    pub fn stop(&mut self, place: usize, back: Option<Instant>) -> Result<(), String> {
        let member = &mut self.members[place];
        let Some(mut service) = member.service.take() else { return Ok(()) };
        // It comes back when it has ended, not before.
        member.doing = Doing::Down { back: None };
        service.signal(Signal::TERM);
        let status = self.wait(PATIENCE, |_| service.ended())?;
        self.members[place].doing = Doing::Down { back };
        let name = self.name(place).to_owned();
        self.proxy.forget(&name);
        // Before it listens to signals they end it, and there is nothing to end well.
        let was_up = self.members[place].is_up;
        match status {
            Some(status) if status.success() || !was_up && status.signal() == Some(Signal::TERM.as_raw()) => {
                self.members[place].was_killed = false;
                self.members[place].dies_at = None;
                Ok(())
            }
            Some(status) if self.note_crash(place, status, back) => Ok(()),
            Some(status) => Err(format!("{name} ended with {status} after SIGTERM:\n{}", service.tail())),
            None => Err(format!("{name} did not end within {PATIENCE:?} of SIGTERM:\n{}", service.tail())),
        }
    }

    /// Unless it has just died.
    pub fn hold_back(&mut self, place: usize, doing: Doing) {
        let member = &mut self.members[place];
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

    /// For everybody.
    pub fn slow_down(&mut self, delay: Duration, bytes_per_second: Option<u32>, until: Instant) {
        self.proxy.slow_down(delay, bytes_per_second);
        self.slow_until = Some(until);
    }

    /// Ends what holds it back; one that is down is started.
    fn let_go(&mut self, place: usize) -> Result<(), String> {
        let member = &mut self.members[place];
        let (name, service) = (&member.plan.name, &member.service);
        match member.doing {
            Doing::Stopped { .. } => service.iter().for_each(|service| service.signal(Signal::CONT)),
            Doing::Frozen { .. } => self.proxy.thaw(name),
            Doing::CutOff { .. } => self.proxy.stop_swallowing(name),
            Doing::Down { .. } => return self.start(place),
            Doing::Running => {}
        }
        self.proxy.open_gate(name);
        member.doing = Doing::Running;
        Ok(())
    }

    /// All run, nothing holds anybody back, and nobody is to die.
    pub fn settle(&mut self) -> Result<(), String> {
        self.set_trap(Trap::Unset);
        self.proxy.open_all_gates();
        self.proxy.slow_down(Duration::ZERO, None);
        self.store.settle()?;
        self.members.iter_mut().for_each(|member| member.will_die_at = None);
        (0..self.count()).try_for_each(|place| self.let_go(place))?;
        for place in 0..self.count() {
            if self.dies_at(place).is_some() {
                self.stop(place, None)?;
                self.start(place)?;
            }
        }
        Ok(())
    }

    /// Whether everybody is there and so many shards are live among them: none is on its way from one to another.
    pub fn is_whole(&self, shards: usize) -> bool {
        let live = |member: &Member| member.service.as_ref().and_then(Service::live_shards);
        self.members.iter().map(live).sum::<Option<usize>>() == Some(shards)
    }

    /// Those that run and have lately begun a transaction.
    pub fn at_work(&self) -> Vec<usize> {
        let is_at_work = |member: &Member| {
            member.doing == Doing::Running && member.last_begun.is_some_and(|begun| begun.elapsed() < AT_WORK)
        };
        (0..self.count()).filter(|&place| is_at_work(&self.members[place])).collect()
    }
}
