//! `shoal.toml`: how Shoal runs. Each part of the program declares its own settings; they are only composed here.
//!
//! The shipped `config/shoal.toml` is compiled in: its values are the defaults, its keys are the known ones.

pub mod layers;
pub mod rules;

use crate::document::Mistakes;
use crate::document::schema::Schema;
use crate::http::AdminSettings;
use crate::kafka::KafkaSettings;
use crate::store::SnapshotSettings;
use crate::worker::{AlertSettings, OutputSettings, TracesSettings, WorkerSettings};
use anyhow::Context;
use serde::Deserialize;
use std::path::{Path, PathBuf};

const SHIPPED: &str = include_str!("../config/shoal.toml");
/// Tables whose keys are free: names of librdkafka's settings, of topics, of options of the object store.
const OPEN: &[&str] = &["kafka.client", "kafka.hold_time_when_silent", "snapshots.store"];

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The rules file.
    pub rules: PathBuf,
    pub kafka: KafkaSettings,
    pub worker: WorkerSettings,
    pub output: OutputSettings,
    pub snapshots: SnapshotSettings,
    pub admin: AdminSettings,
    pub traces: TracesSettings,
    pub alerts: AlertSettings,
    pub log: LogSettings,
}

/// What is logged to standard error.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    pub level: LogLevel,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON lines otherwise.
    Auto,
    Text,
    Json,
}

/// The tables and keys at the top of a settings file.
pub fn sections() -> Vec<String> {
    let shipped: toml::Table = SHIPPED.parse().expect("the shipped settings are TOML");
    shipped.keys().cloned().collect()
}

impl Settings {
    /// Reads the file, if one is given, over the defaults, and the environment of the process over both. Relative paths
    /// in the file are relative to its folder, those in the environment to the working directory.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let text = file.map(std::fs::read_to_string).transpose();
        let name = file.map(|file| file.display().to_string()).unwrap_or_default();
        let text = text.with_context(|| format!("cannot read settings {name}"))?;
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut settings = Self::from_layers(text.as_deref().map(|text| (name.as_str(), text)), environment)?;
        let is_in_environment = |name: &str| std::env::var_os(name).is_some();
        if let Some(folder) = file.and_then(Path::parent) {
            if !is_in_environment("SHOAL__RULES") {
                settings.rules = folder.join(&settings.rules);
            }
            if !is_in_environment("SHOAL__ALERTS__WEBHOOK_SECRET_FILE") {
                settings.alerts.resolve_paths(folder);
            }
            if !is_in_environment("SHOAL__SNAPSHOTS__URL") {
                settings.snapshots.resolve_paths(folder);
            }
        }
        Ok(settings)
    }

    /// The rules file that a settings file names, whatever else is wrong with it.
    pub fn rules_of(file: &Path) -> Option<PathBuf> {
        if let Some(rules) = std::env::var_os("SHOAL__RULES") {
            return Some(rules.into());
        }
        let text = std::fs::read_to_string(file).ok()?;
        let (settings, _) = crate::document::schema::read("", &text, &Self::schema());
        let rules = settings.into_iter().find(|setting| setting.key() == "rules")?;
        Some(file.parent()?.join(rules.value.as_str()?))
    }

    fn schema() -> Schema {
        Schema { example: SHIPPED.parse().expect("the shipped settings are TOML"), open: OPEN }
    }

    fn from_layers(
        file: Option<layers::File<'_>>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Mistakes> {
        layers::load(&Self::schema(), file, environment, Self::validate)
    }

    /// Values that have the right type and still cannot be used.
    fn validate(&self) -> Vec<layers::InvalidSetting> {
        let mut invalid = Vec::new();
        let mut expect = |is_valid: bool, key: &'static str, message: String| {
            if !is_valid {
                invalid.push((key, message));
            }
        };
        let Self { kafka, worker, snapshots, admin, traces, alerts, .. } = self;
        let partitioners = ["murmur2", "crc32", "any"];
        let partitioner = &kafka.partitioner;
        let message = format!("expected \"murmur2\", \"crc32\" or \"any\", found {partitioner:?}");
        expect(partitioners.contains(&partitioner.as_str()), "kafka.partitioner", message);
        expect(!kafka.inputs.is_empty(), "kafka.inputs", "expected at least one topic".into());
        for (key, message) in kafka.topic_mistakes() {
            expect(false, key, message);
        }
        for (key, name) in
            [("kafka.brokers", &kafka.brokers), ("kafka.group", &kafka.group), ("kafka.instance", &kafka.instance)]
        {
            expect(!name.is_empty(), key, "expected a text that is not empty".into());
        }
        let (has_token, mechanism) = (!kafka.oauth_token_file.is_empty(), kafka.mechanism().unwrap_or("none"));
        let message =
            format!("expected the file of a token if, and only if, `sasl.mechanism` is OAUTHBEARER; it is {mechanism}");
        expect(has_token == (mechanism == "OAUTHBEARER"), "kafka.oauth_token_file", message);
        expect(worker.workers > 0, "worker.workers", "expected at least 1".into());
        if let Some(message) = snapshots.location().err().filter(|_| snapshots.are_on()) {
            expect(false, "snapshots.url", message);
        }
        expect(traces.url().is_ok(), "traces.endpoint", traces.url().err().unwrap_or_default());
        expect(
            snapshots.keep >= 2,
            "snapshots.keep",
            "expected at least 2, so that one is left if another is damaged".into(),
        );
        if let Some((key, message)) = alerts.validate() {
            expect(false, key, message);
        }
        invalid.extend(admin.validate());
        invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::duration::DurationSetting;
    use crate::kafka::{Compression, GroupProtocol, Start};
    use crate::worker::OutputHeaders;

    #[test]
    fn the_shipped_file_is_the_defaults() {
        let shipped = Settings::from_layers(None, []).unwrap();
        assert_eq!(shipped.kafka, KafkaSettings::default());
        assert_eq!(shipped.worker, WorkerSettings::default());
        assert_eq!(shipped.output, OutputSettings::default());
        assert_eq!(shipped.snapshots, SnapshotSettings::default());
        assert_eq!(shipped.admin, AdminSettings::default());
        assert_eq!(shipped.traces, TracesSettings::default());
        assert_eq!(shipped.alerts, AlertSettings::default());
        assert_eq!(Settings::from_layers(Some(("shoal.toml", SHIPPED)), []).unwrap(), shipped);
    }

    #[test]
    fn the_group_protocol_and_silent_topics_are_configured() {
        let file = "[kafka]\ninputs = [\"visits\"]\ngroup_protocol = \"consumer\"\n[kafka.hold_time_when_silent]\nvisits = \"30s\"\n";
        let settings = Settings::from_layers(Some(("shoal.toml", file)), []).unwrap();
        assert_eq!(settings.kafka.group_protocol, GroupProtocol::Consumer);
        assert_eq!(settings.kafka.hold_time_when_silent["visits"], DurationSetting(30_000));
        let wrong = "[kafka.hold_time_when_silent]\nvisits = \"soon\"\n";
        let message = Settings::from_layers(Some(("shoal.toml", wrong)), []).unwrap_err().to_string();
        assert!(
            message.starts_with("shoal.toml:2:10: `kafka.hold_time_when_silent.visits`: expected a duration"),
            "{message}"
        );
    }

    #[test]
    fn outputs_are_configured_and_mistakes_name_what_there_is() {
        let load = |file: &str| Settings::from_layers(Some(("shoal.toml", file)), []);
        let output = load("[output]\nheaders = \"all\"\ncompression = \"zstd\"\n").unwrap().output;
        assert_eq!(
            output,
            OutputSettings { headers: OutputHeaders::All, membership: true, compression: Compression::Zstd }
        );
        let output = load("[output]\nheaders = \"none\"\nmembership = false\n").unwrap().output;
        let expected =
            OutputSettings { headers: OutputHeaders::None, membership: false, compression: Compression::default() };
        assert_eq!(output, expected);
        let file = "[output]\nheaders = \"some\"\ncompression = \"gzip\"\nmemberships = false\n";
        let message = load(file).unwrap_err().to_string();
        for expected in [
            "shoal.toml:2:11: `output.headers`: unknown variant `some`, expected one of `all`, `cloudevents`, `none`",
            "shoal.toml:3:15: `output.compression`: unknown variant `gzip`, expected one of `none`, `lz4`, `zstd`",
            "shoal.toml:4:1: unknown key `output.memberships`",
        ] {
            assert!(message.lines().any(|line| line.starts_with(expected)), "{expected}\nis not in\n{message}");
        }
        let environment = [("SHOAL__OUTPUT__MEMBERSHIP".to_owned(), "no".to_owned())];
        let message = Settings::from_layers(None, environment).unwrap_err().to_string();
        assert_eq!(
            message,
            "environment variable SHOAL__OUTPUT__MEMBERSHIP: `output.membership`: expected true or false, found \"no\""
        );
    }

    #[test]
    fn a_topic_has_one_role() {
        let file = "[kafka]\ninputs = [\"orders\", \"views\", \"orders\", \"shoal.changes\"]\ngroup_protocol = \"none\"\n\
                    [kafka.topics]\nrejected = \"shoal.journal\"\n[kafka.hold_time_when_silent]\nvisits = \"30s\"\n\
                    [snapshots]\nkeep = 1\n";
        let message = Settings::from_layers(Some(("shoal.toml", file)), []).unwrap_err().to_string();
        let expected = [
            "shoal.toml:3:18: `kafka.group_protocol`: unknown variant `none`, expected `classic` or `consumer`",
            "shoal.toml:2:10: `kafka.inputs`: expected each topic once, found \"orders\" again",
            "shoal.toml:2:10: `kafka.inputs`: expected topics with events, found \"shoal.changes\", which Shoal writes itself (`kafka.topics.changes`)",
            "shoal.toml:5:12: `kafka.topics.rejected`: expected a topic of its own, found \"shoal.journal\", which `kafka.topics.journal` has",
            "shoal.toml:7:10: `kafka.hold_time_when_silent`: expected topics of `kafka.inputs`, found \"visits\"",
            "shoal.toml:9:8: `snapshots.keep`: expected at least 2, so that one is left if another is damaged",
        ];
        assert_eq!(message.lines().collect::<Vec<_>>(), expected);
        let environment = [("SHOAL__KAFKA__INPUTS".to_owned(), "a,b,a".to_owned())];
        let message = Settings::from_layers(None, environment).unwrap_err().to_string();
        assert_eq!(
            message,
            "environment variable SHOAL__KAFKA__INPUTS: `kafka.inputs`: expected each topic once, found \"a\" again"
        );
    }

    #[test]
    fn a_token_file_belongs_to_its_mechanism() {
        let load = |file: &str| Settings::from_layers(Some(("shoal.toml", file)), []);
        let settings =
            load("[kafka]\noauth_token_file = \"/t\"\n[kafka.client]\n\"sasl.mechanism\" = \"OAUTHBEARER\"\n");
        assert_eq!(settings.unwrap().kafka.oauth_token_file, "/t", "the name of the file, which is not read here");
        let message = load("[kafka]\noauth_token_file = \"/t\"\n").unwrap_err().to_string();
        assert!(
            message.starts_with("shoal.toml:2:20: `kafka.oauth_token_file`: expected the file of a token if"),
            "{message}"
        );
        let message = load("[kafka.client]\n\"sasl.mechanisms\" = \"OAUTHBEARER\"\n").unwrap_err().to_string();
        assert!(message.contains("`kafka.oauth_token_file`: expected the file of a token"), "{message}");
    }

    #[test]
    fn snapshots_have_a_location_an_interval_and_options() {
        let load = |file: &str| Settings::from_layers(Some(("shoal.toml", file)), []);
        let file = "[snapshots]\nurl = \"s3://b/p\"\ninterval = \"90s\"\n[snapshots.store]\naws_region = \"eu\"\n";
        let snapshots = load(file).unwrap().snapshots;
        assert_eq!((snapshots.interval.0, snapshots.store["aws_region"].as_str()), (90_000, "eu"));
        assert!(!load("[snapshots]\nurl = \"\"\n").unwrap().snapshots.are_on());
        let message = load("[snapshots]\nurl = \"ftp://b\"\n").unwrap_err().to_string();
        assert!(message.starts_with("shoal.toml:2:7: `snapshots.url`: expected a folder"), "{message}");
        let message = load("[snapshots]\nkeep = 1\n").unwrap_err().to_string();
        assert!(message.starts_with("shoal.toml:2:8: `snapshots.keep`: expected at least 2"), "{message}");
    }

    #[test]
    fn an_unprotected_admin_address_is_a_mistake_with_its_position() {
        let messages = |file: &str| Settings::from_layers(Some(("shoal.toml", file)), []).unwrap_err().to_string();
        let open = messages("[admin]\naddress = \"0.0.0.0:9464\"\n");
        assert!(open.starts_with("shoal.toml:2:11: `admin.address`: expected a loopback address"), "{open}");
        let open = messages("[admin]\nmetrics_token_file = \"/nowhere\"\nkey_file = \"/k\"\n");
        let [key, token]: [&str; 2] = open.lines().collect::<Vec<_>>().try_into().unwrap();
        assert!(key.starts_with("shoal.toml:3:12: `admin.key_file`: expected `certificate_file`"), "{key}");
        assert!(token.starts_with("shoal.toml:2:22: `admin.metrics_token_file`: the token file /nowhere"), "{token}");
    }

    #[test]
    fn a_start_is_a_name_or_a_moment() {
        let start = |text: &str| {
            let file = format!("[kafka]\nstart = {text:?}\n");
            Settings::from_layers(Some(("shoal.toml", &file)), []).map(|settings| settings.kafka.start)
        };
        assert_eq!(start("latest"), Ok(Start::Latest));
        assert_eq!(start("1970-01-01T00:00:01Z"), Ok(Start::Time(1_000)));
        let message = start("yesterday").unwrap_err().to_string();
        assert!(message.starts_with("shoal.toml:2:9: `kafka.start`: expected \"earliest\""), "{message}");
    }
}
