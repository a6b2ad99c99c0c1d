//! The command line: parses the arguments, runs the command, and gives the process its exit status.
//!
//! Statuses: 0 success, 1 failure, 2 wrong arguments, 3 refused because something outside of Shoal must be corrected
//! first, 78 (`EX_CONFIG`) a mistake in a configuration, rules or mapping file. Each command has a file with its
//! arguments; the work is done by other parts of the crate.

mod change_group;
mod check;
mod check_file;
mod completions;
mod confirm;
mod convert;
mod demo;
mod health;
mod help;
mod man;
mod produce;
mod rebuild;
mod replay;
mod run;
mod seed;
mod service;
mod snapshot;
mod snapshot_location;
mod values;

use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::document::Mistakes;
use crate::kafka::Failure;
use crate::metrics::LogCounts;
use clap::{Parser, Subcommand};
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const STATUS_REFUSED: u8 = 3;
const STATUS_CONFIGURATION: u8 = 78;

/// Whether the log is JSON: then the error that ends the process is logged too, instead of printed.
static LOGS_JSON: AtomicBool = AtomicBool::new(false);

/// A streaming, real-time behavioural customer segmenter: events in, exact segment changes out, exactly once.
#[derive(Debug, Parser)]
#[command(name = "shoal", version, max_term_width = 110)]
#[command(
    after_help = "Exit statuses: 0 success; 1 failure; 2 wrong arguments; 3 refused: something outside of Shoal (Kafka, a topic, a right)
must be corrected first, and the message says what; 78 a mistake in a configuration, rules or mapping file."
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
    ChangeGroup(change_group::ChangeGroupArguments),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
}

/// Runs the command and returns the exit status of the process.
pub fn run() -> ExitCode {
    let arguments = match help::parse() {
        Ok(arguments) => arguments,
        Err(message) => return help::print(&message),
    };
    let result = match arguments.command {
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
        Command::ChangeGroup(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Mistakes>() {
            Some(mistakes) => {
                eprintln!("{mistakes}");
                ExitCode::from(STATUS_CONFIGURATION)
            }
            None if error.is::<clap::Error>() => error.downcast_ref().map_or(ExitCode::FAILURE, help::print),
            None => {
                report_failure(&error);
                let is_refused = matches!(error.downcast_ref(), Some(Failure::Stop(_)));
                if is_refused { ExitCode::from(STATUS_REFUSED) } else { ExitCode::FAILURE }
            }
        },
    }
}

/// Starts the log on standard error: as text on a terminal and as JSON elsewhere, unless the format is configured.
/// Errors and warnings are counted.
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
    // A member of the group that failed is dropped and replaced, which we log; the library adds an error for each.
    let told = Targets::new().with_default(level).with_target("rdkafka::consumer::base_consumer", LevelFilter::OFF);
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr);
    match is_json {
        true => log.json().flatten_event(true).finish().with(counts.clone()).with(told).init(),
        false => log.with_ansi(is_terminal).finish().with(counts.clone()).with(told).init(),
    }
    counts
}

/// Whether messages of this process are JSON lines.
fn logs_json() -> bool {
    LOGS_JSON.load(Ordering::Relaxed)
}

/// Starts the log of a command that people run: on a terminal it is text, whatever the settings say, which are those of
/// the service.
fn start_command_log(settings: &LogSettings) -> LogCounts {
    let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
    let format = if is_terminal { LogFormat::Text } else { settings.format };
    start_log(&LogSettings { format, ..settings.clone() })
}

/// Reports the error that ends the process.
fn report_failure(error: &anyhow::Error) {
    match logs_json() {
        true => tracing::error!("{error:#}"),
        false => eprintln!("shoal: {error:#}"),
    }
}

/// Whether the reader of the output has closed it (`shoal replay … | head`), which is not a failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}
