//! Services that are started with a crash point, and made to reach it.

use super::{MARGIN, SESSION_TIMEOUT, Storm};
use crate::fleet::{CrashPoint, Doing, Fleet};
use crate::phase::{Phase, Way};
use crate::support::proxy::Hold;
use crate::support::proxy::wire::END_TRANSACTION;
use crate::trap::Trap;
use std::time::{Duration, Instant};

/// Until a running service reaches its crash point, and until it reaches one that is passed rarely.
const PATIENCE: Duration = Duration::from_secs(12);
const LONG_PATIENCE: Duration = Duration::from_secs(25);

impl Storm<'_> {
    /// Starts the first member alone, before anything was published to the control topic: it aborts this many times
    /// before it has published, and once afterwards. Then all members are started.
    pub fn begin(&mut self, times: u32) -> Result<(), String> {
        let before = (0..times).map(|_| "control/before");
        for name in before.chain(["control/published"]) {
            self.fleet.arm(0, CrashPoint { name, passes: 1 });
            self.fleet.start(0)?;
            if !self.wait_for_death(0, Phase::At(name), LONG_PATIENCE)? {
                return Err(format!("{} did not come to {name} within {LONG_PATIENCE:?}", self.fleet.name(0)));
            }
            self.count_crashes();
        }
        (0..self.fleet.count()).try_for_each(|index| self.fleet.start(index))
    }

    /// Sets the crash point of a service that is about to restart, if it can reach it on its start or soon afterwards.
    pub(super) fn arm_whoever_returns(&mut self, phase: Phase) -> Option<usize> {
        if !matches!(phase.way(), Way::Run | Way::Stop) {
            return None;
        }
        let returns = |index: &usize| matches!(self.fleet.doing(*index), Doing::Down { back: Some(_) });
        let places: Vec<usize> = (0..self.fleet.count()).filter(returns).collect();
        let index = *places.get(self.random.below(places.len().max(1) as u64) as usize)?;
        self.arm(index, phase);
        Some(index)
    }

    fn arm(&mut self, index: usize, phase: Phase) {
        if let Phase::At(name) = phase {
            let passes = phase.passes(&mut self.random);
            self.fleet.arm(index, CrashPoint { name, passes });
        }
    }

    /// Whether the armed service, or another one that is restarted for this, aborts at the crash point.
    pub(super) fn let_die(&mut self, phase: Phase, armed: Option<usize>) -> Result<bool, String> {
        match phase.way() {
            Way::Run | Way::Stop => {
                let Some(index) = armed.map_or_else(|| self.restart(phase), |index| Ok(Some(index)))? else {
                    return Ok(false);
                };
                self.let_die_running(phase, index)
            }
            Way::Move => self.let_die_moving(phase),
            Way::TakeOver => self.let_die_taking_over(phase),
            Way::FirstStart | Way::Command | Way::Never => Ok(false),
        }
    }

    /// Restarts a service at work with the crash point; by a kill, if there must be something to recover.
    fn restart(&mut self, phase: Phase) -> Result<Option<usize>, String> {
        let Some(index) = self.someone(1)? else { return Ok(None) };
        self.restart_armed(index, phase)?;
        Ok(Some(index))
    }

    fn restart_armed(&mut self, index: usize, phase: Phase) -> Result<(), String> {
        self.arm(index, phase);
        let is_held_back = self.fleet.doing(index) != Doing::Running;
        if is_held_back || matches!(phase.group(), "recovery" | "load") || self.random.below(2) == 0 {
            self.tally.hit(Phase::Anywhere);
            self.fleet.kill(index, Some(Instant::now()));
            return Ok(());
        }
        *self.faults.entry("stopped by SIGTERM and started again").or_default() += 1;
        self.fleet.stop(index, Some(Instant::now()))
    }

    fn let_die_running(&mut self, phase: Phase, index: usize) -> Result<bool, String> {
        let is_of_store = matches!(phase.group(), "snapshot" | "merge" | "retention");
        let patience = if is_of_store { LONG_PATIENCE } else { PATIENCE };
        // A stop makes a snapshot, too.
        if phase.way() == Way::Stop || is_of_store && self.random.below(4) == 0 {
            let is_at_work =
                |fleet: &mut Fleet| (fleet.at_work().contains(&index) || is_dead(fleet, index)).then_some(());
            self.fleet.wait(patience, is_at_work)?;
            let back = Instant::now() + Duration::from_millis(self.random.below(400));
            self.fleet.stop(index, Some(back))?;
        }
        self.wait_for_death(index, phase, patience)
    }

    fn wait_for_death(&mut self, index: usize, phase: Phase, patience: Duration) -> Result<bool, String> {
        self.fleet.wait(patience, |fleet| is_dead(fleet, index).then_some(()))?;
        Ok(self.fleet.crashed.iter().any(|crash| Phase::At(crash.name) == phase))
    }

    /// Two members must abort when shards move; the last member joins or leaves to move them, up to twice.
    fn let_die_moving(&mut self, phase: Phase) -> Result<bool, String> {
        let places: Vec<usize> = (0..self.fleet.count() - 1).take(2).collect();
        for (n, &index) in places.iter().enumerate() {
            let other = self.tally.next_of(&mut self.random, |phase| phase.way() == Way::Move);
            let phase = if n == 0 { phase } else { other };
            if matches!(self.fleet.doing(index), Doing::Down { .. }) {
                self.arm(index, phase);
            } else {
                self.restart_armed(index, phase)?;
            }
        }
        let are_at_work = |fleet: &mut Fleet| {
            let at_work = fleet.at_work();
            places.iter().all(|index| at_work.contains(index) || is_dead(fleet, *index)).then_some(())
        };
        self.fleet.wait(LONG_PATIENCE, are_at_work)?;
        for _ in 0..2 {
            let patience = self.move_spare(Trap::Unset)?;
            self.fleet.wait(patience, |fleet| places.iter().all(|index| is_dead(fleet, *index)).then_some(()))?;
            if self.fleet.crashed.iter().any(|crash| Phase::At(crash.name) == phase) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One member aborts with its transaction open and comes back late; the other, which takes over its shards, aborts
    /// after it has ended that transaction.
    fn let_die_taking_over(&mut self, phase: Phase) -> Result<bool, String> {
        let Some(heir) = self.restart(phase)? else { return Ok(false) };
        let others = |fleet: &mut Fleet| {
            let at_work = fleet.at_work();
            if is_dead(fleet, heir) {
                return Some(None);
            }
            let other = at_work.iter().copied().find(|&index| index != heir && fleet.workers(index) == 1);
            other.filter(|_| at_work.contains(&heir)).map(Some)
        };
        let Some(Some(other)) = self.fleet.wait(LONG_PATIENCE, others)? else { return Ok(false) };
        let name = self.fleet.name(other).to_owned();
        self.fleet.proxy().set_gate(&name, &[END_TRANSACTION], Hold::Request);
        if !self.is_caught(other)? {
            self.fleet.proxy().open_gate(&name);
            return Ok(false);
        }
        self.tally.hit(Phase::OffsetsToEnd);
        let moved = SESSION_TIMEOUT + MARGIN;
        *self.faults.entry("returned after the session time-out").or_default() += 1;
        self.fleet.kill(other, Some(Instant::now() + moved * 2));
        self.wait_for_death(heir, phase, moved * 2)
    }
}

fn is_dead(fleet: &Fleet, index: usize) -> bool {
    fleet.crashed.iter().any(|crash| crash.index == index)
}
