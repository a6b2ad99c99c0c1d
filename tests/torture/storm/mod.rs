//! Kills and faults, one after another, in an order given by the seed: each round has a fault, and a kill in the phase
//! with

mod deaths;
mod faults;
mod kills;

use crate::fleet::Fleet;
use crate::load::Calm;
use crate::phase::Phase;
use crate::store::KEPT;
use crate::support::Broker;
use crate::support::events::Random;
use crate::tally::Tally;
use faults::Fault;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

/// Session time-out of the group: a service that is silent for longer loses its shards.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// After this much more the group has noticed.
const MARGIN: Duration = Duration::from_millis(1_500);
/// Until a service is at work again, whatever happened before.
const WORK_PATIENCE: Duration = Duration::from_secs(90);
/// Until a service at work reaches a gate.
const GATE_PATIENCE: Duration = Duration::from_secs(8);
/// Until each shard has stored new snapshots after the last fault.
const SNAPSHOTS_PATIENCE: Duration = Duration::from_secs(60);
/// Until another service is at work, before one is held back.
const COMPANY_PATIENCE: Duration = Duration::from_secs(3);
/// A round takes seconds; this average means that the run does not advance.
const ROUND_SECONDS_MAX: u64 = 60;

pub struct Storm<'a> {
    fleet: &'a mut Fleet,
    broker: &'a mut Broker,
    calm: Calm,
    shards: usize,
    random: Random,
    deck: Vec<Fault>,
    started: Instant,
    /// The next service that is killed comes back after its shards have moved.
    returns_late: bool,
    /// When snapshots were last damaged or removed; when the run began, if never.
    snapshots_hurt: SystemTime,
    /// When the last member left, if it is away.
    spare_left: Option<Instant>,
    pub tally: Tally,
    pub faults: BTreeMap<&'static str, u32>,
}

impl<'a> Storm<'a> {
    pub fn new(fleet: &'a mut Fleet, broker: &'a mut Broker, calm: Calm, shards: usize, seed: u64) -> Self {
        Self {
            fleet,
            broker,
            calm,
            shards,
            random: Random(seed),
            deck: Vec::new(),
            started: Instant::now(),
            returns_late: false,
            snapshots_hurt: SystemTime::now(),
            spare_left: None,
            tally: Tally::new(Phase::all()),
            faults: BTreeMap::new(),
        }
    }

    /// Injects faults until there are enough kills, in all and in each phase, or the time is up; then lets all services
    /// run. Returns the phases with too few kills.
    pub fn rage(&mut self, kills: u32, kills_in_each: u32, patience: Duration) -> Result<Vec<Phase>, String> {
        let patience_max = Duration::from_secs(ROUND_SECONDS_MAX * u64::from(kills + 2));
        let deadline = Instant::now() + if patience.is_zero() { patience_max } else { patience };
        let missing = loop {
            let missing = if kills_in_each > 0 { self.tally.below(kills_in_each) } else { self.tally.groups_missing() };
            let is_over = self.tally.total() >= kills;
            if is_over && missing.is_empty() || Instant::now() > deadline {
                break missing;
            }
            let missing = missing.first().copied().filter(|_| is_over);
            let phase = missing.unwrap_or_else(|| self.tally.next(&mut self.random));
            self.go_on(phase)?;
        };
        self.fleet.settle()?;
        self.wait_for_snapshots()?;
        self.count_crashes();
        Ok(missing)
    }

    /// Waits until each shard has stored as many snapshots as are kept, since they were last hurt. Events are still
    /// being written: without them a shard would store none.
    fn wait_for_snapshots(&mut self) -> Result<(), String> {
        let (shards, since) = (self.shards, self.snapshots_hurt);
        let stored = |fleet: &Fleet| -> Result<bool, String> {
            for shard in 0..shards {
                if fleet.store.snapshots_since(shard, since)? < KEPT {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let answer = |fleet: &mut Fleet| match stored(fleet) {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        let found = self.fleet.wait(SNAPSHOTS_PATIENCE, answer)?;
        found.unwrap_or_else(|| {
            Err(format!("{SNAPSHOTS_PATIENCE:?} after the last fault not every shard has stored {KEPT} snapshots"))
        })
    }

    /// One round: a fault, and a kill.
    fn go_on(&mut self, phase: Phase) -> Result<(), String> {
        let started = Instant::now();
        let armed = self.arm_whoever_returns(phase);
        let fault = self.fault()?;
        let is_hit = match phase {
            Phase::At(_) => self.let_die(phase, armed)?,
            Phase::Replay => self.kill_in_replay()?,
            Phase::Revoke => self.kill_in_revoke()?,
            _ => self.kill_in_transaction(phase)?,
        };
        match phase {
            // A service that aborts at a crash point is counted when it is found dead.
            Phase::At(_) if is_hit => {}
            _ if is_hit => self.tally.hit(phase),
            _ => self.tally.miss(phase),
        }
        self.count_crashes();
        let (kill, how) = (self.tally.total(), if is_hit { "killed" } else { "missed" });
        let (since, took) = (self.started.elapsed().as_secs_f64(), started.elapsed().as_secs_f64());
        println!("  {kill:>3}. at {since:.1} s: {fault:?}, {how} in {phase}; took {took:.1} s");
        Ok(())
    }

    fn count_crashes(&mut self) {
        for crash in std::mem::take(&mut self.fleet.crashed) {
            self.tally.hit(Phase::At(crash.name));
        }
    }

    /// A service at work, if at least this many are within a short time.
    fn someone(&mut self, at_least: usize) -> Result<Option<usize>, String> {
        let patience = if at_least == 1 { WORK_PATIENCE } else { COMPANY_PATIENCE };
        let at_work =
            self.fleet.wait(patience, |fleet| Some(fleet.at_work()).filter(|found| found.len() >= at_least))?;
        Ok(at_work.map(|found| found[self.random.below(found.len() as u64) as usize]))
    }
}
