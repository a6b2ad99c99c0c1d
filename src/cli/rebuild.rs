//! `shoal rebuild`: its arguments, and the confirmation before it begins.

use super::confirm::confirm;
use super::service::{Audience, Service, ServiceArguments};
use crate::worker::{self, ShardPlan};
use clap::Args;
use std::io::{self, Write};

/// Rebuilds the state from the inputs after `shoal run` has refused to continue from the journal
///
/// It publishes no changes: customers get the values of the `membership` topic, and the next `shoal run` publishes what
/// differs, with the next sequence numbers and cause `rules`. Every `shoal run` of the group must be stopped. After an
/// interruption it can be run again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal rebuild --config /etc/shoal/shoal.toml
  shoal rebuild --config shoal.toml --yes

It first prints what it will do, and how many records of the inputs no longer exist. docs/recovery.md says when it is needed.")]
pub struct RebuildArguments {
    #[command(flatten)]
    service: ServiceArguments,

    /// Begin without confirmation
    #[arg(long)]
    yes: bool,
}

impl RebuildArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let Service { settings, stop, .. } = self.service.begin(None, false, false, Audience::People)?;
        let done = worker::rebuild(&settings, &stop, |plans| self.confirm(plans))?;
        eprintln!("{done} shards were rebuilt. The next `shoal run` continues from here and publishes what differs.");
        Ok(())
    }

    /// Prints what will be done, and asks for confirmation.
    fn confirm(&self, plans: &[ShardPlan]) -> anyhow::Result<()> {
        let mut out = io::stderr().lock();
        for plan in plans {
            writeln!(out, "{plan}")?;
        }
        let lost: i64 = plans.iter().flat_map(|plan| &plan.inputs).map(|input| input.lost()).sum();
        if lost > 0 {
            writeln!(out, "{lost} records of the inputs no longer exist: customers are rebuilt from the rest.")?;
        }
        writeln!(
            out,
            "Customers keep their published values until `shoal run` publishes what differs, with cause `rules`."
        )?;
        drop(out);
        if self.yes { Ok(()) } else { confirm() }
    }
}
