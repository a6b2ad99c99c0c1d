//! The shape of what shards tell on the topic `census`, version 1, written and read.
//!
//! Each key comes again after a while, so the topic stays short once it is compacted: minutes for two days, which is a
//! window of a day and how far shards may be apart; hours for a week and the one that goes on.

use crate::engine::calendar::rfc3339_text;
use crate::engine::effects::report::{Flow, InForce, Report};
use crate::engine::event::MINUTE;
use crate::engine::rule::alert::CAUSES;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Reports of one shard that have keys of their own.
const MINUTES: i64 = 2_880;
const HOURS: i64 = 169;
const SCHEMA: u32 = 1;

/// One record to publish.
pub struct CensusRecord {
    pub key: String,
    pub value: Vec<u8>,
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Told {
    Minutes(ToldMinutes),
    Hour(ToldHour),
}

/// What was counted in the minutes before `mark` and since the report before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldMinutes {
    pub schema: u32,
    pub shard: u32,
    /// Minutes since 1970.
    pub mark: i64,
    /// The same for people.
    pub at: String,
    pub rules_version: String,
    /// Alerts that were in force all the time, with what they mean.
    pub alerts: BTreeMap<String, String>,
    pub minutes: Vec<ToldMinute>,
    /// Changes for which there was no room.
    pub uncounted: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldMinute {
    pub minute: i64,
    pub flows: Vec<ToldFlow>,
}

/// What was counted in one whole hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldHour {
    pub schema: u32,
    pub shard: u32,
    /// Hours since 1970.
    pub hour: i64,
    pub alerts: BTreeMap<String, String>,
    pub flows: Vec<ToldFlow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldFlow {
    pub segmentation: String,
    pub from: Option<String>,
    pub to: String,
    /// Number of changes by cause.
    pub causes: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub customers: Vec<String>,
}

/// The records of a report.
pub fn records(shard: u32, report: &Report) -> Vec<CensusRecord> {
    let minute = |minute: &crate::engine::effects::report::Minute| ToldMinute {
        minute: minute.number,
        flows: minute.flows.iter().map(told_flow).collect(),
    };
    let minutes = ToldMinutes {
        schema: SCHEMA,
        shard,
        mark: report.mark,
        at: moment_of(report.mark),
        rules_version: report.rules_version.clone(),
        alerts: told_alerts(&report.alerts),
        minutes: report.minutes.iter().map(minute).collect(),
        uncounted: report.lost,
    };
    let mut records = vec![record(format!("{shard}/{}", report.mark.rem_euclid(MINUTES)), &Told::Minutes(minutes))];
    records.extend(report.hour.as_ref().map(|hour| {
        let told = ToldHour {
            schema: SCHEMA,
            shard,
            hour: hour.number,
            alerts: told_alerts(&hour.alerts),
            flows: hour.flows.iter().map(told_flow).collect(),
        };
        record(format!("{shard}/hour/{}", hour.number.rem_euclid(HOURS)), &Told::Hour(told))
    }));
    records
}

/// A mark as RFC 3339 text.
pub fn moment_of(mark: i64) -> String {
    String::from_utf8_lossy(&rfc3339_text(mark * MINUTE)).into_owned()
}

/// What an alert means, as records name it.
pub fn definition_text(definition: u64) -> String {
    format!("{definition:016x}")
}

fn record(key: String, told: &Told) -> CensusRecord {
    CensusRecord { key, value: serde_json::to_vec(told).expect("plain data") }
}

fn told_alerts(alerts: &[InForce]) -> BTreeMap<String, String> {
    alerts.iter().map(|alert| (alert.name.clone(), definition_text(alert.definition))).collect()
}

fn told_flow(flow: &Flow) -> ToldFlow {
    let counted = CAUSES.iter().zip(flow.causes).filter(|(_, count)| *count > 0);
    ToldFlow {
        segmentation: flow.way.segmentation.to_string(),
        from: flow.way.from.as_ref().map(ToString::to_string),
        to: flow.way.to.to_string(),
        causes: counted.map(|(cause, count)| ((*cause).to_owned(), count)).collect(),
        customers: flow.customers.iter().map(ToString::to_string).collect(),
    }
}
