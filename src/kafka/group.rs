//! The member of the group: learns which shards are the worker's, and proves it for transactions. It fetches nothing.
//!
//! A small control thread polls the consumer for its events. An assignment is passed on as news, and accepted at once with
//! nothing to fetch: the worker recovers the shards and then starts them at the [`super::fetch::Fetcher`]. On a
//! revocation the control thread waits, bounded, until the worker has committed and let go. The worker never waits for
//! the control thread.

use super::client::{consumer_config, log, make, stop};
use super::fate;
use super::inbox::Inbox;
use super::{Failure, GroupProtocol, KafkaSettings, News};
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the control thread waits for the worker to let go of revoked shards; as long as a transaction may take.
const RELEASE_WAIT: Duration = Duration::from_secs(10);
const CONTROL_POLL: Duration = Duration::from_millis(100);

/// Context of the group's consumer; its callbacks run on the control thread.
struct Membership {
    inputs: Vec<String>,
    inbox: Arc<Inbox>,
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    /// Inputs of which the partition of this number is assigned.
    inputs_by_shard: BTreeMap<u32, BTreeSet<usize>>,
    /// Revoked, and the worker has not let go yet.
    awaited: BTreeSet<u32>,
    /// Shards were lost, or given up before the worker let go: until it has, it must not publish.
    broken: bool,
    /// The worker is leaving: wait for nothing.
    leaving: bool,
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        super::client::Logging.error(error, reason);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let is_incremental = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let nothing = TopicPartitionList::new();
        let answered = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.tell_assigned(list, is_incremental);
            if is_incremental { consumer.incremental_assign(&nothing) } else { consumer.assign(&nothing) }
        } else {
            self.tell_revoked_and_wait(list, consumer.assignment_lost());
            if is_incremental { consumer.incremental_unassign(&nothing) } else { consumer.unassign() }
        };
        self.note(answered);
    }
}

impl Membership {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn note(&self, answered: KafkaResult<()>) {
        if let Err(error) = answered {
            self.inbox.tell(Err(Failure::Rebuild(format!("answering a rebalance: {error}"))));
        }
    }

    /// The partitions of inputs in a list: shard and place of the input.
    fn partitions<'a>(&'a self, list: &'a TopicPartitionList) -> impl Iterator<Item = (u32, usize)> + 'a {
        list.elements().into_iter().filter_map(|element| {
            let input = self.inputs.iter().position(|input| input == element.topic())?;
            Some((element.partition() as u32, input))
        })
    }

    /// A shard is assigned when its partitions of all inputs are.
    fn tell_assigned(&self, list: &TopicPartitionList, is_incremental: bool) {
        let mut held = self.lock();
        let mut touched = BTreeSet::new();
        for (shard, input) in self.partitions(list) {
            held.inputs_by_shard.entry(shard).or_default().insert(input);
            touched.insert(shard);
        }
        let is_whole = |shard: &u32| held.inputs_by_shard[shard].len() == self.inputs.len();
        let (whole, partial): (Vec<u32>, Vec<u32>) = touched.into_iter().partition(is_whole);
        drop(held);
        if !partial.is_empty() && !is_incremental {
            self.inbox.tell(Err(fate::of_assignor(&partial)));
        } else if !whole.is_empty() {
            self.inbox.tell(Ok(News::Assigned(whole)));
        }
    }

    /// A shard is revoked when the first of its partitions is.
    fn tell_revoked_and_wait(&self, list: &TopicPartitionList, lost: bool) {
        let mut held = self.lock();
        let mut shards = BTreeSet::new();
        for (shard, input) in self.partitions(list) {
            let Some(inputs) = held.inputs_by_shard.get_mut(&shard) else { continue };
            if inputs.len() == self.inputs.len() {
                shards.insert(shard);
            }
            inputs.remove(&input);
        }
        held.inputs_by_shard.retain(|_, inputs| !inputs.is_empty());
        if shards.is_empty() || held.leaving {
            return;
        }
        held.awaited.extend(&shards);
        held.broken |= lost;
        self.inbox.tell(Ok(News::Revoked { shards: shards.into_iter().collect(), lost }));
        let idle = |held: &mut Held| !held.awaited.is_empty() && !held.leaving;
        let waited = self.changed.wait_timeout_while(held, RELEASE_WAIT, idle);
        let (mut held, timeout) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        if timeout.timed_out() && !held.awaited.is_empty() {
            held.broken = true;
            tracing::warn!(
                target: "kafka",
                shards = ?held.awaited,
                "the worker has not let go of shards within {RELEASE_WAIT:?}; they are given up, and it rebuilds"
            );
        }
    }
}

/// A worker's place in the group.
pub struct GroupMember {
    consumer: Arc<BaseConsumer<Membership>>,
    control_thread: Option<JoinHandle<()>>,
    stopped: Arc<AtomicBool>,
}

impl GroupMember {
    pub fn join(settings: &KafkaSettings, member: &str, inbox: &Arc<Inbox>) -> Result<Self, Failure> {
        let context = Membership {
            inputs: settings.inputs.clone(),
            inbox: Arc::clone(inbox),
            held: Mutex::default(),
            changed: Condvar::new(),
        };
        let config = member_config(settings, member);
        let consumer: Arc<BaseConsumer<Membership>> =
            make(settings, &config, context, "the Kafka consumer of the group")?;
        let topics: Vec<&str> = settings.inputs.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(stop("subscribing to the inputs"))?;
        let stopped = Arc::new(AtomicBool::new(false));
        let control_thread = spawn_control_thread(Arc::clone(&consumer), Arc::clone(&stopped))?;
        Ok(Self { consumer, control_thread: Some(control_thread), stopped })
    }

    /// Proof of membership for a transaction.
    pub fn proof(&self) -> Result<ConsumerGroupMetadata, Failure> {
        let proof = self.consumer.group_metadata();
        // Afterwards: if nothing was lost by now, nothing was when the proof was made.
        if self.consumer.context().lock().broken {
            return Err(Failure::Rebuild("the group took shards away from this worker".into()));
        }
        proof.ok_or_else(|| Failure::Rebuild("the member of the group has no metadata".into()))
    }

    /// The worker has let go of these shards.
    pub fn release(&self, shards: &[u32]) {
        let context = self.consumer.context();
        let mut held = context.lock();
        shards.iter().for_each(|shard| {
            held.awaited.remove(shard);
        });
        if held.awaited.is_empty() {
            held.broken = false;
        }
        context.changed.notify_all();
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        self.consumer.context().lock().leaving = true;
        self.consumer.context().changed.notify_all();
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.control_thread.take() {
            let _ = thread.join();
        }
    }
}

fn member_config(settings: &KafkaSettings, member: &str) -> ClientConfig {
    let mut config = consumer_config(settings);
    config.set("group.id", &settings.group).set("group.instance.id", member);
    match settings.group_protocol {
        // `range` gives equal partition numbers of all inputs to one member.
        GroupProtocol::Classic => config
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", settings.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (settings.session_timeout_ms / 5).min(3_000).to_string()),
        // Session time-out and heartbeats are the broker's then, and librdkafka refuses them here.
        GroupProtocol::Consumer => config.set("group.protocol", "consumer").set("group.remote.assignor", "range"),
    };
    config
}

fn spawn_control_thread(
    consumer: Arc<BaseConsumer<Membership>>,
    stopped: Arc<AtomicBool>,
) -> Result<JoinHandle<()>, Failure> {
    let control = move || {
        while !stopped.load(Ordering::Acquire) {
            if let Some(Err(error)) = consumer.poll(CONTROL_POLL) {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                if let Err(failure) = fate::of_group(code, error.to_string()) {
                    consumer.context().inbox.tell(Err(failure));
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("kafka-control".into())
        .spawn(control)
        .map_err(stop("the control thread cannot be started"))
}
