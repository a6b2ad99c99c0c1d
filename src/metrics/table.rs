//! The table of all metrics: name, type, meaning, labels with the bounds of their values, and what to watch.
//!
//! Names follow Prometheus' conventions: base units, `_total` for counters. No label has a value per customer; labels
//! from the rules are bounded by the limits of rules files.

mod client;
mod segments;
mod state;
mod stream;

/// The definition of a metric.
#[derive(Debug, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub unit: &'static str,
    pub help: &'static str,
    pub labels: &'static [Label],
    /// What to watch for, or what the metric is for.
    pub watch: &'static str,
    pub source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// A label and the possible values.
#[derive(Debug, PartialEq)]
pub struct Label {
    pub name: &'static str,
    pub bound: &'static str,
}

/// Where the values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The reports of workers.
    Workers,
    /// The admin address itself.
    Admin,
    /// The operating system.
    System,
}

const fn label(name: &'static str, bound: &'static str) -> Label {
    Label { name, bound }
}

const TOPIC: &[Label] = &[label("topic", "input topics, at most 16")];
const PARTITION: &[Label] =
    &[label("topic", "input topics, at most 16"), label("partition", "numbers of this process's shards")];
const SHARD: &[Label] = &[label("shard", "numbers of this process's shards")];
const SEGMENTATION: Label = label("segmentation", "segmentations and audiences of the rules, at most 64");
const SEGMENT: &[Label] = &[
    SEGMENTATION,
    label("segment", "segments, at most 250; `in` and `out` for audiences; `none` before the first value"),
];

const fn metric(
    kind: MetricKind,
    name: &'static str,
    unit: &'static str,
    labels: &'static [Label],
    help: &'static str,
    watch: &'static str,
) -> Metric {
    Metric { name, kind, unit, help, labels, watch, source: Source::Workers }
}

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [Label],
    help: &'static str,
    watch: &'static str,
) -> Metric {
    metric(MetricKind::Counter, name, unit, labels, help, watch)
}

const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [Label],
    help: &'static str,
    watch: &'static str,
) -> Metric {
    metric(MetricKind::Gauge, name, unit, labels, help, watch)
}

const fn histogram(
    name: &'static str,
    unit: &'static str,
    labels: &'static [Label],
    help: &'static str,
    watch: &'static str,
) -> Metric {
    metric(MetricKind::Histogram, name, unit, labels, help, watch)
}

const fn of(source: Source, metric: Metric) -> Metric {
    Metric { source, ..metric }
}

/// The metric with this name.
pub fn find(name: &str) -> Option<&'static Metric> {
    all().find(|metric| metric.name == name)
}

/// All metrics in the order of docs/metrics.md.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    [stream::METRICS, segments::METRICS, state::METRICS, client::METRICS].into_iter().flatten()
}
