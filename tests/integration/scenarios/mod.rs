//! Scenarios: what happens and what must be published, as plain text in `tests/scenarios/*.txt`.
//!
//! Every scenario has one expected answer and is played straight, one record at a time, in several batch sizes, over
//! several partitions, and with a crash and recovery after each of its steps. How to write one: CONTRIBUTING.md.
//! `script` reads a file, `play` plays it on shards, `worker` through the real worker, on `memory` or a real `broker`;
//! `outcome` is what was published, `answer` writes it in the format of the file.
//! `SHOAL_REFRESH=1 cargo test --test integration scenarios::straight` rewrites the expected parts: read the difference
//! before you commit it.

mod answer;
mod broker;
mod memory;
mod outcome;
mod play;
mod script;
mod times;
mod worker;

use self::answer::Answer;
use self::broker::OnBroker;
use self::memory::Memory;
use self::play::{Way, play};
use self::script::Scenario;
use self::worker::play_in;
use crate::support;
use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::Path;

/// Plays all scenarios in the ways that `ways` gives for each, and compares with the expected answers. Scenarios are
/// played side by side: on a broker most of the time is waiting.
fn check(play: impl Fn(&Scenario, Way) -> Result<Answer, String> + Sync, ways: impl Fn(&Scenario) -> Vec<Way> + Sync) {
    let failure_of = |scenario: &Scenario| {
        ways(scenario).into_iter().find_map(|way| {
            let played = play(scenario, way).and_then(|answer| scenario.expected.agrees(&answer));
            played.err().map(|error| format!("\n{} ({way:?}):\n{error}", scenario.path.display()))
        })
    };
    let scenarios = scenarios();
    let failures: String = std::thread::scope(|scope| {
        let played: Vec<_> = scenarios.iter().map(|scenario| scope.spawn(|| failure_of(scenario))).collect();
        let failures = played.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        failures.flatten().collect()
    });
    assert!(failures.is_empty(), "{failures}\nSHOAL_REFRESH=1 rewrites the expected answers");
}

fn scenarios() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(&folder).expect("the folder of scenarios");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    let read = |path: &Path| Scenario::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    paths.iter().map(|path| read(path)).collect()
}

#[test]
fn straight() {
    if std::env::var("SHOAL_REFRESH").is_ok_and(|value| value == "1") {
        scenarios().iter().for_each(refresh);
    }
    check(play, |_| vec![Way::STRAIGHT]);
}

#[test]
fn one_record_at_a_time() {
    check(play, |_| [true, false].map(|at_once| Way { batch: 1, at_once, ..Way::STRAIGHT }).to_vec());
}

#[test]
fn in_batches() {
    check(play, |_| [2, 3, 7].map(|batch| Way { batch, at_once: batch > 2, ..Way::STRAIGHT }).to_vec());
}

#[test]
fn over_partitions() {
    check(play, |scenario| match scenario.one_shard {
        Some(_) => Vec::new(),
        None => [(2, 256), (3, 1), (8, 2)]
            .map(|(partitions, batch)| Way { partitions, batch, at_once: batch > 1, ..Way::STRAIGHT })
            .to_vec(),
    });
}

#[test]
fn with_a_crash_in_the_middle() {
    check(play, |scenario| {
        let crash =
            |after| Way { crash_after: Some(after), batch: 1 + after % 3, at_once: after % 2 == 0, ..Way::STRAIGHT };
        (1..=scenario.steps.len()).map(crash).collect()
    });
}

fn in_memory(scenario: &Scenario, way: Way) -> Result<Answer, String> {
    play_in(scenario, way, Memory::new(way.partitions))
}

#[test]
fn through_the_worker() {
    check(in_memory, |_| {
        [(256, true), (1, true), (3, false)].map(|(batch, at_once)| Way { batch, at_once, ..Way::STRAIGHT }).to_vec()
    });
}

#[test]
fn through_the_worker_over_partitions() {
    check(in_memory, |scenario| match scenario.one_shard {
        Some(_) => Vec::new(),
        None => [2, 5].map(|partitions| Way { partitions, batch: 2, ..Way::STRAIGHT }).to_vec(),
    });
}

#[test]
fn through_the_worker_with_a_crash_in_the_middle() {
    check(in_memory, |scenario| {
        let crash = |after| Way { crash_after: Some(after), batch: 1 + after % 3, ..Way::STRAIGHT };
        (1..=scenario.steps.len()).map(crash).collect()
    });
}

#[test]
fn on_a_real_broker() {
    let Some(broker) = support::broker() else { return };
    let play = |scenario: &Scenario, way: Way| {
        let name = scenario.path.file_stem().expect("a file").to_string_lossy();
        let world = OnBroker::new(broker, &format!("{name}-{}", way.partitions), way.partitions);
        play_in(scenario, way, world)
    };
    check(play, |scenario| match scenario.on_kafka {
        false => Vec::new(),
        true => {
            let middle = Some(scenario.steps.len() / 2);
            vec![Way::STRAIGHT, Way { partitions: 3, batch: 2, crash_after: middle, ..Way::STRAIGHT }]
        }
    });
}

/// Every rule with behaviour is shown by some scenario.
#[test]
fn every_rule_is_cited() {
    let cited: BTreeSet<String> = scenarios().into_iter().flat_map(|scenario| scenario.cites).collect();
    let numbered = [("T", 1..=8), ("E", 1..=6), ("O", 1..=9), ("B", 1..=8), ("F", 1..=4), ("R", 1..=14)];
    let all = numbered.into_iter().flat_map(|(letter, numbers)| numbers.map(move |number| format!("{letter}{number}")));
    let missing: Vec<String> = all.filter(|rule| !cited.contains(rule)).collect();
    assert!(missing.is_empty(), "no scenario cites {missing:?}");
}

/// Rewrites the expected answer if it is not the one that is published.
fn refresh(scenario: &Scenario) {
    let answer = play(scenario, Way::STRAIGHT).unwrap_or_else(|error| panic!("{}: {error}", scenario.path.display()));
    if scenario.expected.agrees(&answer).is_err() {
        std::fs::write(&scenario.path, scenario.with_answer(&answer)).expect("scenario is written");
    }
}

/// A refresh leaves a file alone whose answer is right, and what it writes of others is read and written the same.
#[test]
fn a_refresh_changes_nothing_but_answers() {
    for scenario in scenarios() {
        let file = std::fs::read_to_string(&scenario.path).expect("a scenario");
        assert!(file.starts_with(&format!("{}\n--- changes\n", scenario.head)), "{}", scenario.path.display());
        let written = scenario.with_answer(&scenario.expected);
        let again = Scenario::parse(&scenario.path, &written).expect("what was written is read");
        assert!(scenario.expected.agrees(&again.expected).is_ok(), "{written}");
        assert_eq!(again.with_answer(&again.expected), written);
    }
}

impl Answer {
    /// Whether what was published is what was expected; if not, both.
    fn agrees(&self, published: &Answer) -> Result<(), String> {
        let same = self.changes == published.changes
            && self.rejected == published.rejected
            && self.membership.iter().all(|members| Some(members) == published.membership.as_ref())
            && self.counts.iter().all(|counts| Some(counts) == published.counts.as_ref());
        if same {
            return Ok(());
        }
        let (expected, found) = (self.render(self), published.render(self));
        let mut message = String::new();
        for line in expected.lines().filter(|line| !found.lines().any(|other| other == *line)) {
            message.push_str(&format!("- {line}\n"));
        }
        for line in found.lines().filter(|line| !expected.lines().any(|other| other == *line)) {
            message.push_str(&format!("+ {line}\n"));
        }
        Err(format!("expected (-), published (+):\n{message}all that was published:\n{found}"))
    }
}
