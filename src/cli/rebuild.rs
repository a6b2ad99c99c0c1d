//! `shoal rebuild`: its arguments, and the question before it begins.

use crate::config::{Settings, rules};
use crate::kafka::Failure;
use crate::worker::{self, RunSettings, ShardPlan};
use anyhow::Context;
use clap::Args;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

/// Makes the state anew from the inputs, where `run` has refused to go on from the journal
///
/// Nothing is published by it: customers hold what `membership` says of them, and the next `shoal run` publishes what
/// differs, numbered on, with cause `rules`. Every `shoal run` of the group must be stopped. Interrupted, it can be run
/// again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal rebuild --config /etc/shoal/shoal.toml
  shoal rebuild --config shoal.toml --yes

It says first what it will do, and which records of the inputs are no longer there. docs/recovery.md tells when it is needed.")]
pub struct RebuildArguments {
    /// How the service is run; what is not in it has its default [default: the defaults alone]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Begin without asking
    #[arg(long)]
    yes: bool,
}

impl RebuildArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let settings = Settings::load(self.config.as_deref())?;
        rules::read(&settings.rules)?;
        super::start_log(&settings.log);
        let stop = worker::stop_on_signal().context("cannot listen for signals")?;
        let Settings { kafka, worker, snapshots, rules, .. } = settings;
        let settings = RunSettings { kafka, worker, snapshots, rules, force_rules: false };
        let done = worker::rebuild(&settings, &stop, |plans| self.agreed(plans))?;
        eprintln!("{done} shards were made anew. `shoal run` goes on from here, and publishes what differs.");
        Ok(())
    }

    /// Says what will be done, and asks.
    fn agreed(&self, plans: &[ShardPlan]) -> anyhow::Result<()> {
        let mut out = io::stderr().lock();
        for plan in plans {
            writeln!(out, "{plan}")?;
        }
        let lost: i64 = plans.iter().flat_map(|plan| &plan.inputs).map(|input| input.lost()).sum();
        if lost > 0 {
            writeln!(out, "{lost} records of the inputs are no longer there: customers are judged by the rest.")?;
        }
        writeln!(
            out,
            "Customers keep what was published of them until `shoal run` publishes what differs, with cause `rules`."
        )?;
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::Stop("nothing was done: there is nobody to ask, and no --yes".into()).into());
        }
        write!(out, "Begin? [y/N] ")?;
        out.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::Stop("nothing was done".into()).into()),
        }
    }
}
