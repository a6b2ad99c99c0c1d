//! The real worker in simulated worlds in which everything goes wrong; each world is made from a seed.
//!
//! `SHOAL_SEED=7 SHOAL_RUNS=1 cargo test --test simulation` repeats one world exactly. A world that fails prints its
//! history; with `SHOAL_GO_ON=1` it prints one line, and the others are still played. `SHOAL_RUNS=50000` plays many.
//!
//! In reading order: `load` (records, and why faults must not change what they cause), `plan` (what a seed means),
//! `crash`, `storage` and `process` (a worker that can be suspended), `schedule`, `world` and `incidents` (the driver),
//! `check`, `alerts` and `audit` (what is compared), `bugs` (the checks find deliberate bugs, made by `buggy` and by
//! patches).

mod alerts;
mod audit;
mod buggy;
mod bugs;
mod check;
mod crash;
mod incidents;
mod load;
mod patch;
mod plan;
mod process;
mod rules;
mod schedule;
#[path = "../support/seed.rs"]
mod seed;
mod storage;
mod tally;
mod world;

use audit::ObservedState;
use plan::Plan;
use shoal::kafka::memory::Cluster;
use shoal::worker::{OwnedShard, Worker};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tally::{Tally, Totals};
use world::World;

/// Worlds of a run.
const RUNS: u64 = 600;
/// Turns after which a worker without faults must have nothing left to do.
const TURNS_MAX: u32 = 100_000;
/// Lines of history that are printed at most.
const HISTORY_MAX: usize = 2_000;

#[test]
fn every_change_is_published_exactly_once_despite_faults() {
    let runs = seed::runs(RUNS);
    let first = seed::seed();
    println!("SHOAL_SEED={first} SHOAL_RUNS={runs}");
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let parts: Vec<Totals> = std::thread::scope(|scope| {
        let start = |part: u64| {
            scope.spawn(move || {
                let mut totals = Totals::default();
                for seed in (first..first + runs).skip(part as usize).step_by(threads as usize) {
                    totals.add(&play(seed));
                }
                totals
            })
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        running.into_iter().map(|part| part.join().expect("every world passes")).collect()
    });
    let mut totals = Totals::default();
    parts.into_iter().for_each(|part| totals.merge(part));
    totals.print();
    assert!(!totals.has(tally::FAILED), "some worlds failed, see above");
    let rare = totals.too_rare();
    assert!(rare.is_empty(), "too few worlds with: {}", rare.join(", "));
}

/// Worlds in which a fault of the program was found, with what it was; they are played in every run.
const FOUND: [(u64, &str); 2] = [
    (
        665_649_577,
        "a worker that was cut off after it had read the control topic stopped, because a snapshot named newer rules",
    ),
    (342_710_296, "the world changed the rules before a worker had seen the last records, so the rules came first"),
];

#[test]
fn worlds_that_once_found_a_fault_pass() {
    for (seed, _) in FOUND {
        play(seed);
    }
}

#[test]
fn a_seed_always_produces_the_same_world() {
    let history = |seed| {
        let plan = Plan::of_seed(seed);
        let mut world = World::new(&plan, true, None);
        assert_eq!(outcome(&plan, &mut world), Ok(()), "seed {seed}");
        world.cluster.history()
    };
    for seed in 1..=10 {
        let first = history(seed);
        assert!(first.len() > 50, "seed {seed}: {} lines", first.len());
        assert_eq!(first, history(seed), "seed {seed}");
    }
}

/// Plays the world of a seed, and returns how often each fault happened.
///
/// # Panics
/// With the world's history, if what it publishes is not what a world without faults publishes.
fn play(seed: u64) -> Tally {
    let plan = Plan::of_seed(seed);
    let mut world = World::new(&plan, false, None);
    match outcome(&plan, &mut world) {
        Ok(()) => world.tally,
        Err(message) if std::env::var("SHOAL_GO_ON").is_ok() => {
            eprintln!("seed {seed}: {}", message.chars().take(300).collect::<String>().replace('\n', " | "));
            world.tally.count(tally::FAILED);
            world.tally
        }
        Err(message) => panic!("{}", story(&plan, &message)),
    }
}

/// Plays a world and compares it with one without faults.
fn outcome(plan: &Plan, world: &mut World<'_>) -> Result<(), String> {
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    world.count_faults();
    played.map_err(|panic| message_of(&*panic))?;
    let observed = std::mem::take(&mut world.observed);
    judge(plan, world, &observed)?;
    for state in observed {
        world.tally.count(if state.is_recovered { tally::RECOVERED_COMPARED } else { tally::STATE_COMPARED });
    }
    Ok(())
}

/// The message of a panic.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

/// Compares what a world has published, and the states that were observed in it, with what they should be.
fn judge(plan: &Plan, world: &mut World<'_>, observed: &[ObservedState]) -> Result<(), String> {
    let (expected, known) = without_faults(plan, &world.cluster, world.now());
    check::check(plan, &world.cluster, &expected, &mut world.tally)?;
    alerts::check(plan, &world.cluster, &mut world.tally)?;
    alerts::check(plan, &expected, &mut Tally::default())?;
    audit::audit(plan, &world.cluster, observed, &known)
}

/// Lets one worker without faults read the same records, up to the second part before the change of rules: what it
/// publishes, and what it knows of each shard's customers at the end.
fn without_faults(plan: &Plan, found: &Cluster, now: i64) -> (Cluster, BTreeMap<u32, u64>) {
    let cluster = Cluster::new(plan.shards);
    cluster.set_clock(now);
    let mut known = BTreeMap::new();
    let second = plan.parts[1].first().map(|arrival| arrival.timestamp());
    let parts = if plan.changes_rules { vec![second.unwrap_or(i64::MAX), i64::MAX] } else { vec![i64::MAX] };
    for (part, until) in parts.into_iter().enumerate() {
        found.copy_inputs(&cluster, until);
        let rules = rules::rules(plan.is_live, plan.grace(), part == 1);
        let log = cluster.worker("w0", (0..plan.shards).collect());
        let mut worker = Worker::new(log, plan.config(&rules));
        let mut turns_at_rest = 0;
        for _ in 0..TURNS_MAX {
            worker.turn().expect("no fault happens");
            if worker.is_idle() {
                turns_at_rest += 1;
                if turns_at_rest > 5 {
                    break;
                }
            } else if !worker.shards().any(|held| held.has_slices()) {
                worker.finish().expect("no fault happens");
            }
        }
        assert!(turns_at_rest > 5, "the worker without faults does not come to rest");
        let knowledge = |held: &OwnedShard| Some((held.number(), held.shard()?.knowledge()));
        known = worker.shards().filter_map(knowledge).collect();
    }
    (cluster, known)
}

/// Plays the same world again and returns its history.
fn story(plan: &Plan, message: &str) -> String {
    let mut world = World::new(plan, true, None);
    let again = outcome(plan, &mut world).err().unwrap_or_else(|| "the world passes when it is played again".into());
    let history = world.cluster.history();
    let left_out = history.len().saturating_sub(HISTORY_MAX);
    let repeats =
        if again == message { "" } else { "\nTHE WORLD IS NOT DETERMINISTIC: played again, it ends differently.\n" };
    format!(
        "SHOAL_SEED={} SHOAL_RUNS=1\n({left_out} earlier lines)\n{}\n{repeats}{message}\nplan: {} topics, {} shards, {} workers, \
         live {}, changes rules {}, incremental {}, {} records",
        plan.seed,
        history[left_out..].join("\n"),
        plan.inputs,
        plan.shards,
        plan.slots,
        plan.is_live,
        plan.changes_rules,
        plan.is_incremental,
        plan.parts[0].len() + plan.parts[1].len()
    )
}
