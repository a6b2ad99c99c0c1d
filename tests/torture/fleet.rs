//! The services of a run: which are up, which are held back until when, and who tells what.

use crate::service::{Guard, Listener, Service, Told};
use crate::support::proxy::Proxy;
use crate::trap::{Trap, listener};
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often what is awaited is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// A service that has begun a transaction within so long is at work.
const AT_WORK: Duration = Duration::from_secs(3);
/// One that ended by itself is started again so long after, as a supervisor would.
const SUPERVISED: Duration = Duration::from_millis(500);
/// Orderly ends take no longer.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a member is doing, and until when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doing {
    Running,
    /// Not there; `None`: until it is wanted.
    Down {
        back: Option<Instant>,
    },
    /// SIGSTOP.
    Stopped {
        until: Instant,
    },
    /// Its network stands still.
    Frozen {
        until: Instant,
    },
    /// What it sends and is sent is lost.
    CutOff {
        until: Instant,
    },
}

/// How a member is described to the fleet.
pub struct Plan {
    /// Also its `client.id`, by which the proxy knows it.
    pub name: String,
    pub config: PathBuf,
    pub log: PathBuf,
    pub workers: u32,
}

struct Member {
    plan: Plan,
    service: Option<Service>,
    doing: Doing,
    is_up: bool,
    last_begun: Option<Instant>,
}

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
    pub transactions: u64,
}

impl Fleet {
    pub fn new(plans: Vec<Plan>, proxy: Arc<Proxy>, guard: Arc<Guard>) -> Self {
        let (sender, told) = channel();
        let trap = Arc::new(Mutex::new(Trap::Unset));
        let names = plans.iter().map(|plan| plan.name.clone()).collect();
        let listener = listener(Arc::clone(&proxy), Arc::clone(&trap), names);
        let down =
            |plan| Member { plan, service: None, doing: Doing::Down { back: None }, is_up: false, last_begun: None };
        let members = plans.into_iter().map(down).collect();
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
            transactions: 0,
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

    pub fn start(&mut self, place: usize) -> Result<(), String> {
        let member = &mut self.members[place];
        let (plan, sender, listener) = (&member.plan, self.sender.clone(), Arc::clone(&self.listener));
        member.service = Some(Service::start(place, &plan.config, &plan.log, &self.guard, sender, listener)?);
        member.doing = Doing::Running;
        (member.is_up, member.last_begun) = (false, None);
        Ok(())
    }

    /// kill -9. What the proxy holds of it never arrives.
    pub fn kill(&mut self, place: usize, back: Option<Instant>) {
        let member = &mut self.members[place];
        member.service = None;
        member.doing = Doing::Down { back };
        self.proxy.forget(&member.plan.name);
    }

    /// SIGTERM, and waits until it has ended, which must be well.
    pub fn stop(&mut self, place: usize, back: Option<Instant>) -> Result<(), String> {
        let member = &mut self.members[place];
        let Some(mut service) = member.service.take() else { return Ok(()) };
        member.doing = Doing::Down { back };
        service.signal(Signal::TERM);
        let status = self.wait(PATIENCE, |_| service.ended())?;
        let name = self.name(place).to_owned();
        self.proxy.forget(&name);
        // Before it listens to signals they end it, and there is nothing to end well.
        let was_up = self.members[place].is_up;
        match status {
            Some(status) if status.success() || !was_up && status.signal().is_some() => Ok(()),
            Some(status) => Err(format!("{name} ended with {status} after SIGTERM:\n{}", service.tail())),
            None => Err(format!("{name} did not end within {PATIENCE:?} of SIGTERM:\n{}", service.tail())),
        }
    }

    pub fn hold_back(&mut self, place: usize, doing: Doing) {
        let member = &mut self.members[place];
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

    /// All run, and nothing holds anybody back.
    pub fn settle(&mut self) -> Result<(), String> {
        self.set_trap(Trap::Unset);
        self.proxy.open_all_gates();
        self.proxy.slow_down(Duration::ZERO, None);
        (0..self.count()).try_for_each(|place| self.let_go(place))
    }

    /// Those that run and have lately begun a transaction.
    pub fn at_work(&self) -> Vec<usize> {
        let is_at_work = |member: &Member| {
            member.doing == Doing::Running && member.last_begun.is_some_and(|begun| begun.elapsed() < AT_WORK)
        };
        (0..self.count()).filter(|&place| is_at_work(&self.members[place])).collect()
    }

    /// Looks after everybody until there is an answer, or time is up.
    pub fn wait<T>(
        &mut self,
        patience: Duration,
        mut answer: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let deadline = Instant::now() + patience;
        loop {
            self.tend()?;
            let found = answer(self);
            if found.is_some() || Instant::now() > deadline {
                return Ok(found);
            }
            if let Ok((place, told)) = self.told.recv_timeout(LOOK) {
                self.note(place, told);
            }
        }
    }

    /// Hears what was told, lets go of whose time is up, and starts those that ended by themselves.
    pub fn tend(&mut self) -> Result<(), String> {
        while let Ok((place, told)) = self.told.try_recv() {
            self.note(place, told);
        }
        if self.slow_until.take_if(|until| *until <= Instant::now()).is_some() {
            self.proxy.slow_down(Duration::ZERO, None);
        }
        for place in 0..self.count() {
            let now = Instant::now();
            match self.members[place].doing {
                Doing::Stopped { until } | Doing::Frozen { until } | Doing::CutOff { until } if until <= now => {
                    self.let_go(place)?;
                }
                Doing::Down { back: Some(back) } if back <= now => self.start(place)?,
                _ => {}
            }
            let ended =
                self.members[place].service.as_mut().and_then(|service| Some((service.ended()?, service.tail())));
            if let Some((status, tail)) = ended {
                self.note_end(place, status, &tail)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, place: usize, told: Told) {
        match told {
            Told::Up => self.members[place].is_up = true,
            Told::Begun => self.members[place].last_begun = Some(Instant::now()),
            _ => {}
        }
        self.transactions += u64::from(told == Told::Committed);
    }

    /// A service may give up and be started again. It must not panic, nor say that something else has to be put right.
    fn note_end(&mut self, place: usize, status: ExitStatus, tail: &str) -> Result<(), String> {
        let words = format!("{} ended by itself with {status}:\n{tail}", self.name(place));
        self.kill(place, Some(Instant::now() + SUPERVISED));
        if !matches!(status.code(), Some(1)) {
            return Err(words);
        }
        self.ended.push(words);
        Ok(())
    }
}
