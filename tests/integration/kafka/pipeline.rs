//! Events through Kafka: a read-committed consumer reads the same bytes that a run on the log in memory publishes.

use crate::support::events::{Line, RULES, hostile, shop};
use crate::support::memory::expected;
use crate::support::views::Views;
use crate::support::wait::wait_for_ok;
use crate::support::{self, Broker, Produced, Received};
use shoal::kafka::KafkaSettings;
use shoal::store::SnapshotSettings;
use shoal::worker::{AlertSettings, OutputSettings, RunSettings, TracesSettings, WorkerSettings, run};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// Settings with topics of the test's own, an input of that many partitions, and the rules in a file.
pub fn settings(broker: &Broker, folder: &Path, test: &str, partitions: i32) -> RunSettings {
    let mut kafka = KafkaSettings {
        brokers: broker.address.clone(),
        group: test.into(),
        instance: "test".into(),
        inputs: vec![format!("{test}-events")],
        fetch_wait_ms: 20,
        ..KafkaSettings::default()
    };
    support::prefix_own_topics(&mut kafka, test);
    broker.create_topic(&kafka.inputs[0], partitions, &[("retention.ms", "-1")]);
    let rules = folder.join("rules.toml");
    std::fs::write(&rules, RULES).expect("rules file");
    RunSettings {
        kafka,
        worker: WorkerSettings::default(),
        output: OutputSettings::default(),
        traces: TracesSettings::default(),
        snapshots: SnapshotSettings { url: String::new(), ..SnapshotSettings::default() },
        alerts: AlertSettings::default(),
        rules,
        force_rules: false,
        take_over: false,
    }
}

pub fn produce(broker: &Broker, topic: &str, lines: &[Line], partitions: u32) {
    broker.produce(topic, lines.iter().map(|line| produced(line, partitions)));
}

pub fn produced(line: &Line, partitions: u32) -> Produced<'_> {
    Produced {
        partition: Some(line.partition(partitions) as i32),
        timestamp: Some(line.time),
        key: line.key.as_deref(),
        value: line.value.as_deref(),
    }
}

/// The records that a read-committed consumer reads now.
pub fn views(broker: &Broker, kafka: &KafkaSettings) -> Views {
    let topics = &kafka.topics;
    let [changes, membership, rejected] =
        [&topics.changes, &topics.membership, &topics.rejected].map(|topic| broker.read_committed(topic));
    Views::new(pairs(&changes), pairs(&membership), pairs(&rejected))
}

fn pairs(received: &[Received]) -> impl Iterator<Item = support::views::Record<'_>> {
    received.iter().map(|record| (record.key.as_deref(), record.value.as_deref()))
}

/// Waits until the group is at the end of the input.
pub fn wait_until_done(broker: &Broker, kafka: &KafkaSettings, partitions: u32) {
    let ends: Vec<i64> = (0..partitions).map(|p| broker.end(&kafka.inputs[0], p as i32)).collect();
    wait_for_ok("the group is at the end of the input", PATIENCE, || {
        let committed = broker.committed(&kafka.group, &kafka.inputs[0], partitions as i32);
        if committed == ends { Ok(()) } else { Err(format!("it is at {committed:?}, the input ends at {ends:?}")) }
    });
}

/// Runs the service in this process while `meanwhile` runs.
pub fn run_while<T>(settings: &RunSettings, meanwhile: impl FnOnce() -> T) -> T {
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run(settings, &[], &stop));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
        stop.store(true, Ordering::Relaxed);
        running.join().expect("no panic").expect("no failure");
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn events_produced_before_and_while_running_give_the_changes_of_the_memory_log() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(broker, folder.path(), "pipeline-plain", 4);
    let input = &settings.kafka.inputs[0];
    let lines = shop(11, 200, 6_000);
    produce(broker, input, &lines[..2_000], 4);
    run_while(&settings, || {
        for part in lines[2_000..5_000].chunks(300) {
            produce(broker, input, part, 4);
        }
        wait_until_done(broker, &settings.kafka, 4);
    });
    // A restart replays the journal and continues.
    produce(broker, input, &lines[5_000..], 4);
    run_while(&settings, || wait_until_done(broker, &settings.kafka, 4));
    views(broker, &settings.kafka).assert_same(&expected(&lines, input, 4, RULES), "plain");
}

#[test]
fn two_workers_share_the_shards() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(broker, folder.path(), "pipeline-two", 4);
    settings.worker.workers = 2;
    let input = &settings.kafka.inputs[0];
    let lines = shop(12, 200, 4_000);
    run_while(&settings, || {
        for part in lines.chunks(500) {
            produce(broker, input, part, 4);
        }
        wait_until_done(broker, &settings.kafka, 4);
    });
    views(broker, &settings.kafka).assert_same(&expected(&lines, input, 4, RULES), "two workers");
}

#[test]
fn hostile_records_are_rejected_and_change_nothing_else() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(broker, folder.path(), "pipeline-hostile", 2);
    let input = &settings.kafka.inputs[0];
    let good = shop(13, 40, 1_000);
    let bad = hostile("c-00007");
    let mut mixed = Vec::new();
    for (index, line) in good.iter().enumerate() {
        mixed.push(line.clone());
        mixed.extend(bad.get(index % 40).filter(|_| index < 120).map(|(_, line)| line.clone()));
    }
    produce(broker, input, &mixed, 2);
    run_while(&settings, || wait_until_done(broker, &settings.kafka, 2));

    let found = views(broker, &settings.kafka);
    found.assert_same(&expected(&mixed, input, 2, RULES), "hostile");
    // Only offsets differ from a run without the invalid records.
    let without = expected(&good, input, 2, RULES);
    let plain = |views: &Views| {
        let text = |values: &Vec<String>| values.iter().map(|value| without_offset(value)).collect::<Vec<_>>();
        views.changes.iter().map(|(key, values)| (key.clone(), text(values))).collect::<Vec<_>>()
    };
    assert_eq!(plain(&found), plain(&without));
    let mut reasons: Vec<&str> = Vec::new();
    let rejected: Vec<&String> = found.rejected.values().flatten().collect();
    for value in &rejected {
        reasons.push(value.split_once("\"reason\":\"").unwrap().1.split_once('"').unwrap().0);
    }
    let mut wanted: Vec<&str> = bad.iter().flat_map(|(reason, _)| [*reason; 3]).collect();
    reasons.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(reasons, wanted);
}

fn without_offset(value: &str) -> String {
    match value.split_once("\"offset\":") {
        Some((before, after)) => format!("{before}{}", after.split_once(',').unwrap().1),
        None => value.to_owned(),
    }
}
