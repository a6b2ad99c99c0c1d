//! `shoal check`: its arguments and its output.

use crate::config::{Settings, rules};
use crate::document::{Mistake, Mistakes};
use crate::engine::decode::{Partitioner, partition_of};
use crate::engine::feature::print;
use crate::engine::rule::Rules;
use crate::kafka::{self, Failure, Finding, KafkaSettings, Placement, ReadAgain, Verdict};
use crate::offline::convert::mapping::Mapping;
use crate::worker;
use clap::Args;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Checks settings, rules and mappings, and reports all mistakes at once
///
/// Each mistake is reported with file, line and column, what was expected and what was found, and the nearest known
/// name. With any mistake the exit status is 78. A settings file is checked together with the environment variables
/// that override it and with the rules file that it names.
///
/// With --connect everything that `shoal run` needs of Kafka is checked too, and the cause of each failure is reported;
/// then the exit status is 3. Nothing is changed in Kafka except a transactional id of its own.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal check --rules config/rules.toml
  shoal check --config /etc/shoal/shoal.toml
  shoal check --connect --config /etc/shoal/shoal.toml
  shoal check --mapping config/mappings/online-retail.toml
  shoal check --features                 # the features that rules can use")]
#[group(required = true, multiple = true)]
pub struct CheckArguments {
    /// A settings file, with the rules file that it names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Check Kafka too: brokers, topics, partitioner, rights
    #[arg(long, requires = "config")]
    connect: bool,

    /// A rules file
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,

    /// A mapping for `shoal convert`
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,

    /// List the features that conditions can use
    #[arg(long)]
    features: bool,
}

impl CheckArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if self.features {
            write!(out, "{}", print::plain())?;
        }
        let mut mistakes = Vec::new();
        let mut connection = None;
        let mut rules_files: Vec<PathBuf> = self.rules.into_iter().collect();
        if let Some(file) = &self.config
            && let Some(settings) = collected(Settings::load(Some(file)), &mut mistakes)?
        {
            writeln!(out, "{}: settings are valid", file.display())?;
            rules_files.push(settings.rules);
            let read_again = match settings.snapshots.are_on() {
                true => ReadAgain::FromSnapshots,
                false => ReadAgain::FromTheBeginning,
            };
            connection = Some((settings.kafka, read_again)).filter(|_| self.connect);
        }
        for file in &rules_files {
            if let Some(rules) = collected(rules::read(file), &mut mistakes)? {
                print_valid(&mut out, file, &rules)?;
            }
        }
        if let Some(file) = &self.mapping
            && collected(Mapping::read(file), &mut mistakes)?.is_some()
        {
            writeln!(out, "{}: the mapping is valid", file.display())?;
        }
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes).into());
        }
        connection.map_or(Ok(()), |(settings, read_again)| connect(&mut out, &settings, read_again))
    }
}

/// Checks Kafka and prints the findings.
fn connect(out: &mut impl Write, settings: &KafkaSettings, read_again: ReadAgain) -> anyhow::Result<()> {
    let placements = [
        Placement {
            name: "murmur2",
            clients: "the default of Kafka's own clients, `murmur2_random` of librdkafka",
            partition_of: |key, count| partition_of(Partitioner::Murmur2, key, count),
        },
        Placement {
            name: "crc32",
            clients: "`consistent_random`, the default of librdkafka",
            partition_of: |key, count| partition_of(Partitioner::Crc32, key, count),
        },
    ];
    let mut findings = kafka::report(settings, read_again, &placements);
    if findings.iter().all(|finding| finding.verdict != Verdict::Error) {
        findings.push(worker::inspect_group(settings));
    }
    for finding in &findings {
        print_finding(out, finding)?;
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Error).count() {
        0 => Ok(()),
        errors => {
            Err(Failure::Stop(format!("{errors} of {} findings are errors: correct them first", findings.len())).into())
        }
    }
}

fn print_finding(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Error => "error",
    };
    writeln!(out, "{verdict:<8} {finding}")
}

/// Collects the mistakes of a file, so that the next file is checked too.
fn collected<T>(read: anyhow::Result<T>, mistakes: &mut Vec<Mistake>) -> anyhow::Result<Option<T>> {
    match read.map_err(|error| error.downcast::<Mistakes>()) {
        Ok(value) => Ok(Some(value)),
        Err(Ok(found)) => {
            mistakes.extend(found.0);
            Ok(None)
        }
        Err(Err(error)) => Err(error),
    }
}

fn print_valid(out: &mut impl Write, file: &Path, rules: &Rules) -> io::Result<()> {
    let audiences = rules.targets.iter().filter(|target| target.is_audience()).count();
    let segmentations = rules.targets.len() - audiences;
    let names: Vec<&str> = rules.targets.iter().map(|target| target.name.as_str()).collect();
    let alerts: Vec<&str> = rules.alerts.iter().map(|alert| alert.name.as_str()).collect();
    let alerts = match alerts.len() {
        0 => String::new(),
        count => format!(", {count} alerts ({})", alerts.join(", ")),
    };
    let counts: Vec<&str> = rules.event_settings.own_counts().map(|(name, _)| name).collect();
    let counts = match counts.len() {
        0 => String::new(),
        count => format!(", {count} counts ({})", counts.join(", ")),
    };
    writeln!(
        out,
        "{}: rules are valid, version {}: {segmentations} segmentations, {audiences} audiences ({}){alerts}{counts}",
        file.display(),
        rules.version,
        names.join(", ")
    )
}
