//! Reading a partition again, outside the group: the journal to its end, or inputs for recovery. And the batch in which
//! all records come, live ones too.

use super::client::{Logging, REQUEST_WAIT, consumer_config, make, stop};
use super::fate;
use super::raw::{Messages, PrivateQueue, QueueEvent};
use super::{Batch, Failure, KafkaSettings, Reader, Record};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Messages taken from the queue at once.
const FETCH_MAX: usize = 1_024;

/// A reader reads to an end, and hears of it only after this: what stands last is a marker, which no batch shows.
const FETCH_WAIT_MS: &str = "10";

/// Consumers that are kept for the next reader: making one and finding the brokers takes longer than most reads.
const SPARE_MAX: usize = 4;

/// Messages of one partition; they stand in librdkafka's fetch buffers.
#[derive(Default)]
pub struct KafkaBatch {
    pub(super) messages: Messages,
}

impl Batch for KafkaBatch {
    fn len(&self) -> usize {
        self.messages.len()
    }

    #[inline]
    fn record(&self, place: usize) -> Record<'_> {
        let message = self.messages.get(place);
        Record { offset: message.offset, timestamp: message.timestamp, key: message.key, value: message.value }
    }

    fn header(&self, place: usize, name: &str) -> Option<&[u8]> {
        self.messages.header(place, name)
    }

    fn discard(&mut self, count: usize) {
        self.messages.discard(count);
    }
}

/// Consumers without anything to read at the moment.
#[derive(Clone, Default)]
pub struct Spare(Arc<Mutex<Vec<Arc<BaseConsumer<Logging>>>>>);

impl Spare {
    fn take(&self, settings: &KafkaSettings) -> Result<Arc<BaseConsumer<Logging>>, Failure> {
        if let Some(consumer) = self.lock().pop() {
            return Ok(consumer);
        }
        let mut config = consumer_config(settings);
        // librdkafka wants a group even where it is not joined.
        config.set("group.id", &settings.group).set("fetch.wait.max.ms", FETCH_WAIT_MS);
        make(settings, &config, Logging, "the Kafka consumer for recovery")
    }

    fn give(&self, consumer: &Arc<BaseConsumer<Logging>>) {
        let mut spare = self.lock();
        if spare.len() < SPARE_MAX && consumer.unassign().is_ok() {
            spare.push(Arc::clone(consumer));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<BaseConsumer<Logging>>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Reads one partition with a consumer of its own.
pub struct KafkaReader {
    // Before the consumer: the queue must be gone when it is destroyed.
    queue: PrivateQueue<Logging>,
    consumer: Arc<BaseConsumer<Logging>>,
    spare: Spare,
    name: String,
    partition: u32,
    position: i64,
    first: i64,
    end: i64,
    /// Past the last message or end that the queue gave.
    fetched: i64,
    /// Messages past what the read that brought them was to give.
    ahead: Messages,
    state: State,
}

/// What the consumer knows of where to read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing yet.
    Told,
    /// It is assigned, and has yet to bring anything.
    Assigned,
    Answered,
}

impl KafkaReader {
    /// `client` reads uncommitted records: the ends are asked of it.
    pub fn open(
        settings: &KafkaSettings,
        spare: &Spare,
        client: &BaseConsumer<Logging>,
        name: &str,
        partition: u32,
        from: i64,
    ) -> Result<Self, Failure> {
        let (first, end) = ends_of(client, name, partition)?;
        let consumer = spare.take(settings)?;
        learn_topic(&consumer, name)?;
        let queue = PrivateQueue::new(&consumer, name, partition, None);
        let from = from.min(end);
        Ok(Self {
            queue,
            consumer,
            spare: spare.clone(),
            name: name.to_owned(),
            partition,
            position: from,
            first,
            end,
            fetched: from,
            ahead: Messages::default(),
            state: State::Told,
        })
    }

    /// What was fetched before is left out by librdkafka from now on.
    fn assign(&mut self) -> Result<(), Failure> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, self.partition as i32, Offset::Offset(self.position))
            .map_err(stop("start position"))?;
        self.consumer.assign(&list).map_err(stop("reading a partition again"))?;
        self.state = State::Assigned;
        Ok(())
    }

    /// Appends what is there, or waits a little for a message; an end moves the position.
    fn fetch(&mut self, batch: &mut KafkaBatch) -> Result<(), Failure> {
        let mut failed = None;
        let mut position = self.fetched;
        let before = batch.messages.len();
        for (wait, count_max) in [(Duration::ZERO, FETCH_MAX), (Duration::from_millis(100), 1)] {
            if batch.messages.len() > before || position > self.fetched || failed.is_some() {
                break;
            }
            self.queue.take(wait, count_max, &mut batch.messages, &mut |event| match event {
                QueueEvent::End(offset) => position = position.max(offset),
                QueueEvent::Error { code, words } => failed = failed.take().or(Some((code, words))),
            });
        }
        if batch.messages.len() > before {
            position = position.max(batch.messages.offset(batch.messages.len() - 1) + 1);
        }
        if position > self.fetched {
            self.state = State::Answered;
        }
        self.fetched = position;
        failed.map_or(Ok(()), |(code, words)| fate::of_fetch(code, words))
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

    /// The consumer reads committed records only, so the end that it is told is the last stable offset.
    fn is_held_up(&mut self) -> Result<bool, Failure> {
        let (_, stable_end) = ends_of(&self.consumer, &self.name, self.partition)?;
        Ok(stable_end < self.end)
    }

    /// The consumer is only told with the next read. librdkafka fails an assertion when a partition is assigned a third
    /// time before its first fetch has stopped.
    fn seek(&mut self, offset: i64) -> Result<(), Failure> {
        self.state = State::Told;
        self.ahead.discard(self.ahead.len());
        self.position = offset;
        self.fetched = offset;
        Ok(())
    }

    fn read(&mut self, until: i64, records_max: usize, batch: &mut KafkaBatch) -> Result<(), Failure> {
        if self.state == State::Told {
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
        let offset = |place| batch.messages.offset(place);
        let places = start..batch.len().min(start + records_max);
        let end = places.start + places.take_while(|&place| offset(place) < until).count();
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
            self.spare.give(&self.consumer);
        }
    }
}

/// Lets a client find out who leads a topic's partitions. Assigning does not: a topic that is new to the client is looked
/// for only once a second.
pub fn learn_topic<C: ConsumerContext>(consumer: &BaseConsumer<C>, name: &str) -> Result<(), Failure> {
    let metadata = consumer.fetch_metadata(Some(name), REQUEST_WAIT);
    metadata.map(drop).map_err(fate::of_request(format!("the leaders of {name}")))
}

/// Oldest offset and end of a partition, as a read-uncommitted client sees them.
pub fn ends_of(client: &BaseConsumer<Logging>, name: &str, partition: u32) -> Result<(i64, i64), Failure> {
    let watermarks = client.fetch_watermarks(name, partition as i32, REQUEST_WAIT);
    watermarks.map_err(fate::of_request(format!("the ends of {name}[{partition}]")))
}
