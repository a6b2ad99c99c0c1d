//! `shoal replay`: its arguments.

use super::values::{Bootstrap, moment};
use crate::config::rules;
use crate::engine::decode::Partitioner;
use crate::engine::event::Millis;
use crate::offline::player::PlayerSettings;
use crate::offline::replay::Replay;
use clap::Args;
use jiff::Timestamp;
use std::io::{self, BufWriter};
use std::path::PathBuf;

/// Replays files of native events with the rules: changes on standard output, without a broker
///
/// Reads JSON lines with one event each, plain or compressed by gzip or Zstandard, which is detected. It writes the
/// exact values that a live run publishes on the `changes` topic, with `detected_at` equal to `effective_at`. The same
/// input gives the same bytes. Several files are merged by the times of the events; one file keeps its order.
///
/// After the last event, time advances to --until, so that changes by time alone are written too; by default it stops
/// at the latest event. A summary is written to standard error. If more than half of the lines cannot be used, the exit
/// status is 1, and the reasons and the likely cause are reported.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal replay --rules config/rules.toml \\
    orders.jsonl.zst browsing.jsonl.gz > changes.jsonl
  shoal convert --mapping online-retail online-retail.csv.gz \\
    | shoal replay --rules config/demo/rules.toml \\
      --until 2012-12-31T00:00:00Z --membership members.jsonl -
  shoal replay --rules rules.toml --rejected bad.jsonl events.jsonl | head")]
pub struct ReplayArguments {
    /// The rules file
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,

    /// Advance time to this moment after the last event (RFC 3339) [default: the time of the latest event]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Millis>,

    /// Reject events later than max_future after this moment (RFC 3339) [default: the clock at the start]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    now: Option<Millis>,

    /// Replay with N shards; the default partitioner of Kafka's clients (murmur2) assigns the customers to them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    partitions: u32,

    /// Publish changes from this moment on; what is before it is neither published nor numbered. See --bootstrap
    #[arg(long, value_name = "TIME", value_parser = moment)]
    publish_from: Option<Millis>,

    /// What is published of all customers' values at the moment of --publish-from
    #[arg(long, value_enum, default_value = "membership", requires = "publish_from")]
    bootstrap: Bootstrap,

    /// Where to write the lines that cannot be used, each with file, line, reason and message
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,

    /// Where to write the values of all customers at the end, by id, as the `membership` topic would have them
    #[arg(long, value_name = "FILE")]
    membership: Option<PathBuf>,

    /// Native events as JSON lines; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl ReplayArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let rules = rules::read(&self.rules)?;
        let now = self.now.unwrap_or_else(|| {
            let now = Timestamp::now();
            eprintln!("events later than --now {now:.0} and max_future are rejected");
            now.as_millisecond()
        });
        let replay = Replay {
            rules,
            files: &self.files,
            player: PlayerSettings {
                partitions: self.partitions,
                partitioner: Partitioner::Murmur2,
                now,
                publish_from: self.publish_from,
                bootstrap: self.bootstrap.into(),
            },
            until: self.until,
            rejected: self.rejected.as_deref(),
            membership: self.membership.as_deref(),
        };
        let replayed = replay.run(BufWriter::with_capacity(1 << 16, io::stdout().lock()))?;
        for warning in &replayed.warnings {
            eprintln!("warning: {warning}");
        }
        eprint!("{}", replayed.summary);
        replayed.check()
    }
}
