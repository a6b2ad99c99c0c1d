//! `shoal check`: its arguments and its output.

use super::check_file::{self, FileKind};
use crate::config::{Settings, rules};
use crate::document::{self, Mistake, Mistakes, Origin, TextPosition};
use crate::engine::decode::{Partitioner, partition_of};
use crate::engine::feature::print;
use crate::engine::rule::Rules;
use crate::kafka::{self, Failure, Finding, KafkaSettings, Placement, ReadAgain, Verdict};
use crate::offline::convert::mapping::Mapping;
use crate::worker;
use anyhow::bail;
use clap::Args;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Checks settings, rules and mappings, and reports all mistakes at once
///
/// Each mistake is reported with file, line and column, what was expected and what was found, and the nearest known
/// name. With any mistake the exit status is 78. A settings file is checked together with the environment variables
/// that override it and with the rules file that it names. What kind of file FILE is, is seen from its keys.
///
/// Rules are also searched for what is valid and hardly meant: conditions that never or always hold or only for a
/// millisecond, segments that no customer reaches, declarations that nothing uses. These are warnings, which do not
/// change the exit status; with --strict they count as mistakes.
///
/// With --connect everything that `shoal run` needs of Kafka is checked too, and the cause of each failure is reported;
/// then the exit status is 3. Nothing is changed in Kafka except a transactional id of its own.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  shoal check config/rules.toml
  shoal check --strict config/demo/rules.toml config/mappings/online-retail.toml
  shoal check --config /etc/shoal/shoal.toml
  shoal check --connect --config /etc/shoal/shoal.toml
  shoal check --features                 # the features that rules can use")]
#[group(required = true, multiple = true)]
pub struct CheckArguments {
    /// Files to check: settings, rules or mappings, which is seen from their keys
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// A settings file, with the rules file that it names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Check Kafka too: brokers, topics, partitioner, rights
    #[arg(long)]
    connect: bool,

    /// A rules file
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,

    /// A mapping for `shoal convert`
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,

    /// Treat warnings as mistakes
    #[arg(long)]
    strict: bool,

    /// List the features that conditions can use
    #[arg(long)]
    features: bool,
}

/// What was found so far.
#[derive(Default)]
struct Checked {
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    rules: Vec<Arc<Rules>>,
    mappings: Vec<(PathBuf, Mapping)>,
    connection: Option<(KafkaSettings, ReadAgain)>,
}

impl CheckArguments {
    pub fn run(self) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if self.features {
            write!(out, "{}", print::plain())?;
        }
        let mut checked = Checked::default();
        let named =
            [(FileKind::Settings, &self.config), (FileKind::Rules, &self.rules), (FileKind::Mapping, &self.mapping)];
        let mut files: Vec<(FileKind, PathBuf)> =
            named.into_iter().filter_map(|(kind, file)| Some((kind, file.clone()?))).collect();
        for file in self.files {
            if let Some(kind) = collected(check_file::guess(&file), &mut checked.mistakes)? {
                files.push((kind, file));
            }
        }
        if self.connect && !files.iter().any(|(kind, _)| *kind == FileKind::Settings) {
            bail!("--connect: expected the settings of the Kafka cluster, found none; name them with --config");
        }
        for (kind, file) in files {
            match kind {
                FileKind::Settings => checked.settings(&mut out, &file)?,
                FileKind::Rules => checked.rules(&mut out, &file)?,
                FileKind::Mapping => checked.mapping(&mut out, file)?,
            }
        }
        checked.mappings_beside_rules();
        let Checked { mut mistakes, warnings, connection, .. } = checked;
        match self.strict {
            true => mistakes.extend(warnings),
            false => warnings.iter().for_each(print_warning),
        }
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes).into());
        }
        let connection = connection.filter(|_| self.connect);
        connection.map_or(Ok(()), |(settings, read_again)| connect(&mut out, &settings, read_again))
    }
}

impl Checked {
    fn settings(&mut self, out: &mut impl Write, file: &Path) -> anyhow::Result<()> {
        match collected(Settings::load(Some(file)), &mut self.mistakes)? {
            Some(settings) => {
                writeln!(out, "{}: settings are valid", file.display())?;
                let read_again = match settings.snapshots.are_on() {
                    true => ReadAgain::FromSnapshots,
                    false => ReadAgain::FromTheBeginning,
                };
                self.connection = Some((settings.kafka, read_again));
                self.rules(out, &settings.rules)
            }
            // With mistakes elsewhere the rules are checked nevertheless.
            None => match Settings::rules_of(file).filter(|rules| rules.exists()) {
                Some(rules) => self.rules(out, &rules),
                None => Ok(()),
            },
        }
    }

    fn rules(&mut self, out: &mut impl Write, file: &Path) -> anyhow::Result<()> {
        let (read, warnings) = rules::review(file)?;
        self.warnings.extend(warnings.0);
        if let Some(rules) = collected(read.map_err(Into::into), &mut self.mistakes)? {
            print_valid(out, file, &rules)?;
            self.rules.push(rules);
        }
        Ok(())
    }

    fn mapping(&mut self, out: &mut impl Write, file: PathBuf) -> anyhow::Result<()> {
        if let Some(mapping) = collected(Mapping::read(&file), &mut self.mistakes)? {
            writeln!(out, "{}: the mapping is valid", file.display())?;
            self.mappings.push((file, mapping));
        }
        Ok(())
    }

    /// Warns of what a mapping writes and rules that were checked with it do not accept.
    fn mappings_beside_rules(&mut self) {
        for (file, mapping) in &self.mappings {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let origin = |path: &[&str]| {
                Origin::File(
                    file.display().to_string(),
                    document::position_of(&text, path).unwrap_or(TextPosition::START),
                )
            };
            for rules in &self.rules {
                let currency = &rules.event_settings.currency;
                let written = mapping.amount.currency.as_deref().map(str::to_ascii_uppercase);
                if let Some(code) = written.filter(|code| !currency.knows(code)) {
                    let message =
                        format!("the currency {code} has no rate in the rules, whose base is {}", currency.base);
                    let hint = format!(
                        "all orders would be rejected: add rates = {{ {code} = \"…\" }} under [currency] in the rules"
                    );
                    let origin = origin(&["amount", "currency"]);
                    self.warnings.push(Mistake { origin, message, hint: Some(hint) });
                }
                let declared =
                    |name: &str| rules.event_settings.declared_attributes().any(|(_, known)| known.name == name);
                for name in mapping.attributes.keys().filter(|name| !declared(name)) {
                    let message = format!("the attribute `{name}` is not declared in the rules, which ignore it");
                    let hint = Some("declare it under [attributes] in the rules".to_owned());
                    self.warnings.push(Mistake { origin: origin(&["attributes", name]), message, hint });
                }
            }
        }
    }
}

fn print_warning(warning: &Mistake) {
    let Mistake { origin, message, hint } = warning;
    let hint = hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    eprintln!("{origin}: warning: {message}{hint}");
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
    let retired: Vec<&str> = rules.retired.iter().map(|target| target.name.as_str()).collect();
    let retired = match retired.len() {
        0 => String::new(),
        count => format!(", {count} retired ({})", retired.join(", ")),
    };
    writeln!(
        out,
        "{}: rules are valid, version {}: {segmentations} segmentations, {audiences} audiences ({}){alerts}{counts}{retired}",
        file.display(),
        rules.version,
        names.join(", ")
    )
}
