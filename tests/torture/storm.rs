//! Kills and faults, one after another, as a seed says: each round has a fault, and a kill in the phase that was hit least.

use crate::fleet::{Doing, Fleet, Trap};
use crate::load::Calm;
use crate::phase::{Phase, Tally};
use crate::proxy::Hold;
use crate::support::Broker;
use crate::support::events::Random;
use crate::wire::END_TRANSACTION;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Of the group; a service that is silent for longer loses its shards.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// With this much more the group has noticed.
const MARGIN: Duration = Duration::from_millis(1_500);
/// Until somebody is at work again, whatever happened before.
const WORK_PATIENCE: Duration = Duration::from_secs(90);
/// Until a service at work comes to a gate.
const GATE_PATIENCE: Duration = Duration::from_secs(8);
/// How long the network is slow.
const SLOW: Duration = Duration::from_secs(8);
/// Until somebody else is at work too, before one is kept from it.
const COMPANY_PATIENCE: Duration = Duration::from_secs(3);
/// Until somebody replays, or gives shards up once the group should have noticed.
const TRAP_PATIENCE: Duration = Duration::from_secs(15);
const REVOKE_PATIENCE: Duration = Duration::from_secs(4);
/// A round takes seconds; so many on the average mean that nothing goes on any more.
const ROUND_SECONDS_MAX: u64 = 60;

/// What happens besides kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
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
}

const DECK: [Fault; 11] = [
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
];

pub struct Storm<'a> {
    fleet: &'a mut Fleet,
    broker: &'a mut Broker,
    calm: Calm,
    random: Random,
    deck: Vec<Fault>,
    started: Instant,
    /// The next one killed comes back only when its shards have moved.
    returns_late: bool,
    /// When the last member left, if it is away.
    spare_left: Option<Instant>,
    pub tally: Tally,
    pub faults: BTreeMap<&'static str, u32>,
}

impl<'a> Storm<'a> {
    pub fn new(fleet: &'a mut Fleet, broker: &'a mut Broker, calm: Calm, seed: u64) -> Self {
        Self {
            fleet,
            broker,
            calm,
            random: Random(seed),
            deck: Vec::new(),
            started: Instant::now(),
            returns_late: false,
            spare_left: None,
            tally: Tally::default(),
            faults: BTreeMap::new(),
        }
    }

    /// Until there were so many kills, and so many in each phase; then everybody runs undisturbed.
    pub fn rage(&mut self, kills: u32, kills_in_each: u32) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(ROUND_SECONDS_MAX * u64::from(kills + 2));
        while self.tally.total() < kills || !self.tally.below(kills_in_each).is_empty() {
            if Instant::now() > deadline {
                return Err(format!("time is up: {} of {kills} kills ({})", self.tally.total(), self.tally));
            }
            let (started, before) = (Instant::now(), self.tally.total());
            let fault = self.fault()?;
            let missing = self.tally.below(kills_in_each).first().copied().filter(|_| self.tally.total() >= kills);
            let phase = missing.unwrap_or_else(|| self.tally.next(&mut self.random));
            let is_hit = match phase {
                Phase::Replay => self.kill_in_replay()?,
                Phase::Revoke => self.kill_in_revoke()?,
                _ => self.kill_in_transaction(phase)?,
            };
            if is_hit {
                self.tally.hit(phase)
            } else {
                self.tally.miss(phase)
            }
            let (kill, how) = (before + u32::from(is_hit), if is_hit { "killed" } else { "missed" });
            let (since, took) = (self.started.elapsed().as_secs_f64(), started.elapsed().as_secs_f64());
            println!("  {kill:>3}. at {since:.1} s: {fault:?}, {how} in {phase}; took {took:.1} s");
        }
        self.fleet.settle()
    }

    fn fault(&mut self) -> Result<Fault, String> {
        if self.deck.is_empty() {
            self.deck = DECK.to_vec();
        }
        let place = self.random.below(self.deck.len() as u64) as usize;
        let fault = self.deck.swap_remove(place);
        match fault {
            Fault::Nothing => {}
            Fault::LateReturn => self.returns_late = true,
            Fault::ResetAll => {
                let reset = self.fleet.proxy().reset(None);
                *self.faults.entry("connections reset").or_default() += reset as u32;
            }
            Fault::Slow => self.slow_down(),
            Fault::BrokerCrash => self.crash_broker()?,
            _ => {
                // Somebody else must be there to be killed.
                let Some(place) = self.someone(2)? else {
                    self.deck.push(fault);
                    return Ok(Fault::Nothing);
                };
                self.afflict(place, fault)?;
            }
        }
        Ok(fault)
    }

    /// A member at work, if so many are within a short time.
    fn someone(&mut self, at_least: usize) -> Result<Option<usize>, String> {
        let patience = if at_least == 1 { WORK_PATIENCE } else { COMPANY_PATIENCE };
        let at_work =
            self.fleet.wait(patience, |fleet| Some(fleet.at_work()).filter(|found| found.len() >= at_least))?;
        Ok(at_work.map(|found| found[self.random.below(found.len() as u64) as usize]))
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

    /// Every other time it has just been asked to end a transaction, and answered or not.
    fn crash_broker(&mut self) -> Result<(), String> {
        let asked = if self.random.below(2) == 0 { self.someone(1)? } else { None };
        if let Some(place) = asked {
            let name = self.fleet.name(place).to_owned();
            self.fleet.proxy().set_gate(&name, &[END_TRANSACTION], Hold::Answer);
            self.fleet.wait(GATE_PATIENCE, |fleet| fleet.proxy().has_caught(&name).then_some(()))?;
        }
        self.broker.crash()?;
        self.fleet.proxy().open_all_gates();
        *self.faults.entry("broker killed and restarted").or_default() += 1;
        self.broker.restart()
    }

    fn afflict(&mut self, place: usize, fault: Fault) -> Result<(), String> {
        let timeout = Instant::now() + SESSION_TIMEOUT + MARGIN;
        let name = self.fleet.name(place).to_owned();
        let what = match fault {
            Fault::StopPastTimeout | Fault::FreezePastTimeout => {
                // Every other time in the middle of a transaction, whose end comes when the shards have moved.
                if self.random.below(2) == 0 {
                    self.fleet.proxy().set_gate(&name, &[END_TRANSACTION], Hold::Request);
                    self.fleet.wait(GATE_PATIENCE, |fleet| fleet.proxy().has_caught(&name).then_some(()))?;
                }
                let stopped = fault == Fault::StopPastTimeout;
                let until = timeout + Duration::from_millis(self.random.below(3_000));
                let doing = if stopped { Doing::Stopped { until } } else { Doing::Frozen { until } };
                self.fleet.hold_back(place, doing);
                if stopped { "stopped past the session time-out" } else { "network frozen past the session time-out" }
            }
            Fault::CutOff => {
                let until = Instant::now() + Duration::from_millis(500 + self.random.below(8_000));
                self.fleet.hold_back(place, Doing::CutOff { until });
                "connections left half open"
            }
            Fault::ResetOne => {
                let reset = self.fleet.proxy().reset(Some(&name));
                *self.faults.entry("connections reset").or_default() += reset as u32;
                return Ok(());
            }
            _ => {
                self.fleet.stop(place, Some(Instant::now()))?;
                "stopped by SIGTERM and started again"
            }
        };
        *self.faults.entry(what).or_default() += 1;
        Ok(())
    }

    fn kill(&mut self, place: usize) {
        let now = Instant::now();
        let back = if std::mem::take(&mut self.returns_late) {
            *self.faults.entry("returned after the session time-out").or_default() += 1;
            now + SESSION_TIMEOUT + MARGIN
        } else {
            now + Duration::from_millis(self.random.below(400))
        };
        self.fleet.kill(place, Some(back));
    }

    fn kill_in_transaction(&mut self, phase: Phase) -> Result<bool, String> {
        let Some(place) = self.someone(1)? else {
            return Err(format!("nobody has begun a transaction for {WORK_PATIENCE:?}"));
        };
        let Some((requests, hold)) = phase.gate(&mut self.random) else { return Ok(false) };
        let name = self.fleet.name(place).to_owned();
        self.fleet.proxy().set_gate(&name, requests, hold);
        let caught = self.fleet.wait(GATE_PATIENCE, |fleet| fleet.proxy().has_caught(&name).then_some(()))?;
        let is_caught = caught.is_some() && self.fleet.doing(place) == Doing::Running;
        if is_caught {
            self.kill(place);
        } else {
            self.fleet.proxy().open_gate(&name);
        }
        Ok(is_caught)
    }

    /// Whoever starts or rebuilds next is killed while it does journalled transactions again: the one killed last, mostly.
    fn kill_in_replay(&mut self) -> Result<bool, String> {
        self.fleet.set_trap(Trap::Replay { left: self.random.below(40) as u32 });
        let returns = |doing| matches!(doing, Doing::Down { back: Some(_) });
        if !(0..self.fleet.count()).any(|place| returns(self.fleet.doing(place))) {
            let Some(place) = self.someone(1)? else { return Ok(false) };
            self.fleet.stop(place, Some(Instant::now()))?;
            *self.faults.entry("stopped by SIGTERM and started again").or_default() += 1;
        }
        let caught = self.fleet.wait(TRAP_PATIENCE, |fleet| match fleet.trap() {
            Trap::Replaying(place) => Some(place),
            _ => None,
        })?;
        self.fleet.set_trap(Trap::Unset);
        let is_hit = caught.is_some_and(|place| self.fleet.doing(place) == Doing::Running);
        match caught {
            Some(place) if is_hit => self.kill(place),
            Some(place) => self.fleet.proxy().thaw(self.fleet.name(place)),
            None => {}
        }
        Ok(is_hit)
    }

    /// The last member joins or leaves while events come that need no output; of those that give shards up, one that has a transaction to end is killed.
    fn kill_in_revoke(&mut self) -> Result<bool, String> {
        let single = |fleet: &mut Fleet| fleet.at_work().into_iter().find(|&place| fleet.workers(place) == 1);
        self.fleet.wait(WORK_PATIENCE, single)?;
        self.calm.store(true, Ordering::Relaxed);
        let patience = self.move_spare()?;
        let caught = self.fleet.wait(patience, |fleet| {
            (0..fleet.count()).find(|&place| {
                let is_caught = fleet.proxy().has_caught(fleet.name(place));
                is_caught && fleet.workers(place) == 1 && fleet.doing(place) == Doing::Running
            })
        })?;
        self.fleet.set_trap(Trap::Unset);
        self.calm.store(false, Ordering::Relaxed);
        if let Some(place) = caught {
            self.kill(place);
        }
        for place in (0..self.fleet.count()).filter(|&place| self.fleet.doing(place) == Doing::Running) {
            self.fleet.proxy().open_gate(self.fleet.name(place));
        }
        Ok(caught.is_some())
    }

    /// Lets the last member join or leave, and sets the trap; how long it may take until the others give shards up.
    fn move_spare(&mut self) -> Result<Duration, String> {
        let spare = self.fleet.count() - 1;
        if let Some(left) = self.spare_left.take() {
            // Earlier it would find its place as it left it.
            let moved = left + SESSION_TIMEOUT + MARGIN;
            self.fleet.wait(SESSION_TIMEOUT * 2, |_| (Instant::now() > moved).then_some(()))?;
            self.fleet.set_trap(Trap::Revoke);
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
        self.fleet.set_trap(Trap::Revoke);
        Ok(SESSION_TIMEOUT + REVOKE_PATIENCE)
    }
}
