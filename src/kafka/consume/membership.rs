//! What the group has assigned to this worker, kept by the callbacks of the group's consumer.
//!
//! A shard is assigned when its partitions of all inputs are, and revoked when the first of them is. A revocation
//! blocks the callback, up to a bound, until the worker has committed and released its shards: only then does the
//! client give them back to the group.

use crate::kafka::client::Logging;
use crate::kafka::error_class;
use crate::kafka::inbox::Inbox;
use crate::kafka::{Failure, GroupEvent};
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a callback waits for the worker to release revoked shards; as long as a transaction may take.
const RELEASE_WAIT: Duration = Duration::from_secs(10);

pub type GroupConsumer = BaseConsumer<GroupContext>;

/// Context of the group's consumers; its callbacks run on the control thread.
#[derive(Clone)]
pub struct GroupContext(pub Arc<Membership>);

pub struct Membership {
    inputs: Vec<String>,
    pub inbox: Arc<Inbox>,
    state: Mutex<State>,
    changed: Condvar,
    /// `None` while there is no member. The consumer owns this membership in turn: who ends the consumer removes it
    /// here.
    consumer: Mutex<Option<Arc<GroupConsumer>>>,
}

#[derive(Default)]
pub struct State {
    /// For each shard the inputs whose partition is assigned.
    inputs_by_shard: BTreeMap<u32, BTreeSet<usize>>,
    /// Revoked shards that the worker has not released yet.
    unreleased: BTreeSet<u32>,
    /// Shards were lost, or given back before the worker released them. It must not publish until it has.
    pub is_broken: bool,
    /// The worker leaves the group: nothing is waited for.
    pub is_leaving: bool,
    /// The group has assigned partitions, or none, for the first time.
    pub has_joined: bool,
    /// When the consumer was first seen to have an epoch.
    pub epoch_since: Option<Instant>,
    /// Why there is no membership at the moment.
    pub waits_for: Option<String>,
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match facility {
            "FATAL" => tracing::debug!(target: "kafka", "{facility} {message}"),
            _ => Logging.log(level, facility, message),
        }
    }

    /// A fatal error ends this member, and the control thread logs what it does about that.
    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::UnreleasedInstanceId,
            ) => {
                tracing::debug!(target: "kafka", error = reason, "a fatal error of a member")
            }
            _ => Logging.error(error, reason),
        }
    }
}

impl ConsumerContext for GroupContext {
    /// Accepts every assignment with nothing to fetch: another client fetches.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let is_incremental = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let nothing = TopicPartitionList::new();
        let answered = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.0.assigned(list, is_incremental);
            if is_incremental { consumer.incremental_assign(&nothing) } else { consumer.assign(&nothing) }
        } else {
            self.0.revoked(list, consumer.assignment_lost());
            if is_incremental { consumer.incremental_unassign(&nothing) } else { consumer.unassign() }
        };
        self.0.check_answered(answered);
    }
}

impl Membership {
    pub fn new(inputs: &[String], inbox: &Arc<Inbox>) -> Self {
        Self {
            inputs: inputs.to_vec(),
            inbox: Arc::clone(inbox),
            state: Mutex::default(),
            changed: Condvar::new(),
            consumer: Mutex::default(),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn consumer(&self) -> MutexGuard<'_, Option<Arc<GroupConsumer>>> {
        self.consumer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The worker has given up these shards.
    pub fn release(&self, shards: &[u32]) {
        let mut state = self.state();
        state.unreleased.retain(|shard| !shards.contains(shard));
        if state.unreleased.is_empty() {
            state.is_broken = false;
        }
        self.changed.notify_all();
    }

    /// Ends all waiting.
    pub fn leave(&self) {
        self.state().is_leaving = true;
        self.changed.notify_all();
    }

    /// There is no member any more: nothing may be published until the worker has released its shards. Returns these.
    pub fn lose_all(&self) -> Vec<u32> {
        let mut state = self.state();
        let shards: Vec<u32> = std::mem::take(&mut state.inputs_by_shard).into_keys().collect();
        state.is_broken |= !shards.is_empty();
        state.unreleased.extend(&shards);
        shards
    }

    fn check_answered(&self, answered: KafkaResult<()>) {
        if let Err(error) = answered {
            self.inbox.push(Err(Failure::Rebuild(format!("a rebalance cannot be answered: {error}"))));
        }
    }

    /// Shard and index of the input for each partition of an input in the list.
    fn partitions<'a>(&'a self, list: &'a TopicPartitionList) -> impl Iterator<Item = (u32, usize)> + 'a {
        list.elements().into_iter().filter_map(|element| {
            let input = self.inputs.iter().position(|input| input == element.topic())?;
            Some((element.partition() as u32, input))
        })
    }

    fn assigned(&self, list: &TopicPartitionList, is_incremental: bool) {
        let mut state = self.state();
        let mut touched = BTreeSet::new();
        for (shard, input) in self.partitions(list) {
            state.inputs_by_shard.entry(shard).or_default().insert(input);
            touched.insert(shard);
        }
        let is_whole = |shard: &u32| state.inputs_by_shard[shard].len() == self.inputs.len();
        let (whole, partial): (Vec<u32>, Vec<u32>) = touched.into_iter().partition(is_whole);
        drop(state);
        if !partial.is_empty() && !is_incremental {
            self.inbox.push(Err(error_class::wrong_assignor(&partial)));
            return;
        }
        if !partial.is_empty() {
            tracing::info!(
                target: "kafka",
                shards = ?partial,
                "partitions of some inputs are assigned; waiting for those of the other inputs"
            );
        }
        if !whole.is_empty() {
            self.inbox.push(Ok(GroupEvent::Assigned(whole)));
        }
        // Set after the event, so that a reader of this flag also finds the event.
        let mut state = self.state();
        (state.has_joined, state.waits_for) = (true, None);
    }

    /// Reports the shards that are revoked and waits until the worker has released them.
    fn revoked(&self, list: &TopicPartitionList, lost: bool) {
        let mut state = self.state();
        let mut shards = BTreeSet::new();
        for (shard, input) in self.partitions(list) {
            let Some(inputs) = state.inputs_by_shard.get_mut(&shard) else { continue };
            if inputs.len() == self.inputs.len() {
                shards.insert(shard);
            }
            inputs.remove(&input);
        }
        state.inputs_by_shard.retain(|_, inputs| !inputs.is_empty());
        if shards.is_empty() || state.is_leaving {
            return;
        }
        state.unreleased.extend(&shards);
        state.is_broken |= lost;
        self.inbox.push(Ok(GroupEvent::Revoked { shards: shards.into_iter().collect(), lost }));
        let is_waiting = |state: &mut State| !state.unreleased.is_empty() && !state.is_leaving;
        let waited = self.changed.wait_timeout_while(state, RELEASE_WAIT, is_waiting);
        let (mut state, timeout) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        if timeout.timed_out() && !state.unreleased.is_empty() {
            state.is_broken = true;
            tracing::warn!(
                target: "kafka",
                shards = ?state.unreleased,
                seconds = RELEASE_WAIT.as_secs(),
                "the worker has not released revoked shards in time; the group assigns them elsewhere, and the worker \
                 publishes nothing until it has released them"
            );
        }
    }
}
