//! A member of the fleet: its state, and how it ended the last time.

use crate::service::Service;
use std::path::PathBuf;
use std::time::Instant;

/// State of a member, and until when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doing {
    Running,
    /// Not running; `None`: until it is started explicitly.
    Down {
        back: Option<Instant>,
    },
    /// Stopped by SIGSTOP.
    Stopped {
        until: Instant,
    },
    /// Its network is frozen.
    Frozen {
        until: Instant,
    },
    /// What it sends and receives is lost.
    CutOff {
        until: Instant,
    },
}

/// Description of a member.
pub struct Plan {
    /// Also its `client.id`, by which the proxy identifies it.
    pub name: String,
    pub config: PathBuf,
    pub log: PathBuf,
    pub workers: u32,
}

/// Where a service aborts, as in SHOAL_CRASH_AT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint {
    pub name: &'static str,
    /// It aborts when it reaches the point for the n-th time.
    pub passes: u64,
}

/// A service aborted at its crash point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    pub index: usize,
    pub name: &'static str,
}

pub(super) struct Member {
    pub plan: Plan,
    pub service: Option<Service>,
    pub doing: Doing,
    pub is_up: bool,
    pub last_begun: Option<Instant>,
    /// The crash point that it was started with.
    pub dies_at: Option<CrashPoint>,
    /// The crash point of its next start.
    pub will_die_at: Option<CrashPoint>,
    /// It was killed, so that its next start recovers.
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

    /// Notes that it has ended. Returns whether it had begun no transaction since it was killed before.
    pub fn note_kill(&mut self, back: Option<Instant>) -> bool {
        self.doing = Doing::Down { back };
        let in_recovery = self.was_killed && self.service.is_some() && self.last_begun.is_none();
        (self.service, self.dies_at) = (None, None);
        self.was_killed = true;
        in_recovery
    }
}
