//! The live fetch: a plain consumer, in no group, that reads the partitions the worker says, each into its own queue.
//!
//! It is another client than the member of the group (`group`), so a rebalance and the fetch do not get in each other's
//! way: starting a partition leaves what was fetched of the others where it is, under either group protocol. Each queue
//! is bounded by librdkafka, which stops fetching a partition while its queue is full.

use super::client::{Logging, REQUEST_WAIT, consumer_config, make, stop};
use super::fate;
use super::inbox::Inbox;
use super::raw::{PrivateQueue, QueueEvent};
use super::reader::{KafkaBatch, learn_topic};
use super::settings::OwnTopics;
use super::watch::{Answers, Watch, Watching};
use super::{Batch, ClientReport, Failure, InputOffset, KafkaSettings, Own, PartitionStatus, Position, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages that wait in one partition's queue: librdkafka fetches more only below it.
const QUEUED_MESSAGES_MIN: &str = "20000";
/// And bytes of them, in KiB.
const QUEUED_KBYTES_MAX: &str = "16384";
/// Fetches that wait longer would be answered too seldom for live time: see `watch`.
const FETCH_WAIT_MS_MAX: u32 = 250;
/// How long a partition that was just started may take to bring something, before it can be started elsewhere.
const FIRST_ANSWER_WAIT: Duration = Duration::from_secs(10);

/// One started partition.
struct Started {
    queue: PrivateQueue<Watching>,
    /// Past the last message taken, and past markers if an end was told there.
    next: i64,
    at_end: bool,
    /// As of the last take.
    answered: Option<u64>,
    answers: Arc<Answers>,
    /// The fetch from here has brought something. librdkafka fails an assertion when a partition is taken from it that
    /// it was given again before its fetch had stopped; so what was started is stopped only after this.
    has_answered: bool,
    /// To be stopped as soon as it has answered; nobody takes from it.
    is_idle: bool,
}

impl Started {
    /// Appends messages to the batch and notes what else the queue says; how many, and an error if there was one.
    fn drain(
        &mut self,
        wait: Duration,
        records_max: usize,
        batch: &mut KafkaBatch,
    ) -> (usize, Option<(RDKafkaErrorCode, String)>) {
        let (mut failed, mut end) = (None, None);
        let taken = self.queue.take(wait, records_max, &mut batch.messages, &mut |event| match event {
            QueueEvent::End(offset) => end = Some(offset),
            QueueEvent::Error { code, words } => failed = failed.take().or(Some((code, words))),
        });
        self.has_answered |= taken > 0 || end.is_some() || failed.is_some();
        if taken > 0 {
            self.next = batch.messages.offset(batch.len() - 1) + 1;
            // librdkafka tells an end only when a later fetch comes back empty, so what it knows already is asked for.
            self.at_end = self.queue.known_end().is_some_and(|known| self.next >= known);
        }
        if let Some(end) = end.filter(|&end| end >= self.next) {
            // Also past markers, which are no messages.
            self.next = end;
            self.at_end = true;
        }
        (taken, failed)
    }
}

pub struct Fetcher {
    // Before the consumer: the queues must be gone when it is destroyed.
    started: BTreeMap<(Topic, u32), Started>,
    watch: Watch,
    consumer: Arc<BaseConsumer<Watching>>,
    /// Topics whose leaders the consumer knows.
    known: BTreeSet<Topic>,
    inputs: Vec<String>,
    own: OwnTopics,
    inbox: Arc<Inbox>,
    clock: Instant,
}

impl Fetcher {
    /// `clock` is where monotonic time starts.
    pub fn new(settings: &KafkaSettings, clock: Instant, inbox: &Arc<Inbox>) -> Result<Self, Failure> {
        if settings.fetch_wait_ms > FETCH_WAIT_MS_MAX {
            return Err(Failure::Stop(format!(
                "`fetch_wait_ms` of [kafka]: expected at most {FETCH_WAIT_MS_MAX}, found {}: time passes only while fetches \
                 are answered",
                settings.fetch_wait_ms
            )));
        }
        let mut config = consumer_config(settings);
        config
            // librdkafka wants a group even where it is not joined.
            .set("group.id", &settings.group)
            .set("queued.min.messages", QUEUED_MESSAGES_MIN)
            .set("queued.max.messages.kbytes", QUEUED_KBYTES_MAX)
            .set("statistics.interval.ms", Watching::INTERVAL_MS.to_string());
        let watching = Watching::new(clock);
        let consumer: Arc<BaseConsumer<Watching>> = make(settings, &config, watching, "the Kafka consumer")?;
        let mut fetcher = Self {
            started: BTreeMap::new(),
            watch: Watch::spawn(Arc::clone(&consumer))?,
            consumer,
            known: BTreeSet::new(),
            inputs: settings.inputs.clone(),
            own: settings.topics.clone(),
            inbox: Arc::clone(inbox),
            clock,
        };
        let inputs = (0..settings.inputs.len() as u16).map(Topic::Input);
        inputs.chain([Topic::Own(Own::Control)]).try_for_each(|topic| fetcher.learn(topic))?;
        Ok(fetcher)
    }

    /// Lets the consumer find the leaders of a topic that is new to it.
    fn learn(&mut self, topic: Topic) -> Result<(), Failure> {
        if !self.known.contains(&topic) {
            learn_topic(&self.consumer, self.name(topic))?;
            self.known.insert(topic);
        }
        Ok(())
    }

    fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Input(input) => &self.inputs[usize::from(input)],
            Topic::Own(own) => self.own.name(own),
        }
    }

    /// Fetches from these positions on; partitions that are started already continue from there.
    pub fn start(&mut self, positions: &[Position]) -> Result<(), Failure> {
        if positions.is_empty() {
            return Ok(());
        }
        positions.iter().try_for_each(|position| self.learn(position.topic))?;
        let again = positions.iter().map(|position| (position.topic, position.partition));
        let again: Vec<_> = again.filter(|key| self.started.contains_key(key)).collect();
        again.iter().try_for_each(|key| self.await_answer(key))?;
        self.unassign(&again);
        let mut list = TopicPartitionList::new();
        for &Position { topic, partition, offset } in positions {
            let name = self.name(topic).to_owned();
            list.add_partition_offset(&name, partition as i32, Offset::Offset(offset))
                .map_err(stop("start positions"))?;
            let inbox = Some(Arc::clone(&self.inbox));
            let started = Started {
                queue: PrivateQueue::new(&self.consumer, &name, partition, inbox),
                next: offset,
                at_end: false,
                answered: None,
                answers: self.consumer.context().follow(&name, partition),
                has_answered: false,
                is_idle: false,
            };
            self.started.insert((topic, partition), started);
        }
        self.consumer.incremental_assign(&list).map_err(stop("starting to fetch"))
    }

    /// Stops fetching these partitions.
    pub fn stop(&mut self, partitions: &[(Topic, u32)]) {
        for partition in partitions {
            if let Some(started) = self.started.get_mut(partition) {
                started.is_idle = true;
            }
        }
        self.stop_idle();
    }

    /// Stops fetching the inputs of these shards.
    pub fn stop_inputs(&mut self, shards: &[u32]) {
        for ((topic, shard), started) in &mut self.started {
            started.is_idle |= matches!(topic, Topic::Input(_)) && shards.contains(shard);
        }
        self.stop_idle();
    }

    /// Takes the idle partitions that have answered away from the consumer; the others stay until they have.
    pub fn stop_idle(&mut self) {
        let mut thrown_away = KafkaBatch::default();
        let mut ready = Vec::new();
        for (key, started) in self.started.iter_mut().filter(|(_, started)| started.is_idle) {
            if !started.has_answered && !started.queue.is_empty() {
                started.drain(Duration::ZERO, 1, &mut thrown_away);
                thrown_away.clear();
            }
            if started.has_answered {
                ready.push(*key);
            }
        }
        self.unassign(&ready);
    }

    fn await_answer(&mut self, key: &(Topic, u32)) -> Result<(), Failure> {
        let Some(started) = self.started.get_mut(key) else { return Ok(()) };
        let mut thrown_away = KafkaBatch::default();
        let deadline = Instant::now() + FIRST_ANSWER_WAIT;
        while !started.has_answered {
            started.drain(Duration::from_millis(20), 1, &mut thrown_away);
            thrown_away.clear();
            if Instant::now() > deadline {
                return Err(Failure::Rebuild(format!(
                    "{key:?} was to be read from another offset, and its broker has not answered for {FIRST_ANSWER_WAIT:?}"
                )));
            }
        }
        Ok(())
    }

    fn unassign(&mut self, keys: &[(Topic, u32)]) {
        if keys.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for key in keys {
            self.started.remove(key);
            self.consumer.context().forget(self.name(key.0), key.1);
            list.add_partition(self.name(key.0), key.1 as i32);
        }
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::warn!(target: "kafka", "stopping to fetch: {error}");
        }
    }

    /// Appends the records that are there, at most `records_max`, and notes whether those were all.
    pub fn read(
        &mut self,
        topic: Topic,
        partition: u32,
        records_max: usize,
        batch: &mut KafkaBatch,
    ) -> Result<usize, Failure> {
        let Some(started) = self.started.get_mut(&(topic, partition)).filter(|started| !started.is_idle) else {
            return Ok(0);
        };
        // Before the records are taken: what the broker had at that moment is among them, if they reach the end.
        let answered = started.answers.latest();
        let (mut taken, mut failed) = (0, None);
        if !started.queue.is_empty() {
            (taken, failed) = started.drain(Duration::ZERO, records_max, batch);
        }
        started.answered = if started.at_end || taken == 0 {
            answered
        } else {
            // More is there: that it comes is answer enough, and a full queue is not fetched into.
            Some(self.clock.elapsed().as_millis() as u64)
        };
        match failed {
            None => Ok(taken),
            Some((code, words)) => fate::of_fetch(code, words).map(|()| taken),
        }
    }

    /// The status of a partition, without whether its topic is silent.
    pub fn partition_status(&self, topic: Topic, partition: u32) -> PartitionStatus {
        let started = self.started.get(&(topic, partition));
        started.map_or_else(PartitionStatus::default, |started| PartitionStatus {
            is_at_end: started.at_end && !started.is_idle,
            last_answer: started.answered,
            is_silent: false,
        })
    }

    /// The end as the last fetch showed it.
    pub fn known_end(&self, topic: Topic, partition: u32) -> Option<i64> {
        let started = self.started.get(&(topic, partition)).filter(|started| !started.is_idle)?;
        // A fetch that came back empty tells of an end that no record shows.
        let known = started.queue.known_end();
        if started.at_end { Some(known.unwrap_or(started.next).max(started.next)) } else { known }
    }

    /// What the consumer's statistics say.
    pub fn client_report(&self) -> ClientReport {
        self.consumer.context().client_report()
    }

    /// The group's stable offsets of these partitions, and none for those without. Any client of the group may ask.
    pub fn committed(&self, partitions: &[(u16, u32)]) -> Result<Vec<InputOffset>, Failure> {
        let mut list = TopicPartitionList::new();
        for &(topic, partition) in partitions {
            list.add_partition(&self.inputs[usize::from(topic)], partition as i32);
        }
        let answer = self
            .consumer
            .committed_offsets(list, REQUEST_WAIT)
            .map_err(fate::of_request("the group's offsets".into()))?;
        let offset_of = |&(topic, partition): &(u16, u32)| {
            let found = answer.find_partition(&self.inputs[usize::from(topic)], partition as i32)?;
            match found.offset() {
                Offset::Offset(offset) => Some(InputOffset { topic, partition, offset }),
                _ => None,
            }
        };
        Ok(partitions.iter().filter_map(offset_of).collect())
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.started.clear();
        self.watch.stop();
    }
}

/// How many partitions a topic has now.
pub fn partitions_of(client: &BaseConsumer<Logging>, name: &str) -> Result<u32, Failure> {
    let what = format!("the partitions of {name}");
    let metadata = client.fetch_metadata(Some(name), REQUEST_WAIT).map_err(fate::of_request(what.clone()))?;
    let found = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
    found
        .map(|topic| topic.partitions().len() as u32)
        .ok_or_else(|| Failure::Stop(format!("{what}: the topic does not exist")))
}
