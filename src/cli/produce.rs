//! `shoal produce`: its arguments.

use crate::config::Settings;
use crate::offline::demo::live_shop;
use crate::offline::produce;
use crate::offline::summary::grouped;
use crate::worker;
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;

/// The year that `shoal demo` shows without a seed.
const DEMO_SEED: u64 = 1;

/// Writes files of native events into a Kafka topic, as Shoal expects to find them
///
/// Each record's key is the customer id, its partition that of the configured partitioner (murmur2, the default of Kafka's
/// own clients), its timestamp the event's own time. Several files are merged by time.
///
/// A topic that would delete the events by their age (retention.ms) or that stamps its own time
/// (message.timestamp.type = LogAppendTime) is refused, with what to set.
///
/// --demo plays the shop of `shoal demo` into the topic instead, from now on, a day of its year in every ten seconds: for
/// trying out a service and what watches it. deploy/compose/rules.toml counts in the same measure.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal produce --brokers localhost:9092 --topic events events.jsonl.zst
  shoal convert --mapping config/mappings/online-retail.toml online-retail.csv.gz \\
    | shoal produce --config shoal.toml --topic events -
  shoal produce --demo --brokers localhost:9092 --topic events      # for an hour or so, as it happens")]
pub struct ProduceArguments {
    /// Where to write
    #[arg(long, value_name = "NAME")]
    topic: String,

    /// Settings: [kafka] brokers, partitioner and client are used [default: those compiled in]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The brokers, instead of those of the settings
    #[arg(long, value_name = "HOST:PORT,…")]
    brokers: Option<String>,

    /// Where to write the lines that cannot be produced, as JSON lines
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,

    /// Instead of files: a year of the demo's shop, within an hour or so from now
    #[arg(long, conflicts_with_all = ["files", "rejected"])]
    demo: bool,

    /// Native events as JSON lines; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl ProduceArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let settings = Settings::load(self.config.as_deref())?;
        super::start_log(&settings.log);
        let mut settings = settings.kafka;
        if let Some(brokers) = self.brokers {
            settings.brokers = brokers;
        }
        let start = Instant::now();
        if self.demo {
            let stop = worker::stop_on_signal().context("cannot listen for signals")?;
            let events = live_shop::produce(&settings, &self.topic, DEMO_SEED, &stop)?;
            eprintln!("{} events of the demo written to {}", grouped(events), self.topic);
            return Ok(());
        }
        let produced = produce::produce(&settings, &self.topic, &self.files, self.rejected.as_deref())?;
        let (events, seconds) = (grouped(produced.events), start.elapsed().as_secs_f64());
        eprintln!("{events} events written to {} in {seconds:.1} s, {} lines left out", self.topic, produced.left_out);
        Ok(())
    }
}
