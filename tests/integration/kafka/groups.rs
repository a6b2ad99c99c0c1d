//! Shoal's own topics belong to one group: a copied configuration with another group changes nothing, and a command
//! moves the topics to another group.

use super::pipeline::{produce, settings, views, wait_until_done};
use super::service::Service;
use crate::support::events::{RULES, shop};
use crate::support::{self, Broker, memory};
use shoal::worker::RunSettings;
use std::path::Path;

const PARTITIONS: u32 = 2;

/// Records of all of Shoal's own topics.
fn own_records(broker: &Broker, settings: &RunSettings) -> Vec<usize> {
    let topics = &settings.kafka.topics;
    let names = [&topics.changes, &topics.membership, &topics.rejected, &topics.journal, &topics.control];
    names.into_iter().map(|name| broker.read_committed(name).len()).collect()
}

/// The same settings for another group, as if the file had been copied.
fn copied(settings: &RunSettings, group: &str) -> RunSettings {
    let mut copied = settings.clone();
    copied.kafka.group = group.into();
    copied
}

/// A minimal settings file; everything else comes from the environment.
fn settings_file(folder: &Path) -> String {
    let file = folder.join("shoal.toml");
    std::fs::write(&file, "").unwrap();
    file.to_str().unwrap().to_owned()
}

/// `shoal seed` with these settings, into a folder of its own.
fn seed(settings: &RunSettings, folder: &Path, file: &str) -> (Option<i32>, String) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let events = r#"{"customer_id":"anna","type":"purchase","time":"2020-01-01T00:00:00Z","amount":"5"}"#;
    std::fs::write(path("history.jsonl"), events).unwrap();
    let partitions = PARTITIONS.to_string();
    let (rules, location, history) = (path("rules.toml"), path("seed"), path("history.jsonl"));
    let arguments = ["seed", "--rules", &rules, "--partitions", &partitions, "--until", "2020-01-02T00:00:00Z"];
    Service::run_command(settings, &[&arguments[..], &["--snapshot", &location, "--config", file, &history]].concat())
}

#[test]
fn a_seed_whose_group_cannot_be_checked_is_refused() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = settings_file(folder);
    let mut settings = settings(broker, folder, "unasked", PARTITIONS as i32);
    // The topics do not exist yet: they belong to nobody.
    let (status, message) = seed(&settings, folder, &file);
    assert_eq!(status, Some(0), "{message}");
    std::fs::remove_dir_all(folder.join("seed")).unwrap();
    settings.kafka.brokers = "127.0.0.1:1".into();
    let (status, message) = seed(&settings, folder, &file);
    assert!(status == Some(3) && message.contains("no contact with 127.0.0.1:1"), "{message}");
    assert!(message.contains("leave out --config") && !folder.join("seed").join("shard-00000").exists(), "{message}");
}

#[test]
fn topics_belong_to_one_group_until_a_command_moves_them() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = settings_file(folder);
    let check = ["check", "--connect", "--config", file.as_str()];
    let owner = settings(broker, folder, "owner", PARTITIONS as i32);
    let other = copied(&owner, "other");
    let lines = shop(47, 200, 3_000);
    let (first, rest) = lines.split_at(1_500);
    produce(broker, &owner.kafka.inputs[0], first, PARTITIONS);

    let (status, report) = Service::run_command(&owner, &check);
    assert_eq!(status, Some(0), "{report}");
    let running = Service::start(folder, &owner, "only", 0);
    wait_until_done(broker, &owner.kafka, PARTITIONS);
    let before = own_records(broker, &owner);

    // The copy is refused before it joins its group, and the first service goes on.
    let message = Service::start(folder, &other, "copied", 0).refused();
    let both = "belong to the group owner, and the configured group is other";
    assert!(message.contains(both) && message.contains("`shoal change-group --from owner`"), "{message}");
    let (status, report) = Service::run_command(&other, &check);
    assert!(status == Some(3) && report.contains(both), "{report}");
    let (status, report) = Service::run_command(&owner, &check);
    assert!(status == Some(0) && report.contains("belong to the configured group owner"), "{report}");
    assert_eq!(own_records(broker, &owner), before, "nothing was published");
    assert_eq!(broker.committed("other", &owner.kafka.inputs[0], PARTITIONS as i32), [-1; 2], "nothing was read");

    // Nor does it get a seed.
    let (status, message) = seed(&other, folder, &file);
    assert!(status == Some(3) && message.contains(both) && message.contains("Nothing was stored"), "{message}");
    assert!(!folder.join("seed").join("shard-00000").exists(), "nothing was stored");
    let (status, message) = seed(&owner, folder, &file);
    assert!(status == Some(0) && folder.join("seed").join("shard-00000").exists(), "{message}");
    assert_eq!(own_records(broker, &owner), before, "a seed writes nothing to Kafka");

    // On purpose: not while the first service runs, not from the wrong group, not without confirmation.
    let change = |from, yes| {
        let arguments = ["change-group", "--config", &file, "--from", from, yes];
        Service::run_command(&other, &arguments[..arguments.len() - usize::from(yes.is_empty())])
    };
    let (status, message) = change("owner", "");
    assert!(status == Some(3) && message.contains("confirmation is needed"), "{message}");
    let (status, message) = change("nobody", "--yes");
    assert!(status == Some(3) && message.contains("belong to the group owner, not to nobody"), "{message}");
    let (status, message) = change("owner", "--yes");
    assert!(status == Some(3) && message.contains("the group owner has members"), "{message}");
    running.stop();
    let (status, message) = change("owner", "--yes");
    assert!(status == Some(0) && message.contains("header ce_source /shoal/other"), "{message}");
    let (status, message) = change("owner", "--yes");
    assert!(status == Some(0) && message.contains("Nothing was changed"), "{message}");

    // The other group continues, and the first one is refused.
    produce(broker, &owner.kafka.inputs[0], rest, PARTITIONS);
    let continued = Service::start(folder, &other, "only", 0);
    wait_until_done(broker, &other.kafka, PARTITIONS);
    let message = Service::start(folder, &owner, "former", 0).refused();
    assert!(message.contains("belong to the group other, and the configured group is owner"), "{message}");
    continued.stop();
    let expected = memory::cluster_of(&lines, PARTITIONS);
    let config = memory::config(&owner.kafka.inputs[0], PARTITIONS, RULES);
    memory::run_to_end(&mut memory::worker(&expected, 4_096, config)).unwrap();
    views(broker, &other.kafka).assert_same(&memory::views(&expected, PARTITIONS), "after the change of the group");
}
