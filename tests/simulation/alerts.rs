//! Alerts of a world: counted and decided again from all published changes, and compared with the topics `census` and
//! `alerts`.

use super::check::{Verdict, json, own};
use super::plan::Plan;
use super::tally::{self, Tally};
use serde_json::Value;
use shoal::kafka::Own;
use shoal::kafka::memory::Cluster;
use std::collections::{BTreeMap, BTreeSet};

const MINUTE: i64 = 60_000;
const FRESH: i64 = 5 * MINUTE;

/// The alerts in both sets of rules.
pub const RULES: &str = r#"
[alert.active]
segmentation = "lifecycle"
to = "active"
above = 2
window = "1m"
causes = ["event", "time"]
customer_ids = 3
[alert.looking]
segmentation = "looking"
to = "in"
above = 0
window = "2m"
for = "1m"
[alert.low]
segmentation = "value"
from = "high"
to = "low"
above = 0
window = "1m"
"#;

struct Alert {
    name: &'static str,
    segmentation: &'static str,
    from: Option<&'static str>,
    to: &'static str,
    causes: &'static [&'static str],
    above: u64,
    window: i64,
    wait: i64,
    named: usize,
}

const ALL: &[&str] = &["event", "time", "late"];
const ALERTS: [Alert; 3] = [
    Alert {
        name: "active",
        segmentation: "lifecycle",
        from: None,
        to: "active",
        causes: &["event", "time"],
        above: 2,
        window: 1,
        wait: 0,
        named: 3,
    },
    Alert {
        name: "looking",
        segmentation: "looking",
        from: None,
        to: "in",
        causes: ALL,
        above: 0,
        window: 2,
        wait: 1,
        named: 0,
    },
    Alert {
        name: "low",
        segmentation: "value",
        from: Some("high"),
        to: "low",
        causes: ALL,
        above: 0,
        window: 1,
        wait: 0,
        named: 0,
    },
];

/// By minute and transition: segmentation, from, to, cause.
type Counts = BTreeMap<(i64, [String; 4]), u64>;

/// Cause and customer of each change that an alert selects, by minute.
type Selected = BTreeMap<i64, Vec<(String, String)>>;

pub fn check(plan: &Plan, cluster: &Cluster, tally: &mut Tally) -> Verdict {
    let mut selected: [Selected; ALERTS.len()] = Default::default();
    // None while a shard has reported nothing: then no minute is evaluated.
    let mut complete = Some(i64::MAX);
    for shard in 0..plan.shards {
        let (counts, mark) = read_census(cluster, shard)?;
        complete = complete.zip(mark).map(|(complete, mark)| complete.min(mark));
        let mut expected = Counts::new();
        for stored in own(cluster, Own::Changes, shard) {
            let change = json(&stored)?;
            let minute = moment(&change["effective_at"]).div_euclid(MINUTE);
            let is_fresh = moment(&change["detected_at"]) - moment(&change["effective_at"]) <= FRESH;
            let chosen: Vec<usize> =
                (0..ALERTS.len()).filter(|&alert| is_fresh && ALERTS[alert].selects(&change)).collect();
            for &alert in &chosen {
                let entry = (text(&change["cause"]), text(&change["customer_id"]));
                selected[alert].entry(minute).or_default().push(entry);
            }
            if !chosen.is_empty() && mark.is_some_and(|mark| minute < mark) {
                let transition = ["segmentation", "from", "to", "cause"].map(|field| text(&change[field]));
                *expected.entry((minute, transition)).or_default() += 1;
            }
        }
        if counts != expected {
            return Err(format!(
                "census of shard {shard}, until {mark:?}:\n  found    {counts:?}\n  expected {expected:?}"
            ));
        }
    }
    let found: Vec<Value> = own(cluster, Own::Alerts, 0).iter().map(|stored| json(stored)).collect::<Result<_, _>>()?;
    let first = selected.iter().flat_map(BTreeMap::keys).min().copied();
    for (alert, selected) in ALERTS.iter().zip(&selected) {
        let of: Vec<&Value> = found.iter().filter(|record| record["alert"] == alert.name).collect();
        let decisions = |complete| alert.decisions(selected, first.unwrap_or(complete), complete);
        let expected = complete.map_or_else(Vec::new, decisions);
        let published: Vec<Decision> = of.iter().map(|record| Decision::of(record)).collect();
        if published != expected {
            return Err(format!(
                "alert {}, until {complete:?}:\n  found    {published:?}\n  expected {expected:?}",
                alert.name
            ));
        }
        tally.add(tally::ALERTS, published.len() as u32);
    }
    Ok(())
}

/// What the census counted, by minute and transition, and the last mark. Nothing may be counted twice.
fn read_census(cluster: &Cluster, shard: u32) -> Result<(Counts, Option<i64>), String> {
    let (mut counts, mut last) = (Counts::new(), None);
    for stored in own(cluster, Own::Census, shard) {
        let report = json(&stored)?;
        let Some(mark) = report["mark"].as_i64() else { continue };
        if last.is_some_and(|last| mark <= last) {
            return Err(format!("census of shard {shard}: mark {mark} after {last:?}"));
        }
        for minute in report["minutes"].as_array().into_iter().flatten() {
            let number = minute["minute"].as_i64().unwrap_or_default();
            if number >= mark || last.is_some_and(|last| number < last) {
                return Err(format!("census of shard {shard}: minute {number} at mark {mark} after {last:?}"));
            }
            for flow in minute["flows"].as_array().into_iter().flatten() {
                for (cause, count) in flow["causes"].as_object().into_iter().flatten() {
                    let transition =
                        [text(&flow["segmentation"]), text(&flow["from"]), text(&flow["to"]), cause.clone()];
                    counts.insert((number, transition), count.as_u64().unwrap_or_default());
                }
            }
        }
        last = Some(mark);
    }
    Ok((counts, last))
}

#[derive(Debug, PartialEq)]
struct Decision {
    state: String,
    mark: i64,
    causes: BTreeMap<String, u64>,
    customers: Vec<String>,
}

impl Decision {
    fn of(record: &Value) -> Self {
        let causes = record["causes"].as_object().into_iter().flatten();
        Self {
            state: text(&record["state"]),
            mark: record["mark"].as_i64().unwrap_or_default(),
            causes: causes.map(|(cause, count)| (cause.clone(), count.as_u64().unwrap_or_default())).collect(),
            customers: record["customers"].as_array().into_iter().flatten().map(text).collect(),
        }
    }
}

impl Alert {
    fn selects(&self, change: &Value) -> bool {
        change["segmentation"] == self.segmentation
            && change["to"] == self.to
            && self.from.is_none_or(|from| change["from"] == from)
            && self.causes.iter().any(|cause| change["cause"] == *cause)
    }

    fn decisions(&self, selected: &Selected, first: i64, complete: i64) -> Vec<Decision> {
        let window = |mark: i64| selected.range(mark - self.window..mark).flat_map(|(_, changes)| changes);
        let mut decisions = Vec::new();
        let mut is_firing = false;
        for mark in first..=complete {
            let fires = (mark - self.wait..=mark).all(|mark| window(mark).count() as u64 > self.above);
            if fires == is_firing {
                continue;
            }
            is_firing = fires;
            let count = |cause: &str| window(mark).filter(|(of, _)| of == cause).count() as u64;
            let customers: BTreeSet<&String> = window(mark).map(|(_, customer)| customer).collect();
            decisions.push(Decision {
                state: if fires { "firing" } else { "resolved" }.into(),
                mark,
                causes: ALL.iter().map(|cause| ((*cause).to_owned(), count(cause))).collect(),
                customers: customers.into_iter().take(self.named).cloned().collect(),
            });
        }
        decisions
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("null").to_owned()
}

fn moment(value: &Value) -> i64 {
    text(value).parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond)
}
