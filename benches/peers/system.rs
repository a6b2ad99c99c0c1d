//! The systems that are compared: what each promises, and how it is started.

use crate::arguments::option;
use crate::support::{Broker, own_topics};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where `benches/peers/run` has built the jobs and the yardstick.
const JOBS: &str = "target/peers/jobs";
const DISCARD: &str = "target/peers/discard/release/discard";

#[derive(Clone)]
pub struct System {
    /// For `--only`.
    pub name: &'static str,
    /// For the report.
    pub title: &'static str,
    pub promise: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Consumes by librdkafka, does nothing, and ends.
    Discard,
    Shoal,
    /// A job on the Java machine: its class, its file of settings, further settings.
    Java {
        class: &'static str,
        settings: &'static str,
        further: &'static [&'static str],
    },
}

/// What a run of a system has of its own.
pub struct Place<'a> {
    pub broker: &'a Broker,
    pub folder: &'a Path,
    pub input: &'a str,
    /// Name of the group, and prefix of its topics.
    pub run: &'a str,
}

impl Place<'_> {
    /// The topic with the changes.
    pub fn output(&self) -> String {
        format!("{}.changes", self.run)
    }
}

impl System {
    pub fn all() -> Vec<Self> {
        let streams = |settings, further| Kind::Java { class: "peers.KafkaStreamsJob", settings, further };
        let flink = |settings| Kind::Java { class: "peers.FlinkJob", settings, further: &[] };
        let system = |name, title, promise, kind| Self { name, title, promise, kind };
        let (memory, rocksdb): (&'static [_], &'static [_]) = (&["store=memory"], &["store=rocksdb"]);
        vec![
            system("discard", "librdkafka, discarding", "nothing", Kind::Discard),
            Self::shoal(),
            system("flink", "Flink 2.2, heap", "exactly once, readable within 1 s", flink("flink-default.properties")),
            system(
                "flink-tuned",
                "Flink 2.2, heap, tuned",
                "exactly once, readable within 10 s",
                flink("flink-tuned.properties"),
            ),
            system(
                "streams",
                "Kafka Streams 4.1, in memory",
                "exactly once, readable within 0.1 s",
                streams("kafka-streams-default.properties", memory),
            ),
            system(
                "streams-tuned",
                "Kafka Streams 4.1, in memory, tuned",
                "exactly once, readable within 1 s",
                streams("kafka-streams-tuned.properties", memory),
            ),
            system(
                "rocksdb",
                "Kafka Streams 4.1, RocksDB",
                "exactly once, readable within 0.1 s",
                streams("kafka-streams-default.properties", rocksdb),
            ),
            system(
                "rocksdb-tuned",
                "Kafka Streams 4.1, RocksDB, tuned",
                "exactly once, readable within 1 s",
                streams("kafka-streams-tuned.properties", rocksdb),
            ),
        ]
    }

    pub fn shoal() -> Self {
        Self {
            name: "shoal",
            title: "Shoal",
            promise: "exactly once, readable within 0.05 s; reasons, forecasts, membership, duplicates and late events",
            kind: Kind::Shoal,
        }
    }

    pub fn is_shoal(&self) -> bool {
        self.kind == Kind::Shoal
    }

    pub fn is_discard(&self) -> bool {
        self.kind == Kind::Discard
    }

    /// The longest time until what was processed is committed.
    pub fn commit_time(&self) -> Duration {
        match self.kind {
            Kind::Discard => Duration::ZERO,
            Kind::Shoal => Duration::from_millis(50),
            Kind::Java { settings, .. } => {
                let text = setting(&settings_file(settings), "commit.ms").expect("commit.ms");
                Duration::from_millis(text.parse().expect("commit.ms is a number"))
            }
        }
    }

    /// The command that runs it, until SIGTERM except for the yardstick, which ends.
    pub fn command(&self, place: &Place<'_>) -> Command {
        match self.kind {
            Kind::Discard => {
                let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(DISCARD));
                command.args([&place.broker.address, place.input]);
                command
            }
            Kind::Shoal => shoal(place),
            Kind::Java { class, settings, further } => java(class, &settings_file(settings), further, place),
        }
    }
}

fn shoal(place: &Place<'_>) -> Command {
    let Place { broker, folder, input, run } = place;
    fs::write(folder.join("rules.toml"), include_str!("settings/shoal-rules.toml")).expect("rules file");
    let settings = format!(
        r#"rules = "rules.toml"
[kafka]
brokers = "{}"
group = "{run}"
inputs = ["{input}"]
[kafka.topics]
{}[admin]
address = "127.0.0.1:0"
"#,
        broker.address,
        own_topics(run)
    );
    fs::write(folder.join("shoal.toml"), settings).expect("settings file");
    // A debug build, unless the runner has made another.
    let program = option("--shoal").unwrap_or_else(|| env!("CARGO_BIN_EXE_shoal").to_owned());
    let mut command = Command::new(program);
    command.args(["run", "--config", "shoal.toml"]);
    command
}

fn java(class: &str, settings: &Path, further: &[&str], place: &Place<'_>) -> Command {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join(JOBS);
    let mut command = Command::new("java");
    command.args(setting(settings, "java.options").expect("java.options").split_whitespace());
    command.args(OPENED.iter().flat_map(|package| ["--add-opens", *package]));
    command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    command.arg("-cp").arg(format!("{0}/classes:{0}/lib/*", jobs.display())).arg(class);
    command.arg(settings).args([&place.broker.address, place.input, &place.output(), place.run]);
    command.arg(place.folder.join("state")).args(further);
    command
}

/// What Flink's own start script opens to it.
const OPENED: [&str; 4] = [
    "java.base/java.lang=ALL-UNNAMED",
    "java.base/java.util=ALL-UNNAMED",
    "java.base/java.util.concurrent=ALL-UNNAMED",
    "java.base/java.lang.reflect=ALL-UNNAMED",
];

fn settings_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/settings").join(name)
}

/// The value of a line `name = value`.
fn setting(file: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).next()
}
