//! Kills in the phases of a transaction, of recovery and of a revocation.

use super::{GATE_PATIENCE, MARGIN, SESSION_TIMEOUT, Storm, WORK_PATIENCE};
use crate::fleet::{Doing, Fleet};
use crate::phase::Phase;
use crate::trap::Trap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Until a service replays, and until shards are revoked after the group should have noticed a change.
const TRAP_PATIENCE: Duration = Duration::from_secs(15);
const REVOKE_PATIENCE: Duration = Duration::from_secs(4);

impl Storm<'_> {
    pub(super) fn kill(&mut self, index: usize) {
        let now = Instant::now();
        let back = if std::mem::take(&mut self.returns_late) {
            *self.faults.entry("returned after the session time-out").or_default() += 1;
            now + SESSION_TIMEOUT + MARGIN
        } else {
            now + Duration::from_millis(self.random.below(400))
        };
        self.fleet.kill(index, Some(back));
    }

    pub(super) fn kill_in_transaction(&mut self, phase: Phase) -> Result<bool, String> {
        let Some(index) = self.someone(1)? else {
            return Err(format!("no process has begun a transaction for {WORK_PATIENCE:?}"));
        };
        let Some((requests, hold)) = phase.gate(&mut self.random) else { return Ok(false) };
        let name = self.fleet.name(index).to_owned();
        self.fleet.proxy().set_gate(&name, requests, hold);
        let is_caught = self.is_caught(index)?;
        if is_caught {
            self.kill(index);
        } else {
            self.fleet.proxy().open_gate(&name);
        }
        Ok(is_caught)
    }

    /// Whether a service reaches its gate, alive.
    pub(super) fn is_caught(&mut self, index: usize) -> Result<bool, String> {
        let name = self.fleet.name(index).to_owned();
        let caught = self.fleet.wait(GATE_PATIENCE, |fleet| {
            let is_gone = matches!(fleet.doing(index), Doing::Down { .. });
            if is_gone { Some(false) } else { fleet.proxy().has_caught(&name).then_some(true) }
        })?;
        Ok(caught == Some(true) && self.fleet.doing(index) == Doing::Running)
    }

    /// Kills the next service that starts or rebuilds while it replays journalled transactions; mostly the one killed
    /// last.
    pub(super) fn kill_in_replay(&mut self) -> Result<bool, String> {
        self.fleet.set_trap(Trap::Replay { left: self.random.below(10) as u32 });
        let returns = |doing| matches!(doing, Doing::Down { back: Some(_) });
        if !(0..self.fleet.count()).any(|index| returns(self.fleet.doing(index))) {
            let Some(index) = self.someone(1)? else { return Ok(false) };
            self.fleet.stop(index, Some(Instant::now()))?;
            *self.faults.entry("stopped by SIGTERM and started again").or_default() += 1;
        }
        let caught = self.fleet.wait(TRAP_PATIENCE, |fleet| match fleet.trap() {
            Trap::Replaying(index) => Some(index),
            _ => None,
        })?;
        self.fleet.set_trap(Trap::Unset);
        let is_hit = caught.is_some_and(|index| self.fleet.doing(index) == Doing::Running);
        match caught {
            Some(index) if is_hit => self.kill(index),
            Some(index) => self.fleet.proxy().thaw(self.fleet.name(index)),
            None => {}
        }
        Ok(is_hit)
    }

    /// Lets the last member join or leave while events come that need no output, and kills a member that has a
    /// transaction to end.
    pub(super) fn kill_in_revoke(&mut self) -> Result<bool, String> {
        let single = |fleet: &mut Fleet| fleet.at_work().into_iter().find(|&index| fleet.workers(index) == 1);
        self.fleet.wait(WORK_PATIENCE, single)?;
        self.calm.store(true, Ordering::Relaxed);
        let patience = self.move_spare(Trap::Revoke)?;
        let caught = self.fleet.wait(patience, |fleet| {
            (0..fleet.count()).find(|&index| {
                let is_caught = fleet.proxy().has_caught(fleet.name(index));
                is_caught && fleet.workers(index) == 1 && fleet.doing(index) == Doing::Running
            })
        })?;
        self.fleet.set_trap(Trap::Unset);
        self.calm.store(false, Ordering::Relaxed);
        if let Some(index) = caught {
            self.kill(index);
        }
        for index in (0..self.fleet.count()).filter(|&index| self.fleet.doing(index) == Doing::Running) {
            self.fleet.proxy().open_gate(self.fleet.name(index));
        }
        Ok(caught.is_some())
    }

    /// Lets the last member join or leave, and sets the trap. Returns how long the others may take to give shards up.
    pub(super) fn move_spare(&mut self, trap: Trap) -> Result<Duration, String> {
        let spare = self.fleet.count() - 1;
        if let Some(left) = self.spare_left.take() {
            // Earlier it would get its former shards back.
            let moved = left + SESSION_TIMEOUT + MARGIN;
            self.fleet.wait(SESSION_TIMEOUT * 2, |_| (Instant::now() > moved).then_some(()))?;
            self.fleet.set_trap(trap);
            self.fleet.start(spare)?;
            *self.faults.entry("joined").or_default() += 1;
            return Ok(REVOKE_PATIENCE);
        }
        let is_there = self.fleet.wait(TRAP_PATIENCE, |fleet| (fleet.doing(spare) == Doing::Running).then_some(()))?;
        if is_there.is_some() {
            self.fleet.stop(spare, None)?;
            self.spare_left = Some(Instant::now());
            *self.faults.entry("left").or_default() += 1;
        }
        self.fleet.set_trap(trap);
        Ok(SESSION_TIMEOUT + REVOKE_PATIENCE)
    }
}
