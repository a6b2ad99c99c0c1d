//! A year that is seeded up to its last month, with the last month through Kafka, gives the changes of the whole year.
//!
//! The year is the demo's excerpt of a real shop's orders. `SHOAL_ONLINE_RETAIL` names a file of the whole set, as the
//! UCI repository has it, to use that instead.

use super::pipeline::wait_until_done;
use super::program::{run, shoal};
use crate::support::wait::wait_until;
use crate::support::{self, Broker};
use serde_json::Value;
use shoal::engine::decode::{Partitioner, partition_of};
use shoal::kafka::KafkaSettings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const RULES: &str = include_str!("../../../config/demo/rules.toml");
const UNTIL: &str = "2011-11-09T00:00:00.000Z";
const PARTITIONS: u32 = 4;

/// Writes rules, settings and the year's `events`, and creates their topic.
fn prepare(folder: &Path, broker: &Broker, test: &str) -> KafkaSettings {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let excerpt = root.join("config/demo/online-retail-excerpt.csv.gz");
    let orders = std::env::var_os("SHOAL_ONLINE_RETAIL").map_or(excerpt, PathBuf::from);
    let mapping = root.join("config/mappings/online-retail.toml");
    let out = run(shoal(folder, broker).arg("convert").arg("--mapping").arg(mapping).arg(orders));
    std::fs::write(folder.join("events"), out.stdout).unwrap();
    std::fs::write(folder.join("rules.toml"), RULES.replace("clock = \"wall\"", "clock = \"events\"")).unwrap();
    let topics = support::own_topics(test);
    let settings = format!(
        "[kafka]\ngroup = \"{test}\"\ninputs = [\"{test}\"]\nstart = \"{UNTIL}\"\n[kafka.topics]\n{topics}\
         [snapshots]\nurl = \"snapshots\"\n"
    );
    std::fs::write(folder.join("shoal.toml"), settings).unwrap();
    broker.create_topic(test, PARTITIONS as i32, &[("retention.ms", "-1")]);
    KafkaSettings { group: test.into(), inputs: vec![test.into()], ..KafkaSettings::default() }
}

fn seed(folder: &Path, broker: &Broker, more: &[&str]) -> Output {
    let partitions = PARTITIONS.to_string();
    let arguments = ["seed", "--rules", "rules.toml", "--partitions", &partitions, "--until", UNTIL];
    let mut command = shoal(folder, broker);
    command.args(arguments).args(["--snapshot", "snapshots", "--bootstrap", "changes"]).args(more).arg("events");
    command.output().unwrap()
}

/// Runs the service until the group has committed the end of the input.
fn serve(folder: &Path, broker: &Broker, kafka: &KafkaSettings) {
    let mut service =
        shoal(folder, broker).args(["run", "--config", "shoal.toml"]).stderr(Stdio::piped()).spawn().unwrap();
    wait_until_done(broker, kafka, PARTITIONS);
    assert!(Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap().success());
    assert!(service.wait().unwrap().success(), "a signal to stop is no failure");
}

/// Standard error of a start that is refused.
fn refused(folder: &Path, broker: &Broker) -> String {
    let mut service =
        shoal(folder, broker).args(["run", "--config", "shoal.toml"]).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("it refuses to start", Duration::from_secs(60), || service.try_wait().unwrap().is_some());
    let out = service.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(3), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// Changes of the last month by customer, up to the moment that all shards reached; without the location of the
/// trigger.
fn last_month<'a>(
    changes: impl Iterator<Item = &'a [u8]>,
    until: &str,
    numbered: bool,
) -> BTreeMap<String, Vec<Value>> {
    let mut customers: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for change in changes.filter(|change| !change.is_empty()) {
        let mut change: Value = serde_json::from_slice(change).unwrap();
        let at = change["effective_at"].as_str().unwrap().to_owned();
        if &*at < UNTIL || &*at > until {
            continue;
        }
        change.as_object_mut().unwrap().retain(|key, _| key != "detected_at" && (numbered || key != "sequence"));
        if let Some(trigger) = change["trigger"].as_object_mut() {
            trigger.retain(|key, _| !["topic", "partition", "offset"].contains(&key.as_str()));
        }
        if numbered || change["cause"] != "bootstrap" {
            customers.entry(change["customer_id"].as_str().unwrap().to_owned()).or_default().push(change);
        }
    }
    customers
}

/// The moment that every shard's watermark has reached: a second before the latest event of the slowest.
fn reached(folder: &Path) -> String {
    let events = std::fs::read_to_string(folder.join("events")).unwrap();
    let mut latest = vec![String::new(); PARTITIONS as usize];
    for line in events.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let id = event["customer_id"].as_str().unwrap();
        let latest = &mut latest[partition_of(Partitioner::Murmur2, id.as_bytes(), PARTITIONS) as usize];
        *latest = event["time"].as_str().unwrap().max(latest).to_owned();
    }
    let slowest: jiff::Timestamp = latest.iter().min().unwrap().parse().unwrap();
    format!("{:.3}", slowest - Duration::from_secs(1))
}

fn assert_same(found: &BTreeMap<String, Vec<Value>>, expected: &BTreeMap<String, Vec<Value>>, what: &str) {
    for (id, changes) in expected {
        assert_eq!(found.get(id), Some(changes), "{what}: {id}");
    }
    assert_eq!(found.len(), expected.len(), "{what}: customers");
}

/// The exported snapshots of the stop agree with the membership topic.
fn check_export(folder: &Path, broker: &Broker) {
    let snapshot = |verb: &str, more: &[&str]| {
        shoal(folder, broker).args(["snapshot", verb, "--snapshot", "snapshots"]).args(more).output().unwrap()
    };
    let verified = snapshot("verify", &[]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let listed = String::from_utf8(snapshot("list", &["--json"]).stdout).unwrap();
    let newer = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(newer.filter(|entry| entry["transaction"].as_u64() > Some(0)).count(), 4, "{listed}");
    let nameless = snapshot("export", &["--out", "tables"]);
    let output = String::from_utf8_lossy(&nameless.stderr).into_owned();
    assert!(nameless.status.code() == Some(1) && output.contains("pass the file with --rules"), "{output}");
    let exported = snapshot("export", &["--out", "tables", "--rules", "rules.toml"]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));

    let mut members: BTreeMap<(String, String), String> = BTreeMap::new();
    for record in broker.read_committed("seed-year.membership") {
        let Some(value) = record.value else { continue };
        let member: Value = serde_json::from_slice(&value).unwrap();
        let id = member["customer_id"].as_str().unwrap();
        for (name, value) in member["segments"].as_object().unwrap() {
            members.insert((id.into(), name.clone()), value["value"].as_str().unwrap().into());
        }
        for (name, value) in member["audiences"].as_object().unwrap() {
            members.insert((id.into(), name.clone()), if value["in"] == true { "in" } else { "out" }.into());
        }
    }
    let texts = |table: &str, columns: &[&str]| -> Vec<Vec<String>> {
        let file = std::fs::File::open(folder.join("tables").join(table)).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let mut rows = Vec::new();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let text = |row: usize, name: &&str| {
                arrow::array::AsArray::as_string::<i32>(batch.column_by_name(name).unwrap()).value(row).to_owned()
            };
            rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|name| text(row, name)).collect()));
        }
        rows
    };
    let rows = texts("memberships.parquet", &["customer_id", "segmentation", "value"]);
    assert_eq!(rows.len(), members.len());
    for row in rows {
        assert_eq!(members.get(&(row[0].clone(), row[1].clone())), Some(&row[2]), "{row:?}");
    }
    assert_eq!(texts("positions.parquet", &["topic"]), vec![vec!["seed-year".to_owned()]; PARTITIONS as usize]);
}

#[test]
fn a_run_after_a_seed_continues_as_over_the_whole_year() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let kafka = prepare(folder, broker, "seed-year");
    let out = seed(folder, broker, &[]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    run(shoal(folder, broker).args(["produce", "--config", "shoal.toml", "--topic", "seed-year", "events"]));
    serve(folder, broker, &kafka);
    let changes = broker.read_committed("seed-year.changes");
    let values = || changes.iter().filter_map(|record| record.value.as_deref());
    let until = reached(folder);

    let replay = |more: &[&str]| {
        let arguments = [&["replay", "--rules", "rules.toml", "--partitions", "4"], more, &["events"]].concat();
        run(shoal(folder, broker).args(arguments)).stdout
    };
    let whole = replay(&[]);
    let expected = last_month(whole.split(|byte| *byte == b'\n'), &until, false);
    let number: usize = expected.values().map(Vec::len).sum();
    assert!(number > 300, "{number} changes in the last month");
    assert_same(&last_month(values(), &until, false), &expected, "the whole year");
    let seeded = replay(&["--publish-from", UNTIL, "--bootstrap", "changes"]);
    let expected = last_month(seeded.split(|byte| *byte == b'\n'), &until, true);
    assert_same(&last_month(values(), &until, true), &expected, "published from then on");
    assert!(
        values().all(|value| serde_json::from_slice::<Value>(value).unwrap()["effective_at"].as_str() >= Some(UNTIL))
    );
    check_export(folder, broker);
    println!("{number} changes of {} customers until {until}", expected.len());
}

#[test]
fn an_incomplete_seed_is_refused() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let kafka = prepare(folder, broker, "seed-part");
    let interrupted = shoal(folder, broker)
        .args([
            "seed",
            "--rules",
            "rules.toml",
            "--partitions",
            "4",
            "--until",
            UNTIL,
            "--snapshot",
            "snapshots",
            "events",
        ])
        .env("SHOAL_CRASH_AT", "seed/part@2")
        .output()
        .unwrap();
    assert!(!interrupted.status.success());
    let output = refused(folder, broker);
    assert!(output.contains("the seed among the snapshots was interrupted"), "{output}");
    let out = seed(folder, broker, &[]);
    let output = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && output.contains("of an interrupted seed were removed first"), "{output}");

    let manifest = folder.join("snapshots/shard-00003/manifest-00000000000000000000.json");
    let aside = folder.join("aside");
    std::fs::rename(&manifest, &aside).unwrap();
    let output = refused(folder, broker);
    assert!(output.contains("the seed's snapshot of shard 3 is missing or damaged"), "{output}");
    std::fs::rename(&aside, &manifest).unwrap();
    run(shoal(folder, broker).args(["produce", "--config", "shoal.toml", "--topic", "seed-part", "events"]));
    serve(folder, broker, &kafka);
    assert!(!broker.read_committed("seed-part.changes").is_empty());
}
