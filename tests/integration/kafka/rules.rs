//! New rules on a real broker (R6): the file is changed, the program restarted and killed in the middle of the sweep,
//! and started again; a second process has another file.

use super::pipeline::{produce, settings, views, wait_until_done};
use super::service::Service;
use crate::support::events::{RULES, shop};
use crate::support::wait::wait_for_ok;
use crate::support::{self, Broker, memory};
use shoal::worker::RunSettings;
use std::time::Duration;

const PARTITIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(120);

/// Published changes with the cause `rules`.
fn changes_by_rules(broker: &Broker, settings: &RunSettings) -> usize {
    let changes = broker.read_committed(&settings.kafka.topics.changes);
    let is_by_rules = |value: &[u8]| String::from_utf8_lossy(value).contains("\"cause\":\"rules\"");
    changes.iter().filter(|change| is_by_rules(change.value.as_deref().unwrap())).count()
}

fn wait_for_changes_by_rules(broker: &Broker, settings: &RunSettings, wanted: usize) -> usize {
    wait_for_ok(&format!("{wanted} changes by new rules"), PATIENCE, || {
        let found = changes_by_rules(broker, settings);
        if found >= wanted { Ok(found) } else { Err(found) }
    })
}

#[test]
fn new_rules_change_everybody_once_though_the_program_dies_meanwhile() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let settings = settings(broker, folder, "rules", PARTITIONS as i32);
    let lines = shop(21, 3_000, 6_000);
    produce(broker, &settings.kafka.inputs[0], &lines, PARTITIONS);
    let first = Service::start(folder, &settings, "first", 0);
    wait_until_done(broker, &settings.kafka, PARTITIONS);
    first.stop();

    let renamed = RULES.replace("dormant", "asleep");
    let expected = memory::cluster_of(&lines, PARTITIONS);
    for rules in [RULES, &renamed] {
        let config = memory::config(&settings.kafka.inputs[0], PARTITIONS, rules);
        memory::run_to_end(&mut memory::worker(&expected, 4_096, config)).unwrap();
    }
    let expected = memory::views(&expected, PARTITIONS);
    let by_rules = expected.changes.values().flatten().filter(|change| change.contains("\"cause\":\"rules\"")).count();

    std::fs::write(&settings.rules, &renamed).unwrap();
    // So slow that the sweep is not finished when the process is killed.
    let slow = Service::start(folder, &settings, "first", 600);
    let found = wait_for_changes_by_rules(broker, &settings, 1);
    drop(slow);
    assert!(found < by_rules / 2, "{found} of {by_rules}: in the middle of the sweep");
    let again = Service::start(folder, &settings, "first", 0);
    wait_for_changes_by_rules(broker, &settings, by_rules);

    // A second process with the old file logs that, and nothing changes back.
    std::fs::write(folder.join("old.toml"), RULES).unwrap();
    let old = RunSettings { rules: folder.join("old.toml"), ..settings.clone() };
    let second = Service::start(folder, &old, "second", 0);
    second.wait_until_logged("its rules were replaced by others of the same revision");
    second.stop();
    again.stop();
    let control = broker.read_committed(&settings.kafka.topics.control);
    assert_eq!(control.len(), 3, "the inputs and two files of rules");
    views(broker, &settings.kafka).assert_same(&expected, "new rules");
}
