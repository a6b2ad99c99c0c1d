//! The proof on a real broker: services are killed in every phase while all else goes wrong too, and what consumers see in
//! the end is what an independent run says. `--help` tells more; CONTRIBUTING.md says when to run it and how.
//!
//! In reading order: `options`, `run` (what a run needs), `trial` (the whole), `load` and `inputs` (events), `service` and `fleet` (processes),
//! `support::proxy` (the network), `store` (of snapshots), `trap`, `phase`, `tally` and `storm` (kills and faults), `check/`
//! (the checker, a program of its own), `doubt` (it can fail).

mod check;
mod commands;
mod doubt;
mod fleet;
mod inputs;
mod load;
mod options;
mod phase;
mod run;
mod service;
mod store;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod trap;
mod trial;

use doubt::Case;
use options::{Options, Wanted};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use support::Broker;
use support::proxy::Proxy;

const STORM: &str = "nothing_is_lost_repeated_or_reordered";
const COMMANDS: &str = "a_seed_and_a_rebuild_are_killed_and_run_again";
const DOUBT: &str = "the_checker_finds";
/// Cases of the checker that are looked at at once.
const SIDE_BY_SIDE: usize = 5;

/// A test that needs the broker for itself.
type Trial = fn(&Options, &mut Broker, &Arc<Proxy>) -> Result<(), String>;

fn doubt_name(case: &Case) -> String {
    format!("{DOUBT}_{}", case.name)
}

fn main() -> ExitCode {
    match options::read() {
        Wanted::Check(arguments) => arguments.run(),
        Wanted::Tests(options) => run(&options),
    }
}

/// Runs the tests that are wanted, and tells of them as Rust's own test programs do, so that their sums are right.
fn run(options: &Options) -> ExitCode {
    let doubts = doubt::CASES.iter().map(doubt_name);
    let names: Vec<String> =
        doubts.chain([COMMANDS.to_owned(), STORM.to_owned()]).filter(|name| options.wants(name)).collect();
    if options.list {
        names.iter().for_each(|name| println!("{name}: test"));
        println!("\n{} tests, 0 benchmarks", names.len());
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", names.len());
    let started = Instant::now();
    let outcome = if names.is_empty() { Some(0) } else { run_all(options, &names) };
    let (passed, failed, ignored) = match outcome {
        Some(failed) => (names.len() - failed, failed, 0),
        None => (0, 0, names.len()),
    };
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; finished \
         in {seconds:.2}s\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many failed; `None` if there is no broker.
fn run_all(options: &Options, names: &[String]) -> Option<usize> {
    let proxy = Arc::new(Proxy::start().expect("a port for the proxy"));
    let mut broker = run::start_broker(&proxy)?;
    let is_wanted = |case: &&Case| names.contains(&doubt_name(case));
    let cases: Vec<&Case> = doubt::CASES.iter().filter(is_wanted).collect();
    let mut failed = doubt_all(&cases, &broker);
    for (name, run) in [(COMMANDS, commands::run as Trial), (STORM, trial::run)] {
        if names.iter().any(|wanted| wanted == name) {
            println!("test {name} ...");
            let done = run(options, &mut broker, &proxy);
            failed += tell(name, done);
        }
    }
    Some(failed)
}

/// Cases of the checker wait for the broker most of the time, so several are looked at side by side; how many failed.
fn doubt_all(cases: &[&Case], broker: &Broker) -> usize {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            failed.fetch_add(tell(&doubt_name(case), doubt::check(case, broker)), Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| (0..SIDE_BY_SIDE).for_each(|_| drop(scope.spawn(work))));
    failed.into_inner()
}

/// Says how a test ended; 1 if it failed.
fn tell(name: &str, done: Result<(), String>) -> usize {
    match done {
        Ok(()) => {
            println!("test {name} ... ok");
            0
        }
        Err(words) => {
            println!("test {name} ... FAILED\n{words}");
            1
        }
    }
}
