//! Topics before anything runs: the inputs are inspected, those of our own are made if missing and inspected if there.

use super::client::{ASK_AGAIN, Logging, REQUEST_WAIT, block_on, config, insist, make, stop};
use super::connect::reach;
use super::inspect::{self, Finding, GROUP_RIGHTS, INPUT_RIGHTS, OWN_RIGHTS, Seen, not_allowed, refuse, wanted};
use super::{Failure, KafkaSettings, Own, fate, raw_admin};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaErrorCode;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The number of partitions of the inputs, which is the number of shards.
///
/// # Errors
/// If there is no contact, if an input is missing or compacted, if the numbers differ, or if something is not allowed.
pub fn input_partitions(settings: &KafkaSettings) -> Result<u32, Failure> {
    reach(settings, REQUEST_WAIT)?;
    insist(|| inspect_inputs(settings))
}

fn inspect_inputs(settings: &KafkaSettings) -> Result<u32, Failure> {
    let admin = Admin::new(settings, REQUEST_WAIT)?;
    let inputs = admin.inputs(settings)?;
    let mut findings = admin.rights_of_inputs(settings, &inputs)?;
    findings.extend(inspect::inputs(&inputs));
    findings.extend(inspect::replication(inputs.iter()));
    refuse(findings)?;
    Ok(inputs[0].partitions())
}

/// How many milliseconds each input keeps its records, as its settings are now; `None` is without a limit of time.
pub fn input_retention(settings: &KafkaSettings) -> Result<Vec<Option<u64>>, Failure> {
    let inputs = insist(|| Admin::new(settings, REQUEST_WAIT)?.inputs(settings))?;
    Ok(inputs.iter().map(|seen| seen.setting("retention.ms").parse().ok()).collect())
}

/// Makes what is missing of our own topics, with as many partitions as the inputs, and inspects what is there.
pub fn create_or_check_topics(settings: &KafkaSettings, shards: u32) -> Result<(), Failure> {
    insist(|| create_or_inspect(settings, shards))
}

fn create_or_inspect(settings: &KafkaSettings, shards: u32) -> Result<(), Failure> {
    let admin = Admin::new(settings, REQUEST_WAIT)?;
    for (own, seen) in admin.own(settings)? {
        if seen.is_missing() {
            let answer = admin.create(settings, own, own.partitions(shards), Creating::Really)?;
            answer.map_err(|code| Failure::Stop(cannot_be_made(seen.name(), code)))?;
        }
    }
    for own in Own::ALL {
        admin.wait_for_leaders(settings.topics.name(own))?;
    }
    let topics = admin.own(settings)?;
    let mut findings: Vec<Finding> =
        topics.iter().flat_map(|(_, seen)| inspect::rights("topic", &seen.described, &OWN_RIGHTS)).collect();
    findings.extend(inspect::own(settings, &topics, Some(shards)));
    findings.extend(inspect::replication(topics.iter().map(|(_, seen)| seen)));
    refuse(findings)
}

/// Why a topic of ours cannot be made.
pub fn cannot_be_made(name: &str, code: RDKafkaErrorCode) -> String {
    use RDKafkaErrorCode::{ClusterAuthorizationFailed, TopicAuthorizationFailed};
    match code {
        TopicAuthorizationFailed | ClusterAuthorizationFailed => {
            format!(
                "the topic {name} is missing and cannot be made: {}, or make the topic",
                not_allowed("Create", "topic", name)
            )
        }
        code => format!("the topic {name} is missing and cannot be made: {code}; see `replication_factor` of [kafka]"),
    }
}

/// Whether a topic is made, or only asked about.
#[derive(Clone, Copy, PartialEq)]
pub enum Creating {
    Really,
    Pretending,
}

/// Questions about topics, with a bound on how long each may take.
pub struct Admin {
    client: Arc<AdminClient<Logging>>,
    wait: Duration,
}

impl Admin {
    pub fn new(settings: &KafkaSettings, wait: Duration) -> Result<Self, Failure> {
        Ok(Self { client: make(settings, &config(settings), Logging, "the Kafka client")?, wait })
    }

    pub fn inputs(&self, settings: &KafkaSettings) -> Result<Vec<Seen>, Failure> {
        self.see(&settings.inputs.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub fn own(&self, settings: &KafkaSettings) -> Result<Vec<(Own, Seen)>, Failure> {
        let seen = self.see(&Own::ALL.map(|own| settings.topics.name(own)))?;
        Ok(Own::ALL.into_iter().zip(seen).collect())
    }

    /// What is not allowed of what has to do with reading.
    pub fn rights_of_inputs(&self, settings: &KafkaSettings, inputs: &[Seen]) -> Result<Vec<Finding>, Failure> {
        let what = format!("Kafka does not answer about the group {}", settings.group);
        let of_topics = inputs.iter().flat_map(|seen| inspect::rights("topic", &seen.described, &INPUT_RIGHTS));
        let mut findings: Vec<Finding> = of_topics.collect();
        let group =
            raw_admin::describe_group(self.client.inner(), &settings.group, self.wait).map_err(fate::of_code(what))?;
        findings.extend(inspect::rights("group", &group, &GROUP_RIGHTS));
        Ok(findings)
    }

    /// Topics with their settings, in this order.
    pub fn see(&self, names: &[&str]) -> Result<Vec<Seen>, Failure> {
        let what = format!("Kafka does not answer about the topics {names:?}");
        let described =
            raw_admin::describe_topics(self.client.inner(), names, self.wait).map_err(fate::of_code(what))?;
        let there: Vec<ResourceSpecifier<'_>> = described
            .iter()
            .filter(|topic| topic.error.is_none())
            .map(|topic| ResourceSpecifier::Topic(topic.name.as_str()))
            .collect();
        let mut settings = if there.is_empty() { Vec::new() } else { self.settings(&there)? }.into_iter();
        let with_settings = |topic: &raw_admin::Described| match topic.error {
            None => settings.next().unwrap_or_default(),
            Some(_) => HashMap::new(),
        };
        let all: Vec<HashMap<String, String>> = described.iter().map(with_settings).collect();
        Ok(described.into_iter().zip(all).map(|(described, settings)| Seen { described, settings }).collect())
    }

    /// Settings of topics, none of one whose settings may not be read.
    fn settings(&self, topics: &[ResourceSpecifier<'_>]) -> Result<Vec<HashMap<String, String>>, Failure> {
        let answers = block_on(self.client.describe_configs(topics, &self.options()));
        let answers = answers.map_err(fate::of_request("Kafka does not answer about the settings of topics".into()))?;
        let entries = |answer: Result<rdkafka::admin::ConfigResource, RDKafkaErrorCode>| match answer {
            Ok(resource) => {
                Ok(resource.entries.into_iter().map(|entry| (entry.name, entry.value.unwrap_or_default())).collect())
            }
            Err(RDKafkaErrorCode::TopicAuthorizationFailed) => Ok(HashMap::new()),
            Err(code) => Err(stop("the settings of a topic")(code)),
        };
        answers.into_iter().map(entries).collect()
    }

    /// Makes a topic of ours, or asks whether that would work.
    pub fn create(
        &self,
        settings: &KafkaSettings,
        own: Own,
        partitions: u32,
        creating: Creating,
    ) -> Result<Result<(), RDKafkaErrorCode>, Failure> {
        let name = settings.topics.name(own);
        let wanted = wanted(settings, own);
        let mut topic = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(settings.replication_factor));
        for (key, value) in &wanted {
            topic = topic.set(key, value);
        }
        let options = self.options().validate_only(creating == Creating::Pretending);
        let answers = block_on(self.client.create_topics([&topic], &options));
        let answers = answers.map_err(stop(format!("Kafka does not answer about making the topic {name}")))?;
        Ok(match answers.into_iter().next() {
            // Another process was faster.
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => Err(code),
        })
    }

    /// A topic that was just made is not known to all brokers at once, and who reads it then is told that it does not
    /// exist.
    fn wait_for_leaders(&self, name: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + self.wait;
        let what = format!("Kafka does not answer about the topic {name}");
        let has_leaders = |topic: &MetadataTopic| {
            !topic.partitions().is_empty() && topic.partitions().iter().all(|partition| partition.leader() >= 0)
        };
        loop {
            let metadata = self.client.inner().fetch_metadata(Some(name), self.wait).map_err(stop(&what))?;
            // Rights are inspected afterwards, and told in words.
            let is_hidden = |topic: &MetadataTopic| {
                topic.error().map(RDKafkaErrorCode::from) == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
            };
            if metadata.topics().iter().any(|topic| topic.name() == name && (has_leaders(topic) || is_hidden(topic))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure::Stop(format!(
                    "the topic {name} has partitions without leader after {:?}; are all brokers running?",
                    self.wait
                )));
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.wait)).operation_timeout(Some(self.wait))
    }
}
