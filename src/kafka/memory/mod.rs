//! A log in memory with Kafka's semantics of transactions and groups, for the demo, for tests and for simulation.
//!
//! A [`Cluster`] is what the brokers hold; a [`MemoryLog`] is one worker's view of it. Without a plan of [`Faults`] all
//! goes well, at once, and the clock stands where it was set. With one, requests are lost, late or repeated, markers land
//! late, members are lost and come back; time is what the owner of the plan makes of it, and the same plan with the same
//! steps gives the same history. Through [`Stops`] the owner lets workers run, and stops them in the middle of anything.
//!
//! Files in reading order, each knows only those before it: `partition`, `faults` and `stops`; `requests`, `client` and
//! `members`; `shared` (all of these, the clock, and what is on its way); `coordinator` (transactions), `group` and
//! `incremental` (its two protocols); the [`Cluster`]; `batch`, `view` and `producer` (a worker's side of all that).

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
mod shared;
mod stops;
#[cfg(test)]
mod tests;
mod view;

pub use batch::{MemoryBatch, MemoryReader};
pub use faults::{Break, Fault, Faults};
pub use partition::{Stored, Writer};
pub use shared::SESSION_TIMEOUT_MS;
pub use stops::{Never, Point, Stops};
pub use view::MemoryLog;

use crate::kafka::{GroupEvent, Topic};
use client::Client;
use requests::Place;
use shared::{Event, Shared};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// What all workers share: the brokers' side. Clones are handles of one cluster.
#[derive(Clone, Default)]
pub struct Cluster {
    shared: Arc<Mutex<Shared>>,
}

impl Cluster {
    /// A cluster with input topics of so many partitions, and the topics of our own.
    pub fn new(_inputs: u16, shards: u32) -> Self {
        let cluster = Self::default();
        cluster.lock().shards = shards;
        cluster
    }

    /// One in which things go wrong, and in which it is `time` until [`Cluster::advance`].
    pub fn with_faults(shards: u32, faults: Faults, time: i64) -> Self {
        let cluster = Self::new(1, shards);
        let mut shared = cluster.lock();
        shared.transaction_timeout = Some(faults.transaction_timeout_ms);
        shared.faults = faults;
        shared.time = Some(time);
        drop(shared);
        cluster
    }

    /// Stops the wall clock at this moment, or sets it on.
    pub fn set_clock(&self, wall: i64) {
        self.lock().time = Some(wall);
    }

    /// Wall-clock milliseconds.
    pub fn clock(&self) -> i64 {
        self.lock().clock()
    }

    /// Lets time go on to this moment, and everything happen that is due by then.
    pub fn advance(&self, to: i64) {
        self.lock().advance(to);
    }

    /// When the next thing happens by itself, if anything does.
    pub fn next_event(&self) -> Option<i64> {
        self.lock().next_event()
    }

    /// Grows whenever something happens that waiting workers may want to see.
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

    /// Puts a record where it stood elsewhere, at its own offset; what is missing before it was markers.
    pub fn store(&self, topic: Topic, partition: u32, stored: Stored) {
        let mut shared = self.lock();
        shared.version += 1;
        shared.partitions.entry((topic, partition)).or_default().store(stored);
    }

    /// Appends an input record in the open transaction of somebody upstream, of whom there is one per partition.
    pub fn append_open(
        &self,
        topic: u16,
        partition: u32,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let mut shared = self.lock();
        let (identity, place) = upstream(&mut shared, topic, partition);
        let partition = shared.partitions.entry(place).or_default();
        let sequence = partition.next_sequence(identity);
        let writer = Writer { identity, epoch: 0 };
        partition.write(writer, sequence, &[input(timestamp, key, value)]).expect("the next request");
    }

    /// Ends the open transaction upstream of a partition.
    pub fn end_open(&self, topic: u16, partition: u32, is_commit: bool) {
        let mut shared = self.lock();
        let (identity, place) = upstream(&mut shared, topic, partition);
        let fault = if is_commit { Fault::InputHeldBack } else { Fault::InputAborted };
        shared.count(fault);
        shared.partitions.entry(place).or_default().mark(Writer { identity, epoch: 0 }, is_commit);
        shared.version += 1;
    }

    /// Everything that was committed to a partition.
    pub fn records(&self, topic: Topic, partition: u32) -> Vec<Arc<Stored>> {
        let shared = self.lock();
        shared.partitions.get(&(topic, partition)).map(|found| found.committed().cloned().collect()).unwrap_or_default()
    }

    /// The next offset of a partition, markers and open transactions included.
    pub fn end(&self, topic: Topic, partition: u32) -> i64 {
        self.lock().end((topic, partition))
    }

    /// Gives a record another value, as no log ever should.
    pub fn replace(&self, topic: Topic, partition: u32, offset: i64, value: &[u8]) {
        if let Some(found) = self.lock().partitions.get_mut(&(topic, partition)) {
            found.replace(offset, value);
        }
    }

    /// Leaves so many records in a partition and takes the last away again: what a broker that lost data does.
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
        self.lock().committed.get(&(topic, partition)).copied()
    }

    /// Sets a group offset as some other program might, or lets it be forgotten.
    pub fn set_committed(&self, topic: u16, partition: u32, offset: Option<i64>) {
        let mut shared = self.lock();
        match offset {
            Some(offset) => shared.committed.insert((topic, partition), offset),
            None => shared.committed.remove(&(topic, partition)),
        };
    }

    /// Transactions committed so far.
    pub fn transactions(&self) -> u64 {
        self.lock().transactions
    }

    /// Lets the next transaction of this identity (after those already broken) end indefinitely.
    pub fn break_publish(&self, transactional_id: &str, how: Break) {
        let mut shared = self.lock();
        let identity = shared.identity(transactional_id);
        shared.breaks.entry(identity).or_default().push_back(how);
    }

    /// Lets the leader of an input partition go away, or come back: fetches are not answered meanwhile.
    pub fn set_away(&self, topic: u16, partition: u32, is_away: bool) {
        let mut shared = self.lock();
        match is_away {
            true => shared.away.insert((topic, partition)),
            false => shared.away.remove(&(topic, partition)),
        };
        shared.version += 1;
    }

    /// Says of an input topic that it has been silent for longer than was configured, or no longer.
    pub fn set_silent(&self, topic: u16, is_silent: bool) {
        let mut shared = self.lock();
        match is_silent {
            true => shared.silent.insert(topic),
            false => shared.silent.remove(&topic),
        };
    }

    /// A worker's view, with these shards assigned to it by itself, outside of the group.
    pub fn worker(&self, transactional_id: &str, shards: Vec<u32>) -> MemoryLog {
        let client = self.add_client(transactional_id);
        self.lock().clients[client].events.push_back((GroupEvent::Assigned(shards), None));
        MemoryLog::new(self.clone(), client, transactional_id, Never)
    }

    /// Lets the group speak the newer protocol, in which shards move one by one.
    pub fn set_incremental(&self, is_incremental: bool) {
        self.lock().group.is_incremental = is_incremental;
    }

    /// A process that will be a member of the group under this name, which is its transactional id too.
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
    pub fn member<S: Stops>(&self, client: usize, stops: S) -> MemoryLog<S> {
        let instance = self.lock().clients[client].instance.clone();
        MemoryLog::new(self.clone(), client, &instance, stops)
    }

    /// Ends a process as kill -9 does: nobody is told.
    pub fn kill(&self, client: usize) {
        let mut shared = self.lock();
        shared.clients[client].is_dead = true;
        shared.fall_silent(client);
    }

    /// Stops a process as SIGSTOP does, or lets it go on. The caller lets its worker stand still meanwhile.
    pub fn set_stopped(&self, client: usize, is_stopped: bool) {
        let mut shared = self.lock();
        shared.clients[client].is_stopped = is_stopped;
        match is_stopped {
            true => shared.fall_silent(client),
            false => shared.be_heard(client),
        }
    }

    /// Cuts a process off from all brokers, or lets it reach them again.
    pub fn set_cut(&self, client: usize, is_cut: bool) {
        let mut shared = self.lock();
        shared.clients[client].is_cut = is_cut;
        match is_cut {
            true => {
                shared.count(Fault::Cut);
                shared.fall_silent(client);
            }
            false => shared.be_heard(client),
        }
    }

    /// By how much the wall clock of a process is ahead from now on.
    pub fn set_skew(&self, client: usize, skew: i64) {
        self.lock().clients[client].skew = skew;
    }

    /// Whether somebody else has the name of this process in the group.
    pub fn is_fenced(&self, client: usize) -> bool {
        self.lock().clients[client].is_fenced
    }

    /// From now on nothing new goes wrong.
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

    /// Keeps what happens from now on in words.
    pub fn keep_history(&self) {
        self.lock().history = Some(Vec::new());
    }

    /// Adds a line to the history, if it is kept.
    pub fn note(&self, words: impl FnOnce() -> String) {
        self.lock().note(words);
    }

    pub fn history(&self) -> Vec<String> {
        self.lock().history.clone().unwrap_or_default()
    }

    fn add_client(&self, transactional_id: &str) -> usize {
        let mut shared = self.lock();
        let identity = shared.identity(transactional_id);
        shared.clients.push(Client::new(transactional_id, identity));
        shared.clients.len() - 1
    }

    /// Reads committed records for a client; gives the next offset.
    fn read(
        &self,
        client: usize,
        place: Place,
        from: i64,
        until: i64,
        records_max: usize,
        batch: &mut MemoryBatch,
    ) -> i64 {
        let shared = self.lock();
        if shared.clients[client].is_cut || !shared.answers(place) {
            return from;
        }
        let Some(partition) = shared.partitions.get(&place) else { return from };
        partition.read(from, until, records_max, |stored| batch.records.push_back(Arc::clone(stored)))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn input(timestamp: Option<i64>, key: Option<&[u8]>, value: Option<&[u8]>) -> Stored {
    Stored { timestamp, key: key.map(<[u8]>::to_vec), value: value.map(<[u8]>::to_vec), ..Stored::default() }
}

/// The producer upstream that writes to this partition.
fn upstream(shared: &mut Shared, topic: u16, partition: u32) -> (usize, Place) {
    (shared.identity(&format!("upstream-{topic}-{partition}")), (Topic::Input(topic), partition))
}
