//! Writing: one function sends a transaction, begin to commit, and knows only one good end.
//!
//! Any other end (an error, a time-out, a connection that broke, an end slower than half of `socket.timeout.ms`, after
//! which the client may have sent a request twice) is a [`Failure::Rebuild`]: the producer is thrown away, a new one with
//! the same identity ends what the old one left open, and the shards are rebuilt from the journal, which alone knows what
//! was committed.

use super::client::{Logging, REQUEST_WAIT, begin_transactions, config, make};
use super::fate;
use super::inspect::not_allowed;
use super::raw::{self, RawRecord};
use super::{Failure, InputOffset, KafkaSettings, OutRecord, Own, Transaction};
use crate::trial;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::cell::Cell;
use std::ffi::CString;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Half of `socket.timeout.ms`.
const GOOD_END_MAX: Duration = Duration::from_secs(5);
/// Events heard at once; a poll hears one.
const EVENTS_SERVED: usize = 8;
/// What is known at once.
const CAUSE_WAIT: Duration = Duration::from_millis(500);
/// After so long a flush looks whether it can still succeed.
const FLUSH_SLICE: Duration = Duration::from_millis(50);
/// Below the session time-out of the group, so that a lost worker's transaction is over when its shards move.
const TRANSACTION_TIMEOUT_MS: u32 = 10_000;

/// Why a transaction was not published, or may not have been.
pub enum Refusal {
    /// The group's member has got another epoch in between. Nothing was published; it can be sent again with a new proof.
    Epoch(String),
    Failed(Failure),
}

/// Where a transaction stands, in the order of [`super::TRANSACTION_STEPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Begin,
    Write,
    Offsets,
    Commit,
    /// Committed as it seems, but a connection broke meanwhile.
    Connection,
    /// It took too long.
    Slow,
    /// The group knows another epoch of this member, or none.
    Member,
}

/// A producer with an open door to the transaction coordinator.
pub struct Publisher {
    producer: Arc<BaseProducer<Deliveries>>,
    topics: [CString; Own::ALL.len()],
    transactional_id: String,
    step: Cell<Step>,
}

/// Keeps what the client reports during a transaction: why a record could not be written, and broken connections.
#[derive(Default)]
struct Deliveries {
    failure: Mutex<Option<(RDKafkaErrorCode, String)>>,
    broken: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Logging.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
        if let Some(BrokerTransportFailure | AllBrokersDown | OperationTimedOut) = error.rdkafka_error_code() {
            keep_first(&self.broken, reason.to_owned());
        }
        Logging.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            keep_first(&self.failure, (code, format!("{}: {error}", message.topic())));
        }
    }
}

fn keep_first<T>(place: &Mutex<Option<T>>, first: T) {
    place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(first);
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
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
        let transactional_id = transactional_id.to_owned();
        Ok(Self { producer, topics, transactional_id, step: Cell::new(Step::Begin) })
    }

    /// How far the last transaction came.
    pub fn step(&self) -> Step {
        self.step.get()
    }

    pub fn publish(
        &mut self,
        transaction: &Transaction<'_>,
        inputs: &[String],
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Refusal> {
        // What happened between transactions does not matter to this one.
        self.serve();
        take(&self.producer.context().broken);
        take(&self.producer.context().failure);
        let started = Instant::now();
        self.send(transaction, inputs, group)?;
        self.serve();
        let rebuild = |words| Err(Refusal::Failed(Failure::Rebuild(words)));
        self.step.set(Step::Connection);
        if let Some(words) = take(&self.producer.context().broken) {
            return rebuild(format!("a connection broke during a transaction: {words}"));
        }
        match started.elapsed() {
            elapsed if elapsed < GOOD_END_MAX => Ok(()),
            elapsed => {
                self.step.set(Step::Slow);
                rebuild(format!("a transaction took {elapsed:?}, more than {GOOD_END_MAX:?}"))
            }
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
    ) -> Result<(), Refusal> {
        self.step.set(Step::Begin);
        self.producer.begin_transaction().map_err(failed("begin of a transaction"))?;
        self.step.set(Step::Write);
        tracing::trace!(target: "shoal::transaction", records = transaction.records.len(), "begun");
        trial::crash_point("transaction/begun");
        transaction.records.iter().try_for_each(|record| self.produce(record, transaction)).map_err(Refusal::Failed)?;
        trial::crash_point("transaction/produced");
        let offsets = offset_list(&transaction.offsets, inputs).map_err(Refusal::Failed)?;
        self.flush().map_err(|failure| Refusal::Failed(self.cause(failure, &offsets, group)))?;
        tracing::trace!(target: "shoal::transaction", "written");
        trial::crash_point("transaction/written");
        self.step.set(Step::Offsets);
        let sent = self.producer.send_offsets_to_transaction(&offsets, group, REQUEST_WAIT);
        sent.map_err(|error| self.refused_offsets(&error))?;
        tracing::trace!(target: "shoal::transaction", "offsets sent");
        trial::crash_point("transaction/offsets-sent");
        self.step.set(Step::Commit);
        raw::commit_transaction(&self.producer, REQUEST_WAIT).map_err(|(code, words)| {
            Refusal::Failed(fate::of_transaction(code, format!("commit of a transaction: {words}")))
        })?;
        tracing::trace!(target: "shoal::transaction", "committed");
        trial::crash_point("transaction/ended");
        Ok(())
    }

    /// Why records were not written: often they are only said to be purged, and the cause is told with the next step.
    fn cause(&self, failure: Failure, offsets: &TopicPartitionList, group: &ConsumerGroupMetadata) -> Failure {
        let Failure::Rebuild(words) = failure else { return failure };
        match self.producer.send_offsets_to_transaction(offsets, group, CAUSE_WAIT) {
            Err(error) => self
                .refused_right(&error, "Write on one of our topics")
                .unwrap_or_else(|| failure_of(&format!("{words}; the next step"), &error)),
            Ok(()) => Failure::Rebuild(words),
        }
    }

    /// A right that was taken away while we run; the error does not say of which topic.
    fn refused_right(&self, error: &KafkaError, right_on_topics: &str) -> Option<Failure> {
        let right = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => right_on_topics,
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => "Read on our group",
            Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
                return Some(Failure::Stop(not_allowed("Write", "transactional id", &self.transactional_id)));
            }
            _ => return None,
        };
        let words = format!("Kafka does not allow us {right} any more; `shoal check --connect` names what is missing");
        Some(Failure::Stop(words))
    }

    fn produce(&self, record: &OutRecord<'_>, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let topic = &self.topics[record.topic as usize];
        let raw = RawRecord { topic, partition: record.partition, key: record.key, value: record.value };
        let headers = transaction.headers[record.headers.clone()].iter().map(|header| (header.name, header.value));
        raw::produce(&self.producer, &raw, headers).map_err(|code| {
            let words = format!("a record for {}[{}] was refused: {code}", topic.to_string_lossy(), record.partition);
            fate::of_transaction(code, words)
        })
    }

    /// A member whose epoch has moved on is not a zombie. If the transaction ends well, with nothing in it, it may try again.
    fn refused_offsets(&self, error: &KafkaError) -> Refusal {
        let is_epoch = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::StaleMemberEpoch)
        );
        if is_epoch {
            self.step.set(Step::Member);
        }
        if is_epoch && self.producer.abort_transaction(REQUEST_WAIT).is_ok() {
            return Refusal::Epoch(error.to_string());
        }
        let refused = self.refused_right(error, "Read on one of the inputs");
        Refusal::Failed(refused.unwrap_or_else(|| failure_of("offsets of a transaction", error)))
    }

    /// Waits until the broker has acknowledged every record. Failed ones are reported as events, which nobody serves
    /// during the raw flush, and nothing is sent any more by a producer that was fenced: so it is cut into slices.
    fn flush(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + GOOD_END_MAX;
        loop {
            let flushed = raw::flush(&self.producer, FLUSH_SLICE);
            if flushed.is_ok() {
                return Ok(());
            }
            self.serve();
            if let Some((code, words)) = take(&self.producer.context().failure) {
                return Err(fate::of_transaction(code, format!("a record was not written: {words}")));
            }
            if let Some((code, words)) = self.producer.client().fatal_error() {
                return Err(fate::of_transaction(code, format!("records cannot be written: {words}")));
            }
            if Instant::now() > deadline {
                return flushed.map_err(Failure::Rebuild);
            }
        }
    }
}

fn failed(what: &'static str) -> impl FnOnce(KafkaError) -> Refusal {
    move |error| Refusal::Failed(failure_of(what, &error))
}

fn failure_of(what: &str, error: &KafkaError) -> Failure {
    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
    fate::of_transaction(code, format!("{what}: {error}"))
}

fn offset_list(offsets: &[InputOffset], inputs: &[String]) -> Result<TopicPartitionList, Failure> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for input in offsets {
        list.add_partition_offset(
            &inputs[usize::from(input.topic)],
            input.partition as i32,
            Offset::Offset(input.offset),
        )
        .map_err(|error| Failure::Stop(format!("offset {}: {error}", input.offset)))?;
    }
    Ok(list)
}
