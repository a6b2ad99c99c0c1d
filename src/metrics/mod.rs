//! The Prometheus metrics of the process: their definitions in one table, and how they are gathered.
//!
//! Nothing is counted here. Workers count in plain numbers and publish a report once a second; a scrape adds the
//! reports up (`gather`). `table` defines each metric with its meaning and the possible values of its labels.
//! docs/metrics.md is printed from it (`print`), and `families` refuses metrics that are not in it. `log_counts` counts
//! log messages.

mod families;
mod gather;
mod log_counts;
mod print;
pub mod table;

pub use log_counts::LogCounts;
pub use print::print;

use crate::worker::WorkerStatus;
use gather::Gathered;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};
use std::sync::Arc;

/// A registry with the metrics of these workers. Components with counters of their own register them in addition.
pub fn registry(statuses: &[Arc<WorkerStatus>], logs: &LogCounts) -> prometheus::Result<Registry> {
    let registry = Registry::new();
    registry.register(Box::new(ProcessCollector::for_self()))?;
    registry.register(Box::new(Workers {
        statuses: statuses.to_vec(),
        logs: logs.clone(),
        descriptions: describe()?,
    }))?;
    Ok(registry)
}

/// The metrics of a registry in Prometheus' text format.
pub fn text(registry: &Registry) -> prometheus::Result<String> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

struct Workers {
    statuses: Vec<Arc<WorkerStatus>>,
    logs: LogCounts,
    descriptions: Vec<Desc>,
}

fn describe() -> prometheus::Result<Vec<Desc>> {
    let own = table::all().filter(|metric| metric.source == table::Source::Workers);
    let labels = |metric: &table::Metric| metric.labels.iter().map(|label| label.name.to_owned()).collect();
    own.map(|metric| Desc::new(metric.name.into(), metric.help.into(), labels(metric), Default::default())).collect()
}

impl Collector for Workers {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        Gathered::of(self.statuses.iter().map(|status| status.report())).families(&self.logs)
    }
}
