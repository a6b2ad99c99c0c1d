//! The live fetch: a consumer outside the group that reads the partitions which the worker starts, each into its own
//! queue.
//!
//! Starting a partition leaves what was fetched of the others untouched, under either group protocol. librdkafka bounds
//! each queue: it stops fetching a partition while its queue is full.

use super::batch::KafkaBatch;
use super::limits::BufferLimits;
use super::metadata::find_leaders;
use super::watch::{Answers, Watch, WatchContext};
use crate::kafka::client::{REQUEST_WAIT, consumer_config, make, stop};
use crate::kafka::error_class::{classify_fetch, classify_request};
use crate::kafka::inbox::Inbox;
use crate::kafka::raw::memory;
use crate::kafka::raw::queue::{PrivateQueue, QueueEvent};
use crate::kafka::settings::OwnTopics;
use crate::kafka::{Batch, ClientReport, Failure, InputOffset, KafkaSettings, Own, PartitionStatus, Position, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Assumed of a partition's records until some were read.
const RECORD_BYTES: u64 = 1 << 10;
/// After so many bytes, at the end of all inputs, memory is given back to the system.
const GIVE_BACK_BYTES: u64 = 64 << 20;
const GIVE_BACK_INTERVAL: Duration = Duration::from_secs(60);
/// Fetches that wait longer would be answered too rarely for time to pass: see `watch`.
const FETCH_WAIT_MS_MAX: u32 = 250;
/// What a fetch has shown counts for this long without another answer: a fetch that is not answered has failed. As for
/// ticks, which are held back after the same time (`worker/tick.rs`).
const UNANSWERED_MAX_MS: u64 = 2_000;
/// How long the first answer of a started partition may take, before the partition can be started from another offset.
const FIRST_ANSWER_WAIT: Duration = Duration::from_secs(10);

/// One started partition.
struct Started {
    queue: PrivateQueue<WatchContext>,
    /// Mean size of the records that were read last, and how many bytes a batch of them may have.
    record_bytes: u64,
    bytes_max: u64,
    /// Past the last message read, and past markers if the queue reported an end there.
    next: i64,
    is_at_end: bool,
    /// As of the last read: nothing has broken since the last answer.
    is_unbroken: bool,
    /// When something last came of the queue.
    shown_at: u64,
    /// As of the last read.
    last_answer: Option<u64>,
    answers: Arc<Answers>,
    /// The first fetch from here was answered. librdkafka fails an assertion when a partition is unassigned that was
    /// assigned again before its fetch had stopped; so a partition is stopped only after its first answer.
    has_answered: bool,
    /// To be stopped as soon as it has answered; it is no longer read.
    is_idle: bool,
}

impl Started {
    /// How many records may be read into a batch that has some already: as many as fit, by the size of the last ones.
    fn room(&self, records_max: usize, records: usize) -> usize {
        let fitting = usize::try_from(self.bytes_max / self.record_bytes).unwrap_or(usize::MAX);
        records_max.min(fitting.saturating_sub(records).max(1))
    }

    /// Whether what the last fetch has shown still counts at this monotonic millisecond.
    fn still_counts(&self, now: u64) -> bool {
        let shown_at = self.last_answer.map_or(self.shown_at, |answer| answer.max(self.shown_at));
        self.is_unbroken && now.saturating_sub(shown_at) <= UNANSWERED_MAX_MS
    }

    /// Appends messages to the batch and applies the queue's events. Returns the number of messages, and an error if
    /// there was one.
    fn drain(
        &mut self,
        wait: Duration,
        records_max: usize,
        batch: &mut KafkaBatch,
    ) -> (usize, Option<(RDKafkaErrorCode, String)>) {
        let (mut failed, mut end) = (None, None);
        let count = self.queue.read(wait, records_max, &mut batch.messages, &mut |event| match event {
            QueueEvent::End(offset) => end = Some(offset),
            QueueEvent::Error { code, message } => failed = failed.take().or(Some((code, message))),
        });
        self.has_answered |= count > 0 || end.is_some() || failed.is_some();
        if count > 0 {
            let bytes = batch.messages.bytes_of_last(count);
            self.record_bytes = (bytes / count as u64).max(1);
            self.next = batch.messages.offset(batch.len() - 1) + 1;
            // librdkafka reports an end only after a later fetch was empty; what it knows already is requested here.
            self.is_at_end = self.queue.known_end().is_some_and(|known| self.next >= known);
        }
        if let Some(end) = end.filter(|&end| end >= self.next) {
            // Also past markers, which are no messages.
            self.next = end;
            self.is_at_end = true;
        }
        (count, failed)
    }
}

pub struct Fetcher {
    // Declared before the consumer: the queues must be destroyed before it.
    started: BTreeMap<(Topic, u32), Started>,
    watch: Watch,
    consumer: Arc<BaseConsumer<WatchContext>>,
    /// Topics whose leaders the consumer knows.
    known: BTreeSet<Topic>,
    inputs: Vec<String>,
    own: OwnTopics,
    inbox: Arc<Inbox>,
    clock: Instant,
    limits: BufferLimits,
    /// Bytes read since memory was given back, and when that was.
    read_bytes: u64,
    gave_back: Instant,
}

impl Fetcher {
    /// `clock` is where monotonic time starts. Of `partitions` of each input this worker may get all.
    pub fn new(settings: &KafkaSettings, partitions: u32, clock: Instant, inbox: &Arc<Inbox>) -> Result<Self, Failure> {
        if settings.fetch_wait_ms > FETCH_WAIT_MS_MAX {
            return Err(Failure::Stop(format!(
                "`fetch_wait_ms` of [kafka]: expected at most {FETCH_WAIT_MS_MAX}, found {}: time passes only while fetches \
                 are answered often enough",
                settings.fetch_wait_ms
            )));
        }
        let all_partitions = u64::from(partitions) * settings.inputs.len() as u64;
        let limits = BufferLimits::of(u64::from(settings.fetch_buffer_mb) << 20, all_partitions);
        let mut config = consumer_config(settings);
        config
            // librdkafka needs a group even where it is not joined.
            .set("group.id", &settings.group)
            .set("queued.min.messages", limits.queued_messages.to_string())
            .set("queued.max.messages.kbytes", (limits.queued_bytes >> 10).to_string())
            .set("fetch.message.max.bytes", limits.fetch_bytes.to_string())
            .set("fetch.max.bytes", limits.answer_bytes.to_string())
            .set("statistics.interval.ms", WatchContext::INTERVAL_MS.to_string());
        let watching = WatchContext::new(clock);
        let consumer: Arc<BaseConsumer<WatchContext>> = make(settings, &config, watching, "the Kafka consumer")?;
        let mut fetcher = Self {
            started: BTreeMap::new(),
            watch: Watch::spawn(Arc::clone(&consumer))?,
            consumer,
            known: BTreeSet::new(),
            inputs: settings.inputs.clone(),
            own: settings.topics.clone(),
            inbox: Arc::clone(inbox),
            clock,
            limits,
            read_bytes: 0,
            gave_back: clock,
        };
        let inputs = (0..settings.inputs.len() as u16).map(Topic::Input);
        inputs.chain([Topic::Own(Own::Control)]).try_for_each(|topic| fetcher.find_leaders(topic))?;
        Ok(fetcher)
    }

    /// Lets the consumer find the leaders of a topic that is new to it.
    fn find_leaders(&mut self, topic: Topic) -> Result<(), Failure> {
        if !self.known.contains(&topic) {
            find_leaders(&self.consumer, self.name(topic))?;
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
        positions.iter().try_for_each(|position| self.find_leaders(position.topic))?;
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
                record_bytes: RECORD_BYTES,
                bytes_max: self.limits.taken_bytes,
                next: offset,
                is_at_end: false,
                is_unbroken: true,
                shown_at: 0,
                last_answer: None,
                answers: self.consumer.context().watch(&name, partition),
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

    /// Gives memory back after a backlog: what the client has buffered meanwhile is not needed again soon.
    pub fn give_memory_back(&mut self) {
        let is_due = self.read_bytes >= GIVE_BACK_BYTES && self.gave_back.elapsed() >= GIVE_BACK_INTERVAL;
        if is_due && self.started.values().all(|started| started.is_at_end) {
            memory::give_back();
            (self.read_bytes, self.gave_back) = (0, Instant::now());
        }
    }

    /// Takes the idle partitions that have answered away from the consumer; the others stay until they have.
    pub fn stop_idle(&mut self) {
        let mut discarded = KafkaBatch::default();
        let mut ready = Vec::new();
        for (key, started) in self.started.iter_mut().filter(|(_, started)| started.is_idle) {
            if !started.has_answered && !started.queue.is_empty() {
                started.drain(Duration::ZERO, 1, &mut discarded);
                discarded.clear();
            }
            if started.has_answered {
                ready.push(*key);
            }
        }
        self.unassign(&ready);
    }

    fn await_answer(&mut self, key: &(Topic, u32)) -> Result<(), Failure> {
        let Some(started) = self.started.get_mut(key) else { return Ok(()) };
        let mut discarded = KafkaBatch::default();
        let deadline = Instant::now() + FIRST_ANSWER_WAIT;
        while !started.has_answered {
            started.drain(Duration::from_millis(20), 1, &mut discarded);
            discarded.clear();
            if Instant::now() > deadline {
                let (name, partition) = (self.name(key.0), key.1);
                return Err(Failure::Rebuild(format!(
                    "{name}[{partition}] cannot be read from another offset: its broker has not answered the first fetch \
                     within {FIRST_ANSWER_WAIT:?}"
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
            self.consumer.context().unwatch(self.name(key.0), key.1);
            list.add_partition(self.name(key.0), key.1 as i32);
        }
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::warn!(target: "kafka", partitions = ?keys, %error, "fetching partitions cannot be stopped");
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
        // Before the records are read: if they reach the end, they include all that the broker had at that moment.
        let answered = started.answers.latest();
        started.is_unbroken = started.answers.is_unbroken();
        let (mut count, mut failed) = (0, None);
        if !started.queue.is_empty() {
            let room = started.room(records_max, batch.len());
            (count, failed) = started.drain(Duration::ZERO, room, batch);
            self.read_bytes += count as u64 * started.record_bytes;
            started.shown_at = self.clock.elapsed().as_millis() as u64;
        }
        started.last_answer = if started.is_at_end || count == 0 {
            answered
        } else {
            // More records are there, which is an answer too: librdkafka does not fetch into a full queue.
            Some(self.clock.elapsed().as_millis() as u64)
        };
        match failed {
            None => Ok(count),
            Some((code, message)) => classify_fetch(code, message).map(|()| count),
        }
    }

    /// The status of a partition, without whether its topic is silent.
    pub fn partition_status(&self, topic: Topic, partition: u32) -> PartitionStatus {
        let started = self.started.get(&(topic, partition));
        let now = self.clock.elapsed().as_millis() as u64;
        started.map_or_else(PartitionStatus::default, |started| PartitionStatus {
            is_at_end: started.is_at_end && !started.is_idle && started.still_counts(now),
            last_answer: started.last_answer,
            is_silent: false,
        })
    }

    /// The end as of the last fetch.
    pub fn known_end(&self, topic: Topic, partition: u32) -> Option<i64> {
        let started = self.started.get(&(topic, partition)).filter(|started| !started.is_idle)?;
        // An empty fetch shows an end that no record shows.
        let known = started.queue.known_end();
        if started.is_at_end { Some(known.unwrap_or(started.next).max(started.next)) } else { known }
    }

    /// What the consumer's statistics report.
    pub fn client_report(&self) -> ClientReport {
        self.consumer.context().client_report()
    }

    /// The group's stable offsets of these partitions; those without one are left out. Any client of the group may
    /// request them.
    pub fn committed(&self, partitions: &[(u16, u32)]) -> Result<Vec<InputOffset>, Failure> {
        let mut list = TopicPartitionList::new();
        for &(topic, partition) in partitions {
            list.add_partition(&self.inputs[usize::from(topic)], partition as i32);
        }
        let answer = self
            .consumer
            .committed_offsets(list, REQUEST_WAIT)
            .map_err(classify_request("the group's offsets".into()))?;
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
