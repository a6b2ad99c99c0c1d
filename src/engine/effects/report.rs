//! A shard's report of the flows that alerts count: how many customers went from one value to another, minute by
//! minute.
//!
//! Reports are the only effects that own their texts: there is at most one per minute, and snapshots keep parts of it.

use crate::engine::rule::alert::CAUSES;

/// Everything that was counted in the whole minutes since the previous report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The minute, counted from 1970, before which everything is reported.
    pub mark: i64,
    pub rules_version: String,
    /// The alerts that have been in force since the previous report.
    pub alerts: Vec<InForce>,
    /// Minutes in which something was counted, in order.
    pub minutes: Vec<Minute>,
    /// Changes that were not counted since there was no room for another flow.
    pub lost: u64,
    /// The hour that ended, if it was counted from its beginning.
    pub hour: Option<Hour>,
}

/// An alert, identified by everything that decides what it counts and when it fires.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InForce {
    pub name: String,
    pub definition: u64,
}

/// The flows of one minute, in order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Minute {
    /// Counted from 1970.
    pub number: i64,
    pub flows: Vec<Flow>,
}

/// The flows of one hour, in order of their names; they name no customers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hour {
    /// Counted from 1970.
    pub number: i64,
    /// The alerts that were in force during the whole hour.
    pub alerts: Vec<InForce>,
    pub flows: Vec<Flow>,
}

/// Changes from one value to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    pub key: FlowKey,
    /// By cause, in the order of [`CAUSES`].
    pub causes: [u64; CAUSES.len()],
    /// The first customers in byte order, as many as an alert allows.
    pub customers: Vec<Box<str>>,
}

/// Segmentation or audience, and the two values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The name of the segmentation or audience.
    pub segmentation: Box<str>,
    /// `None` for new customers.
    pub from: Option<Box<str>>,
    pub to: Box<str>,
}

/// A borrowed [`FlowKey`]; it is ordered in the same way.
pub type FlowNames<'a> = (&'a str, Option<&'a str>, &'a str);

impl FlowKey {
    pub fn names(&self) -> FlowNames<'_> {
        (&self.segmentation, self.from.as_deref(), &self.to)
    }
}

impl Flow {
    /// A flow in which nothing was counted yet.
    pub fn new((segmentation, from, to): FlowNames<'_>) -> Self {
        let key = FlowKey { segmentation: segmentation.into(), from: from.map(Into::into), to: to.into() };
        Self { key, causes: [0; CAUSES.len()], customers: Vec::new() }
    }
}
