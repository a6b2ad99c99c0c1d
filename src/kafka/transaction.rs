//! Writing: one function sends a transaction, begin to commit, and knows only one good end.
//!
//! Any other end (an error, a time-out, a connection that broke, an end slower than half of `socket.timeout.ms`, after
//! which the client may have sent a request twice) is a [`Failure::Rebuild`]: the producer is thrown away, a new one with
//! the same identity ends what the old one left open, and the shards are rebuilt from the journal, which alone knows what
//! was committed.

use super::client::{Logging, REQUEST_WAIT, begin_transactions, config, make};
use super::raw::{self, RawRecord};
use super::{Failure, InputOffset, KafkaSettings, Own, Transaction};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::ffi::CString;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Half of `socket.timeout.ms`.
const GOOD_END_MAX: Duration = Duration::from_secs(5);
/// Events heard at once; a poll hears one.
const EVENTS_SERVED: usize = 8;
/// What is known at once.
const CAUSE_WAIT: Duration = Duration::from_millis(500);
const FLUSH_SLICE: Duration = Duration::from_millis(200);
/// Below the session time-out of the group, so that a lost worker's transaction is over when its shards move.
const TRANSACTION_TIMEOUT_MS: u32 = 10_000;

/// A producer with an open door to the transaction coordinator.
pub struct Publisher {
    producer: Arc<BaseProducer<Deliveries>>,
    topics: [CString; Own::ALL.len()],
}

/// Keeps what the client reports during a transaction: why a record could not be written, and broken connections.
#[derive(Default)]
struct Deliveries {
    failure: Mutex<Option<String>>,
    /// A right was taken away: nothing that we do helps.
    refusal: Mutex<Option<String>>,
    broken: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Logging.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
        if let Some(BrokerTransportFailure | AllBrokersDown | OperationTimedOut) = error.rdkafka_error_code() {
            keep_first(&self.broken, reason);
        }
        Logging.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            keep_first(&self.failure, &format!("{}: {error}", message.topic()));
        }
    }
}

fn keep_first(place: &Mutex<Option<String>>, words: &str) {
    place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert_with(|| words.to_owned());
}

fn take(place: &Mutex<Option<String>>) -> Option<String> {
    place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
}

impl Publisher {
    /// Makes the producer and fences every earlier one of the same identity.
    pub fn open(settings: &KafkaSettings, transactional_id: &str) -> Result<Self, Failure> {
        let mut config = config(settings);
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS.to_string())
            .set("delivery.report.only.error", "true")
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "1000000");
        let producer = make(settings, &config, Deliveries::default(), "the Kafka producer")?;
        begin_transactions(&producer, transactional_id, REQUEST_WAIT)?;
        let topics = Own::ALL.map(|topic| {
            CString::new(settings.topics.name(topic)).expect("topic names are checked when topics are made")
        });
        Ok(Self { producer, topics })
    }

    pub fn publish(
        &mut self,
        transaction: &Transaction<'_>,
        inputs: &[String],
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Failure> {
        // What happened between transactions does not matter to this one.
        self.serve();
        take(&self.producer.context().broken);
        let started = Instant::now();
        let sent = self.send(transaction, inputs, group);
        sent.map_err(|words| take(&self.producer.context().refusal).map_or(Failure::Rebuild(words), Failure::Stop))?;
        self.serve();
        if let Some(words) = take(&self.producer.context().broken) {
            return Err(Failure::Rebuild(format!("a connection broke during a transaction: {words}")));
        }
        match started.elapsed() {
            elapsed if elapsed < GOOD_END_MAX => Ok(()),
            elapsed => Err(Failure::Rebuild(format!("a transaction took {elapsed:?}, more than {GOOD_END_MAX:?}"))),
        }
    }

    /// Hears what the client has to say: logs, errors, failed records.
    fn serve(&self) {
        for _ in 0..EVENTS_SERVED {
            self.producer.poll(Duration::ZERO);
        }
    }

    fn send(
        &self,
        transaction: &Transaction<'_>,
        inputs: &[String],
        group: &ConsumerGroupMetadata,
    ) -> Result<(), String> {
        let in_words = |what: &'static str| move |error: KafkaError| format!("{what}: {error}");
        self.producer.begin_transaction().map_err(in_words("begin of a transaction"))?;
        tracing::trace!(target: "shoal::transaction", records = transaction.records.len(), "begun");
        for record in &transaction.records {
            let raw = RawRecord {
                topic: &self.topics[record.topic as usize],
                partition: record.partition,
                key: record.key,
                value: record.value,
            };
            let headers = transaction.headers[record.headers.clone()].iter().map(|header| (header.name, header.value));
            raw::produce(&self.producer, &raw, headers).map_err(|code| format!("a record was refused: {code}"))?;
        }
        let offsets = offset_list(&transaction.offsets, inputs)?;
        self.flush().map_err(|words| format!("{words}; {}", self.cause(&offsets, group)))?;
        tracing::trace!(target: "shoal::transaction", "written");
        self.producer
            .send_offsets_to_transaction(&offsets, group, REQUEST_WAIT)
            .inspect_err(|error| self.note_refusal(error, "Read on one of the inputs"))
            .map_err(in_words("offsets of a transaction"))?;
        tracing::trace!(target: "shoal::transaction", "offsets sent");
        raw::commit_transaction(&self.producer, REQUEST_WAIT)
            .map_err(|words| format!("commit of a transaction: {words}"))?;
        tracing::trace!(target: "shoal::transaction", "committed");
        Ok(())
    }

    /// Why records were not written: they are only said to be purged, and the cause is told with the next step.
    fn cause(&self, offsets: &TopicPartitionList, group: &ConsumerGroupMetadata) -> String {
        match self.producer.send_offsets_to_transaction(offsets, group, CAUSE_WAIT) {
            Err(error) => {
                self.note_refusal(&error, "Write on one of our topics");
                error.to_string()
            }
            Ok(()) => "no cause is known".into(),
        }
    }

    /// A right that was taken away while we run; the error does not say of which topic.
    fn note_refusal(&self, error: &KafkaError, right_on_topics: &str) {
        let right = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => right_on_topics,
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => "Read on our group",
            _ => return,
        };
        let words = format!("Kafka does not allow us {right} any more; `shoal check --connect` names what is missing");
        keep_first(&self.producer.context().refusal, &words);
    }

    /// Waits until the broker has acknowledged every record. Failed ones are reported as events, which nobody serves
    /// during the raw flush: so it is cut into slices.
    fn flush(&self) -> Result<(), String> {
        let deadline = Instant::now() + GOOD_END_MAX;
        loop {
            let flushed = raw::flush(&self.producer, FLUSH_SLICE);
            if flushed.is_ok() {
                return Ok(());
            }
            self.serve();
            if let Some(words) = take(&self.producer.context().failure) {
                return Err(format!("a record was not written: {words}"));
            }
            if Instant::now() > deadline {
                return flushed;
            }
        }
    }
}

fn offset_list(offsets: &[InputOffset], inputs: &[String]) -> Result<TopicPartitionList, String> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for input in offsets {
        list.add_partition_offset(
            &inputs[usize::from(input.topic)],
            input.partition as i32,
            Offset::Offset(input.offset),
        )
        .map_err(|error| format!("offset {}: {error}", input.offset))?;
    }
    Ok(list)
}
