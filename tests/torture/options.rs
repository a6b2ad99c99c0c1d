//! The options of the program: its own, and those of every Rust test program, which `cargo test` passes on.

use crate::check::CheckArguments;
use crate::store::StoreKind;
use crate::support::seed::seed;
use clap::{CommandFactory, FromArgMatches, Parser};
use std::path::PathBuf;

const ABOUT: &str = "Kills Shoal on a real broker, again and again, and checks what consumers see";

const LONG_ABOUT: &str = "Kills Shoal on a real broker, again and again, and checks what consumers see.

Starts a Kafka broker, a proxy in front of it and several `shoal run`, and writes events until the end. Services are \
killed between any two steps of a transaction, a snapshot, a merge, a recovery and a revocation, stopped for longer than \
the session time-out, and join and leave. The broker is killed, connections are delayed, throttled, frozen, swallowed and \
reset, the store of snapshots fails and its snapshots are damaged. At the end a separate program (`torture check`) reads \
the topics read-committed, compares them with an independent run (`shoal replay`), and reads the snapshots.

A second run has three brokers, which are restarted one after the other: no service may end.";

const EXAMPLES: &str = "Examples:
  cargo test --test torture
  cargo test --test torture -- --kills 100 --seed 7 --processes 3
  cargo test --test torture -- nothing_is --kills 300 --in-each 10 --store s3     # for half an hour
  cargo test --test torture -- no_service_ends --restarts 40
  cargo test --test torture -- --keep some-folder     # settings, logs and expected changes stay there
  cargo test --test torture -- check --help           # the checker alone";

#[derive(Debug, Parser)]
#[command(name = "torture", max_term_width = 110, about = ABOUT, long_about = LONG_ABOUT, after_help = EXAMPLES)]
#[command(help_template = "{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}{after-help}")]
pub struct Options {
    /// Number of kills (kill -9)
    #[arg(long, value_name = "N", default_value_t = 25)]
    pub kills: u32,
    /// Number of restarts of brokers in the rolling restart, by turns in order and by signal 9
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub restarts: u32,
    /// Determines events, kills and faults, but not their timing [default: derived from the commit]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Number of services; the last one joins and leaves
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=4))]
    pub processes: u32,
    /// Number of partitions of each topic
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub partitions: u32,
    /// Number of input topics; with two the rules have no windows, so that the result does not depend on timing
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub inputs: u32,
    /// Group protocol of the services: "classic" or "consumer"
    #[arg(long, value_name = "PROTOCOL", default_value = "classic")]
    pub group_protocol: String,
    /// Events per second
    #[arg(long, value_name = "N", default_value_t = 250)]
    pub rate: u32,
    /// Minimum number of kills in each phase; 0 means one in each group of phases
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub in_each: u32,
    /// End after N minutes, even if kills are missing; 0 means no such limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub minutes: u32,
    /// Where the services keep their snapshots
    #[arg(long, value_enum, default_value_t = StoreKind::Folder)]
    pub store: StoreKind,
    /// Keep settings, logs and expected changes in this folder
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
    /// Of the test runner, as every Rust test program has them
    #[command(flatten)]
    pub runner: libtest_mimic::Arguments,
}

/// What was asked for.
pub enum Wanted {
    Tests(Box<Options>),
    Check(Box<CheckArguments>),
}

/// Reads the command line. `check` alone is a filter of tests; with arguments it is the checker.
pub fn read() -> Wanted {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == "check") && arguments.len() > 2 {
        let command = <CheckArguments as clap::Args>::augment_args(clap::Command::new("torture check"));
        let matches = command.get_matches_from(&arguments[1..]);
        return Wanted::Check(Box::new(
            CheckArguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()),
        ));
    }
    let matches = Options::command().get_matches_from(arguments);
    Wanted::Tests(Box::new(Options::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())))
}

impl Options {
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(seed)
    }
}
