//! The compacted topic must say what the fold of a customer's changes says.

use super::Faults;
use super::changes::{ByCustomer, ends_life};
use super::records::Record;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is held, by name of segmentation or audience: the value, and since when.
type Held = BTreeMap<String, (Value, Value)>;

/// Since when what a seed published at first is held, no change says.
const BEFORE: &str = "before";

/// Compares the last record of each key with the fold of its changes; how many customers are right.
pub fn compare(customers: &ByCustomer, records: &[Record], faults: &mut Faults) -> usize {
    let latest: BTreeMap<String, &Record> = records.iter().map(|record| (record.key_text(), record)).collect();
    let known: BTreeSet<&String> = customers.keys().chain(latest.keys()).collect();
    let mut right = 0;
    for customer in known {
        let Some(record) = latest.get(customer) else {
            faults.add(format!("membership: of {customer} there is nothing"));
            continue;
        };
        let folded = customers.get(customer).and_then(|changes| fold(customer, changes, faults));
        let found = record.value.as_deref().map(|value| serde_json::from_slice(value).unwrap_or(Value::Null));
        let found = found.map(|found| without_untouched_audiences(found, customers.get(customer)));
        let folded = folded.map(|folded| with_known_since(folded, found.as_ref()));
        if found == folded {
            right += 1;
        } else {
            let text = |value: Option<Value>| value.map_or_else(|| "a tombstone".into(), |value| value.to_string());
            let (found, folded) = (text(found), text(folded));
            faults.add(format!("membership: of {customer} is\n  {found}\nshould be\n  {folded}"));
        }
    }
    right
}

/// Where the changes lead; `None` if the customer left. What each change says of before must be what is held.
fn fold(customer: &str, changes: &[Value], faults: &mut Faults) -> Option<Value> {
    let mut held = Held::new();
    for change in changes {
        if change["sequence"] == 1 {
            held.clear();
        }
        let name = change["segmentation"].as_str().unwrap_or_default();
        // An audience is out before its first change; since when, only that says. What a seed publishes comes from
        // nothing.
        let never_in = if is_audience(change) && !is_bootstrap(change) { json!("out") } else { Value::Null };
        let (from, since) = held.remove(name).unwrap_or_else(|| (never_in, change["from_since"].clone()));
        let since = if since == BEFORE { change["from_since"].clone() } else { since };
        if change["from"] != from || change["from_since"] != since || from.is_null() != since.is_null() {
            faults.add(format!("membership: {customer} is {from} since {since} before {change}"));
        }
        if !change["to"].is_null() {
            let since = if is_bootstrap(change) { json!(BEFORE) } else { change["effective_at"].clone() };
            held.insert(name.to_owned(), (change["to"].clone(), since));
        }
    }
    let last = changes.last().filter(|last| !ends_life(last))?;
    let fields = ["customer_id", "life", "sequence", "effective_at", "rules_version", "cuts_version", "features"];
    let mut whole: Map<String, Value> =
        fields.into_iter().map(|field| (field.to_owned(), last[field].clone())).collect();
    let (mut segments, mut audiences) = (Map::new(), Map::new());
    for (name, (value, since)) in held {
        if value == "in" || value == "out" {
            audiences.insert(name, json!({ "in": value == "in", "since": since }));
        } else {
            segments.insert(name, json!({ "value": value, "since": since }));
        }
    }
    whole.insert("segments".into(), Value::Object(segments));
    whole.insert("audiences".into(), Value::Object(audiences));
    Some(Value::Object(whole))
}

fn is_audience(change: &Value) -> bool {
    ["from", "to"].into_iter().any(|field| change[field] == "in" || change[field] == "out")
}

fn is_bootstrap(change: &Value) -> bool {
    change["cause"] == "bootstrap"
}

/// What is held since before anything was published is held since whenever the topic says.
fn with_known_since(mut folded: Value, found: Option<&Value>) -> Value {
    for kind in ["segments", "audiences"] {
        for (name, held) in folded[kind].as_object_mut().into_iter().flatten() {
            if held["since"] == BEFORE {
                held["since"] = found.map_or(Value::Null, |found| found[kind][name]["since"].clone());
            }
        }
    }
    folded
}

/// Audiences that the customer never was in are listed as out since its life began; no change speaks of them. Nor of
/// those that it left before anything was published.
fn without_untouched_audiences(mut membership: Value, changes: Option<&Vec<Value>>) -> Value {
    let first = changes.and_then(|changes| changes.iter().rfind(|change| change["sequence"] == 1));
    let published_from = first.filter(|first| is_bootstrap(first)).and_then(|first| first["effective_at"].as_str());
    let life = membership["life"].as_i64().and_then(|life| Timestamp::from_millisecond(life).ok());
    let life = life.map(|life| life.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
    if let Some(audiences) = membership["audiences"].as_object_mut() {
        audiences.retain(|_, audience| {
            let since = audience["since"].as_str();
            // Moments are written so that their texts sort as they do.
            let is_untouched = since == life.as_deref() || published_from.is_some() && since < published_from;
            audience["in"] == true || !is_untouched
        });
    }
    membership
}
