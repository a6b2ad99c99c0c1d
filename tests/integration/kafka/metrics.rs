//! The metrics of the service on a real broker: their values for known events, that nothing is counted twice after a
//! restart, and that every documented metric exists.

use super::pipeline::{settings, wait_until_done};
use crate::support::wait::wait_for_ok;
use crate::support::{self, Broker, Produced};
use shoal::engine::decode::{Partitioner, partition_of};
use shoal::metrics::{self, LogCounts, table};
use shoal::worker::{RunSettings, WorkerStatus, run};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(60);
const SHARDS: u32 = 2;
const RULES: &str = r#"
[time]
clock = "events"
[segmentation.life]
segments = [{ name = "loyal", when = "orders >= 2" }, { name = "buyer", when = "orders = 1" }, { name = "visitor" }]
ladder = ["visitor", "buyer", "loyal"]
[audience.spender]
when = "revenue >= 100"
"#;

/// Events of a shop that opened a minute ago.
struct Shop<'a> {
    broker: &'a Broker,
    topic: &'a str,
    opened: i64,
    sent: u64,
}

impl Shop<'_> {
    fn send(&mut self, customer: &str, second: i64, rest: &str) {
        self.sent += 1;
        let (time, id) = (self.opened + second * 1_000, self.sent);
        let value = format!(r#"{{"event_id":"e{id}","customer_id":"{customer}","time":{time},{rest}}}"#);
        self.raw(customer, &value);
    }

    fn raw(&self, customer: &str, value: &str) {
        let partition = partition_of(Partitioner::Murmur2, customer.as_bytes(), SHARDS);
        let (key, value) = (Some(customer.as_bytes()), Some(value.as_bytes()));
        let record = Produced { partition: Some(partition as i32), timestamp: None, key, value };
        self.broker.produce(self.topic, [record]);
    }

    fn buy(&mut self, customer: &str, second: i64, order: &str, amount: u32) {
        self.send(customer, second, &format!(r#""type":"purchase","order_id":"{order}","amount":"{amount}.00""#));
    }

    /// Ten visitors buy; four of them again, one of whom cancels; one sees two advertisements.
    fn first_day(&mut self) {
        for n in 0..10 {
            let customer = format!("c-{n}");
            self.send(&customer, 0, r#""type":"view""#);
            self.buy(&customer, 1, &format!("first-{n}"), 10);
            if n < 4 {
                self.buy(&customer, 2, &format!("second-{n}"), 100);
            }
        }
        self.send("c-0", 3, r#""type":"cancel","order_id":"second-0""#);
        self.send("c-1", 3, r#""type":"exposure","cost":"0.25""#);
        self.send("c-1", 4, r#""type":"exposure","cost":"0.50""#);
        let again = format!(r#"{{"event_id":"e1","customer_id":"c-0","time":{},"type":"view"}}"#, self.opened);
        self.raw("c-0", &again);
        self.raw("c-0", "not json");
    }
}

/// Runs the service until the group is at the end of the input and this number of events is reported. Returns the
/// metrics.
fn run_until(broker: &Broker, settings: &RunSettings, accepted: f64) -> String {
    let (stop, statuses) = (Arc::new(AtomicBool::new(false)), WorkerStatus::for_workers(1));
    let registry = metrics::registry(&statuses, &LogCounts::default()).unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run(settings, &statuses, &stop));
        let scrape = || {
            wait_until_done(broker, &settings.kafka, SHARDS);
            wait_for_ok("all events are counted", PATIENCE, || {
                let text = metrics::text(&registry).unwrap();
                let running = number(&text, r#"shoal_shards{phase="running"}"#) == Some(f64::from(SHARDS));
                // The client updates its statistics twice a second.
                let has_all = running && text.contains("shoal_kafka_round_trip_seconds{");
                let is_done = has_all && number(&text, r#"shoal_events_total{outcome="accepted"}"#) == Some(accepted);
                if is_done { Ok(text) } else { Err(text) }
            })
        };
        let text = std::panic::catch_unwind(std::panic::AssertUnwindSafe(scrape));
        stop.store(true, Ordering::Relaxed);
        running.join().expect("no panic").expect("no failure");
        text.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The value of a series.
fn number(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().expect("a number"))
}

/// Checks the value of each series; a missing one counts as 0.
fn assert_numbers(text: &str, expected: &[(&str, f64)]) {
    for (series, value) in expected {
        assert_eq!(number(text, series).unwrap_or(0.0), *value, "{series} in\n{text}");
    }
}

fn changes(from: &str, to: &str, direction: &str) -> String {
    let labels = format!(r#"segmentation="life",from="{from}",to="{to}",cause="event",direction="{direction}""#);
    format!(r#"shoal_changes_total{{{labels},fresh="true"}}"#)
}

/// The sum of all reported changes.
fn all_changes(text: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with("shoal_changes_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn repeated_work_is_counted_once() {
    let Some(broker) = support::broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(broker, folder.path(), "metrics", SHARDS as i32);
    std::fs::write(&settings.rules, RULES).unwrap();
    settings.snapshots.url = format!("file://{}", folder.path().join("snapshots").display());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let topic = settings.kafka.inputs[0].clone();
    let mut shop = Shop { broker, topic: &topic, opened: now - 60_000, sent: 0 };
    shop.first_day();
    let text = run_until(broker, &settings, 27.0);
    assert_numbers(
        &text,
        &[
            (r#"shoal_input_records_total{topic="metrics-events"}"#, 29.0),
            (r#"shoal_events_total{outcome="duplicate"}"#, 1.0),
            (r#"shoal_rejected_total{reason="decode"}"#, 1.0),
            (r#"shoal_members{segmentation="life",segment="loyal"}"#, 3.0),
            (r#"shoal_members{segmentation="life",segment="buyer"}"#, 7.0),
            (r#"shoal_members{segmentation="life",segment="visitor"}"#, 0.0),
            (r#"shoal_members{segmentation="spender",segment="in"}"#, 3.0),
            (&changes("none", "visitor", "none"), 10.0),
            (&changes("visitor", "buyer", "up"), 10.0),
            (&changes("buyer", "loyal", "up"), 4.0),
            (&changes("loyal", "buyer", "down"), 1.0),
            (r#"shoal_changes_returned_total{segmentation="life"}"#, 1.0),
            (r#"shoal_changes_returned_total{segmentation="spender"}"#, 1.0),
            (r#"shoal_segment_sessions_total{segmentation="life",segment="none"}"#, 10.0),
            (r#"shoal_segment_orders_total{segmentation="life",segment="visitor"}"#, 10.0),
            (r#"shoal_segment_revenue_total{segmentation="life",segment="visitor"}"#, 100.0),
            (r#"shoal_segment_orders_total{segmentation="life",segment="buyer"}"#, 4.0),
            (r#"shoal_segment_revenue_total{segmentation="life",segment="buyer"}"#, 400.0),
            (r#"shoal_segment_exposures_total{segmentation="life",segment="loyal"}"#, 2.0),
            (r#"shoal_segment_exposure_cost_total{segmentation="life",segment="loyal"}"#, 0.75),
            (r#"shoal_segment_dwell_seconds_count{segmentation="life",segment="visitor"}"#, 10.0),
            ("shoal_customers", 10.0),
            (r#"shoal_input_lag_records{topic="metrics-events",partition="0"}"#, 0.0),
        ],
    );
    assert_eq!(all_changes(&text), 25.0 + 5.0, "{text}");

    // A restart replays the journal or loads a snapshot; only later changes are counted.
    shop.buy("c-9", 30, "second-9", 100);
    let text = run_until(broker, &settings, 1.0);
    assert_numbers(
        &text,
        &[
            (r#"shoal_input_records_total{topic="metrics-events"}"#, 1.0),
            (r#"shoal_members{segmentation="life",segment="loyal"}"#, 4.0),
            (r#"shoal_members{segmentation="life",segment="buyer"}"#, 6.0),
            (&changes("buyer", "loyal", "up"), 1.0),
            (r#"shoal_segment_orders_total{segmentation="life",segment="buyer"}"#, 1.0),
            (r#"shoal_segment_orders_total{segmentation="life",segment="visitor"}"#, 0.0),
            (r#"shoal_events_total{outcome="duplicate"}"#, 0.0),
        ],
    );
    assert_eq!(all_changes(&text), 2.0, "{text}");
    assert_all_told(&text);
}

/// Every reported metric is in the table, and every metric of the table is reported, except those that this test cannot
/// cause.
fn assert_all_told(text: &str) {
    let output: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let known: BTreeSet<&str> = table::all().map(|metric| metric.name).collect();
    let unknown: Vec<_> = output.difference(&known).collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
    // Metrics of a running recovery, of reversed changes, of alerts and of the admin address.
    let elsewhere = ["shoal_replay_", "shoal_changes_returned_", "shoal_alert_", "shoal_webhook_", "shoal_admin_"];
    let is_elsewhere = |name: &&str| elsewhere.iter().any(|prefix| name.starts_with(prefix));
    let missing: Vec<_> = known.difference(&output).filter(|name| !is_elsewhere(name)).collect();
    assert!(missing.is_empty(), "not reported: {missing:?}");
}
