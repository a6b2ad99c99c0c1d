//! Checks the numbers of outputs and the rejected records: each must exist exactly once.

use super::Faults;
use super::journal::Transactions;
use super::records::Record;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The header `shoal_out` is shard/transaction/number. Numbers go from 1 to the last one in the journal, and belong to
/// the transaction that the journal states. The first output of a shard and transaction on each topic carries a copy of
/// the journal record. Returns the number of outputs.
pub fn check_numbers(topics: &[&[Record]], transactions: &Transactions, faults: &mut Faults) -> usize {
    let mut seen: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for topic in topics {
        let mut met = BTreeSet::new();
        for record in *topic {
            let Some([shard, transaction, number]) = numbers(record) else {
                faults.add(format!("outputs: {} has no usable header shoal_out", record.location()));
                continue;
            };
            if shard != record.partition as u64 {
                faults.add(format!("outputs: {} has the number of an output of shard {shard}", record.location()));
            }
            if !seen.entry(shard).or_default().insert(number) {
                faults.add(format!("outputs: {} repeats output {number} of shard {shard}", record.location()));
            }
            let Some(journalled) = transactions.get(shard, transaction) else {
                let location = record.location();
                faults.add(format!(
                    "outputs: {location}: transaction {transaction} of shard {shard} is not in the journal"
                ));
                continue;
            };
            let first = journalled.outputs_before + 1;
            if !(first..first + journalled.outputs).contains(&number) {
                let location = record.location();
                faults.add(format!("outputs: {location}: number {number} is not of transaction {transaction}"));
            }
            let is_first = met.insert((shard, transaction));
            if is_first && record.header("shoal_journal") != Some(&journalled.bytes[..]) {
                faults.add(format!("outputs: {}: the copy of the journal record is not the record", record.location()));
            }
        }
    }
    for (shard, last) in transactions.last_outputs() {
        let numbers = seen.remove(&shard).unwrap_or_default();
        for missing in (1..=last).filter(|number| !numbers.contains(number)) {
            faults.add(format!("outputs: number {missing} of shard {shard} is missing, the journal goes to {last}"));
        }
    }
    topics.iter().map(|topic| topic.len()).sum()
}

fn numbers(record: &Record) -> Option<[u64; 3]> {
    let text = std::str::from_utf8(record.header("shoal_out")?).ok()?;
    let numbers: Vec<u64> = text.split('/').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Topic, partition and offset of an input record.
type RecordLocation = (String, u64, u64);

/// Each invalid record must be rejected exactly once, with the right reason. Returns the number of rejected records.
pub fn compare_rejected(rejected: &[Record], expected: &[String], faults: &mut Faults) -> Result<usize, String> {
    let mut wanted = BTreeMap::new();
    for line in expected {
        let value: Value = serde_json::from_str(line).map_err(|error| format!("expected rejects: {error}: {line}"))?;
        let (location, reason) = location_and_reason(&value).ok_or_else(|| format!("expected rejects: {line}"))?;
        wanted.insert(location, reason);
    }
    let mut seen: BTreeSet<RecordLocation> = BTreeSet::new();
    for record in rejected {
        let value = serde_json::from_slice(record.value.as_deref().unwrap_or_default()).unwrap_or(Value::Null);
        let Some((location, reason)) = location_and_reason(&value) else {
            faults.add(format!("rejected: {} cannot be read", record.location()));
            continue;
        };
        let (topic, partition, offset) = &location;
        let what = format!("rejected: {topic}[{partition}] at {offset}");
        match wanted.get(&location) {
            None => faults.add(format!("{what} is rejected as {reason} and should not be")),
            Some(wanted) if *wanted != reason => faults.add(format!("{what} is rejected as {reason}, not as {wanted}")),
            Some(_) if seen.contains(&location) => faults.add(format!("{what} is repeated")),
            Some(_) => {}
        }
        seen.insert(location);
    }
    for (topic, partition, offset) in wanted.keys().filter(|location| !seen.contains(location)) {
        faults.add(format!("rejected: {topic}[{partition}] at {offset} is missing"));
    }
    Ok(rejected.len())
}

fn location_and_reason(value: &Value) -> Option<(RecordLocation, String)> {
    let topic = value["topic"].as_str()?.to_owned();
    Some(((topic, value["partition"].as_u64()?, value["offset"].as_u64()?), value["reason"].as_str()?.to_owned()))
}
