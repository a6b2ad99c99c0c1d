//! Looking after the services: what they tell, whose time is up, and who has ended.

use super::{Crash, Doing, Fleet};
use crate::service::Told;
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How often what is awaited is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// One that ended by itself is started again so long after, as a supervisor would.
const SUPERVISED: Duration = Duration::from_millis(500);

impl Fleet {
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
        self.store.tend()?;
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
        if self.note_crash(place, status, Some(Instant::now() + SUPERVISED)) {
            return Ok(());
        }
        let words = format!("{} ended by itself with {status}:\n{tail}", self.name(place));
        self.bury(place, Some(Instant::now() + SUPERVISED));
        if !matches!(status.code(), Some(1)) {
            return Err(words);
        }
        self.ended.push(words);
        Ok(())
    }

    /// Whether it ended where it was to die.
    pub(super) fn note_crash(&mut self, place: usize, status: ExitStatus, back: Option<Instant>) -> bool {
        let died = self.members[place].dies_at.filter(|_| status.signal() == Some(Signal::ABORT.as_raw()));
        if let Some(point) = died {
            self.kill(place, back);
            self.crashed.push(Crash { place, name: point.name });
        }
        died.is_some()
    }
}
