//! Topics before anything runs: the inputs are inspected; Shoal's own topics are created if they are missing, and
//! inspected if they exist.

use super::connect::connect_again;
use super::inspect::{
    Finding, GROUP_RIGHTS, INPUT_RIGHTS, OWN_RIGHTS, TopicState, inspect_inputs, inspect_own, inspect_replication,
    missing_rights, refuse, wanted,
};
use super::retention::{ReadAgain, inspect_retention};
use crate::kafka::client::{Logging, REQUEST_WAIT, RETRY_INTERVAL, block_on, config, make, retry};
use crate::kafka::error_class::{classify_code, classify_request, not_allowed};
use crate::kafka::raw::admin::{Description, describe_group, describe_topics};
use crate::kafka::{Failure, KafkaSettings, Own};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaErrorCode;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an input that was there before may be missing at a start.
const MISSING_MIN: Duration = Duration::from_secs(25);

/// The number of partitions of the inputs, which is the number of shards.
///
/// # Errors
/// If there is no contact, an input is missing or compacted, the numbers differ, or a right is missing.
pub fn input_partitions(settings: &KafkaSettings, read_again: ReadAgain) -> Result<u32, Failure> {
    connect_again(settings, REQUEST_WAIT)?;
    let looks_end = Instant::now() + MISSING_MIN;
    retry(|| check_inputs(settings, read_again, looks_end))
}

/// Until `looks_end` a missing input is looked for again if there are topics of an earlier start: then it was there,
/// and the broker may only have started.
fn check_inputs(settings: &KafkaSettings, read_again: ReadAgain, looks_end: Instant) -> Result<u32, Failure> {
    let admin = Admin::new(settings, REQUEST_WAIT)?;
    let inputs = admin.inputs(settings)?;
    refuse_half_known(&inputs)?;
    if let Some(missing) = inputs.iter().find(|topic| topic.is_missing()).filter(|_| Instant::now() < looks_end)
        && admin.own(settings)?.iter().any(|(_, own)| own.exists())
    {
        let name = missing.name();
        return Err(Failure::Rebuild(format!("the input topic {name} is missing, and Shoal's own topics are not")));
    }
    let mut findings = admin.missing_input_rights(settings, &inputs)?;
    findings.extend(inspect_inputs(&inputs));
    findings.extend(inspect_retention(&inputs, read_again));
    findings.extend(inspect_replication(inputs.iter()));
    refuse(findings)?;
    Ok(inputs[0].partitions())
}

/// The current retention of each input in milliseconds; `None` is unlimited.
pub fn input_retention(settings: &KafkaSettings) -> Result<Vec<Option<u64>>, Failure> {
    let inputs = retry(|| Admin::new(settings, REQUEST_WAIT)?.inputs(settings))?;
    Ok(inputs.iter().map(|topic| topic.setting("retention.ms").parse().ok()).collect())
}

/// Creates those of Shoal's own topics that are missing, with as many partitions as the inputs, and inspects all of
/// them.
pub fn create_or_check_topics(settings: &KafkaSettings, shards: u32) -> Result<(), Failure> {
    retry(|| create_or_inspect(settings, shards))
}

/// A broker that has just started may describe a topic by an error that passes.
fn refuse_half_known(topics: &[TopicState]) -> Result<(), Failure> {
    let odd = topics.iter().find(|topic| !topic.exists() && !topic.is_missing() && !topic.is_hidden());
    odd.map_or(Ok(()), |topic| {
        let code = topic.description.error.map_or_else(String::new, |code| code.to_string());
        Err(Failure::Rebuild(format!("the broker does not describe the topic {}: {code}", topic.name())))
    })
}

fn create_or_inspect(settings: &KafkaSettings, shards: u32) -> Result<(), Failure> {
    let admin = Admin::new(settings, REQUEST_WAIT)?;
    for (own, topic) in admin.own(settings)? {
        if topic.is_missing() {
            let created = admin.create(settings, own, own.partitions(shards), Creation::Create)?;
            created.map_err(|code| {
                let message = cannot_be_created(topic.name(), code);
                if may_pass(code) { Failure::Rebuild(message) } else { Failure::Stop(message) }
            })?;
        }
    }
    for own in Own::ALL {
        admin.wait_for_leaders(settings.topics.name(own))?;
    }
    let topics = admin.own(settings)?;
    let mut findings: Vec<Finding> =
        topics.iter().flat_map(|(_, topic)| missing_rights("topic", &topic.description, &OWN_RIGHTS)).collect();
    findings.extend(inspect_own(settings, &topics, Some(shards)));
    findings.extend(inspect_replication(topics.iter().map(|(_, topic)| topic)));
    refuse(findings)
}

/// Why one of Shoal's own topics cannot be created.
pub fn cannot_be_created(name: &str, code: RDKafkaErrorCode) -> String {
    use RDKafkaErrorCode::{ClusterAuthorizationFailed, TopicAuthorizationFailed};
    match code {
        TopicAuthorizationFailed | ClusterAuthorizationFailed => {
            let denied = not_allowed("Create", "topic", name);
            format!("the topic {name} is missing and cannot be created: {denied}. Grant the right, or create the topic")
        }
        code => {
            format!("the topic {name} is missing and cannot be created: {code}; see `replication_factor` of [kafka]")
        }
    }
}

/// Whether the creation of a topic may succeed a moment later: the controller moves.
fn may_pass(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        BrokerNotAvailable, CoordinatorNotAvailable, NetworkException, NotController, RequestTimedOut,
        ThrottlingQuotaExceeded,
    };
    matches!(
        code,
        BrokerNotAvailable
            | CoordinatorNotAvailable
            | NetworkException
            | NotController
            | RequestTimedOut
            | ThrottlingQuotaExceeded
    )
}

/// Whether a topic is created, or its creation only validated.
#[derive(Clone, Copy, PartialEq)]
pub enum Creation {
    Create,
    Validate,
}

/// Requests about topics, each with a bound on how long it may take.
pub struct Admin {
    client: Arc<AdminClient<Logging>>,
    wait: Duration,
}

impl Admin {
    pub fn new(settings: &KafkaSettings, wait: Duration) -> Result<Self, Failure> {
        Ok(Self { client: make(settings, &config(settings), Logging, "the Kafka client")?, wait })
    }

    pub fn inputs(&self, settings: &KafkaSettings) -> Result<Vec<TopicState>, Failure> {
        self.topics(&settings.inputs.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub fn own(&self, settings: &KafkaSettings) -> Result<Vec<(Own, TopicState)>, Failure> {
        let topics = self.topics(&Own::ALL.map(|own| settings.topics.name(own)))?;
        Ok(Own::ALL.into_iter().zip(topics).collect())
    }

    /// The missing ones of the rights that are needed for reading: on the inputs and on the group.
    pub fn missing_input_rights(
        &self,
        settings: &KafkaSettings,
        inputs: &[TopicState],
    ) -> Result<Vec<Finding>, Failure> {
        let what = format!("Kafka does not describe the group {}", settings.group);
        let of_topics = inputs.iter().flat_map(|topic| missing_rights("topic", &topic.description, &INPUT_RIGHTS));
        let mut findings: Vec<Finding> = of_topics.collect();
        let group = describe_group(self.client.inner(), &settings.group, self.wait).map_err(classify_code(what))?;
        findings.extend(missing_rights("group", &group, &GROUP_RIGHTS));
        Ok(findings)
    }

    /// Describes topics and their settings, in the order of `names`.
    pub fn topics(&self, names: &[&str]) -> Result<Vec<TopicState>, Failure> {
        let what = format!("Kafka does not describe the topics {names:?}");
        let descriptions = describe_topics(self.client.inner(), names, self.wait).map_err(classify_code(what))?;
        let existing: Vec<ResourceSpecifier<'_>> = descriptions
            .iter()
            .filter(|topic| topic.error.is_none())
            .map(|topic| ResourceSpecifier::Topic(topic.name.as_str()))
            .collect();
        let mut settings = if existing.is_empty() { Vec::new() } else { self.settings(&existing)? }.into_iter();
        let mut settings_of = |topic: &Description| match topic.error {
            None => settings.next().unwrap_or_default(),
            Some(_) => HashMap::new(),
        };
        let state = |description: Description| TopicState { settings: settings_of(&description), description };
        Ok(descriptions.into_iter().map(state).collect())
    }

    /// Settings of topics; none of a topic whose settings we are not allowed to read.
    fn settings(&self, topics: &[ResourceSpecifier<'_>]) -> Result<Vec<HashMap<String, String>>, Failure> {
        let answers = block_on(self.client.describe_configs(topics, &self.options()));
        let answers = answers.map_err(classify_request("Kafka does not describe the settings of topics".into()))?;
        let entries = |answer: Result<rdkafka::admin::ConfigResource, RDKafkaErrorCode>| match answer {
            Ok(resource) => {
                Ok(resource.entries.into_iter().map(|entry| (entry.name, entry.value.unwrap_or_default())).collect())
            }
            Err(RDKafkaErrorCode::TopicAuthorizationFailed) => Ok(HashMap::new()),
            Err(code) => Err(classify_code("the settings of a topic".into())(code)),
        };
        answers.into_iter().map(entries).collect()
    }

    /// Creates one of Shoal's own topics, or validates that it can be created.
    pub fn create(
        &self,
        settings: &KafkaSettings,
        own: Own,
        partitions: u32,
        creation: Creation,
    ) -> Result<Result<(), RDKafkaErrorCode>, Failure> {
        let wanted = wanted(settings, own);
        let name = settings.topics.name(own);
        let answer = self.request_creation(name, (partitions, settings.replication_factor), &wanted, creation)?;
        Ok(match answer {
            // Another process has created it meanwhile.
            Err(RDKafkaErrorCode::TopicAlreadyExists) => Ok(()),
            answer => answer,
        })
    }

    /// Requests the creation of a topic.
    pub fn request_creation(
        &self,
        name: &str,
        (partitions, replicas): (u32, i32),
        settings: &[(&'static str, String)],
        creation: Creation,
    ) -> Result<Result<(), RDKafkaErrorCode>, Failure> {
        let mut topic = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(replicas));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let options = self.options().validate_only(creation == Creation::Validate);
        let answers = block_on(self.client.create_topics([&topic], &options));
        let what = format!("Kafka does not answer the request to create the topic {name}");
        let answers = answers.map_err(classify_request(what))?;
        Ok(match answers.into_iter().next() {
            None | Some(Ok(_)) => Ok(()),
            Some(Err((_, code))) => Err(code),
        })
    }

    /// Waits until all brokers know a topic that was just created: until then reading it fails.
    fn wait_for_leaders(&self, name: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + self.wait;
        let what = format!("Kafka does not describe the topic {name}");
        let has_leaders = |topic: &MetadataTopic| {
            !topic.partitions().is_empty() && topic.partitions().iter().all(|partition| partition.leader() >= 0)
        };
        loop {
            let metadata =
                self.client.inner().fetch_metadata(Some(name), self.wait).map_err(classify_request(what.clone()))?;
            // Rights are inspected afterwards.
            let is_hidden = |topic: &MetadataTopic| {
                topic.error().map(RDKafkaErrorCode::from) == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
            };
            if metadata.topics().iter().any(|topic| topic.name() == name && (has_leaders(topic) || is_hidden(topic))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure::Rebuild(format!(
                    "the topic {name} has partitions without a leader after {:?}. Check that all brokers are running",
                    self.wait
                )));
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
    }

    /// The identifier of the cluster; `None` if no broker answers.
    pub fn cluster_id(&self) -> Option<String> {
        self.client.inner().fetch_cluster_id(self.wait)
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.wait)).operation_timeout(Some(self.wait))
    }
}
