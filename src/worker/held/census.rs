//! The census of a held shard: once a minute of its watermark it tells what was counted for alerts.

use super::HeldShard;
use crate::engine::event::{MINUTE, Millis};
use crate::engine::shard::Shard;
use crate::worker::journal::Operation;

impl HeldShard {
    /// Whether what was counted is to be told now.
    pub fn has_census_due(&self) -> bool {
        self.shard.as_ref().and_then(Shard::census_due).is_some()
    }

    /// When a tick would make the next census due: right after each minute, so that all shards tell of it at once.
    pub(super) fn next_census_tick(&self) -> Option<Millis> {
        let shard = self.shard.as_ref().filter(|shard| !shard.rules().alerts.is_empty())?;
        let minute = shard.watermark().div_euclid(MINUTE) + 1;
        Some(minute.saturating_mul(MINUTE).saturating_add(shard.rules().event_settings.grace))
    }

    /// Tells what was counted for alerts, if that is due.
    pub fn tell_census(&mut self) {
        if let Some(mark) = self.shard.as_ref().and_then(Shard::census_due) {
            self.live(Operation::Census(mark), None);
        }
    }
}
