//! The contents of Shoal's topics as consumers see them, without what may differ between two runs, for comparison.

use std::collections::BTreeMap;

/// Values of each key, in order.
pub type ByKey = BTreeMap<Vec<u8>, Vec<String>>;

/// The three topics that consumers read.
#[derive(Debug, PartialEq)]
pub struct Views {
    pub changes: ByKey,
    /// Only the last value of each key: the topic is compacted.
    pub membership: ByKey,
    pub rejected: ByKey,
}

/// Key and value of records in order.
pub type Record<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

impl Views {
    pub fn new<'a>(
        changes: impl Iterator<Item = Record<'a>>,
        membership: impl Iterator<Item = Record<'a>>,
        rejected: impl Iterator<Item = Record<'a>>,
    ) -> Self {
        let mut membership = by_key(membership);
        membership.values_mut().for_each(|values| values.drain(..values.len() - 1).for_each(drop));
        Self { changes: by_key(changes), membership, rejected: by_key(rejected) }
    }

    /// Compares customer by customer, so that a difference is short.
    pub fn assert_same(&self, expected: &Self, what: &str) {
        for (topic, found, expected) in [
            ("changes", &self.changes, &expected.changes),
            ("membership", &self.membership, &expected.membership),
            ("rejected", &self.rejected, &expected.rejected),
        ] {
            let keys =
                |view: &ByKey| view.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect::<Vec<_>>();
            assert_eq!(keys(found), keys(expected), "{what}: keys in {topic}");
            for (key, values) in expected {
                let key_text = String::from_utf8_lossy(key);
                let found = &found[key];
                for (index, (value, expected)) in found.iter().zip(values).enumerate() {
                    assert_eq!(value, expected, "{what}: {topic} of {key_text}, number {index}");
                }
                assert_eq!(found.len(), values.len(), "{what}: number of {topic} of {key_text}");
            }
        }
    }
}

fn by_key<'a>(records: impl Iterator<Item = Record<'a>>) -> ByKey {
    let mut by_key = ByKey::new();
    for (key, value) in records {
        let value = value.map_or("<tombstone>".into(), String::from_utf8_lossy);
        by_key.entry(key.unwrap_or_default().to_vec()).or_default().push(without_detected_at(&value));
    }
    by_key
}

/// The moment of detection is not part of the contract (R8).
fn without_detected_at(value: &str) -> String {
    match value.split_once("\"detected_at\":\"") {
        Some((before, after)) => format!("{before}{}", after.split_once('"').expect("a closing quote").1),
        None => value.to_owned(),
    }
}
