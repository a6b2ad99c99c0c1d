//! What a shard tells of the flows that alerts count: how many customers took which way, minute by minute.

use crate::engine::rule::alert::CAUSES;

/// A report: all that was counted of whole minutes since the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Minutes since 1970; those before it are told.
    pub mark: i64,
    pub rules_version: String,
    /// In force ever since the report before.
    pub alerts: Vec<InForce>,
    /// Minutes in which something was counted, in order.
    pub minutes: Vec<Minute>,
    /// Changes that were not counted, since there was no room for another flow.
    pub lost: u64,
    /// The hour that ended, if it was watched from its beginning.
    pub hour: Option<Hour>,
}

/// An alert by what it means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InForce {
    pub name: String,
    pub definition: u64,
}

/// Flows of one minute, in order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Minute {
    /// Since 1970.
    pub number: i64,
    pub flows: Vec<Flow>,
}

/// Flows of one hour, in order of their names; no customers are named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hour {
    /// Since 1970.
    pub number: i64,
    /// In force through all of it.
    pub alerts: Vec<InForce>,
    pub flows: Vec<Flow>,
}

/// Changes from one value to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    pub way: Way,
    /// By [`CAUSES`].
    pub causes: [u64; CAUSES.len()],
    /// The first ones in byte order, as many as an alert allows.
    pub customers: Vec<Box<str>>,
}

/// From where to where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    /// Name of the segmentation or audience.
    pub segmentation: Box<str>,
    /// `None`: the customer is new.
    pub from: Option<Box<str>>,
    pub to: Box<str>,
}

/// A [`Way`] that borrows its names.
pub type WayNames<'a> = (&'a str, Option<&'a str>, &'a str);

impl Way {
    /// They are ordered as ways are.
    pub fn names(&self) -> WayNames<'_> {
        (&self.segmentation, self.from.as_deref(), &self.to)
    }
}

impl Flow {
    /// Nobody has gone there yet.
    pub fn new((segmentation, from, to): WayNames<'_>) -> Self {
        let way = Way { segmentation: segmentation.into(), from: from.map(Into::into), to: to.into() };
        Self { way, causes: [0; CAUSES.len()], customers: Vec::new() }
    }
}
