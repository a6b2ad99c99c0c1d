//! `shoal demo`: its arguments.

use crate::config::rules;
use crate::offline::demo::{self, Demo};
use anyhow::Context;
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Plays a year of a real shop in your terminal, without broker or set-up, in half a minute
///
/// The orders and returns are those of 1,103 customers of a British online shop (Online Retail, Chen 2015, UCI Machine
/// Learning Repository, CC BY 4.0). Visits, carts and mails around them are generated from a seed. They are processed
/// by the same engine as on Kafka, and what is shown is computed from the changes that it publishes.
///
/// In a terminal it shows the members of every segment, the flow of customers between segments, and the latest changes
/// as sentences. Otherwise it writes plain lines. It ends by itself, with a summary. With rules that reject more than
/// half of the shop's events, such as those of another currency, the exit status is 1, and the cause is reported.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal demo
  shoal demo --speed 40
  shoal demo --rules mine.toml    # a copy of config/demo/rules.toml is a start
  shoal demo --speed max | tail   # plain lines, as fast as it goes")]
pub struct DemoArguments {
    /// Days of the shop per second, from 7 to 1,000, or `max`
    #[arg(long, value_name = "DAYS", default_value = "14", value_parser = speed)]
    speed: Speed,

    /// Rules to use instead of those compiled in
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,

    /// The seed of the generated events
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Speed {
    Days(f64),
    Max,
}

impl DemoArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let rules = match &self.rules {
            Some(file) => rules::read(file)?,
            None => rules::parse("config/demo/rules.toml", demo::RULES)?,
        };
        let stopped = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGINT, stopped.clone())
            .context("cannot listen for Ctrl-C")?;
        let days_per_second = match self.speed {
            Speed::Days(days) => Some(days),
            Speed::Max => None,
        };
        let played = Demo { rules, seed: self.seed, days_per_second }.run(&stopped)?;
        write!(io::stdout().lock(), "\n{}", played.summary)?;
        played.check()
    }
}

/// At less than 7 days a second it would not end within a minute.
fn speed(text: &str) -> Result<Speed, String> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(days) if (7.0..=1_000.0).contains(&days) => Ok(Speed::Days(days)),
        _ => Err("expected a number of days from 7 to 1000, or `max`".into()),
    }
}
