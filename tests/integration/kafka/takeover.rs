//! A worker that takes over a shard of a process that died in a transaction does not wait for the transaction's
//! time-out.

use super::pipeline::{produce, run_while, settings, views, wait_until_done};
use crate::support;
use crate::support::events::{RULES, shop};
use crate::support::memory::expected;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use shoal::kafka::producer_ids;
use std::time::Duration;

/// Longer than [`wait_until_done`] waits.
const TRANSACTION_TIMEOUT_MS: &str = "600000";

#[test]
fn the_open_transaction_of_a_lost_owner_is_ended() {
    ends_transaction_of(0, "takeover");
}

#[test]
fn the_open_transaction_of_the_second_producer_of_a_lost_owner_is_ended() {
    ends_transaction_of(1, "takeover-second");
}

/// A worker dies in a transaction of its producer with this index, and another one takes over its shards.
fn ends_transaction_of(producer: usize, name: &str) {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(broker, folder.path(), name, 2);
    settings.kafka.session_timeout_ms = 1_000;
    let input = settings.kafka.inputs[0].clone();
    let lines = shop(21, 100, 2_000);
    produce(broker, &input, &lines[..1_000], 2);
    run_while(&settings, || wait_until_done(broker, &settings.kafka, 2));

    // The state that the process would have left if it had died a little later.
    let mut config = broker.client();
    let id = &producer_ids(&format!("{name}-test-0"))[producer];
    config.set("transactional.id", id).set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
    let dead: BaseProducer = config.create().unwrap();
    let patience = Duration::from_secs(30);
    dead.init_transactions(patience).unwrap();
    dead.begin_transaction().unwrap();
    let topics = &settings.kafka.topics;
    for topic in [&topics.changes, &topics.membership, &topics.journal] {
        for partition in 0..2 {
            let record = BaseRecord::<str, str>::to(topic).partition(partition).payload("unfinished");
            dead.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    dead.flush(patience).unwrap();

    settings.kafka.instance = "another".into();
    produce(broker, &input, &lines[1_000..], 2);
    run_while(&settings, || wait_until_done(broker, &settings.kafka, 2));
    views(broker, &settings.kafka).assert_same(&expected(&lines, &input, 2, RULES), name);
    assert!(dead.commit_transaction(patience).is_err(), "it can publish no more");
}
