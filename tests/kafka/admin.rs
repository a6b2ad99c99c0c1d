//! The admin address of `shoal run`: it says when the process has started and is ready, and what a start after a kill does.

use crate::pipeline::{produce, settings, wait_until_done};
use crate::service::Service;
use crate::support;
use crate::support::events::shop;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a service listens, from its log.
fn address(service: &Service) -> String {
    service.wait_until_says("admin address: http://");
    let says = service.says();
    let (_, rest) = says.split_once("admin address: http://").unwrap();
    rest.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect()
}

/// Status and body; `None` if nobody listens any more.
fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Asks until it is ready: all that was said before, without repeats.
fn until_ready(address: &str) -> Vec<Value> {
    let (mut said, deadline) = (Vec::<Value>::new(), Instant::now() + PATIENCE);
    loop {
        let (status, body) = get(address, "/readyz").expect("an answer");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        match status {
            200 => return said,
            503 if said.last() != Some(&body) => said.push(body),
            503 => {}
            other => panic!("{other}: {body}"),
        }
        assert!(Instant::now() < deadline, "it does not become ready: {said:?}");
    }
}

/// Whether a verdict names a shard in this phase, and since when it is.
fn names(verdict: &Value, phase: &str) -> bool {
    let failing = verdict["failing"].as_array().expect("a list");
    failing.iter().any(|failing| failing["phase"] == phase && failing["shard"].is_u64() && failing["since"].is_string())
}

#[test]
fn a_process_says_when_it_has_started_and_is_ready_also_after_a_kill() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(broker, folder.path(), "admin", PARTITIONS as i32);
    produce(broker, &settings.kafka.inputs[0], &shop(71, 50, 2_000), PARTITIONS);

    let first = Service::start(folder.path(), &settings, "admin", 0);
    let there = address(&first);
    let (status, words) = get(&there, "/startupz").expect("an answer");
    assert_eq!(status, 503, "Kafka has not been asked for anything yet: {words}");
    assert!(!until_ready(&there).is_empty());
    for path in ["/startupz", "/livez", "/readyz", "/metrics"] {
        assert_eq!(get(&there, path).expect("an answer").0, 200, "{path}");
    }
    wait_until_done(broker, &settings.kafka, PARTITIONS);
    // Killed.
    drop(first);
    assert_eq!(get(&there, "/livez"), None);

    let second = Service::start(folder.path(), &settings, "admin", 0);
    let there = address(&second);
    let said = until_ready(&there);
    assert!(said.iter().any(|verdict| names(verdict, "recovering")), "no recovery is told: {said:?}");
    let shards = get(&there, "/shards").expect("an answer").1;
    let shards: Value = serde_json::from_str(&shards).expect("JSON");
    let is_live = |shard: &Value| shard["phase"] == "running" && shard["transaction"].as_u64() > Some(0);
    assert!(shards["shards"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(is_live)), "{shards}");
    second.stop();
}
