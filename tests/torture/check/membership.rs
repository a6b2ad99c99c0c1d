//! Checks the compacted membership topic: it must equal the fold of each customer's changes.

use super::Faults;
use super::changes::{ByCustomer, ends_life};
use super::records::Record;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Held values by the name of the segmentation or audience: the value, and since when it is held.
type Held = BTreeMap<String, (Value, Value)>;

/// Stands for the unknown time since which a value published by a seed is held.
const BEFORE: &str = "before";

/// Compares the last record of each key with the fold of its changes. Returns the number of correct customers.
pub fn compare(customers: &ByCustomer, records: &[Record], faults: &mut Faults) -> usize {
    let latest: BTreeMap<String, &Record> = records.iter().map(|record| (record.key_text(), record)).collect();
    let known: BTreeSet<&String> = customers.keys().chain(latest.keys()).collect();
    let mut right = 0;
    for customer in known {
        let Some(record) = latest.get(customer) else {
            faults.add(format!("membership: of {customer} there is no record"));
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

/// Folds the changes; `None` if the customer left. `from` and `from_since` of each change must equal the held value.
fn fold(customer: &str, changes: &[Value], faults: &mut Faults) -> Option<Value> {
    let mut held = Held::new();
    for change in changes {
        if change["sequence"] == 1 {
            held.clear();
        }
        let name = change["segmentation"].as_str().unwrap_or_default();
        // An audience is out before its first change; only this change states since when. Changes of a seed have no
        // previous value.
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

/// For values that were held before anything was published, accepts the time that the topic states.
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

/// Removes audiences that the customer was never in, which are listed as out since the beginning of its life, and those
/// that it left before anything was published: no change mentions them.
fn without_untouched_audiences(mut membership: Value, changes: Option<&Vec<Value>>) -> Value {
    let first = changes.and_then(|changes| changes.iter().rfind(|change| change["sequence"] == 1));
    let published_from = first.filter(|first| is_bootstrap(first)).and_then(|first| first["effective_at"].as_str());
    let life = membership["life"].as_i64().and_then(|life| Timestamp::from_millisecond(life).ok());
    let life = life.map(|life| life.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
    if let Some(audiences) = membership["audiences"].as_object_mut() {
        audiences.retain(|_, audience| {
            let since = audience["since"].as_str();
            // RFC 3339 texts of this format sort by time.
            let is_untouched = since == life.as_deref() || published_from.is_some() && since < published_from;
            audience["in"] == true || !is_untouched
        });
    }
    membership
}
