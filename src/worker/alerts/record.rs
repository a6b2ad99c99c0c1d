//! The record of the topic `alerts`, version 1: an alert begins to fire, or is resolved.

use crate::engine::rule::Rules;
use crate::engine::rule::alert::CAUSES;
use crate::worker::transaction::census::moment_of;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const SCHEMA: u32 = 1;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    Firing,
    #[default]
    Resolved,
}

impl AlertState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// The value of a record; its key is the alert's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    pub schema: u32,
    pub alert: String,
    pub state: AlertState,
    /// Name of the segmentation or audience.
    pub segmentation: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub direction: Option<String>,
    /// Changes counted in the window that ends at `at`.
    pub count: u64,
    /// The alert fires if the count is above this.
    pub above: u64,
    /// The mean count of such a window over the last seven days; null until a day of them is known.
    pub baseline: Option<f64>,
    pub window: String,
    /// Of a firing alert, since when the count is above the bound; of a resolved one, since when it fired.
    pub since: String,
    /// When the state changed: a whole minute of the shards' watermarks.
    pub at: String,
    /// Changes by cause.
    pub causes: BTreeMap<String, u64>,
    /// Some of the customers that were counted, as many as the alert allows.
    pub customers: Vec<String>,
    pub rules_version: String,
    /// `at` in minutes since 1970.
    pub mark: i64,
    /// A hash of the alert's definition; with another definition it is another alert.
    pub definition: String,
}

impl AlertRecord {
    /// Identifies the record, however often it is sent.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.alert, self.mark, self.state.name())
    }

    /// The record that resolves this alert because new rules do not have it, or have another alert of this name.
    pub fn resolved_by_rules(&self, rules: &Rules, mark: i64) -> Self {
        let mark = mark.max(self.mark);
        Self {
            state: AlertState::Resolved,
            count: 0,
            baseline: None,
            since: self.at.clone(),
            at: moment_of(mark),
            causes: by_name([0; CAUSES.len()]),
            customers: Vec::new(),
            rules_version: rules.version.clone(),
            mark,
            ..self.clone()
        }
    }
}

/// Counts by the name of their cause.
pub fn by_name(causes: [u64; CAUSES.len()]) -> BTreeMap<String, u64> {
    CAUSES.iter().zip(causes).map(|(cause, count)| ((*cause).to_owned(), count)).collect()
}
