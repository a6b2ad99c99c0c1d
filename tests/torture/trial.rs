//! A whole run: services, load, kills and faults; then the independent run and the checker.

use crate::fleet::Fleet;
use crate::inputs::Inputs;
use crate::load::Load;
use crate::options::Options;
use crate::run::{Run, context, listed};
use crate::storm::Storm;
use crate::support::Broker;
use crate::support::proxy::Proxy;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs kills and faults, then the check; prints a summary.
pub fn run(options: &Options, broker: &mut Broker, proxy: &Arc<Proxy>) -> Result<(), String> {
    let started = Instant::now();
    let seconds = u64::from(options.kills) * 20 + 600;
    let run = Run::prepare(options, "torture", options.inputs, seconds, broker)?;
    run.with_fleet(proxy, options.processes, |fleet| torment(&run, broker, fleet))?;
    println!("  seed {}, {:.0} seconds", options.seed(), started.elapsed().as_secs_f64());
    Ok(())
}

fn torment(run: &Run, broker: &mut Broker, fleet: &mut Fleet) -> Result<(), String> {
    let options = run.options;
    let events = Load::start(broker, &run.load).map_err(context("load"))?;
    let mut storm = Storm::new(fleet, broker, Arc::clone(&events.calm), run.load.partitions as usize, options.seed());
    storm.begin(run.times())?;
    let patience = Duration::from_secs(60 * u64::from(options.minutes));
    let missing = storm.rage(options.kills, options.in_each, patience)?;
    let (tally, faults) = (storm.tally, storm.faults);
    let written = events.finish()?;
    let inputs = Inputs::read(broker, &run.load, &run.folder).map_err(context("inputs"))?;
    run.wait_until_done(broker, fleet, &inputs)?;
    for index in 0..fleet.count() {
        fleet.stop(index, None)?;
    }
    let (kills, in_recovery) = (tally.total(), fleet.killed_in_recovery);
    println!("  kills by phase:\n{tally}  {kills:>5}  in all, {in_recovery} of them in the recovery from another");
    println!("  faults: {}", listed(&faults));
    println!("  requests to the store: {}", listed(&fleet.store.counts()));
    println!("  events: {}", listed(&written.kinds));
    println!("  transactions told as committed: {}", fleet.transactions);
    println!("  services that ended by themselves and were started again: {}", fleet.ended.len());
    fleet.ended.iter().for_each(|message| println!("    {}", message.replace('\n', "\n    ")));
    let expected = run.independent_run(&written, &inputs, None)?;
    run.check(broker, &expected, &inputs.rejected, &fleet.store.objects())?;
    if missing.is_empty() && kills >= options.kills {
        return Ok(());
    }
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Err(format!("time was up after {kills} of {} kills; too few in: {}", options.kills, missing.join(", ")))
}
