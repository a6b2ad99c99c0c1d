//! What the process tells of itself as Prometheus metrics: their definitions in one table, and what gathers them.
//!
//! Nothing is counted here. Workers count in plain numbers and hang a report on their boards once a second; when somebody
//! asks, `gather` adds the reports up. `table` says of each metric what it means and which values its labels can have;
//! docs/metrics.md is printed from it (`print`), and `families` refuses what is not in it. `log_counts` counts what is
//! logged.

mod families;
mod gather;
mod log_counts;
mod print;
pub mod table;

pub use log_counts::LogCounts;
pub use print::print;

use crate::worker::Board;
use gather::Gathered;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};
use std::sync::Arc;

/// All metrics of a process with these boards; whoever has counters of its own adds them.
pub fn registry(boards: &[Arc<Board>], logs: &LogCounts) -> prometheus::Result<Registry> {
    let registry = Registry::new();
    registry.register(Box::new(ProcessCollector::for_self()))?;
    registry.register(Box::new(Boards { boards: boards.to_vec(), logs: logs.clone(), descriptions: describe()? }))?;
    Ok(registry)
}

/// What a registry holds, in Prometheus' text format.
pub fn text(registry: &Registry) -> prometheus::Result<String> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

struct Boards {
    boards: Vec<Arc<Board>>,
    logs: LogCounts,
    descriptions: Vec<Desc>,
}

fn describe() -> prometheus::Result<Vec<Desc>> {
    let own = table::all().filter(|metric| metric.source == table::Source::Boards);
    let labels = |metric: &table::Metric| metric.labels.iter().map(|label| label.name.to_owned()).collect();
    own.map(|metric| Desc::new(metric.name.into(), metric.help.into(), labels(metric), Default::default())).collect()
}

impl Collector for Boards {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        Gathered::of(self.boards.iter().map(|board| board.report())).families(&self.logs)
    }
}
