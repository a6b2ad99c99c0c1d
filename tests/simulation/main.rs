//! The real worker in worlds in which everything goes wrong, thousands of them, each made of a seed.
//!
//! `SHOAL_SEED=7 SHOAL_RUNS=1 cargo test --test simulation` plays one world again, exactly as it was; one that fails prints
//! its history, and with `SHOAL_GO_ON=1` only a line, before the others are played. `SHOAL_RUNS=1000000` plays a million. `plan` says what a seed means, `load` which records arrive and why
//! faults must not change what comes of them, `world` drives with `deeds`, `process` holds a worker, `crash` ends it at named
//! places, `check` compares what was published, `alerts` what was decided,
//! `audit` the states; `sabotage` shows that they find deliberate bugs.

mod alerts;
mod audit;
mod check;
mod crash;
mod deeds;
mod load;
mod plan;
mod process;
mod rules;
#[cfg(debug_assertions)]
mod sabotage;
mod store;
mod tally;
mod world;

use audit::Seen;
use plan::Plan;
use shoal::kafka::memory::Cluster;
use shoal::worker::{HeldShard, Worker};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tally::{Sum, Tally};
use world::World;

/// Worlds of a full run.
const RUNS: u64 = 2_000;
/// Rounds of a worker without faults that end when it has nothing left to do.
const TURNS_MAX: u32 = 100_000;
/// Each kind happens in at least this share of worlds.
const PERCENT_MIN: f64 = 5.0;
/// Lines of history that are printed at most.
const HISTORY_MAX: usize = 2_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a number is expected")))
}

#[test]
fn whatever_goes_wrong_every_change_is_published_exactly_once() {
    let runs = number("SHOAL_RUNS").unwrap_or(RUNS);
    let first = number("SHOAL_SEED").unwrap_or(1);
    println!("SHOAL_SEED={first} SHOAL_RUNS={runs}");
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let parts: Vec<Sum> = std::thread::scope(|scope| {
        let start = |part: u64| {
            scope.spawn(move || {
                let mut sum = Sum::default();
                for seed in (first..first + runs).skip(part as usize).step_by(threads as usize) {
                    sum.add(&play(seed));
                }
                sum
            })
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        running.into_iter().map(|part| part.join().expect("every world ends as it should")).collect()
    });
    let mut sum = Sum::default();
    parts.into_iter().for_each(|part| sum.merge(part));
    sum.print();
    assert!(!sum.has(tally::FAILED), "some worlds did not end as they should, see above");
    let rare = sum.rare(PERCENT_MIN);
    assert!(runs < RUNS || rare.is_empty(), "in less than {PERCENT_MIN} % of the worlds: {}", rare.join(", "));
}

#[test]
fn a_seed_means_the_same_world_every_time() {
    let history = |seed| {
        let plan = Plan::of_seed(seed);
        let mut world = World::new(&plan, true);
        assert_eq!(outcome(&plan, &mut world), Ok(()), "seed {seed}");
        world.cluster.history()
    };
    for seed in 1..=10 {
        let first = history(seed);
        assert!(first.len() > 50, "seed {seed}: {} lines", first.len());
        assert_eq!(first, history(seed), "seed {seed}");
    }
}

/// Plays the world of a seed; what went wrong in it.
///
/// # Panics
/// With the world's history, if it does not end as a world without faults does.
fn play(seed: u64) -> Tally {
    let plan = Plan::of_seed(seed);
    let mut world = World::new(&plan, false);
    match outcome(&plan, &mut world) {
        Ok(()) => world.tally,
        Err(words) if number("SHOAL_GO_ON").is_some() => {
            eprintln!("seed {seed}: {}", words.chars().take(300).collect::<String>().replace('\n', " | "));
            world.tally.count(tally::FAILED);
            world.tally
        }
        Err(words) => panic!("{}", story(&plan, &words)),
    }
}

/// What is wrong with the world in the end, or nothing.
fn outcome(plan: &Plan, world: &mut World<'_>) -> Result<(), String> {
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    world.count_all();
    played.map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        words.or(panic.downcast_ref::<&str>().map(|words| (*words).to_owned())).unwrap_or_else(|| "a panic".into())
    })?;
    let seen = std::mem::take(&mut world.seen);
    judge(plan, world, &seen)?;
    for seen in seen {
        world.tally.count(if seen.is_recovered { tally::RECOVERED_COMPARED } else { tally::STATE_COMPARED });
    }
    Ok(())
}

/// Compares what a world has published, and states that were seen in it, with what should be there.
fn judge(plan: &Plan, world: &mut World<'_>, seen: &[Seen]) -> Result<(), String> {
    let (expected, known) = without_faults(plan, &world.cluster, world.now());
    check::check(plan, &world.cluster, &expected, &mut world.tally)?;
    alerts::check(plan, &world.cluster, &mut world.tally)?;
    alerts::check(plan, &expected, &mut Tally::default())?;
    audit::audit(plan, &world.cluster, seen, &known)
}

/// The same records read by one worker without faults, some as they are there before the change of rules: what it
/// publishes, and what it knows of each shard's customers in the end.
fn without_faults(plan: &Plan, found: &Cluster, now: i64) -> (Cluster, BTreeMap<u32, u64>) {
    let cluster = Cluster::new(plan.inputs, plan.shards);
    cluster.set_clock(now);
    let mut known = BTreeMap::new();
    let second = plan.parts[1].first().map(|arrival| arrival.timestamp());
    let parts = if plan.changes_rules { vec![second.unwrap_or(i64::MAX), i64::MAX] } else { vec![i64::MAX] };
    for (place, until) in parts.into_iter().enumerate() {
        found.copy_inputs(&cluster, until);
        let rules = rules::rules(plan.is_live, plan.grace(), place == 1);
        let log = cluster.worker("w0", (0..plan.shards).collect());
        let mut worker = Worker::new(log, world::job(plan, &rules));
        let mut turns_at_rest = 0;
        for _ in 0..TURNS_MAX {
            worker.turn().expect("nothing goes wrong");
            if worker.is_idle() {
                turns_at_rest += 1;
                if turns_at_rest > 5 {
                    break;
                }
            } else if !worker.shards().any(|held| held.has_slices()) {
                worker.finish().expect("nothing goes wrong");
            }
        }
        assert!(turns_at_rest > 5, "the worker without faults does not come to an end");
        let knowledge = |held: &HeldShard| Some((held.number(), held.shard()?.knowledge()));
        known = worker.shards().filter_map(knowledge).collect();
    }
    (cluster, known)
}

/// The same world again, with everything that happened in it.
fn story(plan: &Plan, words: &str) -> String {
    let mut world = World::new(plan, true);
    let again = outcome(plan, &mut world).err().unwrap_or_else(|| "nothing the second time".into());
    let history = world.cluster.history();
    let left_out = history.len().saturating_sub(HISTORY_MAX);
    let repeats = if again == words { "" } else { "\nTHE SAME WORLD PLAYED AGAIN DIFFERS: it is not deterministic.\n" };
    format!(
        "SHOAL_SEED={} SHOAL_RUNS=1\n({left_out} earlier lines)\n{}\n{repeats}{words}\nplan: {} topics, {} shards, {} workers, \
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
