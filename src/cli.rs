//! The command line: what was typed, and which part of Shoal does it.
//!
//! Statuses: 0 done, 1 failed, 2 typed wrongly, 3 refused because something outside must be put right first, 78
//! (`EX_CONFIG`) something configured is wrong.

mod check;
mod convert;
mod demo;
mod health;
mod place;
mod produce;
mod rebuild;
mod replay;
mod run;
mod seed;
mod service;
mod snapshot;
mod values;

use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::document::Mistakes;
use crate::kafka::Failure;
use crate::metrics::LogCounts;
use clap::{Parser, Subcommand};
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const STATUS_REFUSED: u8 = 3;
const STATUS_CONFIGURATION: u8 = 78;

/// The log is being written for machines: the last words stand there as all others do.
static LOGS_JSON: AtomicBool = AtomicBool::new(false);

/// A streaming, real-time behavioural customer segmenter: events in, exact segment changes out, exactly once.
#[derive(Debug, Parser)]
#[command(name = "shoal", version, max_term_width = 110)]
#[command(
    after_help = "Statuses: 0 done, 1 failed, 2 typed wrongly, 3 refused: something outside (Kafka, a topic, a right) must be put
right first, and the message says what; 78 a mistake in a configuration, rules or mapping file."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArguments),
    Replay(replay::ReplayArguments),
    Convert(convert::ConvertArguments),
    Check(check::CheckArguments),
    Produce(produce::ProduceArguments),
    Run(run::RunArguments),
    Health(health::HealthArguments),
    Seed(seed::SeedArguments),
    Snapshot(snapshot::SnapshotArguments),
    Rebuild(rebuild::RebuildArguments),
}

/// Does what was typed; the process's status.
pub fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Demo(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Convert(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Produce(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Health(command) => command.run(),
        Command::Seed(command) => command.run(),
        Command::Snapshot(command) => command.run(),
        Command::Rebuild(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Mistakes>() {
            Some(mistakes) => {
                eprintln!("{mistakes}");
                ExitCode::from(STATUS_CONFIGURATION)
            }
            None => {
                tell_end(&error);
                let is_refused = matches!(error.downcast_ref(), Some(Failure::Stop(_)));
                if is_refused { ExitCode::from(STATUS_REFUSED) } else { ExitCode::FAILURE }
            }
        },
    }
}

/// Logs to standard error from here on: for people on a terminal, for machines elsewhere, unless that is set. Errors and
/// warnings are counted.
fn start_log(settings: &LogSettings) -> LogCounts {
    let level = match settings.level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
    let is_json = match settings.format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    LOGS_JSON.store(is_json, Ordering::Relaxed);
    let counts = LogCounts::default();
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr);
    match is_json {
        true => log.json().flatten_event(true).finish().with(counts.clone()).init(),
        false => log.with_ansi(is_terminal).finish().with(counts.clone()).init(),
    }
    counts
}

/// Why the process ends.
fn tell_end(error: &anyhow::Error) {
    match LOGS_JSON.load(Ordering::Relaxed) {
        true => tracing::error!("{error:#}"),
        false => eprintln!("shoal: {error:#}"),
    }
}

/// Whoever reads our output has seen enough (`shoal replay … | head`): no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}
