//! The trait [`Log`] on Kafka: a [`GroupMember`], a [`Fetcher`] and a [`Publisher`] put together.

use super::client::{Logging, REQUEST_WAIT, consumer_config, make, retry, stop};
use super::consume::{
    Fetcher, GroupMember, IdleConsumers, KafkaBatch, KafkaReader, Survey, partition_count, watermarks,
};
use super::error_class::{classify_code, classify_request};
use super::inbox::Inbox;
use super::produce::{Publishers, Refusal, Step};
use super::raw::admin::describe_topics;
use super::{
    ClientReport, Compression, Failure, GroupEvent, GroupProtocol, InputOffset, KafkaSettings, Log, Moment,
    PartitionStatus, Position, StartAt, TRANSACTION_STEPS, Topic, Transaction,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How much longer a poll waits after records have come: few large batches cost less than many small ones.
const GATHER: Duration = Duration::from_millis(1);

/// How long a transaction that was refused for an old epoch is retried, until the client knows the new one; longer than
/// a heartbeat takes.
const EPOCH_WAIT: Duration = Duration::from_secs(2);
const EPOCH_RETRY_INTERVAL: Duration = Duration::from_millis(20);

pub struct KafkaLog {
    settings: KafkaSettings,
    compression: Compression,
    transactional_id: String,
    member: GroupMember,
    fetcher: Fetcher,
    publishers: Option<Publishers>,
    /// Failed transactions, by step.
    failures: [u64; TRANSACTION_STEPS.len()],
    survey: Survey,
    idle_consumers: IdleConsumers,
    /// Reads uncommitted records, in no group. For ends and offsets of timestamps.
    client: Arc<BaseConsumer<Logging>>,
    inbox: Arc<Inbox>,
    clock: Instant,
}

impl KafkaLog {
    /// Joins the group as worker number `worker` of this process. A `Rebuild` means that the brokers did not answer.
    pub fn join(settings: &KafkaSettings, worker: usize) -> Result<Self, Failure> {
        retry(|| Self::try_join(settings, worker))
    }

    /// Compresses what is published in this way.
    pub fn with_compression(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }

    fn try_join(settings: &KafkaSettings, worker: usize) -> Result<Self, Failure> {
        let clock = Instant::now();
        let member = format!("{}-{worker}", settings.instance);
        let mut config = consumer_config(settings);
        config.set("isolation.level", "read_uncommitted");
        let client: Arc<BaseConsumer<Logging>> = make(settings, &config, Logging, "the Kafka client")?;
        let partitions = settings.inputs.first().map_or(Ok(0), |input| partition_count(&client, input))?;
        let inbox = Arc::new(Inbox::default());
        Ok(Self {
            transactional_id: format!("{}-{member}", settings.group),
            fetcher: Fetcher::new(settings, partitions, clock, &inbox)?,
            member: GroupMember::join(settings, &member, &client, &inbox)?,
            publishers: None,
            failures: Default::default(),
            survey: Survey::spawn(settings, partitions, &client, &inbox)?,
            idle_consumers: IdleConsumers::default(),
            client,
            settings: settings.clone(),
            compression: Compression::default(),
            inbox,
            clock,
        })
    }

    /// Publishes with proof of membership. Under the protocol `consumer` the member's epoch changes with the group, and
    /// the client learns of it a moment later: until then the transaction is retried.
    fn publish_as_member(&mut self, transaction: &Transaction<'_>) -> Result<Instant, Failure> {
        let publishers = self.publishers.as_mut().ok_or_else(|| Failure::Rebuild("there is no producer".into()))?;
        let deadline = Instant::now() + EPOCH_WAIT;
        loop {
            let proof = Arc::new(self.member.proof()?);
            match publishers.publish(transaction, &self.settings.inputs, &proof) {
                Ok(begin) => return Ok(begin),
                Err(Refusal::Failed(failure)) => return Err(failure),
                Err(Refusal::Epoch(message))
                    if self.settings.group_protocol == GroupProtocol::Classic || Instant::now() > deadline =>
                {
                    return Err(Failure::Rebuild(format!("this worker is no longer a member of the group: {message}")));
                }
                Err(Refusal::Epoch(message)) => {
                    tracing::debug!(target: "kafka", error = message, "an old epoch was refused; retrying with the new one");
                    self.inbox.wait_for_event(EPOCH_RETRY_INTERVAL);
                }
            }
        }
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
        Moment { wall, monotonic: self.clock.elapsed().as_millis() as u64 }
    }

    fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    fn poll(&mut self, wait: Duration) -> Result<GroupEvent, Failure> {
        self.fetcher.stop_idle();
        self.fetcher.give_memory_back();
        if !self.inbox.has_event() {
            self.inbox.wait(wait, GATHER);
        }
        self.inbox.next_event().unwrap_or(Ok(GroupEvent::None))
    }

    fn has_group_event(&self) -> bool {
        self.inbox.has_event()
    }

    fn release(&mut self, shards: &[u32]) {
        self.fetcher.stop_inputs(shards);
        self.member.release(shards);
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), Failure> {
        self.fetcher.start(positions)
    }

    fn stop(&mut self, partitions: &[(Topic, u32)]) {
        self.fetcher.stop(partitions);
    }

    fn read(
        &mut self,
        topic: Topic,
        partition: u32,
        records_max: usize,
        batch: &mut KafkaBatch,
    ) -> Result<usize, Failure> {
        self.fetcher.read(topic, partition, records_max, batch)
    }

    fn partition_status(&self, topic: Topic, partition: u32) -> PartitionStatus {
        let is_silent = matches!(topic, Topic::Input(input) if self.survey.is_silent(input));
        PartitionStatus { is_silent, ..self.fetcher.partition_status(topic, partition) }
    }

    fn known_end(&self, topic: Topic, partition: u32) -> Option<i64> {
        self.fetcher.known_end(topic, partition)
    }

    fn fence(&mut self) -> Result<(), Failure> {
        // The old producers are dropped first: they must not be able to send any more.
        self.publishers = None;
        self.publishers = Some(Publishers::open(&self.settings, self.compression, &self.transactional_id)?);
        Ok(())
    }

    fn fence_other(&mut self, transactional_id: &str) -> Result<(), Failure> {
        if let Err(error) = Publishers::open(&self.settings, self.compression, transactional_id) {
            tracing::warn!(
                target: "kafka",
                transactional_id,
                error = %error,
                "the last owner's open transaction cannot be ended: its records become readable after its time-out"
            );
        }
        Ok(())
    }

    fn publish(&mut self, transaction: &Transaction<'_>) -> Result<u64, Failure> {
        let published = self.publish_as_member(transaction);
        if published.is_err() {
            let step = self.publishers.take().map_or(Step::Begin, |publishers| publishers.step());
            self.failures[step as usize] += 1;
        }
        published.map(|begin| begin.saturating_duration_since(self.clock).as_micros().div_ceil(1_000) as u64)
    }

    fn committed(&mut self, shards: &[u32]) -> Result<Vec<InputOffset>, Failure> {
        let topics = 0..self.settings.inputs.len() as u16;
        let partitions: Vec<_> = topics.flat_map(|topic| shards.iter().map(move |&shard| (topic, shard))).collect();
        self.fetcher.committed(&partitions)
    }

    fn input_ids(&mut self) -> Result<Vec<String>, Failure> {
        let names: Vec<&str> = self.settings.inputs.iter().map(String::as_str).collect();
        let descriptions = describe_topics(self.client.client(), &names, REQUEST_WAIT);
        let descriptions = descriptions.map_err(classify_code("Kafka does not describe the input topics".into()))?;
        if let Some((topic, code)) = descriptions.iter().find_map(|topic| Some((topic, topic.error?))) {
            return Err(classify_code(format!("Kafka does not describe the input topic {}", topic.name))(code));
        }
        let is_known = descriptions.iter().all(|topic| !topic.id.is_empty());
        Ok(descriptions.into_iter().map(|topic| topic.id).filter(|_| is_known).collect())
    }

    fn first_offset(&mut self, topic: Topic, partition: u32, start: StartAt) -> Result<i64, Failure> {
        let name = self.name(topic);
        let (first, end) = watermarks(&self.client, name, partition)?;
        match start {
            StartAt::Earliest => Ok(first),
            StartAt::Latest => Ok(end),
            StartAt::Time(time) => {
                let mut list = TopicPartitionList::new();
                let offset = Offset::Offset(time);
                list.add_partition_offset(name, partition as i32, offset).map_err(stop("the start time"))?;
                let answer = self
                    .client
                    .offsets_for_times(list, REQUEST_WAIT)
                    .map_err(classify_request(format!("the offsets of {name} at the start time")))?;
                Ok(answer
                    .elements()
                    .first()
                    .and_then(|found| found.offset().to_raw())
                    .filter(|&offset| offset >= 0)
                    .unwrap_or(end))
            }
        }
    }

    fn reader(&mut self, topic: Topic, partition: u32, from: i64) -> Result<KafkaReader, Failure> {
        KafkaReader::open(&self.settings, &self.idle_consumers, &self.client, self.name(topic), partition, from)
    }

    fn client_report(&self) -> ClientReport {
        ClientReport {
            has_joined: self.member.has_joined(),
            waits_for: self.member.waits_for(),
            transaction_failures: self.failures,
            ..self.fetcher.client_report()
        }
    }
}
