//! `shoal replay`: its arguments.

use super::values::{Bootstrap, moment};
use crate::config::rules;
use crate::engine::decode::Partitioner;
use crate::engine::event::Millis;
use crate::offline::player::Stage;
use crate::offline::replay::Replay;
use clap::Args;
use jiff::Timestamp;
use std::io::{self, BufWriter};
use std::path::PathBuf;

/// Plays files of native events through the rules: changes on standard output, without a broker
///
/// Reads JSON lines, one event each, plain, gzip or Zstandard (told by their first bytes). What it writes are the exact
/// values that a live run publishes on the `changes` topic, with `detected_at` equal to `effective_at`. The same input
/// gives the same bytes. Several files are merged by the events' times; one file keeps its order.
///
/// At the end, time goes on to --until, so that what only the passing of time changes comes out too; by default it
/// stops at the latest event. A summary goes to standard error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal replay --rules config/rules.toml orders.jsonl.zst browsing.jsonl.gz > changes.jsonl
  shoal convert --mapping config/mappings/online-retail.toml online-retail.csv.gz \\
    | shoal replay --rules config/demo/rules.toml --until 2012-12-31T00:00:00Z --membership members.jsonl -
  shoal replay --rules config/rules.toml --rejected bad.jsonl events.jsonl | head")]
pub struct ReplayArguments {
    /// What events mean, segments and audiences
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,

    /// Let time go on to this moment after the last event (RFC 3339) [default: the latest event's time]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Millis>,

    /// Reject events later than this moment and max_future (RFC 3339) [default: the clock at the start]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    now: Option<Millis>,

    /// Play so many shards, each with the customers that Kafka's default partitioner (murmur2) gives it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    partitions: u32,

    /// Neither publish nor number what comes before this moment, at which everybody is published as --bootstrap says
    #[arg(long, value_name = "TIME", value_parser = moment)]
    publish_from: Option<Millis>,

    /// What is published of everybody's values at that moment
    #[arg(long, value_enum, default_value = "membership", requires = "publish_from")]
    bootstrap: Bootstrap,

    /// Where to write the lines that cannot be used, each with file, line, reason and words
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,

    /// Where to write what every customer is in at the end, by id: the values that the `membership` topic would hold
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
            stage: Stage {
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
        let summary = replay.run(BufWriter::with_capacity(1 << 16, io::stdout().lock()))?;
        eprint!("{summary}");
        Ok(())
    }
}
