//! Sends one transaction, from begin to commit. There is only one good end.
//!
//! Any other end (an error, a time-out, a broken connection, or an end slower than half of `socket.timeout.ms`, after
//! which the client may have sent a request twice) is a [`Failure::Rebuild`]: the producer is dropped, a new one with
//! the same identity ends the transaction that the old one left open, and the shards are rebuilt from the journal,
//! which alone shows what was committed.

use crate::fault_injection;
use crate::kafka::client::{Logging, REQUEST_WAIT, config, init_transactions, make};
use crate::kafka::error_class::{classify_transaction, not_allowed};
use crate::kafka::produce::offsets::OffsetSender;
use crate::kafka::raw::producer::{self as raw, ProducerTopic, RawRecord};
use crate::kafka::{Compression, Failure, InputOffset, KafkaSettings, OutRecord, Own, Transaction};
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
/// Events served at once; a poll serves one.
const EVENTS_SERVED: usize = 8;
/// Enough for an answer that the client already has.
const CAUSE_WAIT: Duration = Duration::from_millis(500);
/// How long the offsets may take; no longer than the transaction may.
const OFFSETS_WAIT: Duration = Duration::from_millis(TRANSACTION_TIMEOUT_MS as u64);
/// A flush checks after this time whether it can still succeed.
const FLUSH_SLICE: Duration = Duration::from_millis(50);
/// Below the session time-out of the group, so that a lost worker's transaction has ended when its shards move.
const TRANSACTION_TIMEOUT_MS: u32 = 10_000;

/// Why a transaction was not published, or may not have been published.
pub enum Refusal {
    /// The epoch of the group's member has changed in between. Nothing was published; the transaction can be sent again
    /// with a new proof of membership.
    Epoch(String),
    Failed(Failure),
}

/// The step of a transaction, in the order of [`crate::kafka::TRANSACTION_STEPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Begin,
    Write,
    Offsets,
    Commit,
    /// The commit succeeded, but a connection broke during the transaction.
    Connection,
    /// The commit succeeded, but the transaction took too long.
    Slow,
    /// The group has another epoch of this member, or none.
    Member,
}

/// A producer that is registered at the transaction coordinator.
pub struct Publisher {
    offsets: OffsetSender,
    producer: Arc<BaseProducer<Deliveries>>,
    topics: Vec<ProducerTopic<Deliveries>>,
    /// Names of `topics`, by [`Own`] like them.
    names: [String; Own::ALL.len()],
    transactional_id: String,
    step: Cell<Step>,
}

/// What the client reports during a transaction: why a record could not be written, and broken connections.
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

fn keep_first<T>(slot: &Mutex<Option<T>>, first: T) {
    slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(first);
}

fn remove<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
}

impl Publisher {
    /// Makes the producer and fences every earlier one of the same identity.
    pub fn open(settings: &KafkaSettings, compression: Compression, transactional_id: &str) -> Result<Self, Failure> {
        let mut config = config(settings);
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS.to_string())
            .set("delivery.report.only.error", "true")
            .set("linger.ms", "5")
            .set("compression.type", compression.name())
            .set("queue.buffering.max.messages", "1000000");
        let producer = make(settings, &config, Deliveries::default(), "the Kafka producer")?;
        init_transactions(&producer, transactional_id, REQUEST_WAIT)?;
        let names = Own::ALL.map(|topic| settings.topics.name(topic).to_owned());
        let topic = |name: &String| {
            let name_bytes =
                CString::new(name.as_str()).expect("a topic of this name exists, so the name has no zero byte");
            ProducerTopic::new(&producer, &name_bytes)
                .map_err(|code| Failure::Stop(format!("the client refuses the topic {name}: {code}")))
        };
        let topics = names.iter().map(topic).collect::<Result<Vec<_>, _>>()?;
        let transactional_id = transactional_id.to_owned();
        let offsets = OffsetSender::start(&producer)?;
        Ok(Self { offsets, producer, topics, names, transactional_id, step: Cell::new(Step::Begin) })
    }

    /// The step at which the last transaction ended.
    pub fn step(&self) -> Step {
        self.step.get()
    }

    pub fn publish(
        &mut self,
        transaction: &Transaction<'_>,
        inputs: &[String],
        group: &Arc<ConsumerGroupMetadata>,
    ) -> Result<(), Refusal> {
        // What was reported between transactions does not concern this one.
        self.serve();
        remove(&self.producer.context().broken);
        remove(&self.producer.context().failure);
        let started = Instant::now();
        self.send(transaction, inputs, group)?;
        self.serve();
        let rebuild = |message| Err(Refusal::Failed(Failure::Rebuild(message)));
        self.step.set(Step::Connection);
        if let Some(reason) = remove(&self.producer.context().broken) {
            return rebuild(format!("a connection broke during a transaction: {reason}"));
        }
        match started.elapsed() {
            elapsed if elapsed < GOOD_END_MAX => Ok(()),
            elapsed => {
                self.step.set(Step::Slow);
                rebuild(format!("a transaction took {elapsed:?}, more than {GOOD_END_MAX:?}"))
            }
        }
    }

    /// Serves the client's events: logs, errors, failed records.
    fn serve(&self) {
        for _ in 0..EVENTS_SERVED {
            self.producer.poll(Duration::ZERO);
        }
    }

    fn send(
        &self,
        transaction: &Transaction<'_>,
        inputs: &[String],
        group: &Arc<ConsumerGroupMetadata>,
    ) -> Result<(), Refusal> {
        self.step.set(Step::Begin);
        self.producer.begin_transaction().map_err(failed("a transaction cannot be begun"))?;
        self.step.set(Step::Write);
        tracing::trace!(target: "shoal::transaction", records = transaction.records.len(), "begun");
        fault_injection::crash_point("transaction/begun");
        transaction.records.iter().try_for_each(|record| self.produce(record, transaction)).map_err(Refusal::Failed)?;
        fault_injection::crash_point("transaction/produced");
        let offsets = Arc::new(offset_list(&transaction.offsets, inputs).map_err(Refusal::Failed)?);
        self.flush().map_err(|failure| Refusal::Failed(self.cause(failure, &offsets, group)))?;
        tracing::trace!(target: "shoal::transaction", "written");
        fault_injection::crash_point("transaction/written");
        self.step.set(Step::Offsets);
        let sent = self.offsets.send(&offsets, group, OFFSETS_WAIT).map_err(Refusal::Failed)?;
        sent.map_err(|error| self.refused_offsets(&error))?;
        tracing::trace!(target: "shoal::transaction", "offsets sent");
        fault_injection::crash_point("transaction/offsets-sent");
        self.step.set(Step::Commit);
        raw::commit_transaction(&self.producer, REQUEST_WAIT).map_err(|(code, message)| {
            Refusal::Failed(classify_transaction(code, format!("a transaction cannot be committed: {message}")))
        })?;
        tracing::trace!(target: "shoal::transaction", "committed");
        fault_injection::crash_point("transaction/ended");
        Ok(())
    }

    /// Why records were not written. Often they are only reported as purged, and the next step returns the cause.
    fn cause(
        &self,
        failure: Failure,
        offsets: &Arc<TopicPartitionList>,
        group: &Arc<ConsumerGroupMetadata>,
    ) -> Failure {
        let Failure::Rebuild(message) = failure else { return failure };
        match self.offsets.send(offsets, group, CAUSE_WAIT) {
            Ok(Err(error)) => self
                .refused_right(&error, "Write on one of its own topics")
                .unwrap_or_else(|| failure_of(&format!("{message}; the next step"), &error)),
            Ok(Ok(())) | Err(_) => Failure::Rebuild(message),
        }
    }

    /// A right that was revoked while the process runs; the error does not name the topic.
    fn refused_right(&self, error: &KafkaError, right_on_topics: &str) -> Option<Failure> {
        let right = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => right_on_topics,
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => "Read on the consumer group",
            Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => {
                return Some(Failure::Stop(not_allowed("Write", "transactional id", &self.transactional_id)));
            }
            _ => return None,
        };
        let message = format!(
            "Kafka denies Shoal {right}, which it allowed before; `shoal check --connect` names the missing right"
        );
        Some(Failure::Stop(message))
    }

    fn produce(&self, record: &OutRecord<'_>, transaction: &Transaction<'_>) -> Result<(), Failure> {
        let raw = RawRecord { partition: record.partition, key: record.key, value: record.value };
        let headers = transaction.headers[record.headers.clone()].iter().map(|header| (header.name, header.value));
        raw::produce(&self.topics[record.topic as usize], &raw, headers).map_err(|code| {
            let topic = &self.names[record.topic as usize];
            classify_transaction(code, format!("a record for {topic}[{}] was refused: {code}", record.partition))
        })
    }

    /// A member whose epoch has changed is not a zombie. If the transaction can be aborted, it may be sent again.
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
        Refusal::Failed(refused.unwrap_or_else(|| failure_of("the offsets of a transaction were refused", error)))
    }

    /// Waits until the broker has acknowledged every record. The flush is cut into slices: failed records are reported
    /// as events, which are not served during the raw flush, and a producer that was fenced sends nothing any more.
    fn flush(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + GOOD_END_MAX;
        loop {
            let flushed = raw::flush(&self.producer, FLUSH_SLICE);
            if flushed.is_ok() {
                return Ok(());
            }
            self.serve();
            if let Some((code, message)) = remove(&self.producer.context().failure) {
                return Err(classify_transaction(code, format!("a record was not written: {message}")));
            }
            if let Some((code, message)) = self.producer.client().fatal_error() {
                return Err(classify_transaction(code, format!("records cannot be written: {message}")));
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
    classify_transaction(code, format!("{what}: {error}"))
}

fn offset_list(offsets: &[InputOffset], inputs: &[String]) -> Result<TopicPartitionList, Failure> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for input in offsets {
        list.add_partition_offset(
            &inputs[usize::from(input.topic)],
            input.partition as i32,
            Offset::Offset(input.offset),
        )
        .map_err(|error| Failure::Stop(format!("offset {} of input {}: {error}", input.offset, input.topic)))?;
    }
    Ok(list)
}
