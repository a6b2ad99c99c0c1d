//! Reading a partition again, outside the group: the journal to its end, or inputs for recovery.

use super::batch::KafkaBatch;
use super::metadata::{find_leaders, watermarks};
use crate::kafka::client::{Logging, consumer_config, make, stop};
use crate::kafka::error_class::classify_fetch;
use crate::kafka::raw::queue::{Messages, PrivateQueue, QueueEvent};
use crate::kafka::{Batch, Failure, KafkaSettings, Reader};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Messages read from the queue at once.
const FETCH_MAX: usize = 1_024;

/// A reader learns only after this wait that it has reached the end: the last entry is a marker, which is in no batch.
const FETCH_WAIT_MS: &str = "10";

/// Consumers that are kept for later readers: making one and finding the brokers takes longer than most reads.
const IDLE_CONSUMERS_MAX: usize = 4;

/// Consumers that no reader uses at the moment.
#[derive(Clone, Default)]
pub struct IdleConsumers(Arc<Mutex<Vec<Arc<BaseConsumer<Logging>>>>>);

impl IdleConsumers {
    /// An idle consumer, or a new one.
    fn acquire(&self, settings: &KafkaSettings) -> Result<Arc<BaseConsumer<Logging>>, Failure> {
        if let Some(consumer) = self.lock().pop() {
            return Ok(consumer);
        }
        let mut config = consumer_config(settings);
        // librdkafka needs a group even where it is not joined.
        config.set("group.id", &settings.group).set("fetch.wait.max.ms", FETCH_WAIT_MS);
        make(settings, &config, Logging, "the Kafka consumer for recovery")
    }

    /// Keeps a consumer for later readers, if there are not enough already.
    fn release(&self, consumer: &Arc<BaseConsumer<Logging>>) {
        let mut idle = self.lock();
        if idle.len() < IDLE_CONSUMERS_MAX && consumer.unassign().is_ok() {
            idle.push(Arc::clone(consumer));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<BaseConsumer<Logging>>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Reads one partition with a consumer of its own.
pub struct KafkaReader {
    // Declared before the consumer: the queue must be destroyed before it.
    queue: PrivateQueue<Logging>,
    consumer: Arc<BaseConsumer<Logging>>,
    idle_consumers: IdleConsumers,
    name: String,
    partition: u32,
    position: i64,
    first: i64,
    end: i64,
    /// Past the last message or end that was read from the queue.
    fetched: i64,
    /// Messages that were fetched beyond what was to be read.
    ahead: Messages,
    state: State,
}

/// Whether the consumer knows the position to read from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not yet.
    Unassigned,
    /// The partition is assigned, and nothing has come yet.
    Assigned,
    Answered,
}

impl KafkaReader {
    /// `client` reads uncommitted records: the ends are requested with it.
    pub fn open(
        settings: &KafkaSettings,
        idle_consumers: &IdleConsumers,
        client: &BaseConsumer<Logging>,
        name: &str,
        partition: u32,
        from: i64,
    ) -> Result<Self, Failure> {
        let (first, end) = watermarks(client, name, partition)?;
        let consumer = idle_consumers.acquire(settings)?;
        find_leaders(&consumer, name)?;
        let queue = PrivateQueue::new(&consumer, name, partition, None);
        let from = from.min(end);
        Ok(Self {
            queue,
            consumer,
            idle_consumers: idle_consumers.clone(),
            name: name.to_owned(),
            partition,
            position: from,
            first,
            end,
            fetched: from,
            ahead: Messages::default(),
            state: State::Unassigned,
        })
    }

    /// Assigns the partition from the position on. librdkafka discards what was fetched before.
    fn assign(&mut self) -> Result<(), Failure> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, self.partition as i32, Offset::Offset(self.position))
            .map_err(stop("start position"))?;
        self.consumer.assign(&list).map_err(stop("starting to read a partition again"))?;
        self.state = State::Assigned;
        Ok(())
    }

    /// Appends the messages that are there, or waits up to a tenth of a second for one. An end moves the position too.
    fn fetch(&mut self, batch: &mut KafkaBatch) -> Result<(), Failure> {
        let mut failed = None;
        let mut position = self.fetched;
        let before = batch.messages.len();
        for (wait, count_max) in [(Duration::ZERO, FETCH_MAX), (Duration::from_millis(100), 1)] {
            if batch.messages.len() > before || position > self.fetched || failed.is_some() {
                break;
            }
            self.queue.read(wait, count_max, &mut batch.messages, &mut |event| match event {
                QueueEvent::End(offset) => position = position.max(offset),
                QueueEvent::Error { code, message } => failed = failed.take().or(Some((code, message))),
            });
        }
        if batch.messages.len() > before {
            position = position.max(batch.messages.offset(batch.messages.len() - 1) + 1);
        }
        if position > self.fetched {
            self.state = State::Answered;
        }
        self.fetched = position;
        failed.map_or(Ok(()), |(code, message)| classify_fetch(code, message))
    }
}

impl Reader for KafkaReader {
    type Batch = KafkaBatch;

    fn first(&self) -> i64 {
        self.first
    }

    fn end(&self) -> i64 {
        self.end
    }

    fn position(&self) -> i64 {
        self.position
    }

    /// The consumer reads committed records only, so the end that it sees is the last stable offset.
    fn is_held_up(&mut self) -> Result<bool, Failure> {
        let (_, stable_end) = watermarks(&self.consumer, &self.name, self.partition)?;
        Ok(stable_end < self.end)
    }

    /// Assigns the partition only with the next read: librdkafka fails an assertion when a partition is assigned a
    /// third time before its first fetch has stopped.
    fn seek(&mut self, offset: i64) -> Result<(), Failure> {
        self.state = State::Unassigned;
        self.ahead.discard(self.ahead.len());
        self.position = offset;
        self.fetched = offset;
        Ok(())
    }

    fn read(&mut self, until: i64, records_max: usize, batch: &mut KafkaBatch) -> Result<(), Failure> {
        if self.state == State::Unassigned {
            self.assign()?;
        }
        let start = batch.len();
        self.ahead.move_tail(0, &mut batch.messages);
        while batch.len() - start < records_max && self.fetched < until {
            let before = self.fetched;
            self.fetch(batch)?;
            if self.fetched == before {
                break;
            }
        }
        let offset = |index| batch.messages.offset(index);
        let indexes = start..batch.len().min(start + records_max);
        let end = indexes.start + indexes.take_while(|&index| offset(index) < until).count();
        let next = (end < batch.len()).then(|| offset(end));
        let is_full = end > start && end - start == records_max;
        self.position = if is_full { offset(end - 1) + 1 } else { next.unwrap_or(self.fetched) };
        batch.messages.move_tail(end, &mut self.ahead);
        Ok(())
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        if self.state != State::Assigned {
            self.idle_consumers.release(&self.consumer);
        }
    }
}
