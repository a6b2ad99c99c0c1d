//! Checks changes customer by customer: compares them with those of an independent run, and checks their numbers.

use super::Faults;
use super::records::Record;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Changes of each customer in their order.
pub type ByCustomer = BTreeMap<String, Vec<Value>>;

/// Groups the records of the topic by customer.
pub fn by_customer(records: &[Record], faults: &mut Faults) -> ByCustomer {
    let mut customers = ByCustomer::new();
    for record in records {
        let change: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default()).unwrap_or(Value::Null);
        if change["customer_id"].as_str() != Some(&record.key_text()) {
            faults.add(format!("changes: {} is no change of its key's customer", record.location()));
            continue;
        }
        customers.entry(record.key_text()).or_default().push(change);
    }
    customers
}

/// Parses the changes that an independent run printed.
pub fn expected(lines: &[String]) -> Result<ByCustomer, String> {
    let mut customers = ByCustomer::new();
    for line in lines {
        let change: Value = serde_json::from_str(line).map_err(|error| format!("expected changes: {error}: {line}"))?;
        let customer = change["customer_id"].as_str().ok_or_else(|| format!("expected changes: {line}"))?.to_owned();
        customers.entry(customer).or_default().push(change);
    }
    Ok(customers)
}

/// Compares everything except fields that must differ. Returns the number of equal changes.
pub fn compare(found: &ByCustomer, expected: &ByCustomer, faults: &mut Faults) -> usize {
    let none = Vec::new();
    let customers: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let mut equal = 0;
    for customer in customers {
        let found = found.get(customer).unwrap_or(&none);
        let expected = expected.get(customer).unwrap_or(&none);
        if !compare_names(customer, found, expected, faults) {
            continue;
        }
        for (found, expected) in found.iter().zip(expected) {
            let (found, expected) = (comparable(found), comparable(expected));
            if found == expected {
                equal += 1;
            } else {
                faults.add(format!("changes: of {customer} is\n  {found}\nshould be\n  {expected}"));
            }
        }
    }
    equal
}

/// Whether both contain the same changes in the same order, identified by life and sequence.
fn compare_names(customer: &str, found: &[Value], expected: &[Value], faults: &mut Faults) -> bool {
    let names = |changes: &[Value]| changes.iter().map(name).collect::<Vec<_>>();
    let (found, expected) = (names(found), names(expected));
    if found == expected {
        return true;
    }
    let mut seen = BTreeSet::new();
    for name in &found {
        if !seen.insert(name) {
            faults.add(format!("changes: of {customer}, {} is repeated", describe(*name)));
        } else if !expected.contains(name) {
            faults.add(format!("changes: of {customer}, {} should not be there", describe(*name)));
        }
    }
    for missing in expected.iter().filter(|name| !found.contains(name)) {
        faults.add(format!("changes: of {customer}, {} is missing", describe(*missing)));
    }
    let in_order: Vec<_> = expected.iter().filter(|name| found.contains(name)).collect();
    let as_found: Vec<_> = found.iter().filter(|name| expected.contains(name)).collect();
    if in_order.len() == as_found.len() && in_order != as_found {
        faults.add(format!("changes: of {customer} are reordered"));
    }
    false
}

/// Life and sequence of a change.
fn name(change: &Value) -> (i64, i64) {
    (change["life"].as_i64().unwrap_or(-1), change["sequence"].as_i64().unwrap_or(-1))
}

fn describe((life, sequence): (i64, i64)) -> String {
    format!("change {sequence} of life {life}")
}

/// The change without the time of detection and the location of the trigger, which differ between a file and a topic.
fn comparable(change: &Value) -> Value {
    let mut change = change.clone();
    change.as_object_mut().map(|fields| fields.remove("detected_at"));
    if let Some(trigger) = change["trigger"].as_object_mut() {
        ["topic", "partition", "offset"].into_iter().for_each(|field| drop(trigger.remove(field)));
    }
    change
}

/// Whether the change ends the customer's life.
pub fn ends_life(change: &Value) -> bool {
    ["erase", "opt_out", "forgotten"].into_iter().any(|cause| change["cause"] == cause)
}

/// In each life, changes must be numbered from 1 without gaps, at times that never decrease; a new life may begin only
/// after the end of the previous one. Returns the number of correct changes.
pub fn check_sequences(customers: &ByCustomer, faults: &mut Faults) -> usize {
    let mut right = 0;
    for (customer, changes) in customers {
        let mut before: Option<&Value> = None;
        for change in changes {
            let (life, sequence) = name(change);
            let follows = match before {
                Some(last) if life == name(last).0 => {
                    // RFC 3339 texts of this format sort by time.
                    let moment = |change: &Value| change["effective_at"].as_str().unwrap_or_default().to_owned();
                    sequence == name(last).1 + 1 && moment(change) >= moment(last)
                }
                Some(last) => sequence == 1 && ends_life(last),
                None => sequence == 1,
            };
            if follows {
                right += 1;
            } else {
                let last = before.map_or_else(|| "nothing".into(), |last| describe(name(last)));
                faults.add(format!("changes: of {customer}, {} follows {last}", describe((life, sequence))));
            }
            before = Some(change);
        }
    }
    right
}
