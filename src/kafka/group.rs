//! The member of the group: learns which shards are the worker's, and proves it for transactions. It fetches nothing.
//!
//! A small control thread polls the consumer for its events. An assignment is passed on as news, and accepted at once with
//! nothing to fetch: the worker recovers the shards and then starts them at the [`super::fetch::Fetcher`]. On a
//! revocation the control thread waits, bounded, until the worker has committed and let go. The worker never waits for
//! the control thread.
//!
//! *The proof.* A transaction carries the member's id and generation (classic) or epoch (consumer), and the broker refuses
//! its offsets if they are not those of now. It is asked of the client anew for each transaction. The one of the assignment
//! would do with the classic protocol, where a generation ends with a rebalance that every member hears of; under the other
//! an epoch moves on whenever anybody comes or goes, and a member that keeps its shards hears nothing of it. What must not
//! be is that a worker which has lost its shards takes the proof of a new membership for them: so there is none from the
//! moment a loss is told until the worker has let go. Losses are told before the client joins again, so a proof that was
//! made before the look at `broken` belongs to an unbroken membership. A process that was stopped shows a proof of then,
//! which the broker refuses.

use super::client::{Logging, consumer_config, make, stop};
use super::fate;
use super::inbox::Inbox;
use super::{Failure, GroupEvent, GroupProtocol, KafkaSettings, raw_admin};
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the control thread waits for the worker to let go of revoked shards; as long as a transaction may take.
const RELEASE_WAIT: Duration = Duration::from_secs(10);
const CONTROL_POLL: Duration = Duration::from_millis(100);
/// Under the protocol `consumer` a static member that did not say good-bye (kill -9) keeps its name until its session is
/// over. The broker may be set to at most a minute (group.consumer.max.session.timeout.ms).
const NAME_WAIT: Duration = Duration::from_secs(75);
/// From a first epoch to the partitions that came with it.
const TOLD_WAIT: Duration = Duration::from_secs(1);
const JOIN_AGAIN: Duration = Duration::from_secs(1);
/// A member that is fenced once more within this time has a twin, a process of the same name.
const TWIN_WAIT: Duration = Duration::from_secs(60);

/// Context of the group's consumers; its callbacks run on the control thread.
#[derive(Clone)]
struct Membership(Arc<Shared>);

struct Shared {
    inputs: Vec<String>,
    inbox: Arc<Inbox>,
    held: Mutex<Held>,
    changed: Condvar,
    /// `None` while there is no member. It holds us in turn: whoever leaves takes it out.
    consumer: Mutex<Option<Arc<GroupConsumer>>>,
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
    /// The group has given it partitions, or none, for the first time.
    has_joined: bool,
    /// When it was first seen to have an epoch.
    epoch_since: Option<Instant>,
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Logging.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logging.error(error, reason);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let is_incremental = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let nothing = TopicPartitionList::new();
        let answered = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.0.tell_assigned(list, is_incremental);
            if is_incremental { consumer.incremental_assign(&nothing) } else { consumer.assign(&nothing) }
        } else {
            self.0.tell_revoked_and_wait(list, consumer.assignment_lost());
            if is_incremental { consumer.incremental_unassign(&nothing) } else { consumer.unassign() }
        };
        self.0.note(answered);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn consumer(&self) -> MutexGuard<'_, Option<Arc<GroupConsumer>>> {
        self.consumer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// There is no member any more: nothing may be published until the worker has let go. Gives the shards that it is to let
    /// go of.
    fn lose_all(&self) -> Vec<u32> {
        let mut held = self.lock();
        let shards: Vec<u32> = std::mem::take(&mut held.inputs_by_shard).into_keys().collect();
        held.broken |= !shards.is_empty();
        held.awaited.extend(&shards);
        shards
    }

    fn note(&self, answered: KafkaResult<()>) {
        if let Err(error) = answered {
            self.inbox.push(Err(Failure::Rebuild(format!("answering a rebalance: {error}"))));
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
            self.inbox.push(Err(fate::of_assignor(&partial)));
            return;
        }
        if !partial.is_empty() {
            tracing::info!(target: "kafka", shards = ?partial, "partitions of some inputs came; the others are awaited");
        }
        if !whole.is_empty() {
            self.inbox.push(Ok(GroupEvent::Assigned(whole)));
        }
        // Whoever sees this finds the news too.
        self.lock().has_joined = true;
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
        self.inbox.push(Ok(GroupEvent::Revoked { shards: shards.into_iter().collect(), lost }));
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

type GroupConsumer = BaseConsumer<Membership>;

/// A worker's place in the group.
pub struct GroupMember {
    shared: Arc<Shared>,
    control: Option<JoinHandle<()>>,
}

impl GroupMember {
    pub fn join(settings: &KafkaSettings, member: &str, inbox: &Arc<Inbox>) -> Result<Self, Failure> {
        let shared = Arc::new(Shared {
            inputs: settings.inputs.clone(),
            inbox: Arc::clone(inbox),
            held: Mutex::default(),
            changed: Condvar::new(),
            consumer: Mutex::default(),
        });
        let control = Control { settings: settings.clone(), member: member.to_owned(), shared: Arc::clone(&shared) };
        // The first time here: what is wrong with the settings is told at once.
        let consumer = control.join()?;
        let thread = std::thread::Builder::new().name("kafka-control".into()).spawn(move || control.run(consumer));
        Ok(Self { shared, control: Some(thread.map_err(stop("the control thread cannot be started"))?) })
    }

    /// Proof of membership for a transaction.
    pub fn proof(&self) -> Result<ConsumerGroupMetadata, Failure> {
        let consumer = self.shared.consumer().clone();
        let proof = consumer.and_then(|consumer| consumer.group_metadata());
        // Afterwards: if nothing was lost by now, nothing was when the proof was made.
        if self.shared.lock().broken {
            return Err(Failure::Rebuild("the group took shards away from this worker".into()));
        }
        proof.ok_or_else(|| Failure::Rebuild("this worker is no member of the group".into()))
    }

    /// Whether the group has taken it in since it began. Under the protocol `consumer` a member that gets nothing is not told
    /// so, but it has an epoch, and by then would have been told.
    pub fn has_joined(&self) -> bool {
        if self.shared.lock().has_joined {
            return true;
        }
        let consumer = self.shared.consumer().clone();
        let incremental =
            consumer.filter(|consumer| matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative));
        let has_epoch = incremental.is_some_and(|consumer| raw_admin::has_generation(consumer.client()));
        let mut held = self.shared.lock();
        if has_epoch {
            let since = *held.epoch_since.get_or_insert_with(Instant::now);
            held.has_joined |= since.elapsed() >= TOLD_WAIT;
        }
        held.has_joined
    }

    /// The worker has let go of these shards.
    pub fn release(&self, shards: &[u32]) {
        let mut held = self.shared.lock();
        held.awaited.retain(|shard| !shards.contains(shard));
        if held.awaited.is_empty() {
            held.broken = false;
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        self.shared.lock().leaving = true;
        self.shared.changed.notify_all();
        if let Some(control) = self.control.take() {
            control.thread().unpark();
            let _ = control.join();
        }
    }
}

/// What the control thread works on.
struct Control {
    settings: KafkaSettings,
    member: String,
    shared: Arc<Shared>,
}

/// Why the control thread is done with a consumer.
enum Done {
    Leaving,
    /// The name belongs to a member whose session is not over.
    NameTaken(String),
    /// The name belongs to a member that joined later.
    Fenced(String),
    Failed(Failure),
}

impl Control {
    fn join(&self) -> Result<Arc<GroupConsumer>, Failure> {
        let config = member_config(&self.settings, &self.member);
        let context = Membership(Arc::clone(&self.shared));
        let consumer: Arc<GroupConsumer> = make(&self.settings, &config, context, "the Kafka consumer of the group")?;
        let topics: Vec<&str> = self.settings.inputs.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(stop("subscribing to the inputs"))?;
        *self.shared.consumer() = Some(Arc::clone(&consumer));
        Ok(consumer)
    }

    fn run(self, mut consumer: Arc<GroupConsumer>) {
        let mut taken_since: Option<Instant> = None;
        let mut fenced_at: Option<Instant> = None;
        let failure = loop {
            let joined = Instant::now();
            let done = self.serve(&consumer);
            *self.shared.consumer() = None;
            drop(consumer);
            match done {
                Done::Leaving => return,
                Done::Failed(failure) => break failure,
                Done::NameTaken(words) => {
                    if joined.elapsed() > NAME_WAIT {
                        taken_since = None;
                    }
                    if taken_since.is_none() {
                        let member = &self.member;
                        tracing::info!(target: "kafka", member, "the name belongs to a member that is not missed yet; waiting");
                    }
                    if taken_since.get_or_insert(joined).elapsed() > NAME_WAIT {
                        break fate::of_instance(&words);
                    }
                    std::thread::park_timeout(JOIN_AGAIN);
                }
                // After a broker has died a request to join may have been heard twice: then it was ourselves who joined later.
                Done::Fenced(words) => {
                    let before = fenced_at.replace(Instant::now());
                    if before.is_some_and(|before| before.elapsed() < TWIN_WAIT) {
                        break fate::of_instance(&words);
                    }
                    tracing::warn!(target: "kafka", "{words}; joining again, since it may have been this process itself");
                    let shards = self.shared.lose_all();
                    if !shards.is_empty() {
                        self.shared.inbox.push(Ok(GroupEvent::Revoked { shards, lost: true }));
                    }
                }
            }
            consumer = match self.join() {
                Ok(consumer) => consumer,
                Err(failure) => break failure,
            };
        };
        self.shared.lose_all();
        self.shared.inbox.push(Err(failure));
    }

    /// Hears the consumer's events until something ends that.
    fn serve(&self, consumer: &GroupConsumer) -> Done {
        while !self.shared.lock().leaving {
            let Some(Err(error)) = consumer.poll(CONTROL_POLL) else { continue };
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            let (code, words) = consumer.client().fatal_error().unwrap_or_else(|| (code, error.to_string()));
            let words = format!("member {} of the group: {words}", self.member);
            match code {
                RDKafkaErrorCode::UnreleasedInstanceId => return Done::NameTaken(words),
                RDKafkaErrorCode::FencedInstanceId => return Done::Fenced(words),
                _ => {}
            }
            if let Err(failure) = fate::of_group(code, words) {
                return Done::Failed(failure);
            }
        }
        Done::Leaving
    }
}

fn member_config(settings: &KafkaSettings, member: &str) -> ClientConfig {
    let mut config = consumer_config(settings);
    config.set("group.id", &settings.group).set("group.instance.id", member);
    match settings.group_protocol {
        // A member hears of a rebalance with its next heartbeat: a takeover waits for that too.
        // `range` gives equal partition numbers of all inputs to one member.
        GroupProtocol::Classic => config
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", settings.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (settings.session_timeout_ms / 10).min(1_000).to_string()),
        // Session time-out and heartbeats are the broker's then, and librdkafka refuses them here.
        GroupProtocol::Consumer => config.set("group.protocol", "consumer").set("group.remote.assignor", "range"),
    };
    config
}
