//! Exactly 120 customers go from loyal to at_risk, with two kills in the middle: the panel, the alert of Prometheus,
//! the webhook behind Alertmanager, the record of the rules' own alert and its webhook show 120.

use super::dashboards::{dashboard, panels, word};
use super::expressions::filled;
use super::service::{Service, addresses};
use super::watch::{Watch, until};
use super::{promtool, webhook::Webhook};
use crate::support::rules::loyalty;
use crate::support::{self, Broker, Produced, Received};
use serde_json::Value;

const DAY: i64 = 86_400_000;
const ALERT: &str = r#"
[alert.losing_loyal]
segmentation = "lifecycle"
from = "loyal"
to = "at_risk"
above = 119
window = "1h"
"#;
/// Time between writing the events of a wave and its deadline.
const AHEAD_MS: i64 = 6_000;

/// Three orders of each of these customers, the last of them 60 days before `due`: loyal until then, then at_risk.
pub fn loyal_until(broker: &Broker, topic: &str, customers: impl Iterator<Item = usize>, due: i64) {
    let mut records = Vec::new();
    for customer in customers {
        for order in 0..3 {
            let time = due - 60 * DAY - (2 - order) * 3_600_000;
            let id = format!("c-{customer}");
            let value = format!(
                r#"{{"event_id":"{id}-{order}","customer_id":"{id}","type":"purchase","order_id":"o-{id}-{order}","time":{time},"amount":"10"}}"#
            );
            records.push((id, value));
        }
    }
    broker.produce(
        topic,
        records.iter().map(|(id, value)| Produced {
            key: Some(id.as_bytes()),
            value: Some(value.as_bytes()),
            ..Produced::default()
        }),
    );
}

pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The panel Flows: how many customers moved from loyal to at_risk.
fn moved(watch: &Watch) -> Option<f64> {
    let segments = dashboard("segments");
    let panels = panels(&segments);
    let panel = panels.iter().find(|panel| word(panel, "title") == "Flows").expect("the panel");
    let cells = watch.query(&filled(word(&panel["targets"][0], "expr"))).unwrap();
    let cell = cells.iter().find(|cell| cell.labels["from"] == "loyal" && cell.labels["to"] == "at_risk");
    cell.map(|cell| cell.values[0])
}

fn expect(found: Option<f64>, expected: f64) -> Result<(), String> {
    if found == Some(expected) { Ok(()) } else { Err(format!("{found:?}")) }
}

#[test]
fn a_hundred_and_twenty_customers_are_a_hundred_and_twenty_everywhere() {
    let (true, Some(broker)) = (promtool::is_there(), support::broker()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let service = Service::new(broker, folder.path(), "migration", &["events"], 2).with("SNAPSHOTS__INTERVAL", "2s");
    service.write_rules(&(loyalty("orders >= 3 AND recency_days <= 60", "orders >= 3") + ALERT));
    let addresses = addresses(1);
    let watch = Watch::start(&addresses);
    let service = service.with_webhook(&watch.webhook);
    let process = service.start("migration-0", &addresses[0]);
    watch.wait_for("shoal:shards:all_live", 1.0);

    // Other customers move up, or do not move yet.
    loyal_until(broker, "migration-events", 1_000..1_030, now() + DAY);
    loyal_until(broker, "migration-events", 0..60, now() + AHEAD_MS);
    let flow = || moved(&watch);
    until("the panel shows 60", || expect(flow(), 60.0));

    // The other half; the process is killed before it has read any of it, and again in the middle of its transaction.
    process.kill();
    loyal_until(broker, "migration-events", 60..120, now() + AHEAD_MS);
    service.launch("migration-0", &addresses[0], &[("SHOAL_CRASH_AT", "transaction/written")]).dies();
    let _process = service.start("migration-0", &addresses[0]);
    watch.wait_for("shoal:shards:all_live", 1.0);
    until("the panel shows 120", || expect(flow(), 120.0));
    let alert = r#"sum(shoal:migrations:1h{from="loyal",to="at_risk",direction="down"})"#;
    watch.wait_for(alert, 120.0);
    let firing = r#"count(ALERTS{alertname="ShoalFlow",from="loyal",to="at_risk",alertstate="firing"})"#;
    watch.wait_for(firing, 1.0);
    until("the webhook behind Alertmanager receives 120", || expect_webhook(&watch.webhook));
    until("the alert of the rules fires", || said_by_the_rules(&broker.read_committed("migration.alerts")));
    watch.wait_for(r#"sum(shoal_alert_firing{alert="losing_loyal"})"#, 1.0);
    until("its webhook receives it as well", || {
        let bodies = watch.webhook.bodies("/rules");
        if bodies.iter().any(says_120) { Ok(()) } else { Err(format!("{bodies:?}")) }
    });
}

/// Whether the topic of alerts has one record, with the expected number.
fn said_by_the_rules(records: &[Received]) -> Result<(), String> {
    let alerts = |record: &Received| serde_json::from_slice(record.value.as_deref().unwrap_or_default()).unwrap();
    let alerts: Vec<Value> = records.iter().map(alerts).collect();
    if matches!(alerts.as_slice(), [alert] if says_120(alert)) { Ok(()) } else { Err(format!("{alerts:?}")) }
}

fn says_120(alert: &Value) -> bool {
    alert["alert"] == "losing_loyal" && alert["state"] == "firing" && alert["count"] == 120
}

/// Whether Alertmanager has sent the alert, with its number and the address of its runbook.
fn expect_webhook(webhook: &Webhook) -> Result<(), String> {
    let alerts = webhook.alerts("/marketers");
    let is_it = |alert: &Value| {
        let annotations = &alert["annotations"];
        alert["labels"]["alertname"] == "ShoalFlow"
            && alert["status"] == "firing"
            && annotations["summary"] == "120 customers moved from loyal to at_risk within an hour"
            && word(annotations, "runbook_url").ends_with("/ShoalFlow.md")
    };
    if alerts.iter().any(is_it) { Ok(()) } else { Err(format!("{alerts:?}")) }
}
