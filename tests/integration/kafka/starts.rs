//! Starts and ends of a service that a person or a supervisor meets: no broker, another process of the same instance, a
//! closed terminal, a broker that hangs.

use super::pipeline::{produce, settings, wait_until_done};
use super::service::Service;
use crate::support::events::{RULES, shop};
use crate::support::wait::wait_for;
use crate::support::{self, BrokerOptions, http};
use shoal::kafka::KafkaSettings;
use shoal::store::SnapshotSettings;
use shoal::worker::RunSettings;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

/// The body of `/readyz` once it fails for this reason.
fn not_ready(admin: &str, reason: &str) -> String {
    wait_for(&format!("/readyz names {reason:?}"), PATIENCE, || {
        let (_, body) = http::ask(admin, "/readyz").ok()?;
        body.contains(reason).then_some(body)
    })
}

/// Settings with a port at which nothing listens.
fn without_broker(folder: &Path) -> RunSettings {
    let port = support::free_ports(1).unwrap()[0];
    let rules = folder.join("rules.toml");
    std::fs::write(&rules, RULES).unwrap();
    RunSettings {
        kafka: KafkaSettings { brokers: format!("127.0.0.1:{port}"), ..KafkaSettings::default() },
        worker: Default::default(),
        output: Default::default(),
        traces: Default::default(),
        snapshots: SnapshotSettings { url: String::new(), ..SnapshotSettings::default() },
        alerts: Default::default(),
        rules,
        force_rules: false,
        take_over: false,
    }
}

#[test]
fn without_a_broker_the_first_word_comes_soon_and_the_process_waits() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let service = Service::start(folder.path(), &without_broker(folder.path()), "alone", 0);
    service.wait_until_logged("no contact with Kafka yet; retrying");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}, of which it waits for 2 s", begun.elapsed());
    let body = not_ready(&service.admin(), "Connection refused");
    assert!(body.contains("the worker has not started") && !body.contains("127.0.0.1"), "{body}");
    service.stop();
}

#[test]
fn a_second_process_of_an_instance_is_refused_before_it_takes_anything_from_the_first() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(broker, folder.path(), "second", 2);
    produce(broker, &settings.kafka.inputs[0], &shop(5, 20, 200), 2);
    let first = Service::start(folder.path(), &settings, "only", 0);
    wait_until_done(broker, &settings.kafka, 2);
    let second = folder.path().join("second.log");
    let start = |arguments: &[&str]| Service::start_logging(&second, &settings, ("only", 0), &[], arguments);
    let refusal = start(&[]).refused();
    assert!(refusal.contains("same `instance` \"only\"") && refusal.contains("--take-over"), "{refusal}");
    assert!(!first.log().contains("shards are lost"), "{}", first.log());
    // On purpose: then it is the first that ends, and says why.
    let second = start(&["--take-over"]);
    let ended = first.refused();
    assert!(ended.contains("same `instance`, seen in the group"), "{ended}");
    second.wait_until_logged("shard recovered");
    // A process that was killed is not waited for.
    drop(second);
    let begun = Instant::now();
    let third = Service::start(folder.path(), &settings, "only", 0);
    third.wait_until_logged("shard recovered");
    assert!(!third.log().contains("another process is in the group"), "{:?}: {}", begun.elapsed(), third.log());
    third.stop();
}

/// Under the protocol `consumer` the broker keeps the name of a member that was killed until its session expires, here
/// after 6 s: the process is back 2 s after that, and says in one line what it waits for.
#[test]
fn a_process_that_was_killed_is_back_when_its_session_has_expired() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(broker, folder.path(), "killed", 4);
    produce(broker, &settings.kafka.inputs[0], &shop(5, 20, 200), 4);
    let start = |log: &str| {
        let protocol = [("SHOAL__KAFKA__GROUP_PROTOCOL", "consumer")];
        Service::start_logging(&folder.path().join(log), &settings, ("only", 0), &protocol, &[])
    };
    let first = start("first.log");
    wait_until_done(broker, &settings.kafka, 4);
    drop(first);
    let killed = Instant::now();
    let second = start("second.log");
    wait_for("all shards are back", PATIENCE, || (second.log().matches("shard recovered").count() == 4).then_some(()));
    let took = killed.elapsed();
    println!("killed and started again at once: back after {took:?}, the session lasts 6 s");
    let log = second.log();
    assert_eq!(log.matches("an earlier member of this name is still in the group").count(), 1, "{log}");
    assert!(!log.contains("ERROR") && !log.contains("UnreleasedInstanceId"), "{log}");
    // 8 s and the slowness of a machine that is busy with other tests.
    assert!(took < Duration::from_secs(16), "{took:?}: {log}");
    second.stop();
}

#[test]
fn a_hang_up_ends_the_service_as_a_termination_does() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(broker, folder.path(), "hang-up", 1);
    let service = Service::start(folder.path(), &settings, "only", 0);
    service.wait_until_logged("shard recovered");
    service.stop_by("-HUP");
}

#[test]
fn a_broker_that_hangs_makes_a_service_not_ready_that_has_nothing_to_do() {
    let Some(broker) = support::start(&BrokerOptions { heap: "256m", ..BrokerOptions::default() }) else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&broker, folder.path(), "hangs", 1);
    let service = Service::start(folder.path(), &settings, "only", 0);
    let admin = service.admin();
    wait_for("it is ready", PATIENCE, || http::get(&admin, "/readyz").ok());
    broker.signal("STOP");
    // If a tick falls into the time, its transaction fails first.
    let body = not_ready(&admin, "\"status\":\"failing\"");
    let reasons = ["no fetch of hangs-events[0] was answered for", "a transaction or a recovery has failed"];
    assert!(reasons.iter().any(|reason| body.contains(reason)), "{body}");
    broker.signal("CONT");
    wait_for("it is ready again", PATIENCE, || http::get(&admin, "/readyz").ok());
    service.stop();
}
