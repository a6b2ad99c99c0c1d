//! A log in memory: partitions, transactions, group offsets, and crashes.
//!
//! For the demo, for tests, and as the base of a simulation. A [`Cluster`] is what a broker holds; a [`MemoryLog`] is one
//! worker's view of it. A transaction is appended whole or not at all, so nothing uncommitted is ever in the cluster, and
//! a crash is to drop the worker. [`Cluster::break_publish`] makes a transaction end indefinitely.

use super::{
    Batch, Failure, InputOffset, Log, Moment, News, OutRecord, Own, Reader, Record, Run, StartAt, Topic, Transaction,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Records of one poll at most, unless told otherwise.
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

    /// A worker's view, with these shards assigned to it.
    pub fn worker(&self, transactional_id: &str, shards: Vec<u32>) -> MemoryLog {
        MemoryLog {
            cluster: self.clone(),
            transactional_id: transactional_id.to_owned(),
            generation: None,
            news: VecDeque::from([News::Assigned(shards)]),
            started: Vec::new(),
            next: 0,
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
        let until = (until as usize).min(records.len());
        let until = until.min(from as usize + records_max);
        let Some(found) = records.get(from as usize..until).filter(|found| !found.is_empty()) else { return 0 };
        let start = batch.records.len();
        batch.records.extend(found.iter().cloned());
        batch.runs.push(Run { topic: place.0, partition: place.1, records: start..batch.records.len() });
        found.len()
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
    /// Started partitions with the next offset of each.
    started: Vec<((Topic, u32), i64)>,
    /// The started partition whose turn is next.
    next: usize,
    batch_max: usize,
    clock: Instant,
}

impl MemoryLog {
    /// At most so many records per poll.
    pub fn with_batch_max(mut self, batch_max: usize) -> Self {
        self.batch_max = batch_max;
        self
    }
}

#[derive(Default)]
pub struct MemoryBatch {
    records: Vec<Arc<Stored>>,
    runs: Vec<Run>,
}

impl Batch for MemoryBatch {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn runs(&self) -> &[Run] {
        &self.runs
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

    fn clear(&mut self) {
        self.records.clear();
        self.runs.clear();
    }
}

impl Log for MemoryLog {
    type Batch = MemoryBatch;
    type Reader = MemoryReader;

    fn now(&self) -> Moment {
        let wall = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let set = self.cluster.lock().clock;
        Moment { wall: set.unwrap_or_else(wall), monotonic: self.clock.elapsed().as_millis() as u64 }
    }

    fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// Never waits: what is not there now comes only with a later poll.
    fn poll(&mut self, _wait: Duration, batch: &mut MemoryBatch) -> Result<News, Failure> {
        batch.clear();
        if let Some(news) = self.news.pop_front() {
            return Ok(news);
        }
        let shared = self.cluster.lock();
        for _ in 0..self.started.len() {
            let turn = self.next % self.started.len();
            self.next = turn + 1;
            let (place, position) = &mut self.started[turn];
            let room = self.batch_max - batch.len();
            *position += shared.fetch(*place, *position, i64::MAX, room, batch) as i64;
            if batch.len() == self.batch_max {
                break;
            }
        }
        Ok(News::Nothing)
    }

    fn read_to_end(&self) -> bool {
        let shared = self.cluster.lock();
        self.started.iter().all(|(place, position)| *position >= shared.end(*place))
    }

    fn start(&mut self, inputs: &[InputOffset], control_offset: i64) -> Result<(), Failure> {
        self.started = inputs.iter().map(|i| ((Topic::Input(i.topic), i.partition), i.offset)).collect();
        self.started.push(((Topic::Own(Own::Control), 0), control_offset));
        Ok(())
    }

    fn release(&mut self) {
        self.started.clear();
    }

    fn fence(&mut self) -> Result<(), Failure> {
        self.started.clear();
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
        Ok(MemoryReader { cluster: self.cluster.clone(), place, position: from, end })
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

    fn end(&self) -> i64 {
        self.end
    }

    fn position(&self) -> i64 {
        self.position
    }

    fn read(&mut self, until: i64, records_max: usize, batch: &mut MemoryBatch) -> Result<(), Failure> {
        batch.clear();
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
