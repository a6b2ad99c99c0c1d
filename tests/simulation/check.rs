//! The checker of outputs: reads the topics as a consumer of committed records does, and compares them with a run
//! without faults.
//!
//! It knows the format of the outputs and nothing of how they were made, with one exception: it reads journal records,
//! to verify that there is exactly one for each transaction.

use super::plan::{Memberships, Plan};
use super::tally::{self, Tally};
use serde_json::Value;
use shoal::kafka::memory::{Cluster, Stored};
use shoal::kafka::{Own, Topic};
use shoal::worker::journal::JournalRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is wrong, if anything.
pub type Verdict = Result<(), String>;

pub fn check(plan: &Plan, found: &Cluster, expected: &Cluster, tally: &mut Tally) -> Verdict {
    for shard in 0..plan.shards {
        check_numbers(found, shard, tally)?;
        check_offsets(plan, found, shard)?;
        let (changes, changes_expected) = (changes(found, shard)?, changes(expected, shard)?);
        compare("changes", &changes, &changes_expected)?;
        check_sequences(&changes)?;
        let memberships = memberships(found, shard)?;
        match plan.memberships {
            Memberships::Kept => {
                compare("membership", &memberships, &self::memberships(expected, shard)?)?;
                check_fold(&changes, &memberships)?;
            }
            Memberships::LeftOut => {
                compare("tombstones", &memberships, &self::memberships(expected, shard)?)?;
                check_tombstones(&changes, &memberships, true)?;
            }
            // When the last membership was published depends on the faults.
            Memberships::UntilSecondRules => check_tombstones(&changes, &memberships, false)?,
        }
        compare("rejected", &rejected(found, shard)?, &rejected(expected, shard)?)?;
    }
    Ok(())
}

pub fn own(cluster: &Cluster, own: Own, shard: u32) -> Vec<Arc<Stored>> {
    cluster.records(Topic::Own(own), shard)
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or("<nothing>".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn header(stored: &Stored, name: &str) -> Option<String> {
    let found = stored.headers.iter().find(|(header, _)| header == name);
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// What must hold at every moment, also before the world ends: the journals are contiguous, without repetitions.
pub fn check_journals(plan: &Plan, found: &Cluster) -> Verdict {
    (0..plan.shards).try_for_each(|shard| journal(found, shard).map(|_| ()))
}

/// Journal records by their numbers, and the number of all their outputs.
fn journal(cluster: &Cluster, shard: u32) -> Result<(BTreeMap<u64, Arc<Stored>>, u64), String> {
    let mut outputs = 0;
    let mut journal = BTreeMap::new();
    for (expected, stored) in (1..).zip(own(cluster, Own::Journal, shard)) {
        let record = JournalRecord::read(stored.value.as_deref().unwrap_or_default())
            .map_err(|unreadable| format!("journal of shard {shard}: {unreadable}"))?;
        let (number, before) = (record.transaction, record.outputs_before);
        if (record.shard, number, before) != (shard, expected, outputs) {
            return Err(format!(
                "journal of shard {shard}: transaction {number} after {before} outputs, expected {expected} after {outputs}"
            ));
        }
        outputs += record.outputs;
        journal.insert(number, stored);
    }
    Ok((journal, outputs))
}

/// The journal is contiguous, and its outputs are there, each number once.
fn check_numbers(cluster: &Cluster, shard: u32, tally: &mut Tally) -> Verdict {
    let (journal, outputs) = journal(cluster, shard)?;
    let mut numbers = Vec::new();
    for topic in [Own::Changes, Own::Membership, Own::Rejected, Own::Census] {
        for stored in own(cluster, topic, shard) {
            let out = header(&stored, "shoal_out").ok_or(format!("an output on {topic:?} without a number"))?;
            let parts: Vec<u64> = out.split('/').filter_map(|part| part.parse().ok()).collect();
            let [of_shard, transaction, number] = parts[..] else { return Err(format!("shoal_out is {out:?}")) };
            let Some(record) = journal.get(&transaction).filter(|_| of_shard == u64::from(shard)) else {
                return Err(format!("{topic:?} of shard {shard} has output {out}, which is not in the journal"));
            };
            // Written by different holders: the transaction was torn and repaired.
            if record.writer != stored.writer {
                let is_orphan = record.timestamp > stored.timestamp;
                tally.count(if is_orphan { tally::ORPHAN_OUTPUT } else { tally::MISSING_OUTPUT });
            }
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    if numbers.iter().copied().eq(1..=outputs) {
        return Ok(());
    }
    Err(format!("outputs of shard {shard} are numbered {numbers:?}, expected 1 to {outputs}"))
}

/// The group's offset of each input is behind the last record.
fn check_offsets(plan: &Plan, cluster: &Cluster, shard: u32) -> Verdict {
    for topic in 0..plan.inputs {
        let end = cluster.end(Topic::Input(topic), shard);
        let last = cluster.records(Topic::Input(topic), shard).last().map_or(0, |stored| stored.offset + 1);
        let offset = cluster.committed(topic, shard);
        if !offset.is_some_and(|offset| (last..=end).contains(&offset)) {
            return Err(format!("offset of topic {topic}, partition {shard}: {offset:?}, expected {last} to {end}"));
        }
    }
    Ok(())
}

type ByKey = BTreeMap<String, Vec<Value>>;

/// Changes of each customer in order, without `detected_at`, which is not guaranteed (R8).
fn changes(cluster: &Cluster, shard: u32) -> Result<ByKey, String> {
    let mut by_key = ByKey::new();
    for stored in own(cluster, Own::Changes, shard) {
        let mut change = json(&stored)?;
        change.as_object_mut().map(|fields| fields.remove("detected_at"));
        by_key.entry(text(stored.key.as_deref())).or_default().push(change);
    }
    Ok(by_key)
}

/// The last membership of each customer: the topic is compacted.
fn memberships(cluster: &Cluster, shard: u32) -> Result<ByKey, String> {
    let mut by_key = ByKey::new();
    for stored in own(cluster, Own::Membership, shard) {
        let value = if stored.value.is_some() { json(&stored)? } else { Value::Null };
        by_key.insert(text(stored.key.as_deref()), vec![value]);
    }
    Ok(by_key)
}

/// Rejected records by topic, partition and offset of the input.
fn rejected(cluster: &Cluster, shard: u32) -> Result<ByKey, String> {
    let mut by_origin = ByKey::new();
    for stored in own(cluster, Own::Rejected, shard) {
        let mut value = json(&stored)?;
        value.as_object_mut().map(|fields| fields.remove("detected_at"));
        let origin = format!("{}/{}/{}", value["topic"], value["partition"], value["offset"]);
        by_origin.entry(origin).or_default().push(value);
    }
    Ok(by_origin)
}

pub fn json(stored: &Stored) -> Result<Value, String> {
    serde_json::from_slice(stored.value.as_deref().unwrap_or_default()).map_err(|error| format!("not JSON: {error}"))
}

fn compare(what: &str, found: &ByKey, expected: &ByKey) -> Verdict {
    let keys: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    for key in keys {
        let (found, expected) = (found.get(key), expected.get(key));
        if found == expected {
            continue;
        }
        let none = Vec::new();
        let (found, expected) = (found.unwrap_or(&none), expected.unwrap_or(&none));
        let index = (0..).find(|&index: &usize| found.get(index) != expected.get(index)).unwrap_or_default();
        let text = |values: &[Value]| values.get(index).map_or("nothing".into(), Value::to_string);
        return Err(format!(
            "{what} of {key}, number {index}:\n  found    {}\n  expected {}\n  {} found, {} expected",
            text(found),
            text(expected),
            found.len(),
            expected.len()
        ));
    }
    Ok(())
}

/// A customer's changes are numbered from 1 in each of its lives.
fn check_sequences(changes: &ByKey) -> Verdict {
    for (key, changes) in changes {
        let mut last = (0, 0);
        for change in changes {
            let (life, sequence) = (change["life"].as_i64().unwrap_or(-1), change["sequence"].as_i64().unwrap_or(-1));
            let expected = if life == last.0 { last.1 + 1 } else { 1 };
            if sequence != expected || life < last.0 {
                return Err(format!("{key}: sequence {sequence} of life {life} after {last:?}"));
            }
            last = (life, sequence);
        }
    }
    Ok(())
}

/// A customer that left has a tombstone, also where the others are left out.
fn check_tombstones(changes: &ByKey, memberships: &ByKey, are_all: bool) -> Verdict {
    let is_tombstone = |key: &String| memberships.get(key).is_some_and(|values| values == &[Value::Null]);
    for (key, changes) in changes {
        let cause = changes.last().expect("a change")["cause"].as_str();
        if matches!(cause, Some("erase" | "opt_out" | "forgotten")) && !is_tombstone(key) {
            return Err(format!("{key} left by {cause:?}, and has the membership {:?}", memberships.get(key)));
        }
    }
    match memberships.keys().find(|key| are_all && !is_tombstone(key)) {
        Some(key) => Err(format!("{key} has the membership {:?}, and all are left out", memberships.get(key))),
        None => Ok(()),
    }
}

/// The membership of a customer is the sum of its changes.
fn check_fold(changes: &ByKey, memberships: &ByKey) -> Verdict {
    for (key, changes) in changes {
        let mut values: BTreeMap<&str, (&Value, &Value)> = BTreeMap::new();
        let life = &changes.last().expect("a change")["life"];
        for change in changes.iter().filter(|change| change["life"] == *life) {
            let name = change["segmentation"].as_str().unwrap_or_default();
            values.insert(name, (&change["to"], &change["effective_at"]));
        }
        let membership = memberships.get(key).and_then(|values| values.last()).unwrap_or(&Value::Null);
        let is_gone = values.values().all(|(to, _)| to.is_null() || to.as_str() == Some("out"));
        if membership.is_null() {
            if !is_gone {
                return Err(format!("{key} has no membership, and holds {values:?}"));
            }
            continue;
        }
        for (name, (to, since)) in values {
            let (value, held_since) = match &membership["audiences"][name] {
                Value::Null => (membership["segments"][name]["value"].clone(), &membership["segments"][name]["since"]),
                audience => {
                    let value = if audience["in"].as_bool() == Some(true) { "in" } else { "out" };
                    (Value::from(value), &audience["since"])
                }
            };
            let is_removed = value.is_null() && (to.is_null() || to.as_str() == Some("out"));
            if !is_removed && (value != *to || held_since != since) {
                return Err(format!("{key}, {name}: changes end with {to} since {since}, membership is {membership}"));
            }
        }
        if membership["sequence"] != changes.last().expect("a change")["sequence"] {
            return Err(format!("{key}: membership has sequence {}", membership["sequence"]));
        }
    }
    Ok(())
}
