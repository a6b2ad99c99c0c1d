//! A member of the fleet: what it is doing, and how it came to an end the last time.

use crate::service::Service;
use std::path::PathBuf;
use std::time::Instant;

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

/// Where a service is to die by itself, as SHOAL_CRASH_AT says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint {
    pub name: &'static str,
    /// When it comes there for so many times.
    pub passes: u64,
}

/// A service died at its crash point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    pub place: usize,
    pub name: &'static str,
}

pub(super) struct Member {
    pub plan: Plan,
    pub service: Option<Service>,
    pub doing: Doing,
    pub is_up: bool,
    pub last_begun: Option<Instant>,
    /// What it was started with.
    pub dies_at: Option<CrashPoint>,
    /// What it is to be started with.
    pub will_die_at: Option<CrashPoint>,
    /// Its last end was a kill, so that it has to recover.
    pub was_killed: bool,
}

impl Member {
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            service: None,
            doing: Doing::Down { back: None },
            is_up: false,
            last_begun: None,
            dies_at: None,
            will_die_at: None,
            was_killed: false,
        }
    }

    /// It is dead. Whether it had not begun anything yet since it was killed before.
    pub fn note_kill(&mut self, back: Option<Instant>) -> bool {
        self.doing = Doing::Down { back };
        let in_recovery = self.was_killed && self.service.is_some() && self.last_begun.is_none();
        (self.service, self.dies_at) = (None, None);
        self.was_killed = true;
        in_recovery
    }
}
