//! Settings, rules, log and signals of the commands that run as a service: `run` and `rebuild`.

use crate::config::{Settings, rules};
use crate::http::AdminSettings;
use crate::metrics::LogCounts;
use crate::worker::{self, RunSettings};
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a service needs to run.
pub struct Service {
    pub settings: RunSettings,
    pub admin: AdminSettings,
    /// Counts of logged errors and warnings.
    pub logs: LogCounts,
    /// Set when the process is to stop.
    pub stop: Arc<AtomicBool>,
}

/// Who reads the log.
#[derive(Clone, Copy, Debug)]
pub enum Audience {
    /// Whatever the settings say.
    Service,
    /// The person at the terminal, if there is one.
    People,
}

/// The arguments that such commands share.
#[derive(Debug, Args)]
pub struct ServiceArguments {
    /// The settings file; settings that it does not contain have their defaults [default: the shipped settings]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ServiceArguments {
    /// Reads settings and rules, starts the log, and installs the signal handlers. Mistakes in settings and rules are
    /// reported before anything is started. `rules` is the rules file, if it is not the one of the settings.
    pub fn begin(
        &self,
        rules: Option<PathBuf>,
        force_rules: bool,
        take_over: bool,
        audience: Audience,
    ) -> anyhow::Result<Service> {
        let mut settings = Settings::load(self.config.as_deref())?;
        settings.rules = rules.unwrap_or(settings.rules);
        rules::read(&settings.rules)?;
        let logs = match audience {
            Audience::Service => super::start_log(&settings.log),
            Audience::People => super::start_command_log(&settings.log),
        };
        let stop = worker::stop_on_signal().context("cannot listen for signals")?;
        let Settings { kafka, worker, output, snapshots, alerts, traces, admin, rules, .. } = settings;
        let settings = RunSettings { kafka, worker, output, snapshots, traces, alerts, rules, force_rules, take_over };
        Ok(Service { settings, admin, logs, stop })
    }
}
