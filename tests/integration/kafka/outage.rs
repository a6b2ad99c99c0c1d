//! While a partition does not answer fetches, time does not advance: its customers must not appear to be inactive (T3).
//!
//! A proxy delays the answers to the program's fetches and nothing else, so the program could publish, and would do so
//! if its time advanced.

use super::pipeline::{run_while, settings, wait_until_done};
use crate::support::proxy::{Hold, Proxy};
use crate::support::wait::{wait_for, wait_until_moment};
use crate::support::{self, Broker, BrokerOptions, Produced};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(120);
/// After this time without activity a customer is quiet: 0.00007 days.
const QUIET_MS: i64 = 6_048;
const GRACE_MS: i64 = 1_000;
const RULES: &str = "[audience.quiet]\nwhen = \"inactive_days >= 0.00007\"\n";
/// The number of the fetch request in Kafka's protocol.
const FETCH: &[i16] = &[1];
/// The client ids of a program with the instance `test`.
const OWNER: &str = "shoal-test";

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn wait_until(moment: i64) {
    let left = u64::try_from(moment - now()).unwrap_or_default();
    wait_until_moment(Instant::now() + Duration::from_millis(left));
}

#[test]
fn an_unanswered_partition_causes_no_changes_by_time() {
    let proxy = Proxy::start().unwrap();
    let (listeners, proxied) = (vec![("PROXIED", "PLAINTEXT")], vec![("PROXIED", proxy.port)]);
    let options = BrokerOptions { listeners, proxied, ..BrokerOptions::default() };
    let Some(broker) = support::start(&options) else { return };
    proxy.forward_to(broker.listener("PROXIED"));
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&broker, folder.path(), "outage", 1);
    settings.kafka.brokers = format!("127.0.0.1:{}", proxy.port);
    std::fs::write(&settings.rules, RULES).unwrap();
    let produce = |kind: &str, time: i64| {
        let event = format!(r#"{{"type":"{kind}","amount":"1","time":{time}}}"#);
        let (key, value) = (Some(b"ann".as_slice()), Some(event.as_bytes()));
        let record = Produced { partition: Some(0), timestamp: Some(time), key, value };
        broker.produce(&settings.kafka.inputs[0], [record]);
    };
    let (changes, second) = run_while(&settings, || {
        // A refund is no activity: the customer is known, everything runs, and nothing is due yet.
        produce("refund", now());
        wait_until_done(&broker, &settings.kafka, 1);
        let first = now();
        produce("view", first);
        wait_until_done(&broker, &settings.kafka, 1);
        proxy.set_gate(OWNER, FETCH, Hold::Answer);
        let second = first + 2_000;
        wait_until(second);
        produce("view", second);
        // Waits until long after the customer would have become quiet.
        wait_until(first + QUIET_MS + GRACE_MS + 1_500);
        let meanwhile = changes(&broker, &settings.kafka.topics.changes);
        proxy.open_gate(OWNER);
        assert_eq!(meanwhile, Vec::<Value>::new(), "nothing is known of her since then");
        (wait_for_a_change(&broker, &settings.kafka.topics.changes), second)
    });
    assert_eq!(changes.len(), 1, "{changes:?}");
    let effective: jiff::Timestamp = changes[0]["effective_at"].as_str().unwrap().parse().unwrap();
    assert_eq!((changes[0]["to"].as_str(), changes[0]["cause"].as_str()), (Some("in"), Some("time")));
    assert_eq!(effective.as_millisecond(), second + QUIET_MS, "quiet since her second event, not since her first");
}

fn changes(broker: &Broker, topic: &str) -> Vec<Value> {
    let found = broker.read_committed(topic);
    found.iter().map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()).collect()
}

/// Waits until there are changes, and returns all of them.
fn wait_for_a_change(broker: &Broker, topic: &str) -> Vec<Value> {
    wait_for("a change", PATIENCE, || Some(changes(broker, topic)).filter(|found| !found.is_empty()))
}
