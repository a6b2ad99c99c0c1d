//! The live side: a member of the group that hands a worker the records of its shards.
//!
//! A small control thread polls the consumer for its events, and nothing else; messages flow past it through the private
//! queue of the worker. An assignment is only noted: the worker recovers the shards first and then says from where to
//! fetch ([`GroupConsumer::start`]). On a revocation the control thread waits, bounded, until the worker has committed.
//! The worker never waits for the control thread.

use super::client::{REQUEST_WAIT, again, consumer_config, log, stop};
use super::raw::{PrivateQueue, QueueEvent, RawRun};
use super::reader::KafkaBatch;
use super::{Batch, Failure, InputOffset, KafkaSettings, News, Own, Topic};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Messages of one poll at most.
const BATCH_MAX: usize = 4_096;
/// How long the control thread waits for the worker to let go of revoked shards; as long as a transaction may take.
const RELEASE_WAIT: Duration = Duration::from_secs(10);
const CONTROL_POLL: Duration = Duration::from_millis(100);

/// News for the worker. With an assignment comes what proves membership of the generation that made it.
struct Told {
    news: Result<News, Failure>,
    member: Option<ConsumerGroupMetadata>,
}

/// What the control thread and the worker tell each other.
#[derive(Default)]
struct Group {
    news: VecDeque<Told>,
    /// The worker has let go since the last revocation.
    released: bool,
    /// Counts assignments and revocations: a worker that is late must not start what is no longer its own.
    changes: u64,
    /// The worker is leaving: wait for nothing.
    leaving: bool,
}

/// Context of the group's consumer; its callbacks run on the control thread.
pub struct Membership {
    inputs: Vec<String>,
    group: Mutex<Group>,
    changed: Condvar,
    has_news: AtomicBool,
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(target: "kafka", "{error}: {reason}");
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Ends the rebalance without fetching: that begins with `start`.
            let accepted = consumer.assign(&TopicPartitionList::new()).map_err(stop("accepting an assignment"));
            let news = accepted.and_then(|()| self.shards_of(list)).map(News::Assigned);
            self.tell(Told { news, member: consumer.group_metadata() });
        } else {
            let lost = consumer.assignment_lost();
            self.tell(Told { news: Ok(News::Revoked { lost }), member: None });
            self.wait_for_release();
            if let Err(error) = consumer.unassign() {
                tracing::warn!(target: "kafka", "giving partitions up: {error}");
            }
        }
    }
}

impl Membership {
    fn lock(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn tell(&self, told: Told) {
        let mut group = self.lock();
        group.released = false;
        group.changes += 1;
        group.news.push_back(told);
        self.has_news.store(true, Ordering::Release);
    }

    fn wait_for_release(&self) {
        let group = self.lock();
        let waited = self.changed.wait_timeout_while(group, RELEASE_WAIT, |group| !group.released && !group.leaving);
        if waited.is_ok_and(|(_, timeout)| timeout.timed_out()) {
            tracing::warn!(target: "kafka", "the worker has not let go of its shards within {RELEASE_WAIT:?}");
        }
    }

    /// The shards of an assignment: partition numbers that are there for every input.
    fn shards_of(&self, list: &TopicPartitionList) -> Result<Vec<u32>, Failure> {
        let mut topics_by_partition: BTreeMap<u32, usize> = BTreeMap::new();
        for element in list.elements() {
            if self.inputs.iter().any(|input| input == element.topic()) {
                *topics_by_partition.entry(element.partition() as u32).or_default() += 1;
            }
        }
        if topics_by_partition.values().any(|&topics| topics != self.inputs.len()) {
            return Err(Failure::Stop(format!(
                "the group's assignor does not give equal partition numbers of all inputs to one member ({list:?}); \
                 every member of the group must use `range`"
            )));
        }
        Ok(topics_by_partition.into_keys().collect())
    }
}

/// The live side of a worker.
pub struct GroupConsumer {
    // Before the consumer: the queue must be gone when the consumer closes.
    queue: PrivateQueue<Membership>,
    consumer: Arc<BaseConsumer<Membership>>,
    control_thread: Option<JoinHandle<()>>,
    stopped: Arc<AtomicBool>,
    /// Names of the inputs and last of the control topic.
    names: Vec<String>,
    /// `changes` of the group as of the last news the worker has taken.
    changes_seen: u64,
    /// Started input partitions, and whether each was read to its end.
    ended: HashMap<(u16, u32), bool>,
    partitions_behind: usize,
    failed: Option<Failure>,
    /// Of the generation that gave the worker its shards, not of the latest: a worker that is late must be refused.
    member: Option<ConsumerGroupMetadata>,
}

impl GroupConsumer {
    pub fn join(settings: &KafkaSettings, member: &str) -> Result<Self, Failure> {
        let context = Membership {
            inputs: settings.inputs.clone(),
            group: Mutex::default(),
            changed: Condvar::new(),
            has_news: AtomicBool::new(false),
        };
        let mut config = consumer_config(settings);
        config
            .set("group.id", &settings.group)
            .set("group.instance.id", member)
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", settings.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (settings.session_timeout_ms / 5).min(3_000).to_string());
        let consumer: Arc<BaseConsumer<Membership>> =
            Arc::new(config.create_with_context(context).map_err(stop("the Kafka consumer cannot be made"))?);
        let mut names = settings.inputs.clone();
        names.push(settings.topics.control.clone());
        let queue = PrivateQueue::new(Arc::clone(&consumer), names.clone());
        let topics: Vec<&str> = settings.inputs.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(stop("subscribing to the inputs"))?;
        let stopped = Arc::new(AtomicBool::new(false));
        let control_thread = spawn_control_thread(Arc::clone(&consumer), Arc::clone(&stopped))?;
        Ok(Self {
            queue,
            consumer,
            control_thread: Some(control_thread),
            stopped,
            names,
            changes_seen: 0,
            ended: HashMap::new(),
            partitions_behind: 0,
            failed: None,
            member: None,
        })
    }

    /// Proof of membership for transactions, as of the assignment.
    pub fn member(&self) -> Option<&ConsumerGroupMetadata> {
        self.member.as_ref()
    }

    pub fn poll(&mut self, wait: Duration, gather: Duration, batch: &mut KafkaBatch) -> Result<News, Failure> {
        batch.clear();
        if self.context().has_news.load(Ordering::Acquire) {
            return self.take_news();
        }
        // Waiting for one message and then taking what else is there: waiting for a full batch would always wait.
        let mut taken = self.take(Duration::ZERO, BATCH_MAX, batch);
        if taken == 0 && !wait.is_zero() {
            taken = self.take(wait, 1, batch);
            if taken > 0 {
                self.take(gather, BATCH_MAX - 1, batch);
            }
        }
        match self.failed.take() {
            Some(failure) => Err(failure),
            None => Ok(News::Nothing),
        }
    }

    fn take(&mut self, wait: Duration, count_max: usize, batch: &mut KafkaBatch) -> usize {
        let Self { queue, ended, partitions_behind, failed, names, .. } = self;
        let runs_before = batch.messages.runs().len();
        let control = names.len() as u16 - 1;
        let mut mark = |topic: u16, partition: u32, end: bool| {
            if let Some(known) = ended.get_mut(&(topic, partition)) {
                *partitions_behind = *partitions_behind + usize::from(*known) - usize::from(end);
                *known = end;
            }
        };
        let mut ends = Vec::new();
        let taken = queue.take(wait, count_max, &mut batch.messages, &mut |event| match event {
            QueueEvent::End { topic, partition, offset } => ends.push((topic, partition, offset)),
            QueueEvent::Error { code, words } => note_error(code, words, failed),
        });
        // The client tells an end only when a later fetch comes back empty, so what it knows already is asked for. It
        // still matters where a partition ends in markers.
        for run in &batch.messages.runs()[runs_before.saturating_sub(1)..] {
            let last = batch.messages.get(run.messages.end - 1).offset;
            mark(
                run.topic,
                run.partition,
                queue.known_end(run.topic, run.partition).is_some_and(|end| last + 1 >= end),
            );
        }
        for (topic, partition, end) in ends {
            let same = |run: &&RawRun| (run.topic, run.partition) == (topic, partition);
            let last =
                batch.messages.runs().iter().rfind(same).map(|run| batch.messages.get(run.messages.end - 1).offset);
            mark(topic, partition, last.is_none_or(|last| last < end));
        }
        batch.name_runs(|topic| if topic == control { Topic::Own(Own::Control) } else { Topic::Input(topic) });
        taken
    }

    /// The group's stable offsets of these partitions, and none for those without.
    pub fn committed(&self, partitions: &[(u16, u32)]) -> Result<Vec<InputOffset>, Failure> {
        let mut list = TopicPartitionList::new();
        for &(topic, partition) in partitions {
            list.add_partition(&self.names[usize::from(topic)], partition as i32);
        }
        let answer = self.consumer.committed_offsets(list, REQUEST_WAIT).map_err(again("the group's offsets"))?;
        let offset_of = |&(topic, partition): &(u16, u32)| {
            let found = answer.find_partition(&self.names[usize::from(topic)], partition as i32)?;
            match found.offset() {
                Offset::Offset(offset) => Some(InputOffset { topic, partition, offset }),
                _ => None,
            }
        };
        Ok(partitions.iter().filter_map(offset_of).collect())
    }

    fn take_news(&mut self) -> Result<News, Failure> {
        let context = Arc::clone(self.consumer.context());
        let mut group = context.lock();
        let told = group.news.pop_front();
        context.has_news.store(!group.news.is_empty(), Ordering::Release);
        self.changes_seen = group.changes - group.news.len() as u64;
        let Some(told) = told else { return Ok(News::Nothing) };
        self.member = told.member.or(self.member.take());
        told.news
    }

    pub fn read_to_end(&self) -> bool {
        self.partitions_behind == 0
    }

    pub fn start(&mut self, inputs: &[InputOffset], control_offset: i64) -> Result<(), Failure> {
        let control = self.names.len() as u16 - 1;
        let mut list = TopicPartitionList::new();
        let mut add = |topic: u16, partition: u32, offset: i64| {
            self.queue.forward(topic, partition);
            list.add_partition_offset(&self.names[usize::from(topic)], partition as i32, Offset::Offset(offset))
                .map_err(stop("start positions"))
        };
        for input in inputs {
            add(input.topic, input.partition, input.offset)?;
        }
        add(control, 0, control_offset)?;
        self.ended = inputs.iter().map(|input| ((input.topic, input.partition), false)).collect();
        self.partitions_behind = self.ended.len();
        let context = Arc::clone(self.consumer.context());
        let group = context.lock();
        if group.changes == self.changes_seen {
            self.consumer.assign(&list).map_err(stop("starting to fetch"))?;
        }
        // Otherwise there is news, and it says that these shards are no longer ours.
        Ok(())
    }

    /// Stops fetching without leaving the group, to start again elsewhere.
    pub fn pause(&mut self) {
        self.queue.unforward();
        self.ended.clear();
        self.partitions_behind = 0;
        let context = Arc::clone(self.consumer.context());
        let group = context.lock();
        if group.changes == self.changes_seen
            && let Err(error) = self.consumer.assign(&TopicPartitionList::new())
        {
            tracing::warn!(target: "kafka", "stopping to fetch: {error}");
        }
    }

    pub fn release(&mut self) {
        self.queue.unforward();
        self.ended.clear();
        self.partitions_behind = 0;
        let context = self.context();
        context.lock().released = true;
        context.changed.notify_all();
    }

    fn context(&self) -> &Membership {
        self.consumer.context()
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.context().lock().leaving = true;
        self.context().changed.notify_all();
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.control_thread.take() {
            let _ = thread.join();
        }
    }
}

fn spawn_control_thread(
    consumer: Arc<BaseConsumer<Membership>>,
    stopped: Arc<AtomicBool>,
) -> Result<JoinHandle<()>, Failure> {
    std::thread::Builder::new()
        .name("kafka-control".into())
        .spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                if let Some(Err(error)) = consumer.poll(CONTROL_POLL) {
                    let mut fatal = None;
                    note_error(
                        error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
                        error.to_string(),
                        &mut fatal,
                    );
                    if let Some(failure) = fatal {
                        consumer.context().tell(Told { news: Err(failure), member: None });
                    }
                }
            }
        })
        .map_err(stop("the control thread cannot be started"))
}

/// Errors that librdkafka recovers from by itself are only logged.
fn note_error(code: RDKafkaErrorCode, words: String, failed: &mut Option<Failure>) {
    use RDKafkaErrorCode as E;
    match code {
        E::AutoOffsetReset | E::OffsetOutOfRange => {
            *failed = Some(Failure::Stop(format!(
                "{words}. The records that come next are no longer (or not yet) in the topic: its retention is too \
                 short, or it was made anew"
            )));
        }
        E::Fatal | E::FencedInstanceId => {
            *failed = Some(Failure::Stop(format!(
                "{words}. Another process runs under the same `instance`: each needs its own"
            )));
        }
        E::TopicAuthorizationFailed | E::GroupAuthorizationFailed => {
            *failed = Some(Failure::Stop(words));
        }
        _ => tracing::warn!(target: "kafka", "{words}"),
    }
}
