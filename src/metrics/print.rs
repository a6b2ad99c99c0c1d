//! The table of metrics as Markdown: docs/metrics.md.

use super::table::{Kind, all};
use std::fmt::Write;

const HEAD: &str = "\
# Metrics

What `/metrics` at the admin address shows, in Prometheus' text format. This page is printed from the table in
`src/metrics/table.rs`; a test keeps it current, and another compares it with a running service.

* Each process tells of its own shards: add up over instances. Counters begin at 0 with the process.
* Only what was published and committed is counted. What a start does again, a seed, and what new rules find out about the
  past are no live changes: the first two are never counted, the last has the cause `rules`. Of a transaction whose end was
  not known, and that turned out to be committed, the changes are not counted.
* Counters of segments begin at 0 when the rules are known, and so do fresh changes of cause `event`, `time` or `late`
  between the segments of a segmentation that has 12 at most: `rate` and `increase` see the first one too.
* States are at most a second old; while a shard is recovered only its phase and progress are told.
* Nothing has a label per customer, and every label has a bound.

| metric | type | unit | labels | meaning | watch |
|---|---|---|---|---|---|
";

/// docs/metrics.md.
pub fn print() -> String {
    let mut text = String::from(HEAD);
    for metric in all() {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
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

    /// docs/metrics.md is this table; `SHOAL_REFRESH=1` writes it.
    #[test]
    fn the_page_of_metrics_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        if std::env::var_os("SHOAL_REFRESH").is_some() {
            std::fs::write(&path, print()).expect("docs/metrics.md can be written");
        }
        let page = std::fs::read_to_string(&path).expect("docs/metrics.md is there");
        assert!(page == print(), "docs/metrics.md is not current: run the tests with SHOAL_REFRESH=1");
    }

    #[test]
    fn names_are_those_that_prometheus_expects() {
        for metric in all() {
            let name = metric.name;
            assert!(name.starts_with("shoal_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(metric.help.ends_with('.') && !metric.help.contains('|'), "{name}: {}", metric.help);
            assert_eq!(all().filter(|other| other.name == name).count(), 1, "{name} is there twice");
        }
    }
}
