//! No alert for marketers fires without a migration: a seed, an outage, a restart, a takeover, new rules.

use super::migration::{loyal_until, now};
use super::promtool;
use super::service::{Service, addresses};
use super::watch::Watch;
use crate::support;
use crate::support::rules::loyalty;

const DAY: i64 = 86_400_000;
const PARTITIONS: i32 = 2;

fn rules(recency_days: u32) -> String {
    loyalty(&format!("orders >= 3 AND recency_days <= {recency_days}"), "orders >= 3")
}

/// Three orders each of 300 customers, as a file: half of them loyal at the end, half at_risk.
fn history(until: i64) -> String {
    let line = |customer: usize, order: i64| {
        let age = if customer.is_multiple_of(2) { 30 } else { 70 };
        let time = until - age * DAY - (2 - order) * 3_600_000;
        format!(
            r#"{{"event_id":"s-{customer}-{order}","customer_id":"s-{customer}","type":"purchase","order_id":"s-{customer}-{order}","time":{time},"amount":"10"}}"#
        ) + "\n"
    };
    (0..300).flat_map(|customer| (0..3).map(move |order| line(customer, order))).collect()
}

#[test]
fn what_is_no_migration_raises_no_alert() {
    let (true, Some(broker)) = (promtool::is_there(), support::broker()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let service =
        Service::new(broker, folder.path(), "quiet", &["events"], PARTITIONS).with("SNAPSHOTS__INTERVAL", "2s");
    service.write_rules(&rules(60));
    let addresses = addresses(2);
    let watch = Watch::start(&addresses);

    // A seed, of an hour ago.
    let seeded = jiff::Timestamp::from_millisecond(now() - 3_600_000).unwrap().to_string();
    std::fs::write(folder.path().join("history.jsonl"), history(now() - 2 * 3_600_000)).unwrap();
    let mut seed = service.command("quiet-0", &addresses[0]);
    seed.args(["seed", "--rules", "rules.toml", "--partitions", "2", "--snapshot", "snapshots", "--until", &seeded]);
    let out = seed.arg("history.jsonl").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let service = service.with("KAFKA__START", &seeded);
    let first = service.start("quiet-0", &addresses[0]);
    watch.wait_for(r#"sum(shoal_members{segmentation="lifecycle",segment="loyal"})"#, 150.0);

    // Changes that were due ten minutes ago, as after an outage.
    loyal_until(broker, "quiet-events", 0..150, now() - 600_000);
    watch.wait_for(r#"sum(shoal_changes_total{from="loyal",to="at_risk",cause="time",fresh="false"})"#, 150.0);

    // A restart, and another process that takes over.
    first.stop();
    let first = service.start("quiet-0", &addresses[0]);
    watch.wait_for("shoal:shards:all_live", 1.0);
    let second = service.start("quiet-1", &addresses[1]);
    watch.wait_for(r#"count(shoal_shards{phase="running"} > 0)"#, 2.0);
    first.kill();
    let taken = format!(r#"sum(shoal_shards{{phase="running",instance="{}"}})"#, addresses[1]);
    watch.wait_for(&taken, f64::from(PARTITIONS));

    // Rules under which no customer is loyal.
    service.write_rules(&rules(20));
    second.stop();
    let _second = service.start("quiet-1", &addresses[1]);
    watch.wait_for(r#"sum(sum_over_time(shoal:changes:new{from="loyal",to="at_risk",cause="rules"}[10m]))"#, 150.0);
    watch.wait_for(r#"sum(shoal_members{segmentation="lifecycle",segment="at_risk"})"#, 450.0);

    // Each of these would have exceeded the threshold. All shards run again, and the alerts have been evaluated since.
    watch.wait_for("min_over_time(shoal:shards:all_live[3s])", 1.0);
    let alerts = watch.query(r#"max_over_time(ALERTS{audience="marketers"}[10m])"#).unwrap();
    assert!(alerts.is_empty(), "{alerts:?}");
    let counted = watch.query("max_over_time(shoal:migrations:1h[10m]) > 0").unwrap();
    let downwards: Vec<_> = counted.iter().filter(|series| series.labels["direction"] == "down").collect();
    assert!(downwards.is_empty(), "{downwards:?}");
    assert!(watch.webhook.alerts("/marketers").is_empty(), "{:?}", watch.webhook.alerts("/marketers"));
}
