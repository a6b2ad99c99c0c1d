//! Operations on topics: create them, write to them, read them as a read-committed consumer.

use super::Broker;
use super::wait::{wait_for_ok, wait_until};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use shoal::kafka::KafkaSettings;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// The topics that Shoal writes, by their names in the settings.
const OWN: [&str; 7] = ["changes", "membership", "rejected", "journal", "control", "census", "alerts"];

/// The lines of `[kafka.topics]` that give every topic of Shoal a prefix, so that services do not share
/// them.
pub fn own_topics(prefix: &str) -> String {
    OWN.map(|topic| format!("{topic} = \"{prefix}.{topic}\"\n")).concat()
}

/// Gives every topic of Shoal a prefix.
pub fn prefix_own_topics(kafka: &mut KafkaSettings, prefix: &str) {
    let topics = &mut kafka.topics;
    for name in [
        &mut topics.changes,
        &mut topics.membership,
        &mut topics.rejected,
        &mut topics.journal,
        &mut topics.control,
        &mut topics.census,
        &mut topics.alerts,
    ] {
        *name = format!("{prefix}.{name}");
    }
}

/// A record to write. Without a partition the key determines it (murmur2); without a timestamp the wall clock is used.
#[derive(Clone, Copy, Default)]
pub struct Produced<'a> {
    pub partition: Option<i32>,
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// A record as read by a read-committed consumer.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Broker {
    /// Creates a topic; `settings` are pairs such as `("cleanup.policy", "compact")`.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(self.replicas));
        self.create(settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value)));
    }

    /// Creates a topic with one partition, which only this broker of a cluster has.
    pub fn create_topic_on(&self, name: &str, broker: i32) {
        let replicas: &[&[i32]] = &[&[broker]];
        self.create(NewTopic::new(name, 1, TopicReplication::Variable(replicas)).set("retention.ms", "-1"));
    }

    fn create(&self, topic: NewTopic<'_>) {
        let (name, partitions) = (topic.name, topic.num_partitions);
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("admin client");
        let answers = block_on(admin.create_topics([&topic], &AdminOptions::new())).expect("create topics");
        for answer in answers {
            answer.unwrap_or_else(|(topic, error)| panic!("topic {topic} is not made: {error}"));
        }
        // It exists before all brokers' metadata know it.
        let has_leaders = || {
            let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE).expect("metadata");
            let found = metadata.topics().iter().find(|topic| topic.name() == name);
            found.is_some_and(|topic| {
                topic.partitions().len() as i32 == partitions && topic.partitions().iter().all(|p| p.leader() >= 0)
            })
        };
        wait_until(&format!("topic {name} has a leader of each partition"), PATIENCE, has_leaders);
    }

    pub fn delete_topic(&self, name: &str) {
        let deleted = block_on(self.admin().delete_topics(&[name], &AdminOptions::new())).expect("an answer");
        deleted.into_iter().for_each(|deleted| assert!(deleted.is_ok(), "{deleted:?}"));
        wait_until(&format!("topic {name} is gone"), PATIENCE, || self.topics().iter().all(|topic| topic != name));
    }

    /// Deletes a group after its members' sessions have ended; it must be empty.
    pub fn delete_group(&self, group: &str) {
        wait_for_ok(&format!("group {group} is deleted"), PATIENCE, || {
            let mut deleted = block_on(self.admin().delete_groups(&[group], &AdminOptions::new())).expect("an answer");
            deleted.pop().expect("one answer").map_err(|(group, error)| format!("{group}: {error}"))
        });
    }

    /// Deletes records before this offset, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        block_on(self.admin().delete_records(&list, &AdminOptions::new())).expect("records are deleted");
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("admin client")
    }

    /// Names of all topics.
    pub fn topics(&self) -> Vec<String> {
        let client: BaseConsumer = self.client().create().expect("client");
        let metadata = client.fetch_metadata(None, Duration::from_secs(30)).expect("metadata");
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    /// Names of all consumer groups.
    pub fn groups(&self) -> Vec<String> {
        let client: BaseConsumer = self.client().create().expect("client");
        let groups = client.fetch_group_list(None, PATIENCE).expect("groups");
        groups.groups().iter().map(|group| group.name().to_owned()).collect()
    }

    /// Writes records and waits until the broker has acknowledged them.
    pub fn produce<'a>(&self, topic: &str, records: impl IntoIterator<Item = Produced<'a>>) {
        let producer = self.producer();
        for record in records {
            send(&producer, topic, record);
        }
        producer.flush(PATIENCE).expect("flush");
    }

    /// A producer, for tests that write in the background; see [`send`].
    pub fn producer(&self) -> ThreadedProducer<DefaultProducerContext> {
        let mut config = self.client();
        config.set("partitioner", "murmur2_random").set("linger.ms", "5").set("compression.type", "lz4");
        config.set("delivery.report.only.error", "true").create().expect("producer")
    }

    /// All committed records of the topic, by partition and offset. Open transactions are waited for, since
    /// their records are before the end.
    pub fn read_committed(&self, topic: &str) -> Vec<Received> {
        let consumer = self.reader(&[("isolation.level", "read_committed")]);
        let partitions = self.assign_all(&consumer, topic);
        let mut ends: Vec<i64> = (0..partitions).map(|partition| self.end(topic, partition)).collect();
        let mut received = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while ends.iter().any(|&end| end > 0) {
            assert!(Instant::now() < deadline, "{topic}: not read to its end within {PATIENCE:?}; left: {ends:?}");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    received.push(Received::from(&message));
                    // The position is read only at the end of a partition, since that is slow.
                    continue;
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => panic!("{topic}: {error}"),
            }
            // By position: a partition may end with a marker, which consumers do not see.
            for element in consumer.position().expect("position").elements() {
                let end = &mut ends[element.partition() as usize];
                if matches!(element.offset(), Offset::Offset(offset) if offset >= *end) {
                    *end = 0;
                }
            }
        }
        received.sort_by_key(|record| (record.partition, record.offset));
        received
    }

    /// The end offset of a partition, including open transactions.
    pub fn end(&self, topic: &str, partition: i32) -> i64 {
        // Read uncommitted: read committed, the answer would be the last stable offset.
        let consumer = self.reader(&[("isolation.level", "read_uncommitted")]);
        consumer.fetch_watermarks(topic, partition, PATIENCE).expect("watermarks").1
    }

    /// The committed offsets of a group on a topic; -1 for none.
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> Vec<i64> {
        let consumer = self.reader(&[("group.id", group)]);
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, partition);
        }
        // A new coordinator answers at first that it is none.
        let ask = || consumer.committed_offsets(list.clone(), PATIENCE);
        let answer = wait_for_ok(&format!("offsets of {group}"), PATIENCE, ask);
        let known = |offset: Offset| offset.to_raw().filter(|&raw| raw >= 0).unwrap_or(-1);
        answer.elements().iter().map(|element| known(element.offset())).collect()
    }

    /// Settings of every client of the tests.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address).set("log_level", "3");
        config
    }

    fn reader(&self, settings: &[(&str, &str)]) -> BaseConsumer {
        let mut config = self.client();
        config.set("group.id", "shoal-test-reader").set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true").set("fetch.queue.backoff.ms", "5");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config.create().expect("consumer")
    }

    fn assign_all(&self, consumer: &BaseConsumer, topic: &str) -> i32 {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
        let partitions = metadata.topics()[0].partitions().len() as i32;
        assert!(partitions > 0, "topic {topic} does not exist");
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("offset");
        }
        consumer.assign(&list).expect("assign");
        partitions
    }
}

impl Received {
    fn from(message: &impl Message) -> Self {
        let headers = message
            .headers()
            .map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }
}

/// Queues one record, waiting while the queue is full.
pub fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, record: Produced<'_>) {
    let mut base = BaseRecord::<[u8], [u8]>::to(topic);
    base.partition = record.partition;
    base.timestamp = record.timestamp;
    base.key = record.key;
    base.payload = record.value;
    while let Err((error, again)) = producer.send(base) {
        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{topic}: {error}");
        producer.poll(Duration::from_millis(10));
        base = again;
    }
}

/// Waits for one future on this thread; the admin client has only an asynchronous interface.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
