//! `shoal health`: asks the admin address of a process whether it is ready.

use crate::config::Settings;
use crate::http;
use anyhow::{anyhow, bail};
use clap::Args;
use std::path::PathBuf;

const READY: u16 = 200;

/// Asks the `shoal run` on this machine whether it is ready, for containers and scripts
///
/// Prints the answer: which shards are not live, and why. The exit status is 0 if the process is ready, otherwise 1.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal health --config /etc/shoal/shoal.toml
  SHOAL__ADMIN__ADDRESS=127.0.0.1:9465 shoal health")]
pub struct HealthArguments {
    /// The settings of the process that is asked: `[admin]` has its address [default: the shipped settings]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl HealthArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let settings = Settings::load(self.config.as_deref())?;
        let (status, body) = http::ask(&settings.admin, "/readyz").map_err(|message| anyhow!(message))?;
        println!("{body}");
        match status {
            READY => Ok(()),
            other => bail!("not ready: the process answered with HTTP status {other}"),
        }
    }
}
