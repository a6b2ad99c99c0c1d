//! What a worker writes on its board: gathered where nothing is under way, from what its parts counted.

use super::board::{Board, Report, ShardReport};
use super::held::HeldShard;
use super::work::Worker;
use crate::kafka::Log;
use std::sync::Arc;

/// Between two reports.
const INTERVAL_MS: u64 = 1_000;

/// The board of a worker, and when it is written next.
pub struct Reporting {
    pub board: Arc<Board>,
    /// Monotonic milliseconds.
    due: u64,
}

impl Reporting {
    pub fn new(board: Arc<Board>) -> Self {
        Self { board, due: 0 }
    }
}

impl<L: Log> Worker<L> {
    /// Writes on `board` while it works.
    pub fn on_board(mut self, board: Arc<Board>) -> Self {
        self.reporting = Some(Reporting::new(board));
        self
    }

    /// A shard's phase has changed: the next report does not wait.
    pub(super) fn report_soon(&mut self) {
        if let Some(reporting) = &mut self.reporting {
            reporting.due = 0;
        }
    }

    /// Writes a report if one is due.
    pub(super) fn report(&mut self) {
        let now = self.log.now();
        let Some(reporting) = self.reporting.as_mut().filter(|reporting| now.monotonic >= reporting.due) else {
            return;
        };
        reporting.due = now.monotonic + INTERVAL_MS;
        let held = self.places.values().map(|place| &place.held).chain(self.kept.held());
        let report = Report {
            shards_expected: self.job.partitions,
            rules_version: self.control.newest_rules().map(|rules| rules.version.clone()),
            shards: held.map(|held| (held.number(), shard_report(held))).collect(),
            at: now.wall,
        };
        reporting.board.write(report);
    }
}

fn shard_report(held: &HeldShard) -> ShardReport {
    ShardReport { phase: held.phase(), transaction: held.transaction(), advance: None }
}
