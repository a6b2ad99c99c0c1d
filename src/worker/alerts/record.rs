//! The shape of what is published on the topic `alerts`, version 1: that an alert fires, or that it is resolved.

use crate::engine::rule::Rules;
use crate::engine::rule::alert::CAUSES;
use crate::worker::census::moment_of;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const SCHEMA: u32 = 1;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Firing,
    #[default]
    Resolved,
}

impl State {
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
    pub state: State,
    /// Name of the segmentation or audience.
    pub segmentation: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub direction: Option<String>,
    /// Changes counted in the window that ends at `at`.
    pub count: u64,
    /// It fires above so many.
    pub above: u64,
    /// The mean of such a window over the hours of the last seven days that are known; null until a day of them is.
    pub baseline: Option<f64>,
    pub window: String,
    /// Of one that fires: since when the count is above. Of one that is resolved: since when it had fired.
    pub since: String,
    /// When the state changed: a whole minute of the shards' watermarks.
    pub at: String,
    /// Changes by cause.
    pub causes: BTreeMap<String, u64>,
    /// Customers among those counted, as many as the alert allows.
    pub customers: Vec<String>,
    pub rules_version: String,
    /// The same as `at`, in minutes since 1970.
    pub mark: i64,
    /// A hash of what the alert means: with another it is another alert.
    pub definition: String,
}

impl AlertRecord {
    /// What tells it from every other record, and the same record from itself.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.alert, self.mark, self.state.name())
    }

    /// The same alert, resolved since new rules do not have it, or another of this name.
    pub fn ended(&self, rules: &Rules, mark: i64) -> Self {
        let mark = mark.max(self.mark);
        Self {
            state: State::Resolved,
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

/// Counts by the names of their causes.
pub fn by_name(causes: [u64; CAUSES.len()]) -> BTreeMap<String, u64> {
    CAUSES.iter().zip(causes).map(|(cause, count)| ((*cause).to_owned(), count)).collect()
}
