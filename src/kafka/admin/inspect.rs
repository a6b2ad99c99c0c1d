//! What is required of topics and group before anything runs. `shoal run` refuses to start without it, and
//! `shoal check --connect` reports it.
//!
//! An inspection compares the broker's description ([`TopicState`]) with the requirements and returns [`Finding`]s,
//! which are plain data.

use crate::kafka::error_class::not_allowed;
use crate::kafka::raw::admin::{Description, Operation};
use crate::kafka::{Failure, KafkaSettings, Own};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::HashMap;
use std::fmt::{self, Display};

const DAY_MS: i64 = 86_400_000;
/// Younger records are not compacted: some hundred of each shard.
const CENSUS_SEGMENT_MS: i64 = DAY_MS / 4;
/// With fewer replicas the loss of one broker loses acknowledged records or stops the topic.
const REPLICAS_MIN: usize = 3;
const IN_SYNC_MIN: u32 = 2;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    /// Shoal runs, but an operator should act.
    Warning,
    /// Shoal does not run.
    Error,
}

/// What was inspected, and the result; of an error also what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub about: String,
    pub verdict: Verdict,
    pub message: String,
}

impl Finding {
    pub fn new(about: impl Into<String>, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { about: about.into(), verdict, message: message.into() }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.message)
    }
}

/// Logs warnings, and fails if there are errors.
pub fn refuse(findings: Vec<Finding>) -> Result<(), Failure> {
    let mut errors = Vec::new();
    for finding in findings {
        match finding.verdict {
            Verdict::Ok => {}
            Verdict::Warning => tracing::warn!("{finding}"),
            Verdict::Error => errors.push(finding.to_string()),
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Failure::Stop(errors.join("\n"))) }
}

/// A topic as the broker describes it.
pub struct TopicState {
    pub description: Description,
    /// Empty if we are not allowed to read them.
    pub settings: HashMap<String, String>,
}

impl TopicState {
    pub fn name(&self) -> &str {
        &self.description.name
    }

    pub fn exists(&self) -> bool {
        self.description.error.is_none()
    }

    pub fn is_missing(&self) -> bool {
        use RDKafkaErrorCode::{UnknownTopic, UnknownTopicOrPartition};
        matches!(self.description.error, Some(UnknownTopic | UnknownTopicOrPartition))
    }

    /// The broker does not reveal whether it exists.
    pub fn is_hidden(&self) -> bool {
        self.description.error == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
    }

    pub fn partitions(&self) -> u32 {
        self.description.replicas.len() as u32
    }

    pub fn setting(&self, key: &str) -> &str {
        self.settings.get(key).map_or("", String::as_str)
    }
}

/// Inspects the input topics, each by itself and all together, except for their retention. Those that we are not
/// allowed to see are left to [`missing_rights`].
pub fn inspect_inputs(inputs: &[TopicState]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = inputs.iter().filter(|topic| !topic.is_hidden()).map(inspect_input).collect();
    if inputs.iter().all(TopicState::exists) && inputs.iter().any(|topic| topic.partitions() != inputs[0].partitions())
    {
        let counts: Vec<String> =
            inputs.iter().map(|topic| format!("{} has {}", topic.name(), topic.partitions())).collect();
        let message = format!(
            "the numbers of partitions must be equal: {}. Create the topics again with equal numbers, all with one \
             partitioner",
            counts.join(", ")
        );
        findings.push(Finding::new("inputs", Verdict::Error, message));
    }
    findings
}

fn inspect_input(topic: &TopicState) -> Finding {
    let policy = topic.setting("cleanup.policy");
    let (verdict, message) = if let Some(code) = topic.description.error {
        let message = match topic.is_missing() {
            true => "does not exist. Create it, or correct `inputs` of [kafka]".to_owned(),
            false => undescribed(code),
        };
        (Verdict::Error, message)
    } else if policy.contains("compact") {
        let message = format!(
            "is compacted (cleanup.policy = {policy}): events that were removed cannot be read again. Set cleanup.policy to \
             delete"
        );
        (Verdict::Error, message)
    } else {
        (Verdict::Ok, format!("{}, not compacted", partitions_text(topic.partitions())))
    };
    Finding::new(format!("input {}", topic.name()), verdict, message)
}

fn undescribed(code: RDKafkaErrorCode) -> String {
    format!("the broker does not describe it: {code}. Check that all brokers are running")
}

/// Compares those of Shoal's own topics that exist with the settings they are created with. Without `shards` the
/// numbers of partitions are not compared.
pub fn inspect_own(settings: &KafkaSettings, topics: &[(Own, TopicState)], shards: Option<u32>) -> Vec<Finding> {
    let existing = topics.iter().filter(|(_, topic)| !topic.is_missing() && !topic.is_hidden());
    existing.map(|(own, topic)| inspect_own_topic(settings, *own, topic, shards)).collect()
}

fn inspect_own_topic(settings: &KafkaSettings, own: Own, topic: &TopicState, shards: Option<u32>) -> Finding {
    let about = format!("topic {}", topic.name());
    if let Some(code) = topic.description.error {
        return Finding::new(about, Verdict::Error, undescribed(code));
    }
    let mut faults = Vec::new();
    let count = topic.partitions();
    if let Some(expected) = shards.map(|shards| own.partitions(shards)).filter(|expected| *expected != count) {
        let reason = if own.is_single() { "" } else { ", as the inputs have" };
        let count = partitions_text(count);
        faults.push(format!("has {count}; expected {expected}{reason}"));
    }
    let policy = topic.setting("cleanup.policy");
    let wants_compacted = matches!(own, Own::Membership | Own::Census | Own::Alerts);
    // Without the right to read settings there is nothing to compare; the missing right is a finding of its own.
    if !policy.is_empty() && policy.contains("compact") != wants_compacted {
        let expected = if wants_compacted { "compact" } else { "delete" };
        faults.push(format!("has cleanup.policy = {policy}; expected {expected}"));
    }
    for (key, expected) in wanted(settings, own).into_iter().filter(|(_, value)| value == "-1") {
        if !matches!(topic.setting(key), "" | "-1") {
            let found = topic.setting(key);
            faults
                .push(format!("has {key} = {found}; expected {expected}, since recovery reads it from its beginning"));
        }
    }
    if faults.is_empty() {
        return Finding::new(about, Verdict::Ok, format!("{}, settings as needed", partitions_text(count)));
    }
    let message = format!("{}. Correct the topic, or name another one in [kafka.topics]", faults.join("; "));
    Finding::new(about, Verdict::Error, message)
}

pub fn partitions_text(count: u32) -> String {
    if count == 1 { "1 partition".into() } else { format!("{count} partitions") }
}

/// Settings that one of Shoal's own topics is created with.
pub fn wanted(settings: &KafkaSettings, own: Own) -> Vec<(&'static str, String)> {
    match own {
        Own::Changes => vec![],
        Own::Membership | Own::Alerts => vec![("cleanup.policy", "compact".into())],
        // Its keys recur, and the worker that decides on alerts reads all of it, so the log is kept short.
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

/// Inspects whether acknowledged records survive the loss of a broker.
pub fn inspect_replication<'a>(topics: impl Iterator<Item = &'a TopicState> + Clone) -> Vec<Finding> {
    let existing = topics.filter(|topic| topic.exists());
    let replicas = |topic: &TopicState| topic.description.replicas.iter().min().copied().unwrap_or(0);
    let few: Vec<String> = existing
        .clone()
        .filter(|topic| replicas(topic) < REPLICAS_MIN)
        .map(|topic| format!("{} {}", topic.name(), replicas(topic)))
        .collect();
    let in_sync = |topic: &TopicState| topic.setting("min.insync.replicas").parse::<u32>().unwrap_or(IN_SYNC_MIN);
    let lax: Vec<String> = existing
        .filter(|topic| in_sync(topic) < IN_SYNC_MIN)
        .map(|topic| format!("{} {}", topic.name(), in_sync(topic)))
        .collect();
    let finding = |about: &str, least: &dyn Display, found: Vec<String>| {
        let message = format!(
            "below {least}: {}. Acknowledged records can be lost with one broker. Use that only for trials",
            found.join(", ")
        );
        (!found.is_empty()).then(|| Finding::new(about, Verdict::Warning, message))
    };
    let findings =
        [finding("replication factor", &REPLICAS_MIN, few), finding("min.insync.replicas", &IN_SYNC_MIN, lax)];
    findings.into_iter().flatten().collect()
}

const READ: Operation = Operation::RD_KAFKA_ACL_OPERATION_READ;
const WRITE: Operation = Operation::RD_KAFKA_ACL_OPERATION_WRITE;
const SETTINGS: Operation = Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS;

/// Operations that are needed on inputs.
pub const INPUT_RIGHTS: [Operation; 2] = [READ, SETTINGS];
/// Operations that are needed on Shoal's own topics. Outputs are read too: recovery compares their ends with the
/// journal.
pub const OWN_RIGHTS: [Operation; 3] = [READ, WRITE, SETTINGS];
/// Operations that are needed on a topic that events are written to.
pub const PRODUCE_RIGHTS: [Operation; 2] = [WRITE, SETTINGS];
/// Operations that are needed on the consumer group.
pub const GROUP_RIGHTS: [Operation; 1] = [READ];

/// The rights that are missing on a topic or group, if any are. A broker that does not report them is assumed to grant
/// them.
pub fn missing_rights(kind: &str, description: &Description, needed: &[Operation]) -> Option<Finding> {
    use RDKafkaErrorCode::{GroupAuthorizationFailed, TopicAuthorizationFailed};
    let (is_missing, and): (&dyn Fn(&Operation) -> bool, &str) = match (description.error, &description.allowed) {
        // Read and Write include Describe; DescribeConfigs does not.
        (Some(TopicAuthorizationFailed | GroupAuthorizationFailed), _) => {
            (&|operation| *operation != SETTINGS, "; it does not even report whether that exists")
        }
        (None, Some(allowed)) => (&|operation| !allowed.contains(operation), ""),
        (Some(_), _) | (None, None) => return None,
    };
    let missing = needed.iter().filter(|operation| is_missing(operation));
    let missing: Vec<&str> = missing.map(|operation| operation_name(*operation)).collect();
    let message = not_allowed(&missing.join(", "), kind, &description.name) + and;
    (!missing.is_empty()).then(|| Finding::new(format!("{kind} {}", description.name), Verdict::Error, message))
}

fn operation_name(operation: Operation) -> &'static str {
    match operation {
        READ => "Read",
        WRITE => "Write",
        SETTINGS => "DescribeConfigs",
        _ => "an operation",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, replicas: usize, allowed: &[Operation], settings: &[(&str, &str)]) -> TopicState {
        let description = Description {
            name: name.into(),
            error: None,
            id: String::new(),
            replicas: vec![replicas; 4],
            allowed: Some(allowed.to_vec()),
            members: Vec::new(),
        };
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        TopicState { description, settings }
    }

    #[test]
    fn three_replicas_of_which_two_are_in_sync_are_no_warning() {
        let safe = topic("safe", 3, &[], &[("min.insync.replicas", "2")]);
        assert_eq!(inspect_replication([&safe].into_iter()), []);
        let lax = topic("lax", 2, &[], &[("min.insync.replicas", "1")]);
        let findings = inspect_replication([&safe, &lax].into_iter());
        let messages: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(messages[0].starts_with("replication factor: below 3: lax 2."), "{messages:?}");
        assert!(messages[1].starts_with("min.insync.replicas: below 2: lax 1."), "{messages:?}");
    }

    #[test]
    fn missing_rights_are_named_and_a_broker_without_rights_grants_all() {
        let mut described = topic("t", 3, &[WRITE], &[]).description;
        let message = missing_rights("topic", &described, &OWN_RIGHTS).unwrap().message;
        assert!(message.starts_with("Kafka denies Shoal Read, DescribeConfigs on topic t "), "{message}");
        described.allowed = Some(OWN_RIGHTS.to_vec());
        assert_eq!(missing_rights("topic", &described, &OWN_RIGHTS), None);
        described.allowed = None;
        assert_eq!(missing_rights("topic", &described, &OWN_RIGHTS), None);
        described.error = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        let message = missing_rights("topic", &described, &OWN_RIGHTS).unwrap().message;
        assert!(message.starts_with("Kafka denies Shoal Read, Write on topic t "), "{message}");
    }

    #[test]
    fn errors_are_refused_and_warnings_are_not() {
        let finding = |verdict, message: &str| Finding::new("x", verdict, message);
        assert_eq!(refuse(vec![finding(Verdict::Ok, "a"), finding(Verdict::Warning, "b")]), Ok(()));
        let all = vec![finding(Verdict::Error, "a"), finding(Verdict::Ok, "b"), finding(Verdict::Error, "c")];
        assert_eq!(refuse(all), Err(Failure::Stop("x: a\nx: c".into())));
    }
}
