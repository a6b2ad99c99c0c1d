//! The admin address of `shoal run`: it reports when the process has started and is ready, and the progress of a start
//! after a kill.

use super::pipeline::{produce, settings, wait_until_done};
use super::service::Service;
use crate::support;
use crate::support::events::shop;
use crate::support::http::{self, ask};
use crate::support::wait::wait_until;
use serde_json::Value;
use std::time::Duration;

const PARTITIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(120);

/// The address at which a service listens, from its log.
fn address(service: &Service) -> String {
    service.wait_until_logged("url=http://");
    let log = service.log();
    let (_, rest) = log.split_once("url=http://").unwrap();
    rest.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect()
}

/// Requests /readyz until the process is ready. Returns all earlier verdicts, without repetitions.
fn until_ready(address: &str) -> Vec<Value> {
    let mut verdicts = Vec::<Value>::new();
    wait_until("it is ready", PATIENCE, || {
        let (status, body) = ask(address, "/readyz").expect("an answer");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        match status {
            200 => return true,
            503 if verdicts.last() != Some(&body) => verdicts.push(body),
            503 => {}
            other => panic!("{other}: {body}"),
        }
        false
    });
    verdicts
}

/// The number of running shards of the process.
fn live_shards(address: &str) -> usize {
    let shards: Value = http::json(address, "/shards").expect("an answer");
    shards["shards"].as_array().expect("a list").iter().filter(|shard| shard["phase"] == "running").count()
}

/// Whether a verdict names a shard in this phase, with its time.
fn names(verdict: &Value, phase: &str) -> bool {
    let failing = verdict["failing"].as_array().expect("a list");
    failing.iter().any(|failing| failing["phase"] == phase && failing["shard"].is_u64() && failing["since"].is_string())
}

#[test]
fn a_process_reports_started_and_ready_after_a_kill_too() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(broker, folder.path(), "admin", PARTITIONS as i32);
    produce(broker, &settings.kafka.inputs[0], &shop(71, 50, 2_000), PARTITIONS);

    let first = Service::start(folder.path(), &settings, "admin", 0);
    let there = address(&first);
    let (status, message) = ask(&there, "/startupz").expect("an answer");
    assert_eq!(status, 503, "Kafka has not been asked for anything yet: {message}");
    assert!(!until_ready(&there).is_empty());
    for path in ["/startupz", "/livez", "/readyz", "/metrics"] {
        assert_eq!(ask(&there, path).expect("an answer").0, 200, "{path}");
    }
    wait_until_done(broker, &settings.kafka, PARTITIONS);
    // Killed.
    drop(first);
    assert!(ask(&there, "/livez").is_err());

    let second = Service::start(folder.path(), &settings, "admin", 0);
    let there = address(&second);
    let verdicts = until_ready(&there);
    assert!(verdicts.iter().any(|verdict| names(verdict, "recovering")), "no verdict names a recovery: {verdicts:?}");
    let shards = ask(&there, "/shards").expect("an answer").1;
    let shards: Value = serde_json::from_str(&shards).expect("JSON");
    let is_live = |shard: &Value| shard["phase"] == "running" && shard["transaction"].as_u64() > Some(0);
    assert!(shards["shards"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(is_live)), "{shards}");
    second.stop();
}

#[test]
fn a_process_that_gets_no_shard_is_ready_under_either_protocol() {
    let Some(broker) = support::broker() else { return };
    for protocol in ["classic", "consumer"] {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(broker, folder.path(), &format!("standby-{protocol}"), 1);
        let start = |instance: &str| {
            Service::start_with(folder.path(), &settings, instance, 0, &[("SHOAL__KAFKA__GROUP_PROTOCOL", protocol)])
        };
        let services = ["one", "two"].map(start);
        let there = services.each_ref().map(address);
        there.iter().for_each(|there| drop(until_ready(there)));
        // The group may still give the shard from one to the other: in the end one has it, and both are ready.
        let is_settled = || {
            let are_ready = there.iter().all(|there| http::get(there, "/readyz").is_ok());
            are_ready && there.iter().map(|there| live_shards(there)).sum::<usize>() == 1
        };
        wait_until(&format!("{protocol}: one process has the shard, both are ready"), PATIENCE, is_settled);
        services.into_iter().for_each(Service::stop);
    }
}
