//! What can be typed. `cargo test` hands its own options to every test program, so those are taken too.

use crate::check::CheckArguments;
use crate::store::Kind;
use clap::{CommandFactory, FromArgMatches, Parser};
use std::path::PathBuf;

/// Kills Shoal on a real broker, again and again, and checks what consumers see
///
/// Starts a Kafka broker, a proxy in front of it and several `shoal run`; writes events all the while; kills the services
/// between any two steps of a transaction, a snapshot, a merge, a recovery and of giving shards up; stops them past the
/// session time-out, lets them come and go, kills the broker, delays, throttles, freezes, swallows and resets connections,
/// hurts the store of snapshots and damages what is in it. At the end a separate program (`torture check`) reads the topics
/// read-committed and compares them with an independent run (`shoal replay`), and reads the snapshots.
#[derive(Clone, Debug, Parser)]
#[command(name = "torture", max_term_width = 110)]
#[command(after_help = "Examples:
  cargo test --test torture
  cargo test --test torture -- --kills 100 --seed 7 --processes 3
  cargo test --test torture -- nothing_is --kills 300 --in-each 10 --store s3     # for half an hour
  cargo test --test torture -- --keep some-folder     # settings, logs and what was expected stay there
  cargo test --test torture -- check --help           # the checker alone")]
pub struct Options {
    /// How often a service is killed with kill -9
    #[arg(long, value_name = "N", default_value_t = 25)]
    pub kills: u32,
    /// Which events, kills and faults come; when exactly, the machine decides
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How many services there are; the last one joins and leaves
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=4))]
    pub processes: u32,
    /// Partitions of each topic
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub partitions: u32,
    /// Input topics; with two the rules know no time, so that the result does not depend on timing
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub inputs: u32,
    /// How the services' group is led: "classic" or "consumer"
    #[arg(long, value_name = "PROTOCOL", default_value = "classic")]
    pub group_protocol: String,
    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 250)]
    pub rate: u32,
    /// How often at least in each phase; if 0, once in each group of phases
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub in_each: u32,
    /// End after so many minutes, whatever is still missing
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub minutes: u32,
    /// Where the services keep their snapshots
    #[arg(long, value_enum, default_value_t = Kind::Folder)]
    pub store: Kind,
    /// Keep settings, logs and expected changes in this folder
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
    /// Only tests whose names contain one of these
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Filters are whole names
    #[arg(long, hide = true)]
    exact: bool,
    /// Leave out tests whose names contain this
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    pub list: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[command(flatten)]
    of_libtest: OfLibtest,
}

/// Means nothing here.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = None)]
struct OfLibtest {
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true, alias = "no-capture")]
    nocapture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(short, long, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    test_threads: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(short = 'Z', hide = true)]
    unstable: Option<String>,
}

/// What was asked for.
pub enum Wanted {
    Tests(Box<Options>),
    Check(Box<CheckArguments>),
}

/// Reads the command line. `check` alone may be a filter of `cargo test`; with arguments it is the checker.
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
    pub fn wants(&self, test: &str) -> bool {
        let is_named = |filter: &String| if self.exact { test == filter } else { test.contains(filter.as_str()) };
        let is_chosen = self.filters.is_empty() || self.filters.iter().any(is_named);
        !self.ignored && is_chosen && !self.skip.iter().any(is_named)
    }
}
