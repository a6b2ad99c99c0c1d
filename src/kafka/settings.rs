//! How to reach Kafka and which topics to use: section `[kafka]` of `shoal.toml`.

use super::Own;
use crate::document::duration::DurationSetting;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaSettings {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// The consumer group; also the first part of transactional ids.
    pub group: String,
    /// Name of this process within the group; stable over restarts, different for each process.
    pub instance: String,
    /// Input topics, in the order in which their records are merged.
    pub inputs: Vec<String>,
    /// How the inputs' producers choose the partition of a key: `murmur2`, `crc32` or `any`.
    pub partitioner: String,
    /// Where a shard with an empty journal begins.
    pub start: Start,
    pub topics: OwnTopics,
    /// Replicas of topics that Shoal creates; -1 is the broker's default.
    pub replication_factor: i32,
    /// Who assigns partitions: the group's members, or the broker (KIP-848).
    pub group_protocol: GroupProtocol,
    /// By topic, the time without any record after which time stands still until there is one again.
    pub hold_time_when_silent: BTreeMap<String, DurationSetting>,
    /// Under the classic protocol; otherwise the broker decides.
    pub session_timeout_ms: u32,
    /// How long a fetch waits on the broker for a record.
    pub fetch_wait_ms: u32,
    /// Megabytes that a worker may use for records that it has fetched and not yet applied, of all its inputs.
    pub fetch_buffer_mb: u32,
    /// A file with the token of the SASL mechanism OAUTHBEARER, read again before each token expires; empty: none.
    pub oauth_token_file: String,
    /// Further settings of every Kafka client, by their librdkafka names; most concern security.
    pub client: BTreeMap<String, String>,
}

impl KafkaSettings {
    /// Topics that are named twice or in two roles: key and message of each mistake.
    pub fn topic_mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        for (index, input) in self.inputs.iter().enumerate() {
            if input.is_empty() {
                mistakes.push(("kafka.inputs", "expected the names of topics, found an empty text".into()));
            } else if self.inputs[..index].contains(input) {
                mistakes.push(("kafka.inputs", format!("expected each topic once, found {input:?} again")));
            }
            if let Some((key, _)) = self.topics.named().into_iter().find(|(_, own)| own == input) {
                let message =
                    format!("expected topics with events, found {input:?}, which Shoal writes itself (`{key}`)");
                mistakes.push(("kafka.inputs", message));
            }
        }
        let (own, defaults) = (self.topics.named(), OwnTopics::default());
        for (index, (key, name)) in own.iter().enumerate() {
            if name.is_empty() {
                mistakes.push((*key, "expected the name of a topic, found an empty text".into()));
            } else if let Some((other, _)) = own[..index].iter().find(|(_, known)| known == name) {
                // The mistake is that of the name that was written.
                let is_default = defaults.named()[index].1 == *name;
                let (key, other) = if is_default { (other, key) } else { (key, other) };
                let message = format!("expected a topic of its own, found {name:?}, which `{other}` has");
                mistakes.push((*key, message));
            }
        }
        for topic in self.hold_time_when_silent.keys().filter(|topic| !self.inputs.contains(topic)) {
            let message = format!("expected topics of `kafka.inputs`, found {topic:?}");
            mistakes.push(("kafka.hold_time_when_silent", message));
        }
        mistakes
    }

    /// The SASL mechanism, if one is configured; librdkafka has two names for the setting.
    pub fn mechanism(&self) -> Option<&str> {
        ["sasl.mechanism", "sasl.mechanisms"].iter().find_map(|key| self.client.get(*key)).map(String::as_str)
    }
}

/// Shows only the names of the clients' settings: their values may be secrets.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut settings = f.debug_struct("KafkaSettings");
        settings.field("brokers", &self.brokers).field("group", &self.group).field("instance", &self.instance);
        settings.field("inputs", &self.inputs).field("client", &self.client.keys()).finish_non_exhaustive()
    }
}

/// Names of the topics that Shoal writes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnTopics {
    pub changes: String,
    pub membership: String,
    pub rejected: String,
    pub journal: String,
    pub control: String,
    pub census: String,
    pub alerts: String,
    pub rejected_retention_days: u32,
}

/// How record batches that Shoal writes are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    #[default]
    Lz4,
    Zstd,
}

impl Compression {
    /// The value of librdkafka's setting `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupProtocol {
    #[default]
    Classic,
    Consumer,
}

/// `"earliest"`, `"latest"`, or a moment as RFC 3339 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Start {
    Earliest,
    Latest,
    /// Milliseconds since 1970.
    Time(i64),
}

impl TryFrom<String> for Start {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => text.parse::<jiff::Timestamp>().map(|moment| Self::Time(moment.as_millisecond())).map_err(|_| {
                format!(
                    "expected \"earliest\", \"latest\" or a moment such as \"2026-01-01T00:00:00Z\", found {text:?}"
                )
            }),
        }
    }
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            group: "shoal".into(),
            instance: "shoal-0".into(),
            inputs: vec!["events".into()],
            partitioner: "murmur2".into(),
            start: Start::Earliest,
            topics: OwnTopics::default(),
            replication_factor: -1,
            group_protocol: GroupProtocol::Classic,
            hold_time_when_silent: BTreeMap::new(),
            session_timeout_ms: 45_000,
            fetch_wait_ms: 100,
            fetch_buffer_mb: 128,
            oauth_token_file: String::new(),
            client: BTreeMap::new(),
        }
    }
}

impl Default for OwnTopics {
    fn default() -> Self {
        Self {
            changes: "shoal.changes".into(),
            membership: "shoal.membership".into(),
            rejected: "shoal.rejected".into(),
            journal: "shoal.journal".into(),
            control: "shoal.control".into(),
            census: "shoal.census".into(),
            alerts: "shoal.alerts".into(),
            rejected_retention_days: 7,
        }
    }
}

impl OwnTopics {
    /// All names with their keys in the settings.
    fn named(&self) -> [(&'static str, &str); 7] {
        [
            ("kafka.topics.changes", &self.changes),
            ("kafka.topics.membership", &self.membership),
            ("kafka.topics.rejected", &self.rejected),
            ("kafka.topics.journal", &self.journal),
            ("kafka.topics.control", &self.control),
            ("kafka.topics.census", &self.census),
            ("kafka.topics.alerts", &self.alerts),
        ]
    }

    pub fn name(&self, topic: Own) -> &str {
        match topic {
            Own::Changes => &self.changes,
            Own::Membership => &self.membership,
            Own::Rejected => &self.rejected,
            Own::Journal => &self.journal,
            Own::Control => &self.control,
            Own::Census => &self.census,
            Own::Alerts => &self.alerts,
        }
    }
}

impl From<&Start> for super::StartAt {
    fn from(start: &Start) -> Self {
        match start {
            Start::Earliest => Self::Earliest,
            Start::Latest => Self::Latest,
            Start::Time(milliseconds) => Self::Time(*milliseconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let mut settings = KafkaSettings::default();
        settings.client.insert("sasl.password".into(), "hunter2".into());
        let printed = format!("{settings:?}");
        assert!(printed.contains("sasl.password") && !printed.contains("hunter2"), "{printed}");
    }
}
