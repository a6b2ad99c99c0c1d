//! The answers of /startupz, /livez and /readyz for workers in all states.

use super::client::{Admin, Answer};
use serde_json::json;
use shoal::engine::event::Reason;
use shoal::worker::Phase;
use shoal::worker::observe::status::{Report, ShardReport, WorkProgress};
use std::sync::atomic::Ordering;
use std::time::Instant;

fn report(has_joined: bool, shards: &[(u32, Phase)]) -> Report {
    let shard = |phase| ShardReport { since: 1_000, transaction: 5, ..ShardReport::in_phase(phase) };
    let shards = shards.iter().map(|&(number, phase)| (number, shard(phase))).collect();
    Report { has_joined, shards_expected: 4, shards, at: 2_000, ..Report::default() }
}

fn statuses(admin: &Admin) -> [u16; 3] {
    ["/startupz", "/livez", "/readyz"].map(|path| admin.get(path).status)
}

fn failing(answer: &Answer) -> serde_json::Value {
    assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("failing")), "{answer:?}");
    answer.json()["failing"].clone()
}

#[test]
fn a_process_starts_becomes_ready_and_leaves() {
    let admin = Admin::start(|_| {});
    assert_eq!(statuses(&admin), [503, 200, 503], "the worker has not started");
    admin.status.write(report(false, &[]));
    assert_eq!(statuses(&admin), [503, 200, 503], "the worker is not a member yet");
    admin.status.write(report(true, &[(0, Phase::Assigned), (3, Phase::Assigned)]));
    assert_eq!(statuses(&admin), [200, 200, 503], "its shards must be recovered");
    admin
        .status
        .set_progress(3, WorkProgress { work: "replaying the journal", done: 30, all: 90, seconds_left: Some(4) });
    assert_eq!(statuses(&admin), [200, 200, 503]);
    admin.status.write(report(true, &[(0, Phase::Running), (3, Phase::Running)]));
    assert_eq!(statuses(&admin), [200, 200, 200]);
    let ready = admin.get("/readyz");
    let nothing = json!({ "share": 0.0, "records": 0, "seconds": 300, "reasons": {} });
    assert_eq!(ready.json(), json!({ "status": "ok", "failing": [], "rejected": nothing }));
    assert_eq!(admin.get("/livez").json(), json!({ "status": "ok", "failing": [] }));
    assert_eq!(ready.header("content-type"), Some("application/json"));
    admin.status.write(report(true, &[(0, Phase::Running), (3, Phase::Recovering)]));
    assert_eq!(statuses(&admin), [200, 200, 503], "a started process stays started");
    admin.status.write(report(true, &[(0, Phase::Running), (3, Phase::Kept)]));
    assert_eq!(statuses(&admin), [200, 200, 200], "released shards belong to other processes");
    admin.stop.store(true, Ordering::Relaxed);
    assert_eq!(statuses(&admin), [200, 200, 503]);
    assert_eq!(failing(&admin.get("/readyz")), json!([{ "what": "the process is stopping" }]));
}

#[test]
fn the_share_of_rejected_records_is_told_and_changes_nothing() {
    let admin = Admin::start(|_| {});
    admin.status.write(report(true, &[(0, Phase::Running)]));
    let mut rejected = [0; Reason::ALL.len()];
    (rejected[Reason::Decode as usize], rejected[Reason::Partition as usize]) = (300, 1);
    admin.status.rejects().add(Instant::now(), 903, &rejected, []);
    let ready = admin.get("/readyz");
    assert_eq!(ready.status, 200, "a process whose input is wrong works");
    let expected =
        json!({ "share": 0.3333, "records": 903, "seconds": 300, "reasons": { "decode": 300, "partition": 1 } });
    assert_eq!(ready.json()["rejected"], expected);
}

#[test]
fn what_fails_is_named_with_its_phase_since_when_and_how_far_it_is() {
    let admin = Admin::start(|_| {});
    admin.status.write(report(true, &[(0, Phase::Running), (2, Phase::Waiting), (3, Phase::Recovering)]));
    admin
        .status
        .set_progress(3, WorkProgress { work: "replaying the journal", done: 30, all: 90, seconds_left: Some(4) });
    let since = "1970-01-01T00:00:01.000Z";
    assert_eq!(
        failing(&admin.get("/readyz")),
        json!([
            { "what": "the shard is not live", "worker": 0, "shard": 2, "phase": "waiting for rules", "since": since },
            { "what": "the shard is not live", "worker": 0, "shard": 3, "phase": "recovering", "since": since,
              "progress": { "work": "replaying the journal", "done": 30, "all": 90, "seconds_left": 4 } },
        ])
    );
    let shards = admin.get("/shards").json();
    assert_eq!(shards["shards"].as_array().unwrap().len(), 3);
    assert_eq!((&shards["shards"][0]["transaction"], &shards["shards_expected"]), (&json!(5), &json!(4)));
    let head = admin.ask("HEAD", "/readyz", None);
    assert_eq!((head.status, head.body.as_str()), (503, ""), "without the body, the status is the same");
}
