//! A broker that hangs is no reason to think that customers have left: time stands still meanwhile (T3).

use crate::pipeline::{run_while, settings, wait_until_done};
use crate::support::{self, BrokerOptions, Produced, send};
use rdkafka::producer::Producer;
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(120);
/// Without any activity for so long a customer is quiet: 0.00007 days.
const QUIET_MS: i64 = 6_048;
const RULES: &str = "[audience.quiet]\nwhen = \"inactive_days >= 0.00007\"\n";

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn view(time: i64) -> String {
    format!(r#"{{"type":"view","time":{time}}}"#)
}

#[test]
fn a_broker_that_hangs_makes_nobody_quiet() {
    // Of its own: the others' must go on.
    let Some(broker) = support::start(&BrokerOptions::default()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&broker, folder.path(), "outage", 1);
    std::fs::write(&settings.rules, RULES).unwrap();
    let input = &settings.kafka.inputs[0];
    let producer = broker.producer();
    let produce = |value: &str, timestamp| {
        let record = Produced {
            partition: Some(0),
            timestamp: Some(timestamp),
            key: Some(b"ann"),
            value: Some(value.as_bytes()),
        };
        send(&producer, input, record);
    };
    let (changes, second) = run_while(&settings, || {
        // A refund is no activity: she is known, everything runs, and nothing is due yet.
        produce(&format!(r#"{{"type":"refund","amount":"1","time":{}}}"#, now()), now());
        producer.flush(PATIENCE).expect("the refund is written");
        wait_until_done(&broker, &settings.kafka, 1);
        let first = now();
        produce(&view(first), first);
        producer.flush(PATIENCE).expect("the first event is written");
        wait_until_done(&broker, &settings.kafka, 1);
        assert!(now() < first + QUIET_MS, "this machine is too slow for the test");
        broker.signal("STOP");
        // Before she would be quiet; the broker has it only after the outage.
        let second = now();
        produce(&view(second), second);
        while now() < first + QUIET_MS + 4_000 {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        broker.signal("CONT");
        producer.flush(PATIENCE).expect("the second event is written");
        (wait_for_a_change(&broker, &settings.kafka.topics.changes), second)
    });
    assert_eq!(changes.len(), 1, "{changes:?}");
    let effective: jiff::Timestamp = changes[0]["effective_at"].as_str().unwrap().parse().unwrap();
    assert_eq!((changes[0]["to"].as_str(), changes[0]["cause"].as_str()), (Some("in"), Some("time")));
    assert_eq!(effective.as_millisecond(), second + QUIET_MS, "quiet since her second event, not since her first");
}

/// All changes as soon as there are any.
fn wait_for_a_change(broker: &support::Broker, topic: &str) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = broker.read_committed(topic);
        if !found.is_empty() {
            return found
                .iter()
                .map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap())
                .collect();
        }
        assert!(Instant::now() < deadline, "no change");
    }
}
