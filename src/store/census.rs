//! The census of a shard, counted for alerts, as a manifest stores it. The stored types are separate from the engine's,
//! so that the engine can change without changing the format.

use crate::engine::effects::report::{Flow, FlowKey, Hour, InForce, Minute};
use crate::engine::rule::alert::CAUSES;
use crate::engine::shard::Census;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredCensus {
    /// Minutes before this one, counted from 1970, have been reported.
    pub reported: Option<i64>,
    pub alerts: Vec<StoredAlert>,
    pub minutes: Vec<StoredFlows>,
    pub lost: u64,
    /// The current hour.
    pub hour: StoredFlows,
    pub hour_alerts: Vec<StoredAlert>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredAlert {
    pub name: String,
    /// In hexadecimal, since some readers of JSON lack 64-bit integers.
    pub definition: String,
}

/// The flows of a minute or hour, counted from 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFlows {
    pub number: i64,
    pub flows: Vec<StoredFlow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFlow {
    pub segmentation: String,
    pub from: Option<String>,
    pub to: String,
    pub event: u64,
    pub time: u64,
    pub late: u64,
    pub customers: Vec<String>,
}

impl StoredCensus {
    /// `None` if nothing was ever counted.
    pub fn of(census: &Census) -> Option<Self> {
        (*census != Census::default()).then(|| Self {
            reported: census.reported,
            alerts: alerts_of(&census.alerts),
            minutes: census.minutes.iter().map(|minute| flows_of(minute.number, &minute.flows)).collect(),
            lost: census.lost,
            hour: flows_of(census.hour.number, &census.hour.flows),
            hour_alerts: alerts_of(&census.hour.alerts),
        })
    }

    pub fn census(&self) -> Result<Census, String> {
        let minute = |stored: &StoredFlows| Minute { number: stored.number, flows: flows(&stored.flows) };
        Ok(Census {
            reported: self.reported,
            alerts: alerts(&self.alerts)?,
            minutes: self.minutes.iter().map(minute).collect(),
            lost: self.lost,
            hour: Hour { number: self.hour.number, alerts: alerts(&self.hour_alerts)?, flows: flows(&self.hour.flows) },
        })
    }
}

fn alerts_of(alerts: &[InForce]) -> Vec<StoredAlert> {
    let of =
        |alert: &InForce| StoredAlert { name: alert.name.clone(), definition: format!("{:016x}", alert.definition) };
    alerts.iter().map(of).collect()
}

fn alerts(stored: &[StoredAlert]) -> Result<Vec<InForce>, String> {
    let of = |stored: &StoredAlert| {
        let definition = u64::from_str_radix(&stored.definition, 16);
        let definition =
            definition.map_err(|_| format!("expected a definition in hexadecimal, found {:?}", stored.definition))?;
        Ok(InForce { name: stored.name.clone(), definition })
    };
    stored.iter().map(of).collect()
}

fn flows_of(number: i64, flows: &[Flow]) -> StoredFlows {
    let of = |flow: &Flow| {
        let [event, time, late] = flow.causes;
        StoredFlow {
            segmentation: flow.key.segmentation.to_string(),
            from: flow.key.from.as_ref().map(ToString::to_string),
            to: flow.key.to.to_string(),
            event,
            time,
            late,
            customers: flow.customers.iter().map(ToString::to_string).collect(),
        }
    };
    StoredFlows { number, flows: flows.iter().map(of).collect() }
}

fn flows(stored: &[StoredFlow]) -> Vec<Flow> {
    let of = |stored: &StoredFlow| {
        let key = FlowKey {
            segmentation: stored.segmentation.as_str().into(),
            from: stored.from.as_deref().map(Into::into),
            to: stored.to.as_str().into(),
        };
        let causes: [u64; CAUSES.len()] = [stored.event, stored.time, stored.late];
        let customers = stored.customers.iter().map(|id| id.as_str().into()).collect();
        Flow { key, causes, customers }
    };
    stored.iter().map(of).collect()
}
