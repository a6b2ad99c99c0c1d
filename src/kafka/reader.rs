//! Reading a partition again, outside the group: the journal to its end, or inputs for recovery. And the batch in which
//! all records come, live ones too.

use super::client::{Logging, REQUEST_WAIT, again, consumer_config, stop};
use super::raw::{Messages, PrivateQueue, QueueEvent};
use super::{Batch, Failure, KafkaSettings, Reader, Record, Run, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Without any progress for so long a read fails. Longer than a transaction of somebody else may stay open.
const PATIENCE: Duration = Duration::from_secs(120);

/// Messages taken from the queue at once.
const FETCH_MAX: usize = 1_024;

/// Messages of one poll or read; they stand in librdkafka's fetch buffers.
#[derive(Default)]
pub struct KafkaBatch {
    pub(super) messages: Messages,
    runs: Vec<Run>,
}

impl KafkaBatch {
    /// Makes the batch's runs of those of the messages.
    pub(super) fn name_runs(&mut self, name: impl Fn(u16) -> Topic) {
        self.runs.clear();
        self.runs.extend(self.messages.runs().iter().map(|run| Run {
            topic: name(run.topic),
            partition: run.partition,
            records: run.messages.clone(),
        }));
    }
}

impl Batch for KafkaBatch {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn runs(&self) -> &[Run] {
        &self.runs
    }

    #[inline]
    fn record(&self, place: usize) -> Record<'_> {
        let message = self.messages.get(place);
        Record { offset: message.offset, timestamp: message.timestamp, key: message.key, value: message.value }
    }

    fn clear(&mut self) {
        self.messages.clear();
        self.runs.clear();
    }
}

/// Reads one partition with a consumer of its own.
pub struct KafkaReader {
    queue: PrivateQueue<Logging>,
    topic: Topic,
    name: String,
    partition: u32,
    position: i64,
    end: i64,
    /// Past the last message or end that the queue gave.
    fetched: i64,
    /// Messages past what the read that brought them was to give.
    ahead: Messages,
}

impl KafkaReader {
    pub fn open(
        settings: &KafkaSettings,
        (topic, name): (Topic, &str),
        partition: u32,
        from: i64,
        end: i64,
    ) -> Result<Self, Failure> {
        let mut config = consumer_config(settings);
        // librdkafka wants a group even where it is not joined.
        config.set("group.id", &settings.group);
        let consumer: BaseConsumer<Logging> =
            config.create_with_context(Logging).map_err(stop("the Kafka consumer for recovery cannot be made"))?;
        let consumer = Arc::new(consumer);
        let mut queue = PrivateQueue::new(Arc::clone(&consumer), vec![name.to_owned()]);
        queue.forward(0, partition);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition as i32, Offset::Offset(from)).map_err(stop("start position"))?;
        consumer.assign(&list).map_err(stop("reading a partition again"))?;
        Ok(Self {
            queue,
            topic,
            name: name.to_owned(),
            partition,
            position: from,
            end,
            fetched: from,
            ahead: Messages::default(),
        })
    }

    /// Appends what is there, or waits a little for a message; an end moves the position.
    fn fetch(&mut self, batch: &mut KafkaBatch) -> Result<(), Failure> {
        let mut failure = None;
        let mut position = self.fetched;
        let before = batch.messages.len();
        for (wait, count_max) in [(Duration::ZERO, FETCH_MAX), (Duration::from_millis(100), 1)] {
            if batch.messages.len() > before || position > self.fetched || failure.is_some() {
                break;
            }
            self.queue.take(wait, count_max, &mut batch.messages, &mut |event| match event {
                QueueEvent::End { offset, .. } => position = position.max(offset),
                QueueEvent::Error { words, .. } => failure = Some(words),
            });
        }
        if let Some(last) = batch.messages.len().checked_sub(1) {
            position = position.max(batch.messages.get(last).offset + 1);
        }
        self.fetched = position;
        match failure {
            Some(words) if is_passing(&words) => Ok(()),
            Some(words) => Err(Failure::Stop(format!("reading {}[{}] again: {words}", self.name, self.partition))),
            None => Ok(()),
        }
    }
}

/// Errors after which librdkafka goes on by itself.
fn is_passing(words: &str) -> bool {
    !(words.contains("offset") || words.contains("Offset") || words.contains("authoriz"))
}

impl Reader for KafkaReader {
    type Batch = KafkaBatch;

    fn end(&self) -> i64 {
        self.end
    }

    fn position(&self) -> i64 {
        self.position
    }

    fn read(&mut self, until: i64, records_max: usize, batch: &mut KafkaBatch) -> Result<(), Failure> {
        batch.clear();
        std::mem::swap(&mut batch.messages, &mut self.ahead);
        let mut last_progress = Instant::now();
        while batch.messages.len() < records_max && self.fetched < until {
            let before = self.fetched;
            self.fetch(batch)?;
            if self.fetched > before {
                last_progress = Instant::now();
            } else if last_progress.elapsed() > PATIENCE {
                return Err(Failure::Rebuild(format!(
                    "{}[{}]: no record and no end between {before} and {until} within {PATIENCE:?}; is its leader away, or \
                     a transaction open?",
                    self.name, self.partition
                )));
            }
        }
        let offset = |place| batch.messages.get(place).offset;
        let wanted = (0..batch.messages.len().min(records_max)).take_while(|&place| offset(place) < until).count();
        let next = (wanted < batch.messages.len()).then(|| offset(wanted));
        self.position = if wanted == records_max { offset(wanted - 1) + 1 } else { next.unwrap_or(self.fetched) };
        batch.messages.move_tail(wanted, &mut self.ahead);
        let topic = self.topic;
        batch.name_runs(|_| topic);
        Ok(())
    }
}

/// The uncommitted end of a partition, as a read-uncommitted client sees it.
pub fn end_of(client: &BaseConsumer<Logging>, name: &str, partition: u32) -> Result<i64, Failure> {
    let watermarks = client.fetch_watermarks(name, partition as i32, REQUEST_WAIT);
    watermarks.map(|(_, end)| end).map_err(again(format!("the end of {name}[{partition}]")))
}
