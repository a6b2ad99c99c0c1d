//! One worker's side of a [`Cluster`]: the state of its partitions. Its producer is in `producer`.

use super::Cluster;
use super::batch::{MemoryBatch, MemoryReader};
use super::faults::Fault;
use super::partition::{Stored, Writer};
use super::requests::{MemberTag, Request, TopicPartition};
use super::scheduler::{NoScheduler, Point, Scheduler};
use super::shared::Shared;
use crate::kafka::{
    ClientReport, Failure, GroupEvent, InputOffset, Log, Moment, PartitionStatus, Position, StartAt, Topic,
    Transaction, producer_ids,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of records that are read at once, unless configured otherwise.
const BATCH_MAX: usize = 4_096;
/// How long a client waits before it retries, and for an answer that does not come.
pub(super) const RETRY_MS: i64 = 10;
pub(super) const PATIENCE_MS_MAX: u64 = 1_000;

/// One worker's view of a [`Cluster`].
pub struct MemoryLog<S: Scheduler = NoScheduler> {
    pub(super) cluster: Cluster,
    pub(super) client: usize,
    transactional_id: String,
    scheduler: S,
    /// The producers, the one whose turn is next first.
    writers: Option<[Writer; 2]>,
    /// Number of requests of each producer, by its identity and the partition.
    pub(super) sequences: BTreeMap<(usize, TopicPartition), u32>,
    /// Number of the last transaction.
    pub(super) transaction: u64,
    pub(super) member: Option<MemberTag>,
    started: BTreeMap<TopicPartition, Started>,
    batch_max: usize,
    clock: Instant,
}

/// A partition that is fetched.
#[derive(Default)]
struct Started {
    /// The next offset to read.
    position: i64,
    /// The end as of the last fetch, and the time of that fetch.
    end: i64,
    answered: Option<u64>,
    /// A fetch has failed since then: the end is no longer known.
    has_failed: bool,
    /// When the next fetch will be answered.
    next_fetch: i64,
}

impl<S: Scheduler> MemoryLog<S> {
    pub(super) fn new(cluster: Cluster, client: usize, transactional_id: &str, scheduler: S) -> Self {
        Self {
            cluster,
            client,
            transactional_id: transactional_id.to_owned(),
            scheduler,
            writers: None,
            sequences: BTreeMap::new(),
            transaction: 0,
            member: None,
            started: BTreeMap::new(),
            batch_max: BATCH_MAX,
            clock: Instant::now(),
        }
    }

    /// Sets the maximum number of records that are read at once.
    pub fn with_batch_max(mut self, batch_max: usize) -> Self {
        self.batch_max = batch_max;
        self
    }

    pub(super) fn pass(&self, at: Point) {
        self.scheduler.pause(at, self.cluster.clock());
    }

    pub(super) fn wait(&self, milliseconds: i64) -> bool {
        self.scheduler.pause(Point::Waiting, self.cluster.clock() + milliseconds)
    }

    /// The process's monotonic clock, which is not affected by changes of its wall clock.
    fn monotonic(&self, shared: &Shared) -> u64 {
        if shared.faults.is_planned() { shared.clock() as u64 } else { self.clock.elapsed().as_millis() as u64 }
    }

    /// Receives answers to fetches. Returns whether one showed new records.
    fn fetch(&mut self, only: Option<TopicPartition>) -> bool {
        let mut shared = self.cluster.lock();
        let now = self.monotonic(&shared);
        let clock = if shared.faults.is_planned() { shared.clock() } else { 0 };
        let is_cut = shared.clients[self.client].is_cut;
        let mut is_new = false;
        for (&topic_partition, started) in &mut self.started {
            if only.is_some_and(|only| only != topic_partition) {
                continue;
            }
            if is_cut || !shared.answers(topic_partition) {
                started.has_failed = true;
                continue;
            }
            if clock < started.next_fetch {
                continue;
            }
            let end = shared.stable_end(topic_partition);
            is_new |= end > started.end;
            started.end = end;
            (started.answered, started.has_failed) = (Some(now), false);
            started.next_fetch = clock + shared.faults.fetch_delay();
        }
        is_new
    }

    fn next_event(&mut self) -> Result<Option<GroupEvent>, Failure> {
        let mut shared = self.cluster.lock();
        let this = &mut shared.clients[self.client];
        if this.is_fenced {
            return Err(Failure::Stop(format!("another process runs under the same `{}`", this.instance)));
        }
        let Some((event, member)) = this.events.pop_front() else { return Ok(None) };
        if matches!(event, GroupEvent::Assigned(_)) {
            self.member = member;
        }
        shared.note(|| format!("w{} receives {event:?}", self.client));
        Ok(Some(event))
    }

    /// Makes the producer of an identity, after ending what an earlier one left open and fencing it.
    fn init(&mut self, identity: usize) -> Result<Writer, Failure> {
        let epoch = self.ask(Point::Fence, &Request::Init { identity })?;
        Ok(Writer { identity, epoch })
    }

    /// Pauses before a request to the brokers, which fails if the process is cut off.
    fn reach(&self, at: Point, what: &str) -> Result<(), Failure> {
        self.pass(at);
        if self.cluster.lock().clients[self.client].is_cut {
            self.wait(PATIENCE_MS_MAX as i64);
            return Err(Failure::Rebuild(format!("{what}: no answer")));
        }
        Ok(())
    }
}

impl<S: Scheduler> Log for MemoryLog<S> {
    type Batch = MemoryBatch;
    type Reader = MemoryReader<S>;

    fn now(&self) -> Moment {
        let shared = self.cluster.lock();
        Moment { wall: shared.clock() + shared.clients[self.client].skew, monotonic: self.monotonic(&shared) }
    }

    fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// Waits only if a scheduler lets time pass. Otherwise new records and events are seen by a later poll.
    fn poll(&mut self, wait: Duration) -> Result<GroupEvent, Failure> {
        let until = self.cluster.clock() + wait.as_millis() as i64;
        self.pass(Point::Poll);
        loop {
            if let Some(event) = self.next_event()? {
                return Ok(event);
            }
            if self.fetch(None) || self.cluster.clock() >= until {
                return Ok(GroupEvent::None);
            }
            let next_fetch = self.started.values().map(|started| started.next_fetch).min();
            let now = self.cluster.clock();
            let next = next_fetch.filter(|&next| next > now).unwrap_or(until).min(until);
            if !self.scheduler.pause(Point::Idle, next) {
                return Ok(GroupEvent::None);
            }
        }
    }

    fn has_group_event(&self) -> bool {
        let shared = self.cluster.lock();
        let this = &shared.clients[self.client];
        this.is_fenced || !this.events.is_empty()
    }

    fn release(&mut self, shards: &[u32]) {
        self.pass(Point::Release);
        self.started.retain(|(topic, partition), _| matches!(topic, Topic::Own(_)) || !shards.contains(partition));
        self.cluster.lock().released(self.client, shards);
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), Failure> {
        let started = |position: &Position| {
            let started = Started { position: position.offset, ..Started::default() };
            ((position.topic, position.partition), started)
        };
        self.started.extend(positions.iter().map(started));
        Ok(())
    }

    fn stop(&mut self, partitions: &[(Topic, u32)]) {
        self.started.retain(|key, _| !partitions.contains(key));
    }

    fn read(
        &mut self,
        topic: Topic,
        partition: u32,
        records_max: usize,
        batch: &mut MemoryBatch,
    ) -> Result<usize, Failure> {
        self.pass(Point::Fetch);
        let topic_partition = (topic, partition);
        self.fetch(Some(topic_partition));
        let Some(started) = self.started.get_mut(&topic_partition) else { return Ok(0) };
        let before = batch.records.len();
        let room = records_max.min(self.batch_max);
        let shared = self.cluster.lock();
        if let Some(found) = shared.partitions.get(&topic_partition) {
            let push = |stored: &Arc<Stored>| batch.records.push_back(Arc::clone(stored));
            started.position = found.read(started.position, started.end, room, push);
        }
        Ok(batch.records.len() - before)
    }

    fn partition_status(&self, topic: Topic, partition: u32) -> PartitionStatus {
        let started = self.started.get(&(topic, partition));
        let is_at_end =
            |started: &Started| started.answered.is_some() && !started.has_failed && started.position >= started.end;
        PartitionStatus {
            is_at_end: started.is_some_and(is_at_end),
            last_answer: started.and_then(|started| started.answered),
            is_silent: matches!(topic, Topic::Input(input) if self.cluster.lock().silent.contains(&input)),
        }
    }

    fn known_end(&self, topic: Topic, partition: u32) -> Option<i64> {
        let started = self.started.get(&(topic, partition))?;
        started.answered.map(|_| started.end)
    }

    fn fence(&mut self) -> Result<(), Failure> {
        self.writers = None;
        self.sequences.clear();
        let [first, second] = self.cluster.lock().clients[self.client].identities;
        self.writers = Some([self.init(first)?, self.init(second)?]);
        Ok(())
    }

    fn fence_other(&mut self, transactional_id: &str) -> Result<(), Failure> {
        let mut shared = self.cluster.lock();
        let identities = producer_ids(transactional_id).map(|id| shared.identity(&id));
        shared.count(Fault::HolderFenced);
        drop(shared);
        identities.into_iter().try_for_each(|identity| self.init(identity).map(|_| ()))
    }

    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<u64, Failure> {
        let Some([writer, other]) = self.writers.take() else {
            return Err(Failure::Rebuild(format!("`{}` has no producer", self.transactional_id)));
        };
        self.send(writer, transaction)?;
        self.writers = Some([other, writer]);
        Ok(self.now().monotonic)
    }

    fn committed(&mut self, shards: &[u32]) -> Result<Vec<InputOffset>, Failure> {
        self.reach(Point::Committed, "the group's offsets")?;
        while self.cluster.lock().has_pending(shards) {
            if !self.wait(RETRY_MS) {
                return Err(Failure::Rebuild("offsets of the group are in a transaction that does not end".into()));
            }
        }
        let shared = self.cluster.lock();
        let of_shards = shared.committed.iter().filter(|((_, partition), _)| shards.contains(partition));
        Ok(of_shards
            .map(|(&(topic, partition), known)| InputOffset { topic, partition, offset: known.offset })
            .collect())
    }

    fn first_offset(&mut self, topic: Topic, partition: u32, start: StartAt) -> Result<i64, Failure> {
        let shared = self.cluster.lock();
        let topic_partition = (topic, partition);
        let end = shared.end(topic_partition);
        Ok(match start {
            StartAt::Earliest => 0,
            StartAt::Latest => end,
            StartAt::Time(time) => {
                let found = shared.partitions.get(&topic_partition);
                let at = found.and_then(|found| found.committed().find(|stored| stored.timestamp >= Some(time)));
                at.map_or(end, |stored| stored.offset)
            }
        })
    }

    /// Topics in memory are never deleted and made again.
    fn input_ids(&mut self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    fn reader(&mut self, topic: Topic, partition: u32, from: i64) -> Result<MemoryReader<S>, Failure> {
        self.reach(Point::Read, "the ends of a partition")?;
        let topic_partition = (topic, partition);
        let end = self.cluster.lock().end(topic_partition);
        let (cluster, client, scheduler) = (self.cluster.clone(), self.client, self.scheduler.clone());
        Ok(MemoryReader { cluster, client, scheduler, topic_partition, position: from.min(end), end })
    }

    fn client_report(&self) -> ClientReport {
        ClientReport { has_joined: true, ..ClientReport::default() }
    }
}
