//! The records of the topic `census`, version 1: the counts for alerts that shards report.
//!
//! Keys are used again after a while, so the compacted topic stays short: those of minutes after two days, which is the
//! longest window and how far shards may be apart; those of hours after a week and the current hour.

use crate::engine::calendar::rfc3339_text;
use crate::engine::effects::report::{Flow, InForce, Report};
use crate::engine::event::MINUTE;
use crate::engine::rule::alert::CAUSES;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Number of different keys of a shard.
const MINUTES: i64 = 2_880;
const HOURS: i64 = 169;
const SCHEMA: u32 = 1;

/// An encoded record.
pub struct EncodedRecord {
    pub key: String,
    pub value: Vec<u8>,
}

/// The value of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CensusRecord {
    Minutes(MinutesRecord),
    Hour(HourRecord),
}

/// The counts of the minutes before `mark` and since the previous record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinutesRecord {
    pub schema: u32,
    pub shard: u32,
    /// Minutes since 1970.
    pub mark: i64,
    /// `mark` as RFC 3339 text.
    pub at: String,
    pub rules_version: String,
    /// Alerts that were in force all the time, with hashes of their definitions.
    pub alerts: BTreeMap<String, String>,
    pub minutes: Vec<MinuteFlows>,
    /// Changes that were not counted, because the bound on flows was reached.
    pub uncounted: u64,
}

/// The counts of one minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinuteFlows {
    pub minute: i64,
    pub flows: Vec<FlowCount>,
}

/// The counts of one whole hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HourRecord {
    pub schema: u32,
    pub shard: u32,
    /// Hours since 1970.
    pub hour: i64,
    pub alerts: BTreeMap<String, String>,
    pub flows: Vec<FlowCount>,
}

/// The changes of one flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowCount {
    pub segmentation: String,
    pub from: Option<String>,
    pub to: String,
    /// Changes by cause.
    pub causes: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub customers: Vec<String>,
}

/// The records of a report.
pub fn records(shard: u32, report: &Report) -> Vec<EncodedRecord> {
    let minute = |minute: &crate::engine::effects::report::Minute| MinuteFlows {
        minute: minute.number,
        flows: minute.flows.iter().map(flow_count).collect(),
    };
    let minutes = MinutesRecord {
        schema: SCHEMA,
        shard,
        mark: report.mark,
        at: moment_of(report.mark),
        rules_version: report.rules_version.clone(),
        alerts: definitions(&report.alerts),
        minutes: report.minutes.iter().map(minute).collect(),
        uncounted: report.lost,
    };
    let mut records =
        vec![record(format!("{shard}/{}", report.mark.rem_euclid(MINUTES)), &CensusRecord::Minutes(minutes))];
    records.extend(report.hour.as_ref().map(|hour| {
        let hour_record = HourRecord {
            schema: SCHEMA,
            shard,
            hour: hour.number,
            alerts: definitions(&hour.alerts),
            flows: hour.flows.iter().map(flow_count).collect(),
        };
        record(format!("{shard}/hour/{}", hour.number.rem_euclid(HOURS)), &CensusRecord::Hour(hour_record))
    }));
    records
}

/// A mark as RFC 3339 text.
pub fn moment_of(mark: i64) -> String {
    String::from_utf8_lossy(&rfc3339_text(mark * MINUTE)).into_owned()
}

/// The hash of an alert's definition, as text.
pub fn definition_text(definition: u64) -> String {
    format!("{definition:016x}")
}

fn record(key: String, census: &CensusRecord) -> EncodedRecord {
    EncodedRecord { key, value: serde_json::to_vec(census).expect("a census record is plain data") }
}

fn definitions(alerts: &[InForce]) -> BTreeMap<String, String> {
    alerts.iter().map(|alert| (alert.name.clone(), definition_text(alert.definition))).collect()
}

fn flow_count(flow: &Flow) -> FlowCount {
    let counted = CAUSES.iter().zip(flow.causes).filter(|(_, count)| *count > 0);
    FlowCount {
        segmentation: flow.key.segmentation.to_string(),
        from: flow.key.from.as_ref().map(ToString::to_string),
        to: flow.key.to.to_string(),
        causes: counted.map(|(cause, count)| ((*cause).to_owned(), count)).collect(),
        customers: flow.customers.iter().map(ToString::to_string).collect(),
    }
}
