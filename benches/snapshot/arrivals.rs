//! A log whose inputs are queues in memory, filled by the bench: records are gone once they are applied, and it is
//! known how long each waited. Topics of our own are those of the log in memory.
//!
//! A record waits from its arrival in the queue until the step that it is in has been applied: then the worker discards
//! it. Outputs are discarded, except the journal and the rules: in memory they would accumulate and become slower.

use super::waits::Waits;
use shoal::kafka::memory::{MemoryBatch, MemoryLog, MemoryReader};
use shoal::kafka::{
    Batch, ClientReport, Failure, GroupEvent, InputOffset, Log, Moment, OutRecord, Own, PartitionStatus, Position,
    Reader, Record, StartAt, Topic, Transaction,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A record in the queue; its offset is its index since the beginning.
pub struct Arrival {
    pub at: Instant,
    pub offset: i64,
    pub line: Vec<u8>,
    pub key: Range<usize>,
}

/// The inputs: a queue for each partition, of one topic.
pub struct Queues {
    waiting: Mutex<Waiting>,
    /// Signals that a record was put or read.
    moved: Condvar,
    /// Maximum number of waiting records in all queues.
    arrivals_max: usize,
}

#[derive(Default)]
struct Waiting {
    partitions: Vec<VecDeque<Arrival>>,
    ends: Vec<i64>,
    count: usize,
    is_closed: bool,
}

impl Queues {
    pub fn new(partitions: u32, arrivals_max: usize) -> Arc<Self> {
        let partitions: Vec<_> = (0..partitions).map(|_| VecDeque::new()).collect();
        let waiting = Waiting { ends: vec![0; partitions.len()], partitions, ..Waiting::default() };
        Arc::new(Self { waiting: Mutex::new(waiting), moved: Condvar::new(), arrivals_max })
    }

    /// Puts records at the ends of their partitions' queues, waiting while those are full. Returns false once the
    /// queues are closed.
    pub fn put(&self, records: impl IntoIterator<Item = (u32, Vec<u8>, Range<usize>)>) -> bool {
        let is_full = |waiting: &mut Waiting| waiting.count > self.arrivals_max && !waiting.is_closed;
        let mut waiting = self.moved.wait_while(self.lock(), is_full).expect("the worker did not panic");
        let at = Instant::now();
        for (partition, line, key) in records {
            let partition = partition as usize;
            let offset = waiting.ends[partition];
            waiting.ends[partition] += 1;
            waiting.partitions[partition].push_back(Arrival { at, offset, line, key });
            waiting.count += 1;
        }
        let goes_on = !waiting.is_closed;
        drop(waiting);
        self.moved.notify_all();
        goes_on
    }

    /// Records that the worker has read so far.
    pub fn taken(&self) -> u64 {
        let waiting = self.lock();
        waiting.ends.iter().sum::<i64>() as u64 - waiting.count as u64
    }

    /// Records that wait.
    pub fn waiting(&self) -> u64 {
        self.lock().count as u64
    }

    /// Closes the queues.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.moved.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no thread panics while it holds the queues")
    }
}

/// One worker's view of the queues, with topics of our own beside them.
pub struct Arrivals {
    queues: Arc<Queues>,
    own: MemoryLog,
    waits: Rc<RefCell<Waits>>,
    /// Waiting records that were already reported are not new.
    seen: i64,
}

impl Arrivals {
    pub fn new(queues: Arc<Queues>, own: MemoryLog, waits: Rc<RefCell<Waits>>) -> Self {
        Self { queues, own, waits, seen: 0 }
    }
}

/// Either records of an input, or of a topic of our own.
#[derive(Default)]
pub struct ArrivedBatch {
    arrived: VecDeque<Arrival>,
    own: MemoryBatch,
    waits: Option<Rc<RefCell<Waits>>>,
}

impl Batch for ArrivedBatch {
    fn len(&self) -> usize {
        self.arrived.len() + self.own.len()
    }

    fn record(&self, index: usize) -> Record<'_> {
        match self.arrived.get(index) {
            Some(Arrival { offset, line, key, .. }) => {
                Record { offset: *offset, timestamp: None, key: Some(&line[key.clone()]), value: Some(line) }
            }
            None => self.own.record(index),
        }
    }

    fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        if self.arrived.is_empty() { self.own.header(index, name) } else { None }
    }

    fn discard(&mut self, count: usize) {
        if let (Some(first), Some(waits)) = (self.arrived.front(), &self.waits)
            && count > 0
        {
            waits.borrow_mut().note(first.at, count);
            self.arrived.drain(..count);
        } else {
            self.own.discard(count);
        }
    }
}

impl Log for Arrivals {
    type Batch = ArrivedBatch;
    type Reader = OwnReader;

    fn now(&self) -> Moment {
        self.own.now()
    }

    fn transactional_id(&self) -> &str {
        self.own.transactional_id()
    }

    fn poll(&mut self, wait: Duration) -> Result<GroupEvent, Failure> {
        match self.own.poll(Duration::ZERO)? {
            GroupEvent::None => {
                let nothing_new = |waiting: &mut Waiting| waiting.ends.iter().sum::<i64>() == self.seen;
                let waited = self.queues.moved.wait_timeout_while(self.queues.lock(), wait, nothing_new);
                self.seen = waited.expect("the producer did not panic").0.ends.iter().sum();
                Ok(GroupEvent::None)
            }
            event => Ok(event),
        }
    }

    fn has_group_event(&self) -> bool {
        self.own.has_group_event()
    }

    fn release(&mut self, shards: &[u32]) {
        self.own.release(shards);
    }

    /// The inputs need no start: their queues fill in any case.
    fn start(&mut self, positions: &[Position]) -> Result<(), Failure> {
        let control = |position: &&Position| position.topic == Topic::Own(Own::Control);
        self.own.start(&positions.iter().filter(control).copied().collect::<Vec<_>>())
    }

    fn stop(&mut self, _partitions: &[(Topic, u32)]) {}

    fn read(
        &mut self,
        topic: Topic,
        partition: u32,
        records_max: usize,
        batch: &mut ArrivedBatch,
    ) -> Result<usize, Failure> {
        if matches!(topic, Topic::Own(_)) {
            return self.own.read(topic, partition, records_max, &mut batch.own);
        }
        batch.waits.get_or_insert_with(|| Rc::clone(&self.waits));
        let mut waiting = self.queues.lock();
        let queue = &mut waiting.partitions[partition as usize];
        let count = records_max.min(queue.len());
        batch.arrived.extend(queue.drain(..count));
        waiting.count -= count;
        drop(waiting);
        self.queues.moved.notify_all();
        Ok(count)
    }

    fn partition_status(&self, topic: Topic, partition: u32) -> PartitionStatus {
        match topic {
            Topic::Own(_) => self.own.partition_status(topic, partition),
            Topic::Input(_) => PartitionStatus {
                is_at_end: self.queues.lock().partitions[partition as usize].is_empty(),
                last_answer: Some(self.own.now().monotonic),
                is_silent: false,
            },
        }
    }

    fn known_end(&self, topic: Topic, partition: u32) -> Option<i64> {
        match topic {
            Topic::Own(_) => self.own.known_end(topic, partition),
            Topic::Input(_) => Some(self.queues.lock().ends[partition as usize]),
        }
    }

    fn fence(&mut self) -> Result<(), Failure> {
        self.own.fence()
    }

    fn fence_other(&mut self, transactional_id: &str) -> Result<(), Failure> {
        self.own.fence_other(transactional_id)
    }

    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<u64, Failure> {
        let is_kept = |record: &&OutRecord<'_>| matches!(record.topic, Own::Journal | Own::Control);
        let records =
            transaction.records.iter().filter(is_kept).map(|record| OutRecord { headers: 0..0, ..record.clone() });
        let kept =
            Transaction { records: records.collect(), headers: Vec::new(), offsets: transaction.offsets.clone() };
        self.own.publish(&kept)
    }

    fn committed(&mut self, shards: &[u32]) -> Result<Vec<InputOffset>, Failure> {
        self.own.committed(shards)
    }

    fn first_offset(&mut self, _topic: Topic, _partition: u32, _start: StartAt) -> Result<i64, Failure> {
        Ok(0)
    }

    fn input_ids(&mut self) -> Result<Vec<String>, Failure> {
        self.own.input_ids()
    }

    fn reader(&mut self, topic: Topic, partition: u32, from: i64) -> Result<OwnReader, Failure> {
        self.own.reader(topic, partition, from).map(OwnReader)
    }

    fn client_report(&self) -> ClientReport {
        self.own.client_report()
    }
}

/// Reads topics of our own.
pub struct OwnReader(MemoryReader);

impl Reader for OwnReader {
    type Batch = ArrivedBatch;

    fn first(&self) -> i64 {
        self.0.first()
    }

    fn end(&self) -> i64 {
        self.0.end()
    }

    fn position(&self) -> i64 {
        self.0.position()
    }

    fn is_held_up(&mut self) -> Result<bool, Failure> {
        self.0.is_held_up()
    }

    fn seek(&mut self, offset: i64) -> Result<(), Failure> {
        self.0.seek(offset)
    }

    fn read(&mut self, until: i64, records_max: usize, batch: &mut ArrivedBatch) -> Result<(), Failure> {
        self.0.read(until, records_max, &mut batch.own)
    }
}
