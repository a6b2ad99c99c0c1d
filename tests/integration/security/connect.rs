//! Topics with every kind of wrong setting: `shoal check --connect` reports them, and `shoal run` refuses to start with
//! the same messages and status 3.

use super::program::{Program, end, stop};
use super::secure;
use crate::support::{Broker, Produced};
use shoal::engine::decode::{Partitioner, partition_of};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const KEEP: &[(&str, &str)] = &[("retention.ms", "-1")];
const KEYS: usize = 60;

/// On the plaintext listener, where everything is allowed.
fn program(broker: &Broker, name: &str, kafka: &str) -> Program {
    Program::new(name, &format!("brokers = {:?}\n{kafka}", broker.address), &[])
}

/// Writes events of many customers, using the partitioners in turns.
fn write_by(broker: &Broker, topic: &str, partitions: u32, partitioners: &[Partitioner]) {
    let keys: Vec<String> = (0..KEYS).map(|number| format!("c-{number}")).collect();
    let records = keys.iter().zip(partitioners.iter().cycle()).map(|(key, partitioner)| Produced {
        partition: Some(partition_of(*partitioner, key.as_bytes(), partitions) as i32),
        key: Some(key.as_bytes()),
        value: Some(br#"{"type":"view","time":"2026-01-01T00:00:00Z"}"#),
        timestamp: None,
    });
    broker.produce(topic, records);
}

fn assert_all_said(text: &str, said: &[&str]) {
    for said in said {
        assert!(text.contains(said), "expected {said:?}:\n{text}");
    }
}

#[test]
fn the_check_passes_before_and_during_the_first_run() {
    for protocol in ["classic", "consumer"] {
        let Some(secure) = secure() else { return };
        all_is_well(&secure.broker, protocol);
    }
}

fn all_is_well(broker: &Broker, protocol: &str) {
    let name = format!("well-{protocol}");
    let inputs = format!("inputs = [\"{name}.events\", \"{name}.visits\"]\n");
    let program = program(broker, &name, &format!("{inputs}group_protocol = {protocol:?}\n"));
    for topic in ["events", "visits"] {
        broker.create_topic(&program.topic(topic), 2, KEEP);
        write_by(broker, &program.topic(topic), 2, &[Partitioner::Murmur2]);
    }
    let (status, text) = end(program.check());
    assert_eq!(status, 0, "{text}");
    // The topics have the same names with both protocols.
    assert_all_said(
        &text.replace(&name, "well"),
        &[
            "ok       brokers: reached: 1 at 127.0.0.1:",
            "ok       input well.events: 2 partitions, not compacted",
            "ok       topic well.journal: missing; `shoal run` creates it, with 2 partitions",
            "ok       topic well.control: missing; `shoal run` creates it, with 1 partition",
            "warning  replication factor: below 3: well.events 1, well.visits 1",
            "warning  min.insync.replicas: below 2: well.events 1, well.visits 1",
            "ok       transactions: can be begun",
            "ok       partitioner of well.events: murmur2: all 60 keys",
            "ok       partitioner of well.visits: murmur2: all 60 keys",
        ],
    );
    assert!(!text.contains("retention"), "{text}");
    let running = program.run();
    program.buy(broker, &["anna"]);
    program.wait_for_changes(broker, 1);
    let (status, text) = end(program.check());
    assert_eq!(status, 0, "{text}");
    let text = text.replace(&name, "well");
    assert_all_said(&text, &["ok       topic well.journal: 2 partitions, settings as needed", "ok       rights: all"]);
    let output = stop(running);
    assert_all_said(&output, &["WARN", "replication factor: below 3", "min.insync.replicas: below 2"]);
}

/// Name, partitions and settings.
type Topic<'a> = (&'a str, i32, &'a [(&'a str, &'a str)]);

/// Topics that cannot be used, and the message of both commands.
struct Unfit {
    program: Program,
    said: Vec<&'static str>,
}

fn unfit(broker: &Broker) -> Vec<Unfit> {
    let of = |name, kafka: &str, topics: &[Topic<'_>], said: &[&'static str]| {
        let program = program(broker, name, kafka);
        for (topic, partitions, settings) in topics {
            broker.create_topic(&program.topic(topic), *partitions, settings);
        }
        Unfit { program, said: said.to_vec() }
    };
    vec![
        of("missing", "", &[], &["input missing.events: does not exist. Create it, or correct `inputs` of [kafka]"]),
        of(
            "unequal",
            "inputs = [\"unequal.events\", \"unequal.visits\"]\n",
            &[("events", 2, KEEP), ("visits", 3, KEEP)],
            &["numbers of partitions must be equal: unequal.events has 2, unequal.visits has 3"],
        ),
        of(
            "compacted",
            "",
            &[("events", 1, &[("cleanup.policy", "compact,delete")])],
            &["input compacted.events: is compacted (cleanup.policy = compact,delete)"],
        ),
        of(
            "other",
            "",
            &[
                ("events", 2, KEEP),
                ("changes", 3, &[]),
                ("membership", 2, &[("cleanup.policy", "delete")]),
                ("rejected", 2, &[("cleanup.policy", "compact")]),
                ("journal", 2, &[("retention.ms", "3600000")]),
                ("control", 2, &[("retention.ms", "-1"), ("retention.bytes", "1000000")]),
                ("census", 2, &[("cleanup.policy", "delete")]),
                ("alerts", 2, &[("cleanup.policy", "compact")]),
            ],
            &[
                "topic other.changes: has 3 partitions; expected 2, as the inputs have",
                "topic other.membership: has cleanup.policy = delete; expected compact",
                "topic other.rejected: has cleanup.policy = compact; expected delete",
                "topic other.journal: has retention.ms = 3600000; expected -1, since recovery reads it",
                "topic other.control: has 2 partitions; expected 1; has retention.bytes = 1000000; expected -1",
                "topic other.census: has cleanup.policy = delete; expected compact",
                "topic other.alerts: has 2 partitions; expected 1",
            ],
        ),
    ]
}

#[test]
fn topics_that_cannot_be_used_are_refused() {
    let Some(secure) = secure() else { return };
    let all = unfit(&secure.broker);
    let children: Vec<_> = all.iter().map(|unfit| (unfit, [unfit.program.check(), unfit.program.run()])).collect();
    for (unfit, both) in children {
        for child in both {
            let (status, text) = end(child);
            assert_eq!(status, 3, "{text}");
            assert_all_said(&text, &unfit.said);
        }
    }
}

#[test]
fn inputs_that_expire_are_warned_of() {
    let Some(secure) = secure() else { return };
    let program = program(&secure.broker, "expiring", "");
    secure.broker.create_topic(&program.topic("events"), 1, &[("retention.ms", "86400000")]);
    let (status, text) = end(program.check());
    assert_eq!(status, 0, "{text}");
    assert_all_said(
        &text,
        &["warning  retention: expiring.events has retention.ms = 86400000", "keep each input for at least 7 days"],
    );
}

#[test]
fn a_sample_of_keys_reveals_the_partitioner() {
    let Some(secure) = secure() else { return };
    let (murmur2, crc32) = (Partitioner::Murmur2, Partitioner::Crc32);
    let cases = [
        (
            "by-crc32",
            "murmur2",
            vec![crc32],
            3,
            "that crc32 chooses (`consistent_random`, the default of librdkafka), but `partitioner` of [kafka] is murmur2. Set it to \"crc32\"",
        ),
        ("as-crc32", "crc32", vec![crc32], 0, "crc32: all 60 keys"),
        ("mixed-up", "murmur2", vec![murmur2, crc32], 3, "mixed: of 60 keys"),
        ("mixed-any", "any", vec![murmur2, crc32], 0, "any is configured, so it is not checked; mixed: of 60 keys"),
    ];
    for (name, configured, partitioners, status_expected, said) in cases {
        let program = program(&secure.broker, name, &format!("partitioner = \"{configured}\"\n"));
        secure.broker.create_topic(&program.topic("events"), 5, KEEP);
        write_by(&secure.broker, &program.topic("events"), 5, &partitioners);
        let (status, text) = end(program.check());
        assert_eq!(status, status_expected, "{text}");
        assert_all_said(&text, &[said]);
    }
}

/// The oldest records alone would show a producer that is gone.
#[test]
fn the_newest_keys_show_that_a_producer_was_replaced() {
    let Some(secure) = secure() else { return };
    let program = program(&secure.broker, "replaced", "");
    let topic = program.topic("events");
    secure.broker.create_topic(&topic, 5, KEEP);
    for partitioner in [Partitioner::Murmur2, Partitioner::Crc32, Partitioner::Crc32] {
        write_by(&secure.broker, &topic, 5, &[partitioner]);
    }
    let (status, text) = end(program.check());
    assert_eq!(status, 3, "{text}");
    assert_all_said(&text, &["mixed: of 180 keys", "all fit crc32", "`partitioner=murmur2_random`"]);
}

/// A listener that accepts connections and never answers.
#[test]
fn a_check_ends_even_if_nobody_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let began = Instant::now();
    let program = Program::new("silent", &format!("brokers = \"{address}\"\n"), &[]);
    let (status, text) = end(program.check());
    assert_eq!(status, 3, "{text}");
    assert_all_said(&text, &["the broker does not answer"]);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
