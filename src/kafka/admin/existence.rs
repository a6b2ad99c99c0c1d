//! Whether the topics still exist: the only place that decides that one is gone.
//!
//! A broker that has just started, or a client that has learnt part of a cluster, does not find topics that exist. So a
//! topic is gone only if several looks over half a minute say so, and a new client agrees at the end: it must reach the
//! cluster that was there before, and the controller, which every request to create a topic is passed to, must not know
//! the topic either.

use super::topics::{Admin, Creation};
use crate::kafka::client::Logging;
use crate::kafka::error_class::{grown_topic, is_unknown_topic};
use crate::kafka::raw::admin::{Description, describe_topics};
use crate::kafka::{Failure, KafkaSettings, Own};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use std::time::{Duration, Instant};

const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// For the new client, which must find the cluster first.
const CONFIRM_WAIT: Duration = Duration::from_secs(10);
/// A topic is gone if it was missing in this many looks in succession, and for this long.
const LOOKS_MIN: u32 = 5;
const MISSING_MIN: Duration = Duration::from_secs(30);
/// A topic has another identity if this many looks in succession say so.
const OTHER_LOOKS_MIN: u32 = 2;

/// What is known of the topics.
pub struct Existence {
    settings: KafkaSettings,
    /// Identifier of the cluster; `None` if it is not known yet.
    cluster: Option<String>,
    topics: Vec<Known>,
}

/// A topic.
struct Known {
    /// `None`: an input.
    own: Option<Own>,
    name: String,
    /// At the start.
    partitions: u32,
    /// It was described once; before, it is not missed.
    is_known: bool,
    /// As first described; empty if the broker has no ids.
    id: String,
    missing: Looks,
    other: Looks,
}

/// Looks in succession that all said the same.
#[derive(Default)]
struct Looks {
    count: u32,
    since: Option<Instant>,
}

impl Looks {
    /// Another look: whether it said the same.
    fn note(&mut self, is_so: bool) {
        if is_so {
            self.count += 1;
            self.since.get_or_insert_with(Instant::now);
        } else {
            *self = Self::default();
        }
    }

    fn duration(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Existence {
    /// All topics of a service whose inputs have this many partitions.
    pub fn new(settings: &KafkaSettings, partitions: u32) -> Self {
        let known = |own: Option<Own>, name: &str, partitions| Known {
            own,
            name: name.to_owned(),
            partitions,
            is_known: false,
            id: String::new(),
            missing: Looks::default(),
            other: Looks::default(),
        };
        let inputs = settings.inputs.iter().map(|name| known(None, name, partitions));
        let own = Own::ALL.map(|own| known(Some(own), settings.topics.name(own), own.partitions(partitions)));
        Self { settings: settings.clone(), cluster: None, topics: inputs.chain(own).collect() }
    }

    /// Whether a topic seems to be missing: then it is looked at more often.
    pub fn is_in_doubt(&self) -> bool {
        self.topics.iter().any(|topic| topic.missing.count > 0 || topic.other.count > 0)
    }

    /// Looks at all topics once. Returns a failure if one is gone or is not the one that it was. A request without an
    /// answer says nothing.
    pub fn look(&mut self, client: &BaseConsumer<Logging>) -> Option<Failure> {
        if self.cluster.is_none() {
            self.cluster = client.client().fetch_cluster_id(ANSWER_WAIT);
        }
        let names: Vec<&str> = self.topics.iter().map(|topic| topic.name.as_str()).collect();
        let descriptions = describe_topics(client.client(), &names, ANSWER_WAIT).ok()?;
        for description in &descriptions {
            let Some(topic) = self.topics.iter_mut().find(|topic| topic.name == description.name) else { continue };
            if let Some(failure) = topic.note(description) {
                return Some(failure);
            }
        }
        let index = self.topics.iter().position(Known::seems_gone)?;
        if self.is_gone(&self.topics[index]) {
            return Some(self.topics[index].gone());
        }
        self.topics[index].missing = Looks::default();
        None
    }

    /// Asks with a new client: whether the topic is missing in the same cluster, and the controller does not know it.
    fn is_gone(&self, topic: &Known) -> bool {
        let Ok(admin) = Admin::new(&self.settings, CONFIRM_WAIT) else { return false };
        let is_same_cluster = self.cluster.is_some() && admin.cluster_id() == self.cluster;
        let is_missing = || {
            let topics = admin.topics(&[&topic.name]);
            topics.is_ok_and(|topics| topics.iter().all(|topic| topic.is_missing()))
        };
        is_same_cluster && is_missing() && is_unknown_to_controller(&admin, topic)
    }
}

/// Asks the controller to check, without doing it, whether the topic could be created. It answers that the topic exists
/// before it looks at anything else; without the right to create it there is no answer, which is no reason for doubt.
fn is_unknown_to_controller(admin: &Admin, topic: &Known) -> bool {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, InvalidConfig, InvalidPartitions, InvalidReplicationFactor, PolicyViolation,
        TopicAuthorizationFailed,
    };
    let answer = admin.request_creation(&topic.name, (topic.partitions, -1), &[], Creation::Validate);
    let Ok(answer) = answer else { return false };
    matches!(
        answer,
        Ok(())
            | Err(TopicAuthorizationFailed
                | ClusterAuthorizationFailed
                | InvalidReplicationFactor
                | InvalidPartitions
                | InvalidConfig
                | PolicyViolation)
    )
}

impl Known {
    fn note(&mut self, found: &Description) -> Option<Failure> {
        let partitions = found.replicas.len() as u32;
        if self.own.is_none() && partitions > self.partitions {
            return Some(grown_topic(&self.name, self.partitions, partitions));
        }
        let was_found = self.missing.count == 0;
        self.is_known |= found.error.is_none();
        self.missing.note(self.is_known && found.error.is_some_and(is_unknown_topic));
        if self.missing.count == 1 && was_found {
            tracing::warn!(
                target: "kafka",
                topic = self.name,
                seconds = MISSING_MIN.as_secs(),
                "a broker does not know a topic; looking again, and stopping if it is still missing after that time"
            );
        }
        if found.error.is_some() || found.id.is_empty() {
            return None;
        }
        if self.id.is_empty() {
            self.id.clone_from(&found.id);
        }
        self.other.note(self.id != found.id);
        (self.other.count >= OTHER_LOOKS_MIN).then(|| {
            Failure::Stop(format!(
                "{} was deleted and made again while Shoal ran: it has id {}, and had {} at the start. Its records are \
                 lost; docs/recovery.md describes how to go on",
                self.described(),
                found.id,
                self.id
            ))
        })
    }

    fn seems_gone(&self) -> bool {
        self.missing.count >= LOOKS_MIN && self.missing.duration() >= MISSING_MIN
    }

    fn gone(&self) -> Failure {
        Failure::Stop(format!(
            "{} does not exist any more: no look of the last {} s has found it. Check whether it was deleted by mistake; \
             docs/recovery.md describes how to go on without it",
            self.described(),
            self.missing.duration().as_secs()
        ))
    }

    fn described(&self) -> String {
        let kind = if self.own.is_none() { "the input topic" } else { "Shoal's topic" };
        format!("{kind} {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(error: Option<RDKafkaErrorCode>, id: &str, partitions: usize) -> Description {
        let replicas = vec![3; partitions];
        Description { name: "in".into(), error, id: id.into(), replicas, allowed: None, members: Vec::new() }
    }

    fn known() -> Known {
        let settings = KafkaSettings { inputs: vec!["in".into()], ..KafkaSettings::default() };
        Existence::new(&settings, 2).topics.remove(0)
    }

    #[test]
    fn a_topic_that_is_found_once_is_not_gone() {
        let mut topic = known();
        let missing = described(Some(RDKafkaErrorCode::UnknownTopicOrPartition), "", 0);
        let found = described(None, "a", 2);
        assert!(topic.note(&missing).is_none() && topic.missing.count == 0, "it was never there");
        assert!(topic.note(&found).is_none());
        for _ in 0..LOOKS_MIN {
            assert!(topic.note(&missing).is_none() && !topic.seems_gone());
        }
        topic.missing.since = Instant::now().checked_sub(MISSING_MIN);
        assert!(topic.seems_gone(), "five looks over half a minute");
        assert!(topic.note(&found).is_none() && !topic.seems_gone());
        assert!(topic.note(&described(Some(RDKafkaErrorCode::LeaderNotAvailable), "", 0)).is_none());
        assert_eq!(topic.missing.count, 0, "another error says nothing of it");
    }

    #[test]
    fn another_identity_and_more_partitions_are_told() {
        let mut topic = known();
        assert!(topic.note(&described(None, "a", 2)).is_none());
        assert!(topic.note(&described(None, "b", 2)).is_none(), "once may be an old answer");
        assert!(topic.note(&described(None, "a", 2)).is_none() && topic.note(&described(None, "b", 2)).is_none());
        let message = topic.note(&described(None, "b", 2)).unwrap().to_string();
        assert!(message.starts_with("the input topic in was deleted and made again"), "{message}");
        let message = known().note(&described(None, "a", 3)).unwrap().to_string();
        assert!(message.contains("had 2 partitions at the start and has 3 now"), "{message}");
    }
}
