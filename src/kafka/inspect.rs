//! What is asked of the topics and of the group before anything runs: looked at by `shoal run`, and told by `shoal check`.
//!
//! Inspections only compare what the broker told ([`Seen`]) with what is needed; each gives [`Finding`]s, plain data.

use super::raw_admin::{Described, Operation};
use super::{Failure, KafkaSettings, Own};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::HashMap;
use std::fmt::{self, Display};

const DAY_MS: i64 = 86_400_000;
/// What is younger is not compacted yet: some hundred records of each shard.
const CENSUS_SEGMENT_MS: i64 = DAY_MS / 4;
/// Fewer replicas lose acknowledged records with a broker, or stop with one.
const REPLICAS_MIN: usize = 3;
const IN_SYNC_MIN: u32 = 2;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Well,
    /// Shoal runs, but somebody should know.
    Warning,
    /// Shoal does not run like this.
    Wrong,
}

/// What was looked at, and the result in words; if it is wrong, also what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub about: String,
    pub verdict: Verdict,
    pub words: String,
}

impl Finding {
    pub fn new(about: impl Into<String>, verdict: Verdict, words: impl Into<String>) -> Self {
        Self { about: about.into(), verdict, words: words.into() }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.words)
    }
}

/// Tells warnings in the log, and refuses if something is wrong.
pub fn refuse(findings: Vec<Finding>) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for finding in findings {
        match finding.verdict {
            Verdict::Well => {}
            Verdict::Warning => tracing::warn!("{finding}"),
            Verdict::Wrong => wrong.push(finding.to_string()),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Stop(wrong.join("\n"))) }
}

/// A topic as the broker tells it.
pub struct Seen {
    pub described: Described,
    /// Empty if it may not be read.
    pub settings: HashMap<String, String>,
}

impl Seen {
    pub fn name(&self) -> &str {
        &self.described.name
    }

    pub fn exists(&self) -> bool {
        self.described.error.is_none()
    }

    pub fn is_missing(&self) -> bool {
        use RDKafkaErrorCode::{UnknownTopic, UnknownTopicOrPartition};
        matches!(self.described.error, Some(UnknownTopic | UnknownTopicOrPartition))
    }

    /// We may not know whether it exists.
    pub fn is_hidden(&self) -> bool {
        self.described.error == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
    }

    pub fn partitions(&self) -> u32 {
        self.described.replicas.len() as u32
    }

    pub fn setting(&self, key: &str) -> &str {
        self.settings.get(key).map_or("", String::as_str)
    }
}

/// Input topics, each for itself and all together. About those that we may not see, see [`rights`].
pub fn inputs(inputs: &[Seen]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = inputs.iter().filter(|seen| !seen.is_hidden()).map(input).collect();
    if inputs.iter().all(Seen::exists) && inputs.iter().any(|seen| seen.partitions() != inputs[0].partitions()) {
        let counts: Vec<String> =
            inputs.iter().map(|seen| format!("{} has {}", seen.name(), seen.partitions())).collect();
        let words = format!(
            "the numbers of partitions must be equal: {}. Make the topics anew with equal numbers, all with one partitioner",
            counts.join(", ")
        );
        findings.push(Finding::new("inputs", Verdict::Wrong, words));
    }
    let short: Vec<String> = inputs.iter().filter_map(short_retention).collect();
    if !short.is_empty() {
        let words = format!(
            "records expire: {}. After a restart Shoal reads the inputs again from where its journal begins, so they must be \
             kept: set both to -1",
            short.join(", ")
        );
        findings.push(Finding::new("retention", Verdict::Warning, words));
    }
    findings
}

fn input(seen: &Seen) -> Finding {
    let policy = seen.setting("cleanup.policy");
    let (verdict, words) = if let Some(code) = seen.described.error {
        let words = match seen.is_missing() {
            true => "does not exist. Create it, or correct `inputs` of [kafka]".to_owned(),
            false => untold(code),
        };
        (Verdict::Wrong, words)
    } else if policy.contains("compact") {
        let words = format!(
            "is compacted (cleanup.policy = {policy}): events that are gone cannot be read again. Set cleanup.policy to delete"
        );
        (Verdict::Wrong, words)
    } else {
        (Verdict::Well, format!("{}, not compacted", of_partitions(seen.partitions())))
    };
    Finding::new(format!("input {}", seen.name()), verdict, words)
}

fn untold(code: RDKafkaErrorCode) -> String {
    format!("the broker tells nothing about it: {code}. Are all brokers running?")
}

fn short_retention(seen: &Seen) -> Option<String> {
    let shown = |key: &str| match seen.setting(key) {
        "" | "-1" => None,
        value => Some(format!("{} has {key} = {value}", seen.name())),
    };
    shown("retention.ms").or_else(|| shown("retention.bytes"))
}

/// Topics of our own that are there, compared with what they are made with. Without `shards` numbers of partitions are
/// not compared.
pub fn own(settings: &KafkaSettings, topics: &[(Own, Seen)], shards: Option<u32>) -> Vec<Finding> {
    let there = topics.iter().filter(|(_, seen)| !seen.is_missing() && !seen.is_hidden());
    there.map(|(own, seen)| own_topic(settings, *own, seen, shards)).collect()
}

fn own_topic(settings: &KafkaSettings, own: Own, seen: &Seen, shards: Option<u32>) -> Finding {
    let about = format!("topic {}", seen.name());
    if let Some(code) = seen.described.error {
        return Finding::new(about, Verdict::Wrong, untold(code));
    }
    let mut wrong = Vec::new();
    let count = seen.partitions();
    if let Some(expected) = shards.map(|shards| own.partitions(shards)).filter(|expected| *expected != count) {
        let like = if own.is_single() { "" } else { ", as the inputs have" };
        let count = of_partitions(count);
        wrong.push(format!("has {count}; expected {expected}{like}"));
    }
    let policy = seen.setting("cleanup.policy");
    let wants_compacted = matches!(own, Own::Membership | Own::Census | Own::Alerts);
    // Without the right to read settings there is nothing to compare; that is a finding of its own.
    if !policy.is_empty() && policy.contains("compact") != wants_compacted {
        let expected = if wants_compacted { "compact" } else { "delete" };
        wrong.push(format!("has cleanup.policy = {policy}; expected {expected}"));
    }
    for (key, expected) in wanted(settings, own).into_iter().filter(|(_, value)| value == "-1") {
        if !matches!(seen.setting(key), "" | "-1") {
            let found = seen.setting(key);
            wrong.push(format!("has {key} = {found}; expected {expected}, since recovery reads it from its beginning"));
        }
    }
    if wrong.is_empty() {
        return Finding::new(about, Verdict::Well, format!("{}, settings as needed", of_partitions(count)));
    }
    let words = format!("{}. Correct it, or give Shoal another topic in [kafka.topics]", wrong.join("; "));
    Finding::new(about, Verdict::Wrong, words)
}

pub fn of_partitions(count: u32) -> String {
    if count == 1 { "1 partition".into() } else { format!("{count} partitions") }
}

/// Settings that a topic of ours is made with.
pub fn wanted(settings: &KafkaSettings, own: Own) -> Vec<(&'static str, String)> {
    match own {
        Own::Changes => vec![],
        Own::Membership | Own::Alerts => vec![("cleanup.policy", "compact".into())],
        // Its keys come again and again, and who decides on alerts reads all of it: the log is kept short.
        Own::Census => vec![("cleanup.policy", "compact".into()), ("segment.ms", CENSUS_SEGMENT_MS.to_string())],
        Own::Rejected => {
            let retention = i64::from(settings.topics.rejected_retention_days) * DAY_MS;
            vec![("cleanup.policy", "delete".into()), ("retention.ms", retention.to_string())]
        }
        Own::Journal | Own::Control => {
            vec![("cleanup.policy", "delete".into()), ("retention.ms", "-1".into()), ("retention.bytes", "-1".into())]
        }
    }
}

/// Whether acknowledged records survive the loss of a broker.
pub fn replication<'a>(topics: impl Iterator<Item = &'a Seen> + Clone) -> Vec<Finding> {
    let there = topics.filter(|seen| seen.exists());
    let replicas = |seen: &Seen| seen.described.replicas.iter().min().copied().unwrap_or(0);
    let few: Vec<String> = there
        .clone()
        .filter(|seen| replicas(seen) < REPLICAS_MIN)
        .map(|seen| format!("{} {}", seen.name(), replicas(seen)))
        .collect();
    let in_sync = |seen: &Seen| seen.setting("min.insync.replicas").parse::<u32>().unwrap_or(IN_SYNC_MIN);
    let lax: Vec<String> = there
        .filter(|seen| in_sync(seen) < IN_SYNC_MIN)
        .map(|seen| format!("{} {}", seen.name(), in_sync(seen)))
        .collect();
    let told = |about: &str, least: &dyn Display, found: Vec<String>| {
        let words = format!(
            "below {least}: {}. Records that were acknowledged can be lost with a broker; that is for trying things out only",
            found.join(", ")
        );
        (!found.is_empty()).then(|| Finding::new(about, Verdict::Warning, words))
    };
    let findings = [told("replication factor", &REPLICAS_MIN, few), told("min.insync.replicas", &IN_SYNC_MIN, lax)];
    findings.into_iter().flatten().collect()
}

const READ: Operation = Operation::RD_KAFKA_ACL_OPERATION_READ;
const WRITE: Operation = Operation::RD_KAFKA_ACL_OPERATION_WRITE;
const SETTINGS: Operation = Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS;

/// What must be allowed on inputs.
pub const INPUT_RIGHTS: [Operation; 2] = [READ, SETTINGS];
/// What must be allowed on our own topics. Changes are read too: recovery compares their ends with the journal.
pub const OWN_RIGHTS: [Operation; 3] = [READ, WRITE, SETTINGS];
/// What must be allowed on a topic that events are written to.
pub const PRODUCE_RIGHTS: [Operation; 2] = [WRITE, SETTINGS];
/// What must be allowed on the consumer group.
pub const GROUP_RIGHTS: [Operation; 1] = [READ];

/// The rights that are missing on a topic or group, if any are. A broker that does not tell is believed to grant them.
pub fn rights(kind: &str, described: &Described, needed: &[Operation]) -> Option<Finding> {
    use RDKafkaErrorCode::{GroupAuthorizationFailed, TopicAuthorizationFailed};
    let (is_missing, and): (&dyn Fn(&Operation) -> bool, &str) = match (described.error, &described.allowed) {
        // To read or to write brings the right to see; to see the settings does not.
        (Some(TopicAuthorizationFailed | GroupAuthorizationFailed), _) => {
            (&|operation| *operation != SETTINGS, "; it does not even say whether that exists")
        }
        (None, Some(allowed)) => (&|operation| !allowed.contains(operation), ""),
        (Some(_), _) | (None, None) => return None,
    };
    let missing = needed.iter().filter(|operation| is_missing(operation));
    let missing: Vec<&str> = missing.map(|operation| operation_name(*operation)).collect();
    let words = not_allowed(&missing.join(", "), kind, &described.name) + and;
    (!missing.is_empty()).then(|| Finding::new(format!("{kind} {}", described.name), Verdict::Wrong, words))
}

fn operation_name(operation: Operation) -> &'static str {
    match operation {
        READ => "Read",
        WRITE => "Write",
        SETTINGS => "DescribeConfigs",
        _ => "an operation",
    }
}

/// The words for a missing right: operation and resource as Kafka's own tools name them.
pub fn not_allowed(operation: &str, kind: &str, name: &str) -> String {
    format!("Kafka does not allow us {operation} on {kind} {name}, which Shoal needs (docs/security.md lists all)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, replicas: usize, allowed: &[Operation], settings: &[(&str, &str)]) -> Seen {
        let described = Described {
            name: name.into(),
            error: None,
            id: String::new(),
            replicas: vec![replicas; 4],
            allowed: Some(allowed.to_vec()),
            members: Vec::new(),
        };
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Seen { described, settings }
    }

    #[test]
    fn three_replicas_of_which_two_are_in_sync_are_no_warning() {
        let safe = seen("safe", 3, &[], &[("min.insync.replicas", "2")]);
        assert_eq!(replication([&safe].into_iter()), []);
        let lax = seen("lax", 2, &[], &[("min.insync.replicas", "1")]);
        let findings = replication([&safe, &lax].into_iter());
        let told: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(told[0].starts_with("replication factor: below 3: lax 2."), "{told:?}");
        assert!(told[1].starts_with("min.insync.replicas: below 2: lax 1."), "{told:?}");
    }

    #[test]
    fn missing_rights_are_named_and_a_broker_without_rights_grants_all() {
        let mut topic = seen("t", 3, &[WRITE], &[]).described;
        let words = rights("topic", &topic, &OWN_RIGHTS).unwrap().words;
        assert!(words.starts_with("Kafka does not allow us Read, DescribeConfigs on topic t,"), "{words}");
        topic.allowed = Some(OWN_RIGHTS.to_vec());
        assert_eq!(rights("topic", &topic, &OWN_RIGHTS), None);
        topic.allowed = None;
        assert_eq!(rights("topic", &topic, &OWN_RIGHTS), None);
        topic.error = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        let words = rights("topic", &topic, &OWN_RIGHTS).unwrap().words;
        assert!(words.starts_with("Kafka does not allow us Read, Write on topic t,"), "{words}");
    }

    #[test]
    fn what_is_wrong_is_refused_and_a_warning_is_not() {
        let finding = |verdict, words: &str| Finding::new("x", verdict, words);
        assert_eq!(refuse(vec![finding(Verdict::Well, "a"), finding(Verdict::Warning, "b")]), Ok(()));
        let all = vec![finding(Verdict::Wrong, "a"), finding(Verdict::Well, "b"), finding(Verdict::Wrong, "c")];
        assert_eq!(refuse(all), Err(Failure::Stop("x: a\nx: c".into())));
    }
}
