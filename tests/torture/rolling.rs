//! A rolling restart of three brokers under load, as an upgrade of Kafka does it, and the same by signal 9.
//!
//! Replication 3, two in sync: with one broker down everything can go on. So no service may end, whatever a look-up
//! fails with meanwhile, and no change may be missing.

use crate::fleet::Fleet;
use crate::inputs::Inputs;
use crate::load::Load;
use crate::options::Options;
use crate::run::{Run, context};
use crate::support::events::Random;
use crate::support::proxy::Proxy;
use crate::support::wait::wait_until_moment;
use crate::support::{self, BrokerOptions, Cluster};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BROKERS: usize = 3;
/// Services of the run.
const PROCESSES: u32 = 2;
/// How long a broker stays away after it has ended.
const AWAY_MAX: Duration = Duration::from_millis(1_500);
/// Until every service works again after a broker has come back.
const WORK_PATIENCE: Duration = Duration::from_secs(90);

/// How a broker ends, and what is waited for before the next one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// An upgrade: in order, and the next one once all replicas are in sync.
    Orderly,
    /// Signal 9, and the next one once all replicas are in sync.
    Killed,
    /// Signal 9, and the next one as soon as this one answers: group and transactions move twice within seconds.
    KilledInARow,
}

const WAYS: [Way; 4] = [Way::Orderly, Way::Killed, Way::Orderly, Way::KilledInARow];

/// Runs on a cluster of its own; `None` if the machine cannot run one.
pub fn run(options: &Options) -> Option<Result<(), String>> {
    let properties = [
        // A killed broker is noticed after this time; until then nothing moves.
        "broker.session.timeout.ms=4000",
        "broker.heartbeat.interval.ms=500",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
        "num.io.threads=2",
        "num.network.threads=2",
        "log.cleaner.enable=false",
    ];
    let properties = properties.into_iter().map(str::to_owned).collect();
    let small = BrokerOptions { heap: "192m", properties, ..BrokerOptions::default() };
    let cluster = support::start_cluster(BROKERS, &small)?;
    Some(roll(options, cluster))
}

fn roll(options: &Options, mut cluster: Cluster) -> Result<(), String> {
    let started = Instant::now();
    let seconds = u64::from(options.restarts) * 30 + 300;
    let run = Run::prepare(options, "rolling", options.inputs, seconds, cluster.any())?.on(&cluster.any().address);
    let proxy = Arc::new(Proxy::start().map_err(context("no port for the proxy"))?);
    run.with_fleet(&proxy, PROCESSES, |fleet| {
        let load = Load::start(cluster.any(), &run.load).map_err(context("load"))?;
        (0..fleet.count()).try_for_each(|index| fleet.start(index))?;
        wait_for_work(fleet, "at the start")?;
        let mut done: BTreeMap<Way, u32> = BTreeMap::new();
        let mut random = Random(options.seed());
        for number in 0..options.restarts as usize {
            let way = WAYS[number % WAYS.len()];
            restart(&mut cluster, fleet, number % BROKERS, way, &mut random)?;
            *done.entry(way).or_default() += 1;
            println!("  {:>3}. at {:.1} s: {way:?}", number + 1, started.elapsed().as_secs_f64());
        }
        cluster.wait_until_in_sync();
        wait_for_work(fleet, "at the end")?;
        let written = load.finish()?;
        let broker = cluster.any();
        let inputs = Inputs::read(broker, &run.load, &run.folder).map_err(context("inputs"))?;
        run.wait_until_done(broker, fleet, &inputs)?;
        (0..fleet.count()).try_for_each(|index| fleet.stop(index, None))?;
        println!("  restarts of brokers: {done:?}; transactions told as committed: {}", fleet.transactions);
        let expected = run.independent_run(&written, &inputs, None)?;
        run.check(broker, &expected, &inputs.rejected, &fleet.store.objects())?;
        match fleet.ended.as_slice() {
            [] => Ok(()),
            ended => Err(format!("services ended by themselves: {}", ended.join("\n"))),
        }
    })?;
    println!("  seed {}, {:.0} seconds", options.seed(), started.elapsed().as_secs_f64());
    Ok(())
}

fn restart(
    cluster: &mut Cluster,
    fleet: &mut Fleet,
    index: usize,
    way: Way,
    random: &mut Random,
) -> Result<(), String> {
    let broker = &mut cluster.brokers[index];
    match way {
        Way::Orderly => broker.shut_down()?,
        Way::Killed | Way::KilledInARow => broker.crash()?,
    }
    let away = Duration::from_millis(random.below(AWAY_MAX.as_millis() as u64));
    wait_until_moment(Instant::now() + away);
    broker.restart()?;
    fleet.tend()?;
    if way == Way::KilledInARow {
        return Ok(());
    }
    cluster.wait_until_in_sync();
    wait_for_work(fleet, &format!("after broker {} has come back", index + 1))
}

/// Waits until every service has begun a transaction again.
fn wait_for_work(fleet: &mut Fleet, when: &str) -> Result<(), String> {
    let all = fleet.count();
    match fleet.wait(WORK_PATIENCE, |fleet| (fleet.at_work().len() == all).then_some(()))? {
        Some(()) => Ok(()),
        None => Err(format!("not every service works within {WORK_PATIENCE:?}, {when}")),
    }
}
