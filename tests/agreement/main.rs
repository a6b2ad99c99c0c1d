//! The engine against a naive model, on thousands of random streams.
//!
//! `SHOAL_SEED=7 SHOAL_RUNS=1 cargo test --test agreement` repeats one stream. A difference is shrunk and printed with
//! its seed, its rules, its inputs, and what both sides say.

mod broken;
mod capture;
mod cases;
mod comparisons;
mod coverage;
mod engine;
mod fields;
mod generate;
mod model;
mod random;
mod rules_text;
mod shrink;
mod tallies;

use coverage::Coverage;
use model::shard::{Input, Model, Outcome, Scenario};
use model::value::DAY;
use random::Random;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Streams of a full run.
const RUNS: u64 = 3_500;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a number is expected")))
}

#[test]
fn engine_and_model_agree_on_random_streams() {
    let runs = number("SHOAL_RUNS").unwrap_or(RUNS);
    let first = number("SHOAL_SEED").unwrap_or(1);
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
    let rare = coverage.report();
    let restored = engine::RESTORED.load(std::sync::atomic::Ordering::Relaxed);
    println!("{restored} captures restored and compared");
    assert!(restored > runs, "captures are to be frequent");
    assert!(runs < RUNS || rare.is_empty(), "{}", rare.join("\n"));
}

/// The model looks for turns only where it expects them; here it is asked about other instants.
#[test]
fn the_model_misses_no_turn() {
    for seed in 1..=200 {
        let mut random = Random::new(seed);
        let model = Model::play(&generate::scenario(seed).0);
        for _ in 0..10 {
            let instant = &mut |customer: &model::customer::Customer| customer.clock + random.between(1, 500 * DAY);
            assert!(model.turns_explain(instant), "seed {seed}");
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

/// How a scenario fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    Refused,
    Panicked,
    Differs,
}

/// Whether model and engine agree. A scenario that the model cannot run, as shrinking makes them, tells nothing.
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
    let inputs: Vec<String> = scenario.inputs.iter().enumerate().map(|(place, input)| describe(place, input)).collect();
    format!(
        "seed {seed} ({:?}, until {:?}, publish from {:?})\n{}\n{}\n{actual}",
        scenario.source,
        scenario.until,
        scenario.publish_from,
        scenario.rules,
        inputs.join("\n")
    )
}

fn describe(place: usize, input: &Input) -> String {
    match input {
        Input::Record(record) => {
            let key = record.key.as_deref().map(String::from_utf8_lossy);
            let value = String::from_utf8_lossy(&record.value);
            let value: String = value.chars().take(400).collect();
            let (arrival, now) = (record.arrival, record.now);
            format!(
                "{place}: record, key {key:?}, partition {}, arrival {arrival:?}, now {now}: {value}",
                record.partition
            )
        }
        Input::Tick(tick) => format!("{place}: tick {tick}"),
        Input::Rules(text) => format!("{place}: rules\n{text}"),
    }
}

/// What is not the same, the model's first.
fn differences(expected: &Outcome, actual: &Outcome) -> String {
    let mut text = String::new();
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
        let first = (0..expected.len().max(actual.len())).find(|place| expected.get(*place) != actual.get(*place));
        if let Some(place) = first {
            text += &format!(
                "change {place} of {id}\nmodel:  {:?}\nengine: {:?}\n",
                expected.get(place),
                actual.get(place)
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
