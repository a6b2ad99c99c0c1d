//! Alerts with the real worker on the log in memory: which fire, and that each decision is published once.

use crate::support::events::Line;
use crate::support::memory::{self, run_to_end};
use crate::support::rules::loyalty;
use serde_json::Value;
use shoal::kafka::memory::{Cluster, MemoryLog};
use shoal::kafka::{Own, Topic};
use shoal::random::Random;
use shoal::store::SnapshotWriter;
use shoal::store::objects::MemoryObjects;
use shoal::worker::{Worker, WorkerConfig};

const SHARDS: u32 = 3;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
/// 2026-06-01T10:00:00Z.
const BEGIN: i64 = 1_780_308_000_000;

const ALERTS: &str = r#"
[alert.losing]
segmentation = "lifecycle"
from = "loyal"
to = "at_risk"
above = 119
window = "10m"
customer_ids = 10
[alert.down]
segmentation = "lifecycle"
direction = "down"
above = 40
window = "3m"
causes = ["event"]
"#;

fn rules_without_alerts() -> String {
    format!("[time]\nclock = \"wall\"\n{}", loyalty("orders >= 2 AND recency_days <= 0.0021", "orders >= 1"))
}

fn rules() -> String {
    rules_without_alerts() + ALERTS
}

fn config(rules: &str) -> WorkerConfig {
    memory::config("events", SHARDS, rules)
}

fn append(cluster: &Cluster, id: u32, kind: &str, order: u32) {
    let time = cluster.clock();
    let amount = if kind == "purchase" { r#","amount":"10""# } else { "" };
    let value = format!(r#"{{"type":"{kind}","time":{time},"order_id":"o-{id}-{order}"{amount}}}"#);
    let key = format!("c-{id:03}");
    memory::append(cluster, &Line { time, key: Some(key.into_bytes()), value: Some(value.into_bytes()) }, SHARDS);
}

/// The records of the topic of alerts.
fn alerts(cluster: &Cluster) -> Vec<Value> {
    let records = cluster.records(Topic::Own(Own::Alerts), 0);
    records.iter().map(|stored| serde_json::from_slice(stored.value.as_deref().unwrap()).unwrap()).collect()
}

fn decisions(cluster: &Cluster) -> Vec<String> {
    let decisions = |alert: Value| {
        format!("{} {} {}", alert["alert"].as_str().unwrap(), alert["state"].as_str().unwrap(), alert["count"])
    };
    alerts(cluster).into_iter().map(decisions).collect()
}

/// A service that is sometimes killed.
struct Service {
    cluster: Cluster,
    objects: MemoryObjects,
    config: WorkerConfig,
    worker: Worker<MemoryLog>,
}

impl Service {
    fn new(config: WorkerConfig) -> Self {
        let cluster = Cluster::new(SHARDS);
        cluster.set_clock(BEGIN);
        let objects = MemoryObjects::default();
        let worker = Self::worker(&cluster, &objects, &config, memory::ID);
        Self { cluster, objects, config, worker }
    }

    fn worker(cluster: &Cluster, objects: &MemoryObjects, config: &WorkerConfig, id: &str) -> Worker<MemoryLog> {
        let writer = SnapshotWriter::new(objects.clone(), 2, 7);
        let log = cluster.worker(id, (0..SHARDS).collect());
        Worker::new(log, config.clone()).with_snapshots(Box::new(writer), 60_000)
    }

    /// Starts another process, of the same name or of another; the last one is killed.
    fn replace(&mut self, id: &str) {
        self.worker = Self::worker(&self.cluster, &self.objects, &self.config, id);
    }

    /// Advances time this many times by ten seconds, and lets the worker do all that follows.
    fn pass(&mut self, tens: i64) {
        for _ in 0..tens {
            self.cluster.set_clock(self.cluster.clock() + 10 * SECOND);
            self.work();
        }
    }

    fn work(&mut self) {
        // Published records are read back and decided on after that.
        for _ in 0..3 {
            run_to_end(&mut self.worker).unwrap();
            self.worker.turn().unwrap();
        }
    }
}

/// 120 customers move from loyal to at_risk: half of them cancel an order, half of them do nothing.
fn lose_120(service: &mut Service, mut between: impl FnMut(&mut Service)) {
    let cluster = service.cluster.clone();
    for id in 0..130 {
        append(&cluster, id, "purchase", 1);
        append(&cluster, id, "purchase", 2);
    }
    service.work();
    service.pass(6);
    for id in 0..60 {
        append(&cluster, id, "cancel", 1);
        if id == 30 {
            between(service);
        }
    }
    for id in 120..130 {
        append(&cluster, id, "purchase", 3);
    }
    between(service);
    service.work();
    // The other customers move 0.0021 days after their orders.
    for _ in 0..19 {
        service.pass(1);
        between(service);
    }
}

#[test]
fn exactly_120_customers_are_told_of() {
    let mut service = Service::new(config(&rules()));
    lose_120(&mut service, |_| {});
    assert_eq!(decisions(&service.cluster), ["down firing 60", "losing firing 120"]);
    let losing = alerts(&service.cluster).pop().unwrap();
    assert_eq!(losing["causes"], serde_json::json!({ "event": 60, "time": 60, "late": 0 }));
    let customers: Vec<String> = (0..10).map(|id| format!("c-{id:03}")).collect();
    assert_eq!(losing["customers"], serde_json::json!(customers));
    assert_eq!((losing["from"].as_str(), losing["to"].as_str()), (Some("loyal"), Some("at_risk")));
    assert_eq!((losing["window"].as_str(), losing["baseline"].is_null()), (Some("10m"), true));
    assert_eq!(losing["rules_version"], service.config.rules.version);
    service.pass(70);
    // The ten that ordered once more follow, and the window advances.
    assert_eq!(decisions(&service.cluster)[2..], ["down resolved 0", "losing resolved 70"]);
}

#[test]
fn kills_and_takeovers_lose_nothing_and_repeat_nothing() {
    let mut straight = Service::new(config(&rules()));
    lose_120(&mut straight, |_| {});
    straight.pass(70);
    for seed in 1..=8 {
        let mut random = Random(seed);
        let mut service = Service::new(config(&rules()));
        let kill = |service: &mut Service| {
            let id = ["one", "two"][random.below(2) as usize];
            (0..random.below(9)).for_each(|_| service.worker.turn().unwrap());
            service.replace(id);
        };
        lose_120(&mut service, kill);
        service.pass(70);
        assert_eq!(decisions(&service.cluster), decisions(&straight.cluster), "seed {seed}");
        assert_eq!(alerts(&service.cluster), alerts(&straight.cluster), "seed {seed}");
    }
}

#[test]
fn nothing_fires_at_a_start_a_takeover_or_by_new_rules() {
    let mut service = Service::new(config(&rules()));
    lose_120(&mut service, |_| {});
    let before = decisions(&service.cluster);
    assert_eq!(before.len(), 2);
    for id in ["one", "two", memory::ID] {
        service.replace(id);
        service.work();
        assert_eq!(decisions(&service.cluster), before);
    }
    // New rules move every customer, and lower the threshold of an alert below the counted number.
    let edited = rules()
        .replace("{ name = \"at_risk\", when = \"orders >= 1\" },", "{ name = \"at_risk\", when = \"orders >= 9\" },")
        .replace("above = 40", "above = 3")
        + "[alert.new]\nsegmentation = \"lifecycle\"\nto = \"at_risk\"\nabove = 0\nwindow = \"24h\"\n";
    service.config = config(&edited);
    service.replace("one");
    service.work();
    service.pass(1);
    let changes = memory::all(&service.cluster, Own::Changes, SHARDS);
    let is_by_rules = |value: &&Vec<u8>| String::from_utf8_lossy(value).contains(r#""cause":"rules""#);
    assert_eq!(changes.iter().filter_map(|stored| stored.value.as_ref()).filter(is_by_rules).count(), 130);
    // The alert whose definition changed begins again; the others continue.
    assert_eq!(decisions(&service.cluster)[2..], ["down resolved 0"]);
    service.pass(12);
    assert_eq!(decisions(&service.cluster)[2..], ["down resolved 0"]);
}

#[test]
fn alerts_that_new_rules_do_not_have_are_resolved() {
    let mut service = Service::new(config(&rules()));
    lose_120(&mut service, |_| {});
    service.config = config(&rules_without_alerts());
    service.replace("one");
    service.work();
    assert_eq!(decisions(&service.cluster)[2..], ["down resolved 0", "losing resolved 0"]);
    service.replace("two");
    service.pass(12);
    assert_eq!(decisions(&service.cluster).len(), 4);
}

#[test]
fn seeding_and_history_fire_nothing() {
    for (publish_from, clock) in [(Some(BEGIN + 5 * MINUTE), BEGIN + 6 * MINUTE), (None, BEGIN + 20 * MINUTE)] {
        let mut seeded = config(&rules().replace("above = 119", "above = 0"));
        seeded.shard.publish_from = publish_from;
        seeded.shard.bootstrap = shoal::engine::shard::Bootstrap::Changes;
        let mut service = Service::new(seeded);
        let cluster = service.cluster.clone();
        for (minute, kind, order) in [(0, "purchase", 1), (0, "purchase", 2), (1, "cancel", 1)] {
            cluster.set_clock(BEGIN + minute * MINUTE);
            (0..130).for_each(|id| append(&cluster, id, kind, order));
        }
        cluster.set_clock(clock);
        service.work();
        service.pass(30);
        assert!(memory::all(&cluster, Own::Changes, SHARDS).len() >= 130);
        assert!(!memory::all(&cluster, Own::Census, SHARDS).is_empty());
        assert_eq!(decisions(&cluster), Vec::<String>::new());
    }
}

#[test]
fn without_alerts_nothing_is_told() {
    let mut service = Service::new(config(&rules_without_alerts()));
    lose_120(&mut service, |_| {});
    assert!(memory::all(&service.cluster, Own::Census, SHARDS).is_empty());
    assert!(decisions(&service.cluster).is_empty());
}
