//! One record of one of Shoal's own topics, in a transaction of its own, by a process that is not in the group.

use crate::kafka::client::{Logging, REQUEST_WAIT, config, init_transactions, make};
use crate::kafka::error_class::classify_transaction;
use crate::kafka::{Failure, KafkaSettings, Own};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

/// Publishes one record to the first partition of a topic and commits it. `purpose` ends the transactional id, so that
/// no worker is fenced.
///
/// # Errors
/// If the transaction failed. After a time-out it is not known whether the record was published.
pub fn publish_single(
    settings: &KafkaSettings,
    own: Own,
    (key, value): (&[u8], &[u8]),
    purpose: &str,
) -> Result<(), Failure> {
    let id = format!("{}-{}-{purpose}", settings.group, settings.instance);
    let topic = settings.topics.name(own);
    let mut config = config(settings);
    config.set("transactional.id", &id);
    let producer = make::<BaseProducer<Logging>>(settings, &config, Logging, "the Kafka producer")?;
    init_transactions(&producer, &id, REQUEST_WAIT)?;
    let failed = |step: &str, error: KafkaError| {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        classify_transaction(code, format!("a record for {topic}: {step}: {error}"))
    };
    producer.begin_transaction().map_err(|error| failed("the transaction cannot begin", error))?;
    let record = BaseRecord::to(topic).partition(0).key(key).payload(value);
    producer.send(record).map_err(|(error, _)| failed("it cannot be sent", error))?;
    producer.commit_transaction(REQUEST_WAIT).map_err(|error| failed("the transaction was not committed", error))
}
