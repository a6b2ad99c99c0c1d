//! Topics: the inputs are checked, those of our own are made if missing and checked if there.

use super::client::{Logging, REQUEST_WAIT, block_on, config, stop};
use super::{Failure, KafkaSettings, Own};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::metadata::{Metadata, MetadataTopic};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const DAY_MS: i64 = 86_400_000;
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The number of partitions of the inputs, which is the number of shards.
///
/// # Errors
/// If an input is missing or compacted, or if the numbers differ.
pub fn input_partitions(settings: &KafkaSettings) -> Result<u32, Failure> {
    let admin = admin(settings)?;
    let counts = partition_counts(&admin, settings.inputs.iter().map(String::as_str))?;
    let missing: Vec<_> = settings.inputs.iter().filter(|input| !counts.contains_key(input.as_str())).collect();
    if !missing.is_empty() {
        return Err(Failure::Stop(format!(
            "input topics that do not exist: {missing:?}. Create them, or correct `inputs` of [kafka]"
        )));
    }
    let first = counts[settings.inputs[0].as_str()];
    if counts.values().any(|&count| count != first) {
        let mut words = String::from("the inputs must have equal numbers of partitions, and have:");
        for input in &settings.inputs {
            let _ = write!(words, " {input} {},", counts[input.as_str()]);
        }
        return Err(Failure::Stop(words.trim_end_matches(',').to_owned()));
    }
    for input in &settings.inputs {
        let config = TopicConfig::read(&admin, input)?;
        if config.get("cleanup.policy").contains("compact") {
            return Err(Failure::Stop(format!(
                "the input topic {input} is compacted (cleanup.policy = {}): records that are gone cannot be replayed",
                config.get("cleanup.policy")
            )));
        }
    }
    Ok(first)
}

/// Makes what is missing of our own topics, with as many partitions as the inputs, and checks what is there.
pub fn create_or_check_topics(settings: &KafkaSettings, shards: u32) -> Result<(), Failure> {
    let admin = admin(settings)?;
    let names: Vec<_> = Own::ALL.iter().map(|&own| settings.topics.name(own)).collect();
    let counts = partition_counts(&admin, names.iter().copied())?;
    let mut wrong = Vec::new();
    for own in Own::ALL {
        let name = settings.topics.name(own);
        match counts.get(name) {
            None => create(&admin, settings, own, partitions_of(own, shards))?,
            Some(&count) => {
                check(&TopicConfig::read(&admin, name)?, own, count, partitions_of(own, shards), &mut wrong)
            }
        }
    }
    if !wrong.is_empty() {
        return Err(Failure::Stop(wrong.join("\n")));
    }
    wait_for_leaders(&admin, &names)
}

/// A topic that was just made is not known to all brokers at once, and who reads it then is told that it does not exist.
fn wait_for_leaders(admin: &AdminClient<Logging>, names: &[&str]) -> Result<(), Failure> {
    let deadline = Instant::now() + REQUEST_WAIT;
    for name in names {
        let what = format!("Kafka does not answer about the topic {name}");
        loop {
            let metadata = admin.inner().fetch_metadata(Some(name), REQUEST_WAIT).map_err(stop(&what))?;
            let has_leaders = |topic: &MetadataTopic| {
                !topic.partitions().is_empty() && topic.partitions().iter().all(|partition| partition.leader() >= 0)
            };
            if metadata.topics().iter().any(|topic| topic.name() == *name && has_leaders(topic)) {
                break;
            }
            if Instant::now() > deadline {
                return Err(Failure::Stop(format!(
                    "the topic {name} has partitions without leader after {REQUEST_WAIT:?}"
                )));
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }
    Ok(())
}

fn partitions_of(own: Own, shards: u32) -> u32 {
    if own == Own::Control { 1 } else { shards }
}

/// Settings that a topic of ours is made with.
fn wanted(settings: &KafkaSettings, own: Own) -> Vec<(&'static str, String)> {
    match own {
        Own::Changes => vec![],
        Own::Membership => vec![("cleanup.policy", "compact".into())],
        Own::Rejected => {
            let retention = i64::from(settings.topics.rejected_retention_days) * DAY_MS;
            vec![("cleanup.policy", "delete".into()), ("retention.ms", retention.to_string())]
        }
        Own::Journal | Own::Control => {
            vec![("cleanup.policy", "delete".into()), ("retention.ms", "-1".into()), ("retention.bytes", "-1".into())]
        }
    }
}

fn create(admin: &AdminClient<Logging>, settings: &KafkaSettings, own: Own, partitions: u32) -> Result<(), Failure> {
    let name = settings.topics.name(own);
    let wanted = wanted(settings, own);
    let mut topic = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(settings.replication_factor));
    for (key, value) in &wanted {
        topic = topic.set(key, value);
    }
    let what = format!("the topic {name} cannot be made");
    let answers = block_on(admin.create_topics([&topic], &options())).map_err(stop(&what))?;
    for answer in answers {
        match answer {
            // Another process was faster.
            Ok(_) | Err((_, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, error)) => return Err(stop(what)(error)),
        }
    }
    Ok(())
}

fn check(config: &TopicConfig, own: Own, count: u32, count_wanted: u32, wrong: &mut Vec<String>) {
    let name = &config.name;
    if count != count_wanted {
        wrong.push(format!("the topic {name} has {count} partitions; expected {count_wanted}, as the inputs have"));
    }
    let mut expect = |key: &str, right: &dyn Fn(&str) -> bool, expected: &str| {
        let found = config.get(key);
        if !right(found) {
            wrong.push(format!("the topic {name} has {key} = {found}; expected {expected}"));
        }
    };
    let compacted: &dyn Fn(&str) -> bool = &|policy| policy.contains("compact");
    match own {
        Own::Membership => expect("cleanup.policy", compacted, "compact"),
        Own::Changes | Own::Rejected => expect("cleanup.policy", &|policy| !policy.contains("compact"), "delete"),
        Own::Journal | Own::Control => {
            expect("cleanup.policy", &|policy| !policy.contains("compact"), "delete");
            expect("retention.ms", &|value| value == "-1", "-1 (recovery reads it from its beginning)");
            expect("retention.bytes", &|value| value == "-1", "-1 (recovery reads it from its beginning)");
        }
    }
}

/// The settings of a topic as the broker tells them.
pub struct TopicConfig {
    name: String,
    entries: HashMap<String, String>,
}

impl TopicConfig {
    pub fn read(admin: &AdminClient<Logging>, name: &str) -> Result<Self, Failure> {
        let what = format!("the settings of the topic {name}");
        let resources = [ResourceSpecifier::Topic(name)];
        let mut answers = block_on(admin.describe_configs(&resources, &options())).map_err(stop(&what))?;
        let resource: ConfigResource =
            answers.pop().ok_or_else(|| Failure::Stop(format!("{what}: no answer")))?.map_err(stop(&what))?;
        let entries = resource.entries.into_iter().map(|entry| (entry.name, entry.value.unwrap_or_default())).collect();
        Ok(Self { name: name.to_owned(), entries })
    }

    pub fn get(&self, key: &str) -> &str {
        self.entries.get(key).map_or("", String::as_str)
    }
}

pub fn admin(settings: &KafkaSettings) -> Result<AdminClient<Logging>, Failure> {
    use rdkafka::config::FromClientConfigAndContext;
    AdminClient::from_config_and_context(&config(settings), Logging).map_err(stop("the Kafka client cannot be made"))
}

/// Partition counts of those of the topics that exist.
pub fn partition_counts<'a>(
    admin: &AdminClient<Logging>,
    names: impl Iterator<Item = &'a str>,
) -> Result<HashMap<&'a str, u32>, Failure> {
    let mut counts = HashMap::new();
    for name in names {
        let metadata: Metadata = admin
            .inner()
            .fetch_metadata(Some(name), REQUEST_WAIT)
            .map_err(stop(format!("Kafka does not answer about the topic {name}")))?;
        let found = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
        if let Some(topic) = found.filter(|topic| !topic.partitions().is_empty()) {
            counts.insert(name, topic.partitions().len() as u32);
        }
    }
    Ok(counts)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_WAIT)).operation_timeout(Some(REQUEST_WAIT))
}
