//! A log in memory: partitions, transactions, group offsets, and crashes.
//!
//! For the demo, for tests, and as the base of a simulation. A [`Cluster`] is what a broker holds; a [`MemoryLog`] is one
//! worker's view of it. A transaction is appended whole or not at all, so nothing uncommitted is ever in the cluster, and
//! a crash is to drop the worker. [`Cluster::break_publish`] makes a transaction end indefinitely, [`Cluster::set_away`]
//! takes the leader of a partition away. Fetches are answered at every poll and take.

use super::{
    Batch, Failure, InputOffset, Log, Moment, News, OutRecord, Own, Reader, Record, StartAt, Topic, Transaction,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Records taken at once at most, unless told otherwise.
const BATCH_MAX: usize = 4_096;

/// A record as it is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// How the next transaction of an identity ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Nothing of it is in the log.
    Lost,
    /// All of it is in the log, and the worker does not get to know.
    AnswerLost,
}

/// What all workers share: the broker's side. Clones are handles of one cluster.
#[derive(Clone, Default)]
pub struct Cluster {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    inputs: u16,
    shards: u32,
    partitions: HashMap<(Topic, u32), Vec<Arc<Stored>>>,
    committed: BTreeMap<(u16, u32), i64>,
    /// Generation of each transactional id: a holder of an older one is fenced.
    producers: HashMap<String, u64>,
    breaks: HashMap<String, VecDeque<Break>>,
    transactions: u64,
    /// Input partitions whose leader is away, and topics that have been silent for long.
    away: BTreeSet<(u16, u32)>,
    silent: BTreeSet<u16>,
    /// Wall clock, if it does not run by itself.
    clock: Option<i64>,
}

impl Cluster {
    /// A cluster with so many input topics of so many partitions, and the topics of our own.
    pub fn new(inputs: u16, shards: u32) -> Self {
        let cluster = Self::default();
        let mut shared = cluster.lock();
        shared.inputs = inputs;
        shared.shards = shards;
        drop(shared);
        cluster
    }

    /// Stops the wall clock at this moment, or sets it on.
    pub fn set_clock(&self, wall: i64) {
        self.lock().clock = Some(wall);
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
        let stored =
            Stored { timestamp, key: key.map(<[u8]>::to_vec), value: value.map(<[u8]>::to_vec), ..Stored::default() };
        self.lock().append((Topic::Input(topic), partition), stored)
    }

    /// Everything in a partition.
    pub fn records(&self, topic: Topic, partition: u32) -> Vec<Arc<Stored>> {
        self.lock().partitions.get(&(topic, partition)).cloned().unwrap_or_default()
    }

    /// Gives a record another value, as no log ever should.
    pub fn replace(&self, topic: Topic, partition: u32, offset: i64, value: &[u8]) {
        if let Some(records) = self.lock().partitions.get_mut(&(topic, partition)) {
            let stored = Arc::make_mut(&mut records[offset as usize]);
            stored.value = Some(value.to_vec());
        }
    }

    /// Takes the last records of a partition away again: what a broker that lost data does.
    pub fn truncate(&self, topic: Topic, partition: u32, end: i64) {
        if let Some(records) = self.lock().partitions.get_mut(&(topic, partition)) {
            records.truncate(end as usize);
        }
    }

    pub fn committed(&self, topic: u16, partition: u32) -> Option<i64> {
        self.lock().committed.get(&(topic, partition)).copied()
    }

    /// Sets a group offset as some other program might.
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
        self.lock().breaks.entry(transactional_id.to_owned()).or_default().push_back(how);
    }

    /// Lets the leader of an input partition go away, or come back: fetches are not answered meanwhile.
    pub fn set_away(&self, topic: u16, partition: u32, is_away: bool) {
        let mut shared = self.lock();
        match is_away {
            true => shared.away.insert((topic, partition)),
            false => shared.away.remove(&(topic, partition)),
        };
    }

    /// Says of an input topic that it has been silent for longer than was configured, or no longer.
    pub fn set_silent(&self, topic: u16, is_silent: bool) {
        let mut shared = self.lock();
        match is_silent {
            true => shared.silent.insert(topic),
            false => shared.silent.remove(&topic),
        };
    }

    /// A worker's view, with these shards assigned to it.
    pub fn worker(&self, transactional_id: &str, shards: Vec<u32>) -> MemoryLog {
        MemoryLog {
            cluster: self.clone(),
            transactional_id: transactional_id.to_owned(),
            generation: None,
            news: VecDeque::from([News::Assigned(shards)]),
            started: BTreeMap::new(),
            batch_max: BATCH_MAX,
            clock: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Shared {
    fn append(&mut self, place: (Topic, u32), mut stored: Stored) -> i64 {
        let records = self.partitions.entry(place).or_default();
        stored.offset = records.len() as i64;
        records.push(Arc::new(stored));
        records.len() as i64 - 1
    }

    fn end(&self, place: (Topic, u32)) -> i64 {
        self.partitions.get(&place).map_or(0, Vec::len) as i64
    }

    /// Appends at most `records_max` records from `from` on, below `until`, to the batch; returns how many.
    fn fetch(&self, place: (Topic, u32), from: i64, until: i64, records_max: usize, batch: &mut MemoryBatch) -> usize {
        let Some(records) = self.partitions.get(&place) else { return 0 };
        let until = (until as usize).min(records.len()).min(from as usize + records_max);
        let found = records.get(from as usize..until).unwrap_or_default();
        batch.records.extend(found.iter().cloned());
        found.len()
    }

    /// Whether fetches of this partition are answered.
    fn answers(&self, place: (Topic, u32)) -> bool {
        !matches!(place, (Topic::Input(topic), partition) if self.away.contains(&(topic, partition)))
    }

    fn commit(&mut self, transaction: &Transaction<'_>, timestamp: i64) {
        for record in &transaction.records {
            let stored = store(record, transaction, timestamp);
            self.append((Topic::Own(record.topic), record.partition), stored);
        }
        for input in &transaction.offsets {
            self.committed.insert((input.topic, input.partition), input.offset);
        }
        self.transactions += 1;
    }
}

fn store(record: &OutRecord<'_>, transaction: &Transaction<'_>, timestamp: i64) -> Stored {
    let headers = &transaction.headers[record.headers.clone()];
    Stored {
        offset: 0,
        timestamp: Some(timestamp),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect(),
    }
}

/// One worker's view of a [`Cluster`].
pub struct MemoryLog {
    cluster: Cluster,
    transactional_id: String,
    generation: Option<u64>,
    news: VecDeque<News>,
    started: BTreeMap<(Topic, u32), Started>,
    batch_max: usize,
    clock: Instant,
}

/// A partition that is fetched.
#[derive(Default)]
struct Started {
    /// The next offset to take.
    position: i64,
    /// What the last fetch showed, and when that was.
    end: i64,
    answered: Option<u64>,
}

impl MemoryLog {
    /// At most so many records are taken at once.
    pub fn with_batch_max(mut self, batch_max: usize) -> Self {
        self.batch_max = batch_max;
        self
    }

    /// Fetches all started partitions whose leaders answer.
    fn fetch(&mut self) {
        let now = self.monotonic();
        let shared = self.cluster.lock();
        for (&place, started) in &mut self.started {
            if shared.answers(place) {
                started.end = shared.end(place);
                started.answered = Some(now);
            }
        }
    }

    fn monotonic(&self) -> u64 {
        self.clock.elapsed().as_millis() as u64
    }

    fn stop(&mut self, shards: &[u32]) {
        self.started.retain(|(topic, partition), _| matches!(topic, Topic::Own(_)) || !shards.contains(partition));
    }
}

#[derive(Default)]
pub struct MemoryBatch {
    records: VecDeque<Arc<Stored>>,
}

impl Batch for MemoryBatch {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn record(&self, place: usize) -> Record<'_> {
        let stored = &self.records[place];
        Record {
            offset: stored.offset,
            timestamp: stored.timestamp,
            key: stored.key.as_deref(),
            value: stored.value.as_deref(),
        }
    }

    fn header(&self, place: usize, name: &str) -> Option<&[u8]> {
        let found = self.records[place].headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_slice())
    }

    fn discard(&mut self, count: usize) {
        self.records.drain(..count);
    }
}

impl Log for MemoryLog {
    type Batch = MemoryBatch;
    type Reader = MemoryReader;

    fn now(&self) -> Moment {
        let wall = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let set = self.cluster.lock().clock;
        Moment { wall: set.unwrap_or_else(wall), monotonic: self.monotonic() }
    }

    fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// Never waits: what is not there now comes only with a later poll.
    fn poll(&mut self, _wait: Duration) -> Result<News, Failure> {
        self.fetch();
        Ok(self.news.pop_front().unwrap_or(News::Nothing))
    }

    fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    fn take(
        &mut self,
        topic: Topic,
        partition: u32,
        records_max: usize,
        batch: &mut MemoryBatch,
    ) -> Result<usize, Failure> {
        let now = self.monotonic();
        let place = (topic, partition);
        let shared = self.cluster.lock();
        let Some(started) = self.started.get_mut(&place).filter(|_| shared.answers(place)) else { return Ok(0) };
        let room = records_max.min(self.batch_max);
        let taken = shared.fetch(place, started.position, i64::MAX, room, batch);
        *started = Started { position: started.position + taken as i64, end: shared.end(place), answered: Some(now) };
        Ok(taken)
    }

    fn is_at_end(&self, topic: Topic, partition: u32) -> bool {
        let started = self.started.get(&(topic, partition));
        started.is_some_and(|started| started.answered.is_some() && started.position >= started.end)
    }

    fn answered(&self, topic: u16, partition: u32) -> Option<u64> {
        self.started.get(&(Topic::Input(topic), partition))?.answered
    }

    fn is_silent(&self, topic: u16) -> bool {
        self.cluster.lock().silent.contains(&topic)
    }

    fn start(&mut self, inputs: &[InputOffset]) -> Result<(), Failure> {
        for input in inputs {
            let started = Started { position: input.offset, ..Started::default() };
            self.started.insert((Topic::Input(input.topic), input.partition), started);
        }
        Ok(())
    }

    fn start_control(&mut self, offset: i64) -> Result<(), Failure> {
        let started = Started { position: offset, ..Started::default() };
        self.started.insert((Topic::Own(Own::Control), 0), started);
        Ok(())
    }

    fn pause(&mut self, shards: &[u32]) {
        self.stop(shards);
    }

    fn release(&mut self, shards: &[u32]) {
        self.stop(shards);
    }

    fn fence(&mut self) -> Result<(), Failure> {
        let mut shared = self.cluster.lock();
        let generation = shared.producers.entry(self.transactional_id.clone()).or_default();
        *generation += 1;
        self.generation = Some(*generation);
        Ok(())
    }

    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let timestamp = self.now().wall;
        let mut shared = self.cluster.lock();
        if self.generation != shared.producers.get(&self.transactional_id).copied() {
            return Err(Failure::Rebuild(format!("`{}` is fenced", self.transactional_id)));
        }
        let broken = shared.breaks.get_mut(&self.transactional_id).and_then(VecDeque::pop_front);
        if broken != Some(Break::Lost) {
            shared.commit(transaction, timestamp);
        }
        match broken {
            None => Ok(()),
            Some(how) => Err(Failure::Rebuild(format!("the end of the transaction is not known ({how:?})"))),
        }
    }

    fn committed(&mut self, shards: &[u32]) -> Result<Vec<InputOffset>, Failure> {
        let shared = self.cluster.lock();
        let of_shards = shared.committed.iter().filter(|((_, partition), _)| shards.contains(partition));
        Ok(of_shards.map(|(&(topic, partition), &offset)| InputOffset { topic, partition, offset }).collect())
    }

    fn first_offset(&mut self, topic: u16, partition: u32, start: StartAt) -> Result<i64, Failure> {
        let shared = self.cluster.lock();
        let place = (Topic::Input(topic), partition);
        let end = shared.end(place);
        Ok(match start {
            StartAt::Earliest => 0,
            StartAt::Latest => end,
            StartAt::Time(time) => {
                let records = shared.partitions.get(&place).map(Vec::as_slice).unwrap_or_default();
                records.iter().find(|stored| stored.timestamp >= Some(time)).map_or(end, |stored| stored.offset)
            }
        })
    }

    fn reader(&mut self, topic: Topic, partition: u32, from: i64) -> Result<MemoryReader, Failure> {
        let place = (topic, partition);
        let end = self.cluster.lock().end(place);
        Ok(MemoryReader { cluster: self.cluster.clone(), place, position: from.min(end), end })
    }
}

/// Reads one partition of a [`Cluster`].
pub struct MemoryReader {
    cluster: Cluster,
    place: (Topic, u32),
    position: i64,
    end: i64,
}

impl Reader for MemoryReader {
    type Batch = MemoryBatch;

    /// Nothing is ever deleted here.
    fn first(&self) -> i64 {
        0
    }

    fn end(&self) -> i64 {
        self.end
    }

    fn position(&self) -> i64 {
        self.position
    }

    fn seek(&mut self, offset: i64) -> Result<(), Failure> {
        self.position = offset;
        Ok(())
    }

    fn read(&mut self, until: i64, records_max: usize, batch: &mut MemoryBatch) -> Result<(), Failure> {
        let fetched = self.cluster.lock().fetch(self.place, self.position, until, records_max, batch);
        self.position += fetched as i64;
        if fetched < records_max && self.position < until {
            let (topic, partition) = self.place;
            let position = self.position;
            return Err(Failure::Stop(format!("{topic:?}[{partition}] ends at {position}; {until} was expected")));
        }
        Ok(())
    }
}
