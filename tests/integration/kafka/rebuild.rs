//! `shoal rebuild` as a user runs it: a start is refused, the state is rebuilt, and only differences are published.

use super::pipeline::{produce, settings, wait_until_done};
use super::service::Service;
use crate::support::events::{RULES, shop};
use crate::support::wait::wait_for_ok;
use crate::support::{self, Broker, memory};
use serde_json::Value;
use shoal::engine::decode::{Partitioner, partition_of};
use shoal::worker::RunSettings;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const PARTITIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(60);

/// The values of each customer by membership.
fn members<'a>(values: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> BTreeMap<String, Vec<(String, String)>> {
    let mut members = BTreeMap::new();
    for (key, value) in values {
        let id = String::from_utf8_lossy(key).into_owned();
        let Some(value) = value else {
            members.remove(&id);
            continue;
        };
        let value: Value = serde_json::from_slice(value).unwrap();
        let segments =
            value["segments"].as_object().unwrap().iter().map(|(name, of)| (name.clone(), of["value"].to_string()));
        let audiences =
            value["audiences"].as_object().unwrap().iter().map(|(name, of)| (name.clone(), of["in"].to_string()));
        members.insert(id, segments.chain(audiences).collect());
    }
    members
}

fn members_on(broker: &Broker, settings: &RunSettings) -> BTreeMap<String, Vec<(String, String)>> {
    let records = broker.read_committed(&settings.kafka.topics.membership);
    members(records.iter().map(|record| (record.key.as_deref().unwrap(), record.value.as_deref())))
}

fn changes_on(broker: &Broker, settings: &RunSettings) -> Vec<Value> {
    let records = broker.read_committed(&settings.kafka.topics.changes);
    records.iter().map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()).collect()
}

fn assert_contiguous(changes: &[Value]) {
    let mut last: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for change in changes {
        let life = (change["customer_id"].to_string(), change["life"].as_i64().unwrap());
        let sequence = change["sequence"].as_u64().unwrap();
        assert_eq!(sequence, last.insert(life, sequence).unwrap_or(0) + 1, "{change}");
    }
}

fn run_until_done(broker: &Broker, folder: &Path, settings: &RunSettings) {
    let service = Service::start(folder, settings, "only", 0);
    wait_until_done(broker, &settings.kafka, PARTITIONS);
    service.stop();
}

#[test]
fn lost_state_is_rebuilt_and_only_differences_are_published() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut settings = settings(broker, folder, "rebuild", PARTITIONS as i32);
    settings.snapshots.url = folder.join("snapshots").to_str().unwrap().to_owned();
    let input = settings.kafka.inputs[0].clone();
    // Changes by new rules do not wait for a dwell, and a rebuild applies the current rules as new ones.
    let rules = RULES.replace("min_dwell = \"7d\"\n", "");
    std::fs::write(&settings.rules, &rules).unwrap();
    let lines = shop(71, 120, 2_000);
    let (first, rest) = lines.split_at(600);
    produce(broker, &input, first, PARTITIONS);
    run_until_done(broker, folder, &settings);
    let older = broker.end(&input, 0);
    produce(broker, &input, rest, PARTITIONS);
    run_until_done(broker, folder, &settings);
    let before = changes_on(broker, &settings);

    // The inputs no longer reach back to the older of two snapshots: a warning, since the newest one is there.
    let cut = 400;
    assert!(older < cut, "{older} records before the older snapshot");
    broker.delete_records(&input, 0, cut);
    let service = Service::start(folder, &settings, "only", 0);
    service.wait_until_logged("an input no longer reaches back to the older snapshot");
    assert!(service.log().contains(&format!("earliest={cut} needed={older} ")), "{}", service.log());
    service.stop();

    // The snapshots are lost too.
    std::fs::remove_dir_all(folder.join("snapshots")).unwrap();
    let message = Service::start(folder, &settings, "only", 0).refused();
    assert!(message.contains("`shoal rebuild`") && message.contains("which now begins at 400"), "{message}");
    let output = Service::rebuild(&settings, &[("SHOAL_CRASH_AT", "rebuild/snapshot")]);
    assert!(!output.0, "it ends where it was told to: {}", output.1);
    let output = Service::rebuild(&settings, &[("SHOAL_CRASH_AT", "rebuild/journal")]);
    assert!(!output.0, "and here: {}", output.1);
    let (done, message) = Service::rebuild(&settings, &[]);
    assert!(
        done && message.contains("400 records of the inputs no longer exist")
            && message.contains("already rebuilt at transaction"),
        "{message}"
    );
    assert_eq!(changes_on(broker, &settings).len(), before.len(), "nothing is published by it");

    // The result for a service that had only the remaining records.
    let position: BTreeMap<u32, usize> = (0..PARTITIONS).map(|shard| (shard, 0)).collect();
    let mut seen = position;
    let left: Vec<_> = lines
        .iter()
        .filter(|line| {
            let shard = line.partition(PARTITIONS);
            let count = seen.get_mut(&shard).unwrap();
            *count += 1;
            shard != 0 || *count > cut as usize
        })
        .cloned()
        .collect();
    let cluster = memory::cluster_of(&left, PARTITIONS);
    memory::run_to_end(&mut memory::worker(&cluster, 4_096, memory::config(&input, PARTITIONS, &rules))).unwrap();
    let stored = memory::all(&cluster, shoal::kafka::Own::Membership, PARTITIONS);
    let expected = members(stored.iter().map(|stored| (stored.key.as_deref().unwrap(), stored.value.as_deref())));

    let service = Service::start(folder, &settings, "only", 0);
    wait_for_ok("the expected members", PATIENCE, || {
        let found = members_on(broker, &settings);
        if found == expected { Ok(()) } else { Err(format!("{expected:#?} is expected, there is {found:#?}")) }
    });
    service.stop();
    let after = changes_on(broker, &settings);
    assert_contiguous(&after);
    let new: Vec<&Value> = after.iter().filter(|change| !before.contains(change)).collect();
    assert_eq!(after.len() - before.len(), new.len());
    assert!(!new.is_empty());
    for change in new {
        assert!(change["cause"] == "rules" && change["from"] != change["to"], "only differences: {change}");
        let shard = partition_of(Partitioner::Murmur2, change["customer_id"].as_str().unwrap().as_bytes(), PARTITIONS);
        assert_eq!(shard, 0, "of the other shard all records are there: {change}");
    }
}

/// Under the consumer protocol the group is described differently, and the broker determines the session time-out.
#[test]
fn a_rebuild_waits_until_nobody_is_in_a_group_of_the_newer_protocol() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut settings = settings(broker, folder, "rebuild-alone", PARTITIONS as i32);
    settings.snapshots.url = folder.join("snapshots").to_str().unwrap().to_owned();
    produce(broker, &settings.kafka.inputs[0], &shop(72, 20, 100), PARTITIONS);
    let newer = [("SHOAL__KAFKA__GROUP_PROTOCOL", "consumer")];
    let service = Service::start_with(folder, &settings, "lives", 0, &newer);
    wait_until_done(broker, &settings.kafka, PARTITIONS);
    let rebuild = Service::start_rebuild(folder, &settings, &newer);
    rebuild.wait_until_logged("members=\"lives-0 at ");
    service.stop();
    let output = rebuild.done();
    assert!(output.contains("2 shards were rebuilt"), "{output}");
}
