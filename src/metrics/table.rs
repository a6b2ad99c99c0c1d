//! Every metric of the process: name, kind, meaning, labels with what bounds their values, and what to watch.
//!
//! Names follow Prometheus: base units, `_total` for counters. No label has a value per customer; those that come from
//! the rules are bounded by what rules may have.

mod client;
mod segments;
mod state;
mod stream;

/// What a metric is; see the module.
#[derive(Debug, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: &'static str,
    pub help: &'static str,
    pub labels: &'static [Label],
    /// What to look at, or what it is for.
    pub watch: &'static str,
    pub source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A label with all that its values can be.
#[derive(Debug, PartialEq)]
pub struct Label {
    pub name: &'static str,
    pub bound: &'static str,
}

/// Where the numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The reports of workers.
    Boards,
    /// The admin address itself.
    Admin,
    /// What the system says of the process.
    System,
}

const fn label(name: &'static str, bound: &'static str) -> Label {
    Label { name, bound }
}

const TOPIC: &[Label] = &[label("topic", "input topics, 16 at most")];
const PARTITION: &[Label] =
    &[label("topic", "input topics, 16 at most"), label("partition", "shards of this process, by number")];
const SHARD: &[Label] = &[label("shard", "shards of this process, by number")];
const SEGMENTATION: Label = label("segmentation", "segmentations and audiences of the rules, 64 at most");
const SEGMENT: &[Label] = &[
    SEGMENTATION,
    label("segment", "its segments, 250 at most; `in` and `out` of audiences; `none` before the first"),
];

const fn metric(
    kind: Kind,
    name: &'static str,
    unit: &'static str,
    labels: &'static [Label],
    help: &'static str,
    watch: &'static str,
) -> Metric {
    Metric { name, kind, unit, help, labels, watch, source: Source::Boards }
}

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [Label],
    help: &'static str,
    watch: &'static str,
) -> Metric {
    metric(Kind::Counter, name, unit, labels, help, watch)
}

const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [Label],
    help: &'static str,
    watch: &'static str,
) -> Metric {
    metric(Kind::Gauge, name, unit, labels, help, watch)
}

const fn histogram(
    name: &'static str,
    unit: &'static str,
    labels: &'static [Label],
    help: &'static str,
    watch: &'static str,
) -> Metric {
    metric(Kind::Histogram, name, unit, labels, help, watch)
}

const fn of(source: Source, metric: Metric) -> Metric {
    Metric { source, ..metric }
}

/// The metric of a name.
pub fn find(name: &str) -> Option<&'static Metric> {
    all().find(|metric| metric.name == name)
}

/// All of them, in the order of the page.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    [stream::METRICS, segments::METRICS, state::METRICS, client::METRICS].into_iter().flatten()
}
