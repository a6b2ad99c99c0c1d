//! The proof on a real broker: services are killed in every phase while everything else fails too, and what consumers
//! see at the end must be what an independent run gives. `--help` lists the options; CONTRIBUTING.md says when to run
//! it.
//!
//! In reading order: `options`, `run` (what a run needs), `trial` (a whole run), `load` and `inputs` (events),
//! `service` and `fleet` (processes), `support::proxy` (the network), `store` (of snapshots), `trap`, `phase`, `tally`
//! and `storm` (kills and faults), `commands` (`shoal seed` and `shoal rebuild`), `rolling` (restarts of brokers),
//! `check` (the checker, a program of its own), `doubt` (the checker can fail).

mod check;
mod commands;
mod doubt;
mod fleet;
mod inputs;
mod load;
mod options;
mod phase;
mod rolling;
mod run;
mod service;
mod store;
mod storm;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod trap;
mod trial;

use libtest_mimic::{Completion, Failed, Trial};
use options::{Options, Wanted};
use std::process::ExitCode;
use std::sync::Arc;
use support::Broker;
use support::proxy::Proxy;

/// Tests that run at the same time: they wait for brokers and processes most of the time.
const TEST_THREADS: usize = 5;

/// Why a test is ignored where the machine cannot run a broker.
const NO_BROKER: &str = "there is no Kafka broker";

/// A test on a broker and a proxy of its own.
type OnOwnBroker = fn(&Options, &mut Broker, &Arc<Proxy>) -> Result<(), String>;

fn main() -> ExitCode {
    match options::read() {
        Wanted::Check(arguments) => arguments.run(),
        Wanted::Tests(options) => run_tests(*options),
    }
}

fn run_tests(mut options: Options) -> ExitCode {
    options.runner.test_threads.get_or_insert(TEST_THREADS);
    let options = Arc::new(options);
    let on_own_broker = |name: &str, test: OnOwnBroker| {
        let options = Arc::clone(&options);
        Trial::ignorable_test(name, move || with_own_broker(&options, test))
    };
    // The longest first.
    let mut trials = vec![
        on_own_broker("nothing_is_lost_repeated_or_reordered", trial::run),
        rolling_restart(&options),
        on_own_broker("a_seed_and_a_rebuild_are_killed_and_run_again", commands::run),
    ];
    trials.extend(doubt::CASES.iter().map(|case| {
        let check = || match support::broker() {
            Some(broker) => doubt::check(case, broker).map(|()| Completion::Completed).map_err(Failed::from),
            None => Ok(Completion::ignored_with(NO_BROKER)),
        };
        Trial::ignorable_test(format!("the_checker_finds_{}", case.name), check)
    }));
    libtest_mimic::run(&options.runner, trials).exit_code()
}

fn rolling_restart(options: &Arc<Options>) -> Trial {
    let options = Arc::clone(options);
    Trial::ignorable_test("no_service_ends_in_a_rolling_restart_of_three_brokers", move || {
        match rolling::run(&options) {
            Some(done) => done.map(|()| Completion::Completed).map_err(Failed::from),
            None => Ok(Completion::ignored_with(NO_BROKER)),
        }
    })
}

fn with_own_broker(options: &Options, test: OnOwnBroker) -> Result<Completion, Failed> {
    let proxy = Arc::new(Proxy::start().map_err(|error| format!("no port for the proxy: {error}"))?);
    match run::start_broker(&proxy) {
        Some(mut broker) => test(options, &mut broker, &proxy).map(|()| Completion::Completed).map_err(Failed::from),
        None => Ok(Completion::ignored_with(NO_BROKER)),
    }
}
