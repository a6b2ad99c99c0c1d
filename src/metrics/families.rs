//! The metrics of a scrape, by name, with type, help and labels as the table defines them.
//!
//! A metric or label that is not in the table is a bug and panics, so the table is always complete.

use super::table::{self, Metric, MetricKind};
use crate::worker::counters::histogram::Histogram;
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use std::collections::BTreeMap;

/// The metrics added so far.
#[derive(Default)]
pub struct Families(BTreeMap<&'static str, MetricFamily>);

impl Families {
    /// Adds a value of a counter or gauge.
    ///
    /// # Panics
    /// If the table has no such metric, or has other labels for it.
    pub fn number(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let (metric, mut sample) = Self::begin(name, labels);
        match metric.kind {
            MetricKind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                sample.set_counter(counter);
            }
            MetricKind::Gauge => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                sample.set_gauge(gauge);
            }
            MetricKind::Histogram => panic!("{name} is a histogram"),
        }
        self.put(metric, sample);
    }

    /// Adds an integer value of a counter or gauge.
    pub fn count(&mut self, name: &str, labels: &[(&str, &str)], count: u64) {
        self.number(name, labels, count as f64);
    }

    /// Adds a histogram.
    ///
    /// # Panics
    /// As [`Self::number`].
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let (metric, mut sample) = Self::begin(name, labels);
        assert_eq!(metric.kind, MetricKind::Histogram, "{name}");
        let buckets = histogram.buckets().map(|(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut all = proto::Histogram::default();
        all.set_bucket(buckets.collect());
        all.set_sample_count(histogram.count());
        all.set_sample_sum(histogram.sum());
        sample.set_histogram(all);
        self.put(metric, sample);
    }

    pub fn finish(self) -> Vec<MetricFamily> {
        self.0.into_values().collect()
    }

    fn begin(name: &str, labels: &[(&str, &str)]) -> (&'static Metric, proto::Metric) {
        let metric = table::find(name).unwrap_or_else(|| panic!("{name} is not in the table of metrics"));
        let names = metric.labels.iter().map(|label| label.name);
        assert!(names.eq(labels.iter().map(|(label, _)| *label)), "{name}: expected the labels of the table");
        let labels = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        (metric, proto::Metric::from_label(labels.collect()))
    }

    fn put(&mut self, metric: &'static Metric, value: proto::Metric) {
        let family = self.0.entry(metric.name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(metric.name.to_owned());
            family.set_help(metric.help.to_owned());
            family.set_field_type(match metric.kind {
                MetricKind::Counter => MetricType::COUNTER,
                MetricKind::Gauge => MetricType::GAUGE,
                MetricKind::Histogram => MetricType::HISTOGRAM,
            });
            family
        });
        family.mut_metric().push(value);
    }
}
