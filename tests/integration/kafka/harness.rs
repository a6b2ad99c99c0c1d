//! Tests of the test support: written records are read back, and records of open transactions are not read.

use crate::support::{self, Produced};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

#[test]
fn produced_records_are_read_back_committed() {
    let Some(broker) = support::broker() else { return };
    broker.create_topic("harness-plain", 2, &[("retention.ms", "-1")]);
    let record = |partition, timestamp, value| Produced {
        partition: Some(partition),
        timestamp: Some(timestamp),
        key: Some(b"k"),
        value,
    };
    broker
        .produce("harness-plain", [record(0, 7, Some(b"a".as_slice())), record(1, 8, None), record(0, 9, Some(b"b"))]);

    let read = broker.read_committed("harness-plain");
    let seen: Vec<_> = read.iter().map(|r| (r.partition, r.offset, r.timestamp, r.value.as_deref())).collect();
    assert_eq!(seen, [(0, 0, Some(7), Some(b"a".as_slice())), (0, 1, Some(9), Some(b"b")), (1, 0, Some(8), None)]);
}

#[test]
fn only_committed_transactions_are_read() {
    let Some(broker) = support::broker() else { return };
    broker.create_topic("harness-transactions", 1, &[]);
    let producer: BaseProducer = broker.client().set("transactional.id", "harness").create().unwrap();
    let patience = Duration::from_secs(30);
    producer.init_transactions(patience).unwrap();
    for (value, commit) in [("aborted", false), ("committed", true), ("aborted too", false)] {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<str, str>::to("harness-transactions").payload(value)).map_err(|e| e.0).unwrap();
        producer.flush(patience).unwrap();
        if commit {
            producer.commit_transaction(patience).unwrap();
        } else {
            producer.abort_transaction(patience).unwrap();
        }
    }

    let read = broker.read_committed("harness-transactions");
    let values: Vec<_> = read.iter().map(|record| String::from_utf8_lossy(record.value.as_ref().unwrap())).collect();
    assert_eq!(values, ["committed"]);
    assert!(broker.end("harness-transactions", 0) > read[0].offset + 1, "the end counts markers and aborted records");
}
