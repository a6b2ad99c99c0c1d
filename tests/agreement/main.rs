//! The engine compared with a naive model, on random streams.
//!
//! `SHOAL_SEED=7 SHOAL_RUNS=1 cargo test --test agreement` repeats one stream. A stream on which they differ is shrunk
//! and printed with its seed, rules and inputs, and the results of both.

mod broken;
mod capture;
mod cases;
mod comparisons;
mod coverage;
mod engine;
mod fields;
mod generate;
mod model;
mod moments;
mod orders;
mod random;
mod rules_text;
#[path = "../support/seed.rs"]
mod seed;
mod shrink;
mod tallies;

use coverage::Coverage;
use model::shard::{Input, Model, Outcome, Scenario};
use model::value::DAY;
use random::Random;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Streams of a run.
const RUNS: u64 = 2_000;

#[test]
fn engine_and_model_agree_on_random_streams() {
    let runs = seed::runs(RUNS);
    let first = seed::seed();
    println!("SHOAL_SEED={first} SHOAL_RUNS={runs}");
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let parts: Vec<Coverage> = std::thread::scope(|scope| {
        let start =
            |part: u64| scope.spawn(move || agree((first..first + runs).skip(part as usize).step_by(threads as usize)));
        let running: Vec<_> = (0..threads).map(start).collect();
        running.into_iter().map(|part| part.join().expect("the streams agree")).collect()
    });
    let mut coverage = Coverage::default();
    parts.into_iter().for_each(|part| coverage.merge(part));
    let rare = coverage.report(runs);
    let restored = engine::RESTORED.load(std::sync::atomic::Ordering::Relaxed);
    println!("{restored} captures restored and compared");
    assert!(restored > runs, "expected more captures than streams");
    assert!(rare.is_empty(), "{}", rare.join("\n"));
}

/// The model searches for flips only where it expects them; here it is evaluated at other instants.
#[test]
fn the_model_finds_every_flip() {
    for seed in 1..=200 {
        let mut random = Random::new(seed);
        let model = Model::play(&generate::scenario(seed).0);
        for _ in 0..10 {
            let instant = &mut |customer: &model::customer::Customer| customer.clock + random.between(1, 500 * DAY);
            assert!(model.flips_explain(instant), "seed {seed}");
        }
    }
}

fn agree(seeds: impl Iterator<Item = u64>) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        let (scenario, placed) = generate::scenario(seed);
        let (expected, seen) = Model::run(&scenario);
        if let Some(failure) = failure_against(&expected, &scenario, seed) {
            let smallest = shrink::shrink(scenario, |smaller| self::failure(smaller, seed) == Some(failure));
            panic!("{}", explain(&smallest, seed));
        }
        coverage.add(&scenario, placed, &expected, &seen);
    }
    coverage
}

/// How the engine fails a scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    Refused,
    Panicked,
    Differs,
}

/// Runs a scenario in model and engine. Shrinking makes scenarios that the model cannot run: those do not fail.
fn failure(scenario: &Scenario, seed: u64) -> Option<Failure> {
    let (expected, _) = catch_unwind(|| Model::run(scenario)).ok()?;
    failure_against(&expected, scenario, seed)
}

fn failure_against(expected: &Outcome, scenario: &Scenario, seed: u64) -> Option<Failure> {
    match catch_unwind(AssertUnwindSafe(|| engine::run(scenario, &mut Random::new(seed)))) {
        Ok(Ok(actual)) => (actual != *expected).then_some(Failure::Differs),
        Ok(Err(_)) => Some(Failure::Refused),
        Err(_) => Some(Failure::Panicked),
    }
}

fn explain(scenario: &Scenario, seed: u64) -> String {
    let (expected, _) = Model::run(scenario);
    let actual = match catch_unwind(AssertUnwindSafe(|| engine::run(scenario, &mut Random::new(seed)))) {
        Ok(Ok(actual)) => differences(&expected, &actual),
        Ok(Err(refusal)) => refusal,
        Err(panic) => format!("the engine panicked: {:?}", panic.downcast_ref::<String>()),
    };
    let inputs: Vec<String> = scenario.inputs.iter().enumerate().map(|(index, input)| describe(index, input)).collect();
    format!(
        "seed {seed} ({:?}, until {:?}, publish from {:?})\n{}\n{}\n{actual}",
        scenario.source,
        scenario.until,
        scenario.publish_from,
        scenario.rules,
        inputs.join("\n")
    )
}

fn describe(index: usize, input: &Input) -> String {
    match input {
        Input::Record(record) => {
            let key = record.key.as_deref().map(String::from_utf8_lossy);
            let value = String::from_utf8_lossy(&record.value);
            let value: String = value.chars().take(400).collect();
            let (arrival, now) = (record.arrival, record.now);
            format!(
                "{index}: record, key {key:?}, partition {}, arrival {arrival:?}, now {now}: {value}",
                record.partition
            )
        }
        Input::Tick(tick) => format!("{index}: tick {tick}"),
        Input::Rules(text) => format!("{index}: rules\n{text}"),
    }
}

/// The outputs that differ.
fn differences(expected: &Outcome, actual: &Outcome) -> String {
    let mut text = String::new();
    if expected.unfit != actual.unfit {
        text += &format!("model:  unfit {:?}\nengine: unfit {:?}\n", expected.unfit, actual.unfit);
    }
    if expected.rejected != actual.rejected || expected.dropped != actual.dropped {
        text += &format!(
            "model:  rejected {:?}, dropped {:?}\nengine: rejected {:?}, dropped {:?}\n",
            expected.rejected, expected.dropped, actual.rejected, actual.dropped
        );
    }
    let ids: BTreeSet<&String> = expected.changes.keys().chain(actual.changes.keys()).collect();
    for id in ids {
        let none = Vec::new();
        let (expected, actual) = (expected.changes.get(id).unwrap_or(&none), actual.changes.get(id).unwrap_or(&none));
        let first = (0..expected.len().max(actual.len())).find(|index| expected.get(*index) != actual.get(*index));
        if let Some(index) = first {
            text += &format!(
                "change {index} of {id}\nmodel:  {:?}\nengine: {:?}\n",
                expected.get(index),
                actual.get(index)
            );
        }
    }
    let ids: BTreeSet<&String> = expected.membership.keys().chain(actual.membership.keys()).collect();
    for id in ids {
        let (expected, actual) = (expected.membership.get(id), actual.membership.get(id));
        if expected != actual {
            text += &format!("membership of {id}\nmodel:  {expected:?}\nengine: {actual:?}\n");
        }
    }
    text.replace("\\\"", "\"")
}
