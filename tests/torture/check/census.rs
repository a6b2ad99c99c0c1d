//! Checks the census: as docs/alerts.md defines, each shard reports whole minutes in order, and after a rebuild its
//! last minute again. All events of the storm are old, and old events count for no alert: so nothing may be counted.

use super::Faults;
use super::records::Record;
use serde_json::Value;
use std::collections::BTreeMap;

/// Number of keys of the reports of a shard.
const MINUTES_OF_KEYS: i64 = 2_880;

/// Checks all reports. Returns their number.
pub fn check(census: &[Record], faults: &mut Faults) -> usize {
    let (mut reports, mut marks) = (0, BTreeMap::new());
    for record in census {
        let report: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default()).unwrap_or(Value::Null);
        let location = record.location();
        if report["hour"].is_i64() {
            expect_nothing(&report["flows"], &location, faults);
            continue;
        }
        let Some(mark) = report["mark"].as_i64() else {
            faults.add(format!("census: {location} is a report neither of minutes nor of an hour"));
            continue;
        };
        reports += 1;
        let before = marks.insert(record.partition, mark).unwrap_or(i64::MIN);
        if mark < before {
            faults.add(format!("census: {location} is of mark {mark} after {before}"));
        }
        let key = format!("{}/{}", record.partition, mark.rem_euclid(MINUTES_OF_KEYS));
        if record.key_text() != key || report["shard"] != record.partition {
            faults.add(format!("census: {location} has the key {}, not {key}: {report}", record.key_text()));
        }
        expect_nothing(&report["minutes"], &location, faults);
    }
    reports
}

fn expect_nothing(counted: &Value, location: &str, faults: &mut Faults) {
    if counted.as_array().is_none_or(|counted| !counted.is_empty()) {
        faults.add(format!("census: {location} counts history: {counted}"));
    }
}
