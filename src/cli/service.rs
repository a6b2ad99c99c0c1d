//! How the service is run, for the commands that do.

use crate::config::{Settings, rules};
use crate::worker::{self, RunSettings};
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Where its settings are.
#[derive(Debug, Args)]
pub struct ServiceArguments {
    /// How it is run; what is not in it has its default [default: the defaults alone]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ServiceArguments {
    /// Reads settings and rules, starts the log, and listens for signals to stop. Mistakes in the rules are told like those
    /// in the settings, before anything is started.
    pub fn begin(&self, force_rules: bool) -> anyhow::Result<(RunSettings, Arc<AtomicBool>)> {
        let settings = Settings::load(self.config.as_deref())?;
        rules::read(&settings.rules)?;
        super::start_log(&settings.log);
        let stop = worker::stop_on_signal().context("cannot listen for signals")?;
        let Settings { kafka, worker, snapshots, rules, .. } = settings;
        Ok((RunSettings { kafka, worker, snapshots, rules, force_rules }, stop))
    }
}
