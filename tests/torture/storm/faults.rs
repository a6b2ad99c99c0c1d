//! Faults besides kills: of the network, of the broker, of timing, of the store, and members that join and leave.

use super::{MARGIN, SESSION_TIMEOUT, Storm};
use crate::fleet::{Doing, Fleet};
use crate::phase::Phase;
use crate::support::proxy::Hold;
use crate::support::proxy::wire::END_TRANSACTION;
use std::time::{Duration, Instant, SystemTime};

/// How long the network is slow.
const SLOW: Duration = Duration::from_secs(8);

/// A fault besides kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Nothing,
    StopPastTimeout,
    FreezePastTimeout,
    CutOff,
    ResetOne,
    ResetAll,
    Slow,
    BrokerCrash,
    OrderlyRestart,
    LateReturn,
    StoreTrouble,
    SnapshotDamaged,
    SnapshotsWiped,
}

const DECK: [Fault; 15] = [
    Fault::Nothing,
    Fault::Nothing,
    Fault::StopPastTimeout,
    Fault::FreezePastTimeout,
    Fault::CutOff,
    Fault::ResetOne,
    Fault::ResetAll,
    Fault::Slow,
    Fault::BrokerCrash,
    Fault::OrderlyRestart,
    Fault::LateReturn,
    Fault::StoreTrouble,
    Fault::StoreTrouble,
    Fault::SnapshotDamaged,
    Fault::SnapshotsWiped,
];

impl Storm<'_> {
    pub(super) fn fault(&mut self) -> Result<Fault, String> {
        if self.deck.is_empty() {
            self.deck = DECK.to_vec();
        }
        let index = self.random.below(self.deck.len() as u64) as usize;
        let fault = self.deck.swap_remove(index);
        match fault {
            Fault::Nothing => {}
            Fault::LateReturn => self.returns_late = true,
            Fault::ResetAll => {
                let reset = self.fleet.proxy().reset(None);
                *self.faults.entry("connections reset").or_default() += reset as u32;
            }
            Fault::Slow => self.slow_down(),
            Fault::BrokerCrash => self.crash_broker()?,
            Fault::StoreTrouble => {
                let what = self.fleet.store.hurt(&mut self.random)?;
                *self.faults.entry(what).or_default() += 1;
            }
            Fault::SnapshotDamaged | Fault::SnapshotsWiped => self.hurt_snapshots(fault)?,
            _ => {
                // Another service must be left to be killed.
                let Some(index) = self.someone(2)? else {
                    self.deck.push(fault);
                    return Ok(Fault::Nothing);
                };
                self.afflict(index, fault)?;
            }
        }
        Ok(fault)
    }

    fn slow_down(&mut self) {
        let delay = Duration::from_millis(5 + self.random.below(60));
        let rate = (self.random.below(2) == 0).then(|| 30_000 + self.random.below(300_000) as u32);
        self.fleet.slow_down(delay, rate, Instant::now() + SLOW);
        *self
            .faults
            .entry(if rate.is_some() { "network delayed and throttled" } else { "network delayed" })
            .or_default() += 1;
    }

    /// Kills the broker, every other time while a service waits for the end of a transaction.
    fn crash_broker(&mut self) -> Result<(), String> {
        let asked = if self.random.below(2) == 0 { self.someone(1)? } else { None };
        if let Some(index) = asked {
            let name = self.fleet.name(index).to_owned();
            self.fleet.proxy().set_gate(&name, &[END_TRANSACTION], Hold::Answer);
            self.is_caught(index)?;
        }
        self.broker.crash()?;
        self.fleet.proxy().open_all_gates();
        *self.faults.entry("broker killed and restarted").or_default() += 1;
        self.broker.restart()
    }

    fn afflict(&mut self, index: usize, fault: Fault) -> Result<(), String> {
        let timeout = Instant::now() + SESSION_TIMEOUT + MARGIN;
        let name = self.fleet.name(index).to_owned();
        let what = match fault {
            Fault::StopPastTimeout | Fault::FreezePastTimeout => {
                // Every other time in the middle of a transaction, which ends after the shards have moved.
                if self.random.below(2) == 0 {
                    self.fleet.proxy().set_gate(&name, &[END_TRANSACTION], Hold::Request);
                    self.is_caught(index)?;
                }
                let stopped = fault == Fault::StopPastTimeout;
                let until = timeout + Duration::from_millis(self.random.below(3_000));
                let doing = if stopped { Doing::Stopped { until } } else { Doing::Frozen { until } };
                self.fleet.hold_back(index, doing);
                if stopped { "stopped past the session time-out" } else { "network frozen past the session time-out" }
            }
            Fault::CutOff => {
                let until = Instant::now() + Duration::from_millis(500 + self.random.below(8_000));
                self.fleet.hold_back(index, Doing::CutOff { until });
                "connections left half open"
            }
            Fault::ResetOne => {
                let reset = self.fleet.proxy().reset(Some(&name));
                *self.faults.entry("connections reset").or_default() += reset as u32;
                return Ok(());
            }
            _ => {
                self.fleet.stop(index, Some(Instant::now()))?;
                "stopped by SIGTERM and started again"
            }
        };
        *self.faults.entry(what).or_default() += 1;
        Ok(())
    }

    /// Damages snapshots while all services are dead, killed.
    fn hurt_snapshots(&mut self, fault: Fault) -> Result<(), String> {
        self.fleet.store.heal()?;
        let running = |fleet: &Fleet, index: &usize| !matches!(fleet.doing(*index), Doing::Down { .. });
        for index in (0..self.fleet.count()).filter(|index| running(self.fleet, index)).collect::<Vec<_>>() {
            self.tally.hit(Phase::Anywhere);
            self.kill(index);
        }
        self.snapshots_hurt = SystemTime::now();
        if fault == Fault::SnapshotsWiped {
            self.fleet.store.wipe()?;
            *self.faults.entry("snapshots wiped").or_default() += 1;
        } else if let Some(message) = self.fleet.store.damage(&mut self.random)? {
            println!("       {message}");
            *self.faults.entry("snapshot damaged").or_default() += 1;
        }
        Ok(())
    }
}
