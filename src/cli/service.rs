//! How the service is run, for the commands that do.

use crate::config::{Settings, rules};
use crate::http::AdminSettings;
use crate::metrics::LogCounts;
use crate::worker::{self, RunSettings};
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a service needs.
pub struct Service {
    pub settings: RunSettings,
    pub admin: AdminSettings,
    /// What is logged is counted here.
    pub logs: LogCounts,
    /// It is to end.
    pub stop: Arc<AtomicBool>,
}

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
    pub fn begin(&self, force_rules: bool) -> anyhow::Result<Service> {
        let settings = Settings::load(self.config.as_deref())?;
        rules::read(&settings.rules)?;
        let logs = super::start_log(&settings.log);
        let stop = worker::stop_on_signal().context("cannot listen for signals")?;
        let Settings { kafka, worker, snapshots, alerts, traces, admin, rules, .. } = settings;
        let settings = RunSettings { kafka, worker, snapshots, traces, alerts, rules, force_rules };
        Ok(Service { settings, admin, logs, stop })
    }
}
