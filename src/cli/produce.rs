//! `shoal produce`: its arguments.

use crate::config::Settings;
use crate::offline::demo::live_shop;
use crate::offline::produce::{self, Produced};
use crate::offline::summary::grouped;
use crate::worker;
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;
use std::time::Instant;

/// The seed of `shoal demo` if none is given.
const DEMO_SEED: u64 = 1;

/// Writes files of native events to a Kafka topic in the form that Shoal reads
///
/// The key of each record is the customer id, its partition that of the configured partitioner (murmur2 is the default
/// of Kafka's own clients), its timestamp the time of the event. Several files are merged by time.
///
/// Lines without a customer id or a time are skipped and reported; if they are more than half of all lines, the exit
/// status is 1. Messages are text on a terminal and JSON lines elsewhere, unless [log] sets a format.
///
/// A topic that would delete the events because of their age (retention.ms) or that replaces their timestamps
/// (message.timestamp.type = LogAppendTime) is refused; the message says what to set.
///
/// --demo writes the events of the shop of `shoal demo` instead, from now on, one day of its year every ten seconds,
/// for trying out a service and its monitoring. The rules in deploy/compose/rules.toml use the same scale of time.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal produce --brokers localhost:9092 --topic events events.jsonl.zst
  shoal convert --mapping online-retail online-retail.csv.gz \\
    | shoal produce --config shoal.toml --topic events -
  shoal produce --demo --brokers localhost:9092 --topic events   # for an hour")]
pub struct ProduceArguments {
    /// The topic to write to
    #[arg(long, value_name = "NAME")]
    topic: String,

    /// The settings file: brokers, partitioner and client of [kafka] are used [default: the shipped settings]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The brokers, instead of those of the settings
    #[arg(long, value_name = "HOST:PORT,…")]
    brokers: Option<String>,

    /// Where to write the lines that cannot be produced, as JSON lines
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,

    /// Write a year of the demo's shop instead of files, within about an hour from now
    #[arg(long, conflicts_with_all = ["files", "rejected"])]
    demo: bool,

    /// Native events as JSON lines; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl ProduceArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let settings = Settings::load(self.config.as_deref())?;
        super::start_command_log(&settings.log);
        let mut settings = settings.kafka;
        if let Some(brokers) = self.brokers {
            settings.brokers = brokers;
        }
        let start = Instant::now();
        if self.demo {
            let stop = worker::stop_on_signal().context("cannot listen for signals")?;
            let events = live_shop::produce(&settings, &self.topic, DEMO_SEED, &stop)?;
            match super::logs_json() {
                true => tracing::info!(events, topic = self.topic, "events of the demo written"),
                false => eprintln!("{} events of the demo written to {}", grouped(events), self.topic),
            }
            return Ok(());
        }
        let produced = produce::produce(&settings, &self.topic, &self.files, self.rejected.as_deref(), report_skipped)?;
        let Produced { events, skipped, unusable } = produced;
        let (lines, seconds) = (events + skipped, start.elapsed().as_secs_f64());
        match super::logs_json() {
            true => tracing::info!(events, skipped, seconds, topic = self.topic, "events written"),
            false => {
                let (events, skipped) = (grouped(events), grouped(skipped));
                eprintln!("{events} events written to {} in {seconds:.1} s, {skipped} lines skipped", self.topic);
            }
        }
        unusable.check(lines, "lines")
    }
}

/// Reports a line that is not written.
fn report_skipped(file: &str, line: u64, reason: &str, message: &str) {
    match super::logs_json() {
        true => tracing::warn!(file, line, reason, error = message, "a line is skipped"),
        false => eprintln!("{file}:{line}: {reason}: {message}"),
    }
}
