//! `shoal rebuild`: its arguments, and the question before it begins.

use super::service::{Service, ServiceArguments};
use crate::kafka::Failure;
use crate::worker::{self, ShardPlan};
use clap::Args;
use std::io::{self, BufRead, IsTerminal, Write};

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
    #[command(flatten)]
    service: ServiceArguments,

    /// Begin without asking
    #[arg(long)]
    yes: bool,
}

impl RebuildArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let Service { settings, stop, .. } = self.service.begin(false)?;
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
