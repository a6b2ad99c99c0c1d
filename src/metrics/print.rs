//! Prints the table of metrics as Markdown: docs/metrics.md.

use super::table::{MetricKind, all};
use std::fmt::Write;

const HEAD: &str = "\
# Metrics

The metrics that `/metrics` at the admin address returns, in Prometheus' text format. This page is printed from the table in
`src/metrics/table.rs`. One test keeps the page current, another compares it with a running service.

* Each process reports its own shards: sum over instances. Counters start at 0 with the process.
* Only published and committed changes are counted. Changes that a start replays and those of a seed are never counted.
  Changes that new rules cause are counted with the cause `rules`. If the outcome of a transaction was unknown at first and
  the transaction turns out to be committed, its changes are not counted.
* Counters per segment start at 0 as soon as the rules are known. So do the counters of fresh changes with the cause
  `event`, `time` or `late` between the segments of a segmentation with at most 12 segments. Therefore `rate` and
  `increase` include the first change too.
* Gauges are at most a second old. While a shard is recovered, only its phase and its progress are reported.
* No metric has a label per customer, and the number of values of every label is bounded.

| metric | type | unit | labels | meaning | watch |
|---|---|---|---|---|---|
";

/// docs/metrics.md.
pub fn print() -> String {
    let mut text = String::from(HEAD);
    for metric in all() {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let labels = metric.labels.iter().map(|label| format!("`{}`: {}", label.name, label.bound));
        let labels = labels.collect::<Vec<_>>().join("<br>");
        let _ = writeln!(
            text,
            "| `{}` | {kind} | {} | {labels} | {} | {} |",
            metric.name, metric.unit, metric.help, metric.watch
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// `SHOAL_REFRESH=1` writes the page.
    #[test]
    fn the_metrics_page_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        if std::env::var_os("SHOAL_REFRESH").is_some() {
            std::fs::write(&path, print()).expect("docs/metrics.md can be written");
        }
        let page = std::fs::read_to_string(&path).expect("docs/metrics.md is there");
        assert!(page == print(), "docs/metrics.md is not current: run the tests with SHOAL_REFRESH=1");
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for metric in all() {
            let name = metric.name;
            assert!(name.starts_with("shoal_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == MetricKind::Counter, "{name}");
            assert!(metric.help.ends_with('.') && !metric.help.contains('|'), "{name}: {}", metric.help);
            assert_eq!(all().filter(|other| other.name == name).count(), 1, "{name} is there twice");
        }
    }
}
