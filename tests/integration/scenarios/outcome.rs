//! The results of playing a scenario, as a consumer of the topics reads them, and invariants of every scenario.

use super::answer::{Answer, ChangeWriter, member};
use super::script::Scenario;
use serde_json::Value;
use shoal::engine::effects::Counts;
use shoal::engine::event::DescriptiveField;
use shoal::engine::rule::Rules;
use shoal::worker::transaction::outbox::Topic;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default)]
pub struct Outcome {
    /// Values of the change topic, in order for each customer.
    pub changes: Vec<Value>,
    /// The membership topic compacted: the latest value by key, `None` for a tombstone.
    pub members: BTreeMap<String, Option<Value>>,
    /// Partition, offset and reason of rejected records.
    pub rejected: Vec<(u64, i64, String)>,
    pub counts: Counts,
}

impl Outcome {
    pub fn add(&mut self, topic: Topic, key: &[u8], value: Option<&[u8]>) {
        let json = value.map(|value| serde_json::from_slice::<Value>(value).expect("outputs are JSON"));
        let key = String::from_utf8_lossy(key).into_owned();
        match (topic, json) {
            (Topic::Changes, Some(change)) => {
                assert_eq!(change["customer_id"].as_str(), Some(key.as_str()), "the key is the customer's id");
                self.changes.push(change);
            }
            (Topic::Membership, value) => {
                self.members.insert(key, value);
            }
            (Topic::Rejected, Some(rejected)) => {
                let number = |name: &str| rejected[name].as_i64().expect("a number");
                let reason = rejected["reason"].as_str().expect("text").to_owned();
                self.rejected.push((number("partition") as u64, number("offset"), reason));
            }
            (Topic::Census, Some(_)) => {}
            (topic, None) => panic!("a tombstone on {topic:?}"),
        }
    }

    /// Converts the results into the format of scenario files. `number` returns the record at an offset of a partition,
    /// `rules` are those that were played.
    pub fn answer(&self, scenario: &Scenario, rules: &[Arc<Rules>], number: &dyn Fn(u64, i64) -> usize) -> Answer {
        if scenario.publish_from.is_none() {
            check_membership(self);
        }
        let names = scenario.rules.iter().map(|(name, _)| name.clone());
        let versions: Vec<_> = names.zip(rules.iter().map(|rules| rules.version.clone())).collect();
        let times = &scenario.times;
        let mut writer = ChangeWriter { times, number, rules: &versions, lives: BTreeMap::new() };
        let mut answer = Answer::default();
        for change in &self.changes {
            let (customer, block) = writer.block(change);
            answer.changes.entry(customer).or_default().push(block);
        }
        let rejected = self.rejected.iter();
        answer.rejected = rejected.map(|(index, offset, reason)| (number(*index, *offset), reason.clone())).collect();
        let members = self.members.iter().map(|(key, value)| (key.clone(), member(value.as_ref(), times)));
        answer.membership = Some(members.collect());
        answer.counts = Some(self.named_counts());
        answer
    }

    /// Counts of dropped and late events, by kind, and of accepted events by the fields that were not wholly used (E5);
    /// zeros are omitted.
    fn named_counts(&self) -> BTreeMap<String, u64> {
        let counts = &self.counts;
        let named = [
            ("late", counts.late),
            ("duplicate", counts.duplicates),
            ("duplicate_order", counts.duplicate_orders),
            ("erased", counts.erased),
            ("opted_out", counts.opted_out),
            ("forgotten", counts.forgotten),
        ];
        let fields = DescriptiveField::ALL.into_iter().flat_map(|(field, name)| {
            [("left_out", counts.left_out[field as usize]), ("cut", counts.cut[field as usize])]
                .map(|(treatment, count)| (format!("{name}_{treatment}"), count))
        });
        let named = named.into_iter().map(|(name, count)| (name.to_owned(), count));
        named.chain(fields).filter(|(_, count)| *count > 0).collect()
    }
}

/// Sequences have no gap, `effective_at` never decreases, each change begins where the one before ended, and what the
/// membership topic holds is what the changes add up to (R4, R8, R12).
fn check_membership(outcome: &Outcome) {
    let mut known: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for change in &outcome.changes {
        let customer = change["customer_id"].as_str().expect("text");
        let earlier = known.entry(customer).or_default();
        if earlier.first().is_some_and(|first| first["life"] != change["life"]) {
            earlier.clear();
        }
        assert_eq!(change["sequence"].as_u64(), Some(earlier.len() as u64 + 1), "sequence: {change}");
        if let Some(last) = earlier.last() {
            assert!(last["effective_at"].as_str() <= change["effective_at"].as_str(), "effective_at falls: {change}");
        }
        let same = earlier.iter().rev().find(|before| before["segmentation"] == change["segmentation"]);
        if let Some(before) = same {
            assert_eq!(before["to"], change["from"], "does not begin where the one before ended: {change}");
        }
        earlier.push(change);
    }
    for (customer, changes) in &known {
        let last = changes.last().expect("not empty");
        let Some(value) = &outcome.members[*customer] else {
            let cause = last["cause"].as_str().expect("text");
            assert!(["erase", "opt_out", "forgotten"].contains(&cause), "{customer} has a tombstone after {last}");
            continue;
        };
        for field in ["life", "sequence", "effective_at", "rules_version"] {
            assert_eq!(value[field], last[field], "membership of {customer}: {field}");
        }
        for change in changes {
            let target = change["segmentation"].as_str().expect("text");
            let latest = changes.iter().rev().find(|change| change["segmentation"] == target).expect("it is there");
            let (value, wanted) = match (&value["segments"][target], &value["audiences"][target]) {
                (Value::Null, Value::Null) => continue,
                (Value::Null, audience) => (audience, Value::Bool(latest["to"] == "in")),
                (segment, _) => (segment, latest["to"].clone()),
            };
            let held = value.get("value").or(value.get("in"));
            assert_eq!(held, Some(&wanted), "membership of {customer}: {target}");
            assert_eq!(value["since"], latest["effective_at"], "membership of {customer}: {target}");
        }
    }
}
