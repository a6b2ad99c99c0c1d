//! Supervision of the services: events in their logs, states that end, and processes that have ended.

use super::{Crash, Doing, Fleet};
use crate::service::ServiceEvent;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long an event of a service is waited for before the condition is checked again.
const LOOK: Duration = Duration::from_millis(5);
/// A service that ended by itself is started again after this time, as a supervisor would.
const SUPERVISED: Duration = Duration::from_millis(500);

impl Fleet {
    /// Supervises all services until there is an answer or the time is up.
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
            if let Ok((index, event)) = self.events.recv_timeout(LOOK) {
                self.note(index, event);
            }
        }
    }

    /// Reads events, ends states whose time is up, and restarts services that ended by themselves.
    pub fn tend(&mut self) -> Result<(), String> {
        while let Ok((index, event)) = self.events.try_recv() {
            self.note(index, event);
        }
        if self.slow_until.take_if(|until| *until <= Instant::now()).is_some() {
            self.proxy.slow_down(Duration::ZERO, None);
        }
        self.store.tend()?;
        for index in 0..self.count() {
            let now = Instant::now();
            match self.members[index].doing {
                Doing::Stopped { until } | Doing::Frozen { until } | Doing::CutOff { until } if until <= now => {
                    self.let_go(index)?;
                }
                Doing::Down { back: Some(back) } if back <= now => self.start(index)?,
                _ => {}
            }
            let ended =
                self.members[index].service.as_mut().and_then(|service| Some((service.ended()?, service.tail())));
            if let Some((status, tail)) = ended {
                self.note_end(index, status, &tail)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, index: usize, event: ServiceEvent) {
        match event {
            ServiceEvent::Up => self.members[index].is_up = true,
            ServiceEvent::Begun => self.members[index].last_begun = Some(Instant::now()),
            _ => {}
        }
        self.transactions += u64::from(event == ServiceEvent::Committed);
    }

    /// A service may give up and be restarted. It must not panic, nor report something that a person must repair.
    fn note_end(&mut self, index: usize, status: ExitStatus, tail: &str) -> Result<(), String> {
        if self.note_crash(index, status, Some(Instant::now() + SUPERVISED)) {
            return Ok(());
        }
        let message = format!("{} ended by itself with {status}:\n{tail}", self.name(index));
        self.bury(index, Some(Instant::now() + SUPERVISED));
        if !matches!(status.code(), Some(1)) {
            return Err(message);
        }
        self.ended.push(message);
        Ok(())
    }

    /// Whether it ended at its crash point.
    pub(super) fn note_crash(&mut self, index: usize, status: ExitStatus, back: Option<Instant>) -> bool {
        let died = self.members[index].dies_at.filter(|_| status.signal() == Some(Signal::ABORT.as_raw()));
        if let Some(point) = died {
            self.kill(index, back);
            self.crashed.push(Crash { index, name: point.name });
        }
        died.is_some()
    }
}
