//! `shoal seed` and `shoal rebuild`, killed at each of their crash points and run again. Services begin from the seed
//! and continue from the rebuild; consumers must see what an independent run over history and topics gives.

use crate::fleet::Fleet;
use crate::inputs::Inputs;
use crate::load::{CUSTOMERS, DAY, Load, OPENING};
use crate::options::Options;
use crate::phase::{Phase, Way};
use crate::run::{History, Run, context};
use crate::support::Broker;
use crate::support::events::{Random, event};
use crate::support::proxy::Proxy;
use rustix::process::Signal;
use shoal::fault_injection::CRASH_POINTS;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Until the first service has begun a transaction.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long the services work before and after the rebuild.
const WORK: Duration = Duration::from_secs(5);
/// More than a run of this takes.
const SECONDS_MAX: u64 = 1_200;
const HISTORY_EVENTS: usize = 4_000;
/// The load's events begin at this moment.
const UNTIL: &str = "2017-01-01T00:00:00Z";
/// Numbers of the history's events and orders are above those of the load.
const HISTORY_FIRST: usize = 1_000_000_000;

pub fn run(options: &Options, broker: &mut Broker, proxy: &Arc<Proxy>) -> Result<(), String> {
    let run = Run::prepare(options, "commands", 1, SECONDS_MAX, broker)?;
    // A rebuild does not wait for the end of a dwell (docs/recovery.md); the independent run does not rebuild.
    let rules = run.load.rules().replace("min_dwell = \"7d\"\n", "");
    fs::write(run.folder.join("rules.toml"), rules).map_err(context("rules.toml"))?;
    let history = write_history(&run)?;
    run.with_fleet(proxy, 2, |fleet| {
        fleet.store.settle()?;
        seed(&run, fleet, &history)?;
        let load = Load::start(broker, &run.load).map_err(context("load"))?;
        work(fleet)?;
        let mut left = run.times();
        while left > 0 {
            (0..fleet.count()).try_for_each(|index| fleet.stop(index, None))?;
            // Only a note is left of the seed, as if retention had removed its snapshots.
            fleet.store.wipe()?;
            run_well(seed_command(&run, fleet, &history))?;
            left -= rebuild(&run, left)?;
            work(fleet)?;
        }
        let written = load.finish()?;
        let inputs = Inputs::read(broker, &run.load, &run.folder).map_err(context("inputs"))?;
        run.wait_until_done(broker, fleet, &inputs)?;
        (0..fleet.count()).try_for_each(|index| fleet.stop(index, None))?;
        let expected = run.independent_run(&written, &inputs, Some(&history))?;
        run.check(broker, &expected, &inputs.rejected, &fleet.store.objects())
    })
}

/// Lets all services run for a while, once the first of them has begun a transaction.
fn work(fleet: &mut Fleet) -> Result<(), String> {
    (0..fleet.count()).try_for_each(|index| fleet.start(index))?;
    let begun = fleet.wait(START_PATIENCE, |fleet| (!fleet.at_work().is_empty()).then_some(()))?;
    begun.ok_or_else(|| format!("no service has begun a transaction {START_PATIENCE:?} after its start"))?;
    fleet.wait(WORK, |_| None::<()>)?;
    Ok(())
}

/// Writes events of the year before the load's.
fn write_history(run: &Run) -> Result<History, String> {
    let mut random = Random(run.options.seed());
    let step = 365 * DAY / HISTORY_EVENTS as i64;
    let mut lines = String::new();
    for n in 0..HISTORY_EVENTS {
        let (customer, time) = (random.below(CUSTOMERS), OPENING + (n as i64 - HISTORY_EVENTS as i64) * step);
        lines.push_str(&event(&mut random, HISTORY_FIRST + n, customer, time));
        lines.push('\n');
    }
    let file = run.folder.join("history.jsonl");
    fs::write(&file, lines).map_err(context("history.jsonl"))?;
    Ok(History { file, until: UNTIL })
}

fn seed_command(run: &Run, fleet: &Fleet, history: &History) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
    command.args(["seed", "--until", UNTIL, "--bootstrap", "changes", "--partitions"]);
    command.arg(run.load.partitions.to_string()).arg("--rules").arg(run.folder.join("rules.toml"));
    command.args(fleet.store.arguments()).arg(&history.file);
    command
}

fn seed(run: &Run, fleet: &mut Fleet, history: &History) -> Result<(), String> {
    for name in points("seed") {
        for _ in 0..run.times() {
            // A seed that died after its last step is complete.
            fleet.store.wipe()?;
            kill(seed_command(run, fleet, history), name)?;
            let (is_whole, stderr) = run_command(seed_command(run, fleet, history))?;
            if !is_whole && !stderr.contains("a complete seed") {
                return Err(format!("shoal seed, run again after {name}: {stderr}"));
            }
        }
        println!("  {:>5}  {name}", run.times());
    }
    Ok(())
}

/// Kills a rebuild at each point, at most this many times, and then lets one finish. Returns the kills at each point.
fn rebuild(run: &Run, times_max: u32) -> Result<u32, String> {
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.args(["rebuild", "--yes", "--config"]).arg(run.folder.join("service-0.toml"));
        command
    };
    // A shard whose journal record is written is not rebuilt again: each of those kills leaves one shard less.
    let times = times_max.min(run.load.partitions.saturating_sub(1)).max(1);
    for name in points("rebuild") {
        (0..times).try_for_each(|_| kill(command(), name))?;
        println!("  {times:>5}  {name}");
    }
    run_well(command())?;
    Ok(times)
}

fn points(group: &str) -> impl Iterator<Item = &'static str> + use<'_> {
    let is_meant = move |name: &&'static str| Phase::At(name).way() == Way::Command && Phase::At(name).group() == group;
    CRASH_POINTS.iter().map(|(name, _)| *name).filter(is_meant)
}

/// Fails unless the command aborts at this crash point.
fn kill(mut command: Command, name: &str) -> Result<(), String> {
    let output = command.env("SHOAL_CRASH_AT", name).stdin(Stdio::null()).output().map_err(context("shoal"))?;
    if output.status.signal() == Some(Signal::ABORT.as_raw()) {
        return Ok(());
    }
    let (status, stderr) = (output.status, String::from_utf8_lossy(&output.stderr));
    Err(format!("shoal ended with {status}, not at {name}:\n{stderr}"))
}

/// Fails unless the command succeeds.
fn run_well(command: Command) -> Result<(), String> {
    let message = format!("{command:?}");
    let (is_well, stderr) = run_command(command)?;
    if is_well { Ok(()) } else { Err(format!("{message}: {stderr}")) }
}

/// Whether it succeeded, and its standard error.
fn run_command(mut command: Command) -> Result<(bool, String), String> {
    let output = command.stdin(Stdio::null()).output().map_err(context("shoal"))?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}
