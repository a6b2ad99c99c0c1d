//! Writes events into an input topic with the key, partitioner and timestamp that Shoal expects: `shoal produce`.

use crate::kafka::admin::{Admin, PRODUCE_RIGHTS, RETENTION_ADVICE, connect, missing_rights, refuse};
use crate::kafka::client::{Logging, REQUEST_WAIT, config, make, stop};
use crate::kafka::{Failure, KafkaSettings};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An event to be written into Kafka.
#[derive(Clone, Copy, Debug)]
pub struct ProducedEvent<'a> {
    /// The customer id.
    pub key: &'a [u8],
    /// The event's own time in milliseconds.
    pub time: i64,
    pub value: &'a [u8],
}

/// Writes events into one topic.
pub struct EventProducer {
    producer: Arc<ThreadedProducer<Deliveries>>,
    topic: String,
    /// Retention would delete events before this moment at once.
    oldest: Option<i64>,
    retention: String,
}

#[derive(Default)]
struct Deliveries {
    first_failure: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Logging.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logging.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut first = self.first_failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            first.get_or_insert_with(|| error.to_string());
        }
    }
}

impl EventProducer {
    /// Checks the topic and makes the producer.
    ///
    /// # Errors
    /// If the topic does not exist, stamps records with its own time, or is compacted.
    pub fn open(settings: &KafkaSettings, topic: &str) -> Result<Self, Failure> {
        connect(settings, REQUEST_WAIT)?;
        let admin = Admin::new(settings, REQUEST_WAIT)?;
        let found = admin.topics(&[topic])?.pop();
        let found = found.ok_or_else(|| Failure::Stop(format!("Kafka does not describe the topic {topic}")))?;
        if found.is_missing() {
            return Err(Failure::Stop(format!("the topic {topic} does not exist; create it first")));
        }
        refuse(missing_rights("topic", &found.description, &PRODUCE_RIGHTS).into_iter().collect())?;
        if found.setting("message.timestamp.type") == "LogAppendTime" {
            return Err(Failure::Stop(format!(
                "the topic {topic} replaces the timestamps of records by its own (message.timestamp.type = \
                 LogAppendTime), and events must keep theirs; set it to CreateTime"
            )));
        }
        if found.setting("cleanup.policy").contains("compact") {
            return Err(Failure::Stop(format!(
                "the topic {topic} is compacted and would keep only the last event of a customer; set cleanup.policy to \
                 delete"
            )));
        }
        let retention = found.setting("retention.ms").to_owned();
        let oldest = retention.parse::<i64>().ok().filter(|&ms| ms >= 0).map(|ms| wall_clock() - ms);
        Ok(Self { producer: producer(settings)?, topic: topic.to_owned(), oldest, retention })
    }

    /// Queues one event. Waits while the queue is full.
    pub fn send(&self, event: ProducedEvent<'_>) -> Result<(), Failure> {
        if let Some(oldest) = self.oldest.filter(|&oldest| event.time < oldest) {
            return Err(Failure::Stop(format!(
                "the topic {} keeps records for {} ms (retention.ms), so an event with the time {} would be deleted: it is {} \
                 ms too old. Set retention.ms to -1: {RETENTION_ADVICE}",
                self.topic,
                self.retention,
                event.time,
                oldest - event.time
            )));
        }
        let mut record = BaseRecord::to(&self.topic).key(event.key).payload(event.value).timestamp(event.time);
        while let Err((error, again)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(stop(format!("writing to {}", self.topic))(error));
            }
            self.producer.poll(Duration::from_millis(10));
            record = again;
        }
        Ok(())
    }

    /// Waits until the broker has acknowledged all events.
    pub fn finish(self) -> Result<(), Failure> {
        self.producer.flush(REQUEST_WAIT).map_err(stop(format!("writing to {}", self.topic)))?;
        let context = self.producer.context();
        let failure = context.first_failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        failure
            .map_or(Ok(()), |error| Err(Failure::Stop(format!("an event was not written to {}: {error}", self.topic))))
    }
}

fn producer(settings: &KafkaSettings) -> Result<Arc<ThreadedProducer<Deliveries>>, Failure> {
    let mut config = config(settings);
    let partitioner = if settings.partitioner == "crc32" { "consistent_random" } else { "murmur2_random" };
    config
        .set("partitioner", partitioner)
        .set("enable.idempotence", "true")
        .set("delivery.report.only.error", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "20");
    make(settings, &config, Deliveries::default(), "the Kafka producer")
}

fn wall_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
