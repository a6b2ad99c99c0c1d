//! `shoal seed`: its arguments.

use super::snapshot_location::SnapshotLocation;
use super::values::{Bootstrap, Partitioner, moment};
use crate::config::{Settings, rules};
use crate::engine::event::Millis;
use crate::kafka::Failure;
use crate::offline::seed::Seed;
use crate::worker;
use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// Computes the state from files of past events, as the first state of a service
///
/// Events before --until are replayed as `shoal replay` does, but no change is published. The state is stored as a
/// snapshot of every shard. A service whose journal is empty starts with it and reads its input topics from `start` in
/// [kafka], which must be the moment of --until. docs/seeding.md describes all steps.
///
/// With --config nothing is stored if Shoal's own topics in Kafka belong to another group than the configured one, or
/// if no broker answers; then the exit status is 3. Without it the command does not talk to Kafka.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal seed --rules rules.toml --partitions 8 --until 2026-11-01T00:00:00Z \\
    --snapshot snapshots history.jsonl.zst
  shoal seed --rules rules.toml --partitions 8 --until 2026-11-01T00:00:00Z \\
    --bootstrap changes --snapshot s3://bucket/shoal \\
    --store aws_endpoint=https://s3.shop.example orders.jsonl.gz")]
pub struct SeedArguments {
    /// The rules file that the service will be started with
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,

    /// The number of partitions of the input topics
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    partitions: u32,

    /// Read the events before this moment (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Millis,

    /// Publish changes from this moment on. See --bootstrap [default: --until]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    publish_from: Option<Millis>,

    /// What is published of all customers' values at the moment of --publish-from
    #[arg(long, value_enum, default_value = "membership")]
    bootstrap: Bootstrap,

    /// How the producers of the input topics choose the partition of a key
    #[arg(long, value_enum, default_value = "murmur2")]
    partitioner: Partitioner,

    #[command(flatten)]
    location: SnapshotLocation,

    /// The settings file of the service that will start from the seed: before anything is stored, Kafka is asked
    /// whether Shoal's own topics belong to another group; then, or without an answer, the command is refused
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where to write the lines that cannot be used, each with file, line, reason and message
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,

    /// Native events as JSON lines; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl SeedArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let publish_from = self.publish_from.unwrap_or(self.until);
        if publish_from < self.until {
            bail!("--publish-from: expected --until or later, since no change before --until is published");
        }
        if self.until > Timestamp::now().as_millisecond() {
            bail!("--until: expected a moment in the past: events before a moment in the future may still arrive");
        }
        let rules = rules::read(&self.rules)?;
        if let Some(config) = &self.config {
            let settings = Settings::load(Some(config))?;
            if !settings.output.membership && self.bootstrap == Bootstrap::Membership {
                bail!(
                    "--bootstrap: expected `none` or `changes`, found `membership` (the default): `membership` of [output] is \
                     false in {}, so that nothing would be published",
                    config.display()
                );
            }
            check_group(config, &settings)?;
        }
        let seed = Seed {
            rules,
            files: &self.files,
            partitions: self.partitions,
            partitioner: self.partitioner.into(),
            until: self.until,
            publish_from,
            bootstrap: self.bootstrap.into(),
            rejected: self.rejected.as_deref(),
        };
        let seeded = seed.run(&mut self.location.writer()?)?;
        eprint!("{seeded}");
        Ok(())
    }
}

/// Checks that Shoal's own topics do not belong to another group than the one of these settings. Reads only.
fn check_group(config: &Path, settings: &Settings) -> anyhow::Result<()> {
    Ok(worker::check_group_once(&settings.kafka).map_err(|failure| {
        Failure::Stop(format!(
            "{failure}. Nothing was stored: `shoal run` with {} would be refused for the same reason. To seed without this \
             check, leave out --config",
            config.display()
        ))
    })?)
}
