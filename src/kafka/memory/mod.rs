//! A log in memory with Kafka's semantics of transactions and groups, for the demo, for tests and for simulation.
//!
//! A [`Cluster`] is the brokers' side; a [`MemoryLog`] is one worker's view of it. Without a plan of [`Faults`] every
//! request succeeds at once, and the clock stands where it was set. With one, requests are lost, late or repeated,
//! markers are delayed, members are lost and come back. The owner of the plan controls time, and the same plan with the
//! same steps gives the same history. A [`Scheduler`] pauses workers at every request.
//!
//! In reading order, where each file uses only those before it: `partition`, `faults` and `scheduler`; `requests`,
//! `client` and `members`; `shared` (all of these, the clock, and what arrives later); `coordinator` (transactions),
//! `group` and `incremental` (the two protocols of the group); the [`Cluster`]; `batch`, `view` and `producer` (the
//! worker's side).

mod batch;
mod client;
mod coordinator;
mod faults;
mod group;
mod incremental;
mod members;
mod partition;
mod producer;
mod requests;
mod scheduler;
mod shared;
#[cfg(test)]
mod tests;
mod view;

pub use batch::{MemoryBatch, MemoryReader};
pub use faults::{Break, Fault, Faults};
pub use partition::{Stored, Writer};
pub use scheduler::{NoScheduler, Point, Scheduler};
pub use shared::SESSION_TIMEOUT_MS;
pub use view::MemoryLog;

use crate::kafka::{GroupEvent, Topic, producer_ids};
use client::Client;
use requests::TopicPartition;
use shared::{Event, GroupOffset, Shared};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The brokers' side, which all workers share. Clones are handles of the same cluster.
#[derive(Clone, Default)]
pub struct Cluster {
    shared: Arc<Mutex<Shared>>,
}

impl Cluster {
    /// A cluster whose input topics have `shards` partitions.
    pub fn new(shards: u32) -> Self {
        let cluster = Self::default();
        cluster.lock().shards = shards;
        cluster
    }

    /// A cluster with faults, whose time is `time` until [`Cluster::advance`].
    pub fn with_faults(shards: u32, faults: Faults, time: i64) -> Self {
        let cluster = Self::new(shards);
        let mut shared = cluster.lock();
        shared.transaction_timeout = Some(faults.transaction_timeout_ms);
        shared.faults = faults;
        shared.time = Some(time);
        drop(shared);
        cluster
    }

    /// Stops the wall clock at this moment.
    pub fn set_clock(&self, wall: i64) {
        self.lock().time = Some(wall);
    }

    /// Wall-clock milliseconds.
    pub fn clock(&self) -> i64 {
        self.lock().clock()
    }

    /// Advances time to this moment and executes every event that is due by then.
    pub fn advance(&self, to: i64) {
        self.lock().advance(to);
    }

    /// When the next event is due, if there is one.
    pub fn next_event(&self) -> Option<i64> {
        self.lock().next_event()
    }

    /// Increases with every event that a waiting worker may want to see.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Appends an input record.
    pub fn append(
        &self,
        topic: u16,
        partition: u32,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> i64 {
        self.lock().append((Topic::Input(topic), partition), input(timestamp, key, value))
    }

    /// Stores a record at the offset that it has, after as many markers as are missing before it.
    pub fn store(&self, topic: Topic, partition: u32, stored: Stored) {
        let mut shared = self.lock();
        shared.version += 1;
        shared.partitions.entry((topic, partition)).or_default().store(stored);
    }

    /// Appends an input record in the open transaction of an upstream producer, of which there is one per partition.
    pub fn append_open(
        &self,
        topic: u16,
        partition: u32,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let mut shared = self.lock();
        let (identity, topic_partition) = upstream(&mut shared, topic, partition);
        let partition = shared.partitions.entry(topic_partition).or_default();
        let sequence = partition.next_sequence(identity);
        let writer = Writer { identity, epoch: 0 };
        partition.write(writer, sequence, &[input(timestamp, key, value)]).expect("the next request");
    }

    /// Ends the open transaction of the partition's upstream producer.
    pub fn end_open(&self, topic: u16, partition: u32, is_commit: bool) {
        let mut shared = self.lock();
        let (identity, topic_partition) = upstream(&mut shared, topic, partition);
        let fault = if is_commit { Fault::InputHeldBack } else { Fault::InputAborted };
        shared.count(fault);
        shared.partitions.entry(topic_partition).or_default().mark(Writer { identity, epoch: 0 }, is_commit);
        shared.version += 1;
    }

    /// The committed records of a partition.
    pub fn records(&self, topic: Topic, partition: u32) -> Vec<Arc<Stored>> {
        let shared = self.lock();
        shared.partitions.get(&(topic, partition)).map(|found| found.committed().cloned().collect()).unwrap_or_default()
    }

    /// The next offset of a partition, markers and open transactions included.
    pub fn end(&self, topic: Topic, partition: u32) -> i64 {
        self.lock().end((topic, partition))
    }

    /// Replaces the value of a record, which no log ever should do.
    pub fn replace(&self, topic: Topic, partition: u32, offset: i64, value: &[u8]) {
        if let Some(found) = self.lock().partitions.get_mut(&(topic, partition)) {
            found.replace(offset, value);
        }
    }

    /// Keeps only the first `records` records of a partition, as a broker does that lost data.
    pub fn truncate(&self, topic: Topic, partition: u32, records: i64) {
        if let Some(found) = self.lock().partitions.get_mut(&(topic, partition)) {
            let last = found.committed().take(records as usize).last().map(|stored| stored.offset);
            found.truncate(last.map_or(0, |last| last + 1));
        }
    }

    /// Copies the inputs to another cluster, offset by offset, up to the first record with at least this timestamp.
    pub fn copy_inputs(&self, to: &Self, until: i64) {
        let mut inputs = self.lock().partitions.clone();
        inputs.retain(|(topic, _), _| matches!(topic, Topic::Input(_)));
        for partition in inputs.values_mut() {
            let end = partition.committed().find(|stored| stored.timestamp >= Some(until)).map(|stored| stored.offset);
            partition.truncate(end.unwrap_or(partition.end()));
        }
        to.lock().partitions.extend(inputs);
    }

    pub fn committed(&self, topic: u16, partition: u32) -> Option<i64> {
        self.lock().committed.get(&(topic, partition)).map(|known| known.offset)
    }

    /// Sets a group offset as another program might, or deletes it.
    pub fn set_committed(&self, topic: u16, partition: u32, offset: Option<i64>) {
        let mut shared = self.lock();
        match offset {
            Some(offset) => {
                let written = shared.next_write();
                shared.commit_offset((topic, partition), GroupOffset { offset, written });
            }
            None => {
                shared.committed.remove(&(topic, partition));
            }
        }
    }

    /// Transactions committed so far.
    pub fn transactions(&self) -> u64 {
        self.lock().transactions
    }

    /// Breaks the end of the next transaction of this worker, after those already broken.
    pub fn break_publish(&self, transactional_id: &str, how: Break) {
        let mut shared = self.lock();
        let identity = shared.identity(transactional_id);
        shared.breaks.entry(identity).or_default().push_back(how);
    }

    /// Makes the leader of an input partition unavailable, or available again. Meanwhile fetches are not answered.
    pub fn set_away(&self, topic: u16, partition: u32, is_away: bool) {
        let mut shared = self.lock();
        match is_away {
            true => shared.away.insert((topic, partition)),
            false => shared.away.remove(&(topic, partition)),
        };
        shared.version += 1;
    }

    /// Makes an input topic silent for longer than configured, or ends that.
    pub fn set_silent(&self, topic: u16, is_silent: bool) {
        let mut shared = self.lock();
        match is_silent {
            true => shared.silent.insert(topic),
            false => shared.silent.remove(&topic),
        };
    }

    /// The view of a worker outside the group that assigns these shards to itself.
    pub fn worker(&self, transactional_id: &str, shards: Vec<u32>) -> MemoryLog {
        let client = self.add_client(transactional_id);
        self.lock().clients[client].events.push_back((GroupEvent::Assigned(shards), None));
        MemoryLog::new(self.clone(), client, transactional_id, NoScheduler)
    }

    /// Makes the group use the protocol of KIP-848, under which shards move one by one.
    pub fn set_incremental(&self, is_incremental: bool) {
        self.lock().group.is_incremental = is_incremental;
    }

    /// Connects a process that will be a member of the group under this name, which is its transactional id too.
    pub fn connect(&self, instance: &str, skew: i64) -> usize {
        let client = self.add_client(instance);
        let mut shared = self.lock();
        shared.clients[client].skew = skew;
        shared.note(|| format!("   client {client} is {instance}, its clock {skew:+} ms"));
        let delay = 1 + shared.faults.below(50) as i64;
        shared.later(delay, Event::Contact(client));
        client
    }

    /// The worker's view of a connected process.
    pub fn member<S: Scheduler>(&self, client: usize, scheduler: S) -> MemoryLog<S> {
        let instance = self.lock().clients[client].instance.clone();
        MemoryLog::new(self.clone(), client, &instance, scheduler)
    }

    /// Ends a process as kill -9 does, without leaving the group.
    pub fn kill(&self, client: usize) {
        let mut shared = self.lock();
        shared.clients[client].is_dead = true;
        shared.begin_silence(client);
    }

    /// Stops a process as SIGSTOP does, or continues it. The caller has to pause its worker meanwhile.
    pub fn set_stopped(&self, client: usize, is_stopped: bool) {
        let mut shared = self.lock();
        shared.clients[client].is_stopped = is_stopped;
        match is_stopped {
            true => shared.begin_silence(client),
            false => shared.end_silence(client),
        }
    }

    /// Cuts a process off from all brokers, or connects it again.
    pub fn set_cut(&self, client: usize, is_cut: bool) {
        let mut shared = self.lock();
        shared.clients[client].is_cut = is_cut;
        match is_cut {
            true => {
                shared.count(Fault::Cut);
                shared.begin_silence(client);
            }
            false => shared.end_silence(client),
        }
    }

    /// Sets by how many milliseconds the wall clock of a process is ahead.
    pub fn set_skew(&self, client: usize, skew: i64) {
        self.lock().clients[client].skew = skew;
    }

    /// Whether another process has the name of this one in the group.
    pub fn is_fenced(&self, client: usize) -> bool {
        self.lock().clients[client].is_fenced
    }

    /// Ends all faults.
    pub fn stop_faults(&self) {
        self.lock().faults.stop();
    }

    pub fn count(&self, fault: Fault) {
        self.lock().count(fault);
    }

    /// How often each fault has happened.
    pub fn fault_counts(&self) -> BTreeMap<Fault, u32> {
        self.lock().faults.counts().clone()
    }

    /// Records what happens from now on as text.
    pub fn keep_history(&self) {
        self.lock().history = Some(Vec::new());
    }

    /// Adds a line to the history, if one is recorded.
    pub fn note(&self, message: impl FnOnce() -> String) {
        self.lock().note(message);
    }

    pub fn history(&self) -> Vec<String> {
        self.lock().history.clone().unwrap_or_default()
    }

    fn add_client(&self, transactional_id: &str) -> usize {
        let mut shared = self.lock();
        let identities = producer_ids(transactional_id).map(|id| shared.identity(&id));
        shared.clients.push(Client::new(transactional_id, identities));
        shared.clients.len() - 1
    }

    /// Reads committed records for a client. Returns the next offset.
    fn read(
        &self,
        client: usize,
        topic_partition: TopicPartition,
        from: i64,
        until: i64,
        records_max: usize,
        batch: &mut MemoryBatch,
    ) -> i64 {
        let shared = self.lock();
        if shared.clients[client].is_cut || !shared.answers(topic_partition) {
            return from;
        }
        let Some(partition) = shared.partitions.get(&topic_partition) else { return from };
        partition.read(from, until, records_max, |stored| batch.records.push_back(Arc::clone(stored)))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn input(timestamp: Option<i64>, key: Option<&[u8]>, value: Option<&[u8]>) -> Stored {
    Stored { timestamp, key: key.map(<[u8]>::to_vec), value: value.map(<[u8]>::to_vec), ..Stored::default() }
}

/// The upstream producer that writes to this partition.
fn upstream(shared: &mut Shared, topic: u16, partition: u32) -> (usize, TopicPartition) {
    (shared.identity(&format!("upstream-{topic}-{partition}")), (Topic::Input(topic), partition))
}
