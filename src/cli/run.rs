//! `shoal run`: its arguments.

use super::service::{Audience, Service, ServiceArguments};
use crate::http::{AdminServer, ProcessView};
use crate::metrics;
use crate::offline::{dry_run, dry_run_rules};
use crate::worker::{self, WorkerStatus};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Runs the service: events from Kafka in, every change of segment out, exactly once
///
/// Shoal's own topics are created if they are missing. After a stop or a crash the service continues where the last
/// transaction ended. The first SIGTERM, SIGINT or SIGHUP finishes the open transaction; a second one ends the process
/// at once. Brokers that do not answer are waited for.
///
/// With --dry-run nothing is written to Kafka or to the snapshots. Alone it reads the real inputs from
/// their configured start, in a group of its own, and prints changes until it is stopped. With --rules FILE it starts
/// from the newest snapshots, prints what a restart with these rules would publish, and ends: a summary to standard
/// error, then the changes as JSON lines to standard output.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal run --config /etc/shoal/shoal.toml
  SHOAL__KAFKA__BROKERS=kafka:9092 SHOAL__RULES=rules.toml shoal run
  shoal run --config shoal.toml --dry-run > changes.jsonl
  shoal run --config shoal.toml --dry-run --rules new.toml > changes.jsonl

config/shoal.toml has all keys with their defaults. `shoal check --config FILE` reports the mistakes in a file.")]
pub struct RunArguments {
    #[command(flatten)]
    service: ServiceArguments,

    /// Put the rules file in force even if it was in force before and has been replaced since
    #[arg(long)]
    force: bool,

    /// Do not wait for another process that is in the group under the same `instance`: take its shards at once
    #[arg(long, conflicts_with = "dry_run")]
    take_over: bool,

    /// Read the real inputs and print the changes; write nothing to Kafka
    #[arg(long)]
    dry_run: bool,

    /// With --dry-run: show what a restart with this rules file, instead of the configured one, would publish, from the
    /// newest snapshots; then end
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    rules: Option<PathBuf>,
}

impl RunArguments {
    pub fn run(self) -> anyhow::Result<()> {
        if self.dry_run && self.force && self.rules.is_none() {
            let message =
                "--force cannot be used with --dry-run without --rules: there are no rules in force to replace";
            return Err(super::Arguments::command().error(ErrorKind::ArgumentConflict, message).into());
        }
        let audience = if self.dry_run { Audience::People } else { Audience::Service };
        let Service { settings, admin, logs, stop } =
            self.service.begin(self.rules.clone(), self.force, self.take_over, audience)?;
        if self.rules.is_some() {
            return dry_run_rules(&settings, &stop, io::stderr(), io::stdout());
        }
        if self.dry_run {
            eprint!("{}", dry_run(&settings, &stop, io::stdout())?);
            return Ok(());
        }
        let statuses = WorkerStatus::for_workers(settings.worker.workers);
        let registry = metrics::registry(&statuses, &logs)?;
        let view = ProcessView { statuses: statuses.clone(), registry, stop: Arc::clone(&stop) };
        let served = AdminServer::start(&admin, view)?;
        let done = worker::run(&settings, &statuses, &stop);
        drop(served);
        done
    }
}
