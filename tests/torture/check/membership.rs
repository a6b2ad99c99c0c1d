//! The compacted topic must say what the fold of a customer's changes says.

use super::Faults;
use super::changes::{ByCustomer, ends_life};
use super::records::Record;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is held, by name of segmentation or audience: the value, and since when.
type Held = BTreeMap<String, (Value, Value)>;

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
        let found = found.map(without_untouched_audiences);
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
        // An audience is out before its first change; since when, only that says.
        let never_in = if is_audience(change) { json!("out") } else { Value::Null };
        let (from, since) = held.remove(name).unwrap_or_else(|| (never_in, change["from_since"].clone()));
        if change["from"] != from || change["from_since"] != since || from.is_null() != since.is_null() {
            faults.add(format!("membership: {customer} is {from} since {since} before {change}"));
        }
        if !change["to"].is_null() {
            held.insert(name.to_owned(), (change["to"].clone(), change["effective_at"].clone()));
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

/// Audiences that the customer never was in are listed as out since its life began; no change speaks of them.
fn without_untouched_audiences(mut membership: Value) -> Value {
    let life = membership["life"].as_i64().and_then(|life| Timestamp::from_millisecond(life).ok());
    let life = life.map(|life| life.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
    if let Some(audiences) = membership["audiences"].as_object_mut() {
        audiences.retain(|_, audience| audience["in"] == true || audience["since"].as_str() != life.as_deref());
    }
    membership
}
