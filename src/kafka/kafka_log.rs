//! The log on Kafka: a [`GroupConsumer`] and a [`Publisher`] put together.

use super::client::{Logging, REQUEST_WAIT, again, consumer_config, stop};
use super::consumer::GroupConsumer;
use super::reader::{KafkaBatch, KafkaReader, end_of};
use super::transaction::Publisher;
use super::{Failure, InputOffset, KafkaSettings, Log, Moment, News, StartAt, Topic, Transaction};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a poll that has something waits for more: few large batches cost less than many small ones.
const GATHER: Duration = Duration::from_millis(1);

pub struct KafkaLog {
    settings: KafkaSettings,
    transactional_id: String,
    consumer: GroupConsumer,
    publisher: Option<Publisher>,
    /// Read uncommitted and in no group: for ends and offsets of times.
    client: BaseConsumer<Logging>,
    started: Instant,
}

impl KafkaLog {
    /// Joins the group as worker number `worker` of this process.
    pub fn join(settings: &KafkaSettings, worker: usize) -> Result<Self, Failure> {
        let member = format!("{}-{worker}", settings.instance);
        let mut config = consumer_config(settings);
        config.set("isolation.level", "read_uncommitted");
        let client = config.create_with_context(Logging).map_err(stop("the Kafka client cannot be made"))?;
        Ok(Self {
            transactional_id: format!("{}-{member}", settings.group),
            consumer: GroupConsumer::join(settings, &member)?,
            publisher: None,
            client,
            settings: settings.clone(),
            started: Instant::now(),
        })
    }

    fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Input(input) => &self.settings.inputs[usize::from(input)],
            Topic::Own(own) => self.settings.topics.name(own),
        }
    }
}

impl Log for KafkaLog {
    type Batch = KafkaBatch;
    type Reader = KafkaReader;

    fn now(&self) -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        Moment { wall, monotonic: self.started.elapsed().as_millis() as u64 }
    }

    fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    fn poll(&mut self, wait: Duration, batch: &mut KafkaBatch) -> Result<News, Failure> {
        self.consumer.poll(wait, GATHER, batch)
    }

    fn read_to_end(&self) -> bool {
        self.consumer.read_to_end()
    }

    fn start(&mut self, inputs: &[InputOffset], control_offset: i64) -> Result<(), Failure> {
        self.consumer.start(inputs, control_offset)
    }

    fn release(&mut self) {
        self.consumer.release();
    }

    fn fence(&mut self) -> Result<(), Failure> {
        self.consumer.pause();
        // The old one first: it must not be able to send any more.
        self.publisher = None;
        self.publisher = Some(Publisher::open(&self.settings, &self.transactional_id)?);
        Ok(())
    }

    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let publisher = self.publisher.as_mut().ok_or_else(|| Failure::Rebuild("no producer".into()))?;
        let member = self.consumer.member().ok_or_else(|| Failure::Stop("nothing was assigned".into()))?;
        let published = publisher.publish(transaction, &self.settings.inputs, member);
        if published.is_err() {
            self.publisher = None;
        }
        published
    }

    fn committed(&mut self, shards: &[u32]) -> Result<Vec<InputOffset>, Failure> {
        let topics = 0..self.settings.inputs.len() as u16;
        let partitions: Vec<_> = topics.flat_map(|topic| shards.iter().map(move |&shard| (topic, shard))).collect();
        self.consumer.committed(&partitions)
    }

    fn first_offset(&mut self, topic: u16, partition: u32, start: StartAt) -> Result<i64, Failure> {
        let name = &self.settings.inputs[usize::from(topic)];
        let watermarks = self.client.fetch_watermarks(name, partition as i32, REQUEST_WAIT);
        let (first, end) = watermarks.map_err(again(format!("the ends of {name}[{partition}]")))?;
        match start {
            StartAt::Earliest => Ok(first),
            StartAt::Latest => Ok(end),
            StartAt::Time(time) => {
                let mut list = TopicPartitionList::new();
                let offset = Offset::Offset(time);
                list.add_partition_offset(name, partition as i32, offset).map_err(stop("start time"))?;
                let answer = self.client.offsets_for_times(list, REQUEST_WAIT).map_err(again("offsets of a time"))?;
                Ok(answer
                    .elements()
                    .first()
                    .and_then(|found| found.offset().to_raw())
                    .filter(|&o| o >= 0)
                    .unwrap_or(end))
            }
        }
    }

    fn reader(&mut self, topic: Topic, partition: u32, from: i64) -> Result<KafkaReader, Failure> {
        let name = self.name(topic).to_owned();
        let end = end_of(&self.client, &name, partition)?;
        KafkaReader::open(&self.settings, (topic, &name), partition, from, end)
    }
}
