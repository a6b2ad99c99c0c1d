//! A shard's time: the journalled wall clock, and when the next tick or census is due (T3).

use super::OwnedShard;
use crate::engine::event::{MINUTE, Millis};
use crate::engine::event_settings::Clock;
use crate::engine::shard::Shard;
use crate::worker::journal::Operation;

/// The moments that the shard has seen.
pub struct ShardTime {
    /// The wall clock of the last step, tick or sweep.
    pub now: Millis,
    /// The wall clock of the last tick.
    pub ticked: Millis,
    /// Arrival of the last record in the merged order.
    pub last_arrival: Option<Millis>,
}

impl Default for ShardTime {
    fn default() -> Self {
        Self { now: Millis::MIN, ticked: Millis::MIN, last_arrival: None }
    }
}

impl ShardTime {
    pub fn tick(&mut self, moment: Millis) {
        self.now = self.now.max(moment);
        self.ticked = moment;
    }
}

impl OwnedShard {
    /// Arrival of the last record that was applied; the next one in the merged order arrived no earlier.
    pub fn last_arrival(&self) -> Option<Millis> {
        self.time.last_arrival
    }

    /// Lets time pass up to a moment of the wall clock.
    pub fn tick(&mut self, moment: Millis) {
        self.apply_live(Operation::Tick(moment), None);
    }

    /// The wall clock at which the next tick is due; `None` if the shard has no ticks.
    pub fn next_tick(&self) -> Option<Millis> {
        let shard = self.shard.as_ref()?;
        let settings = &shard.rules().event_settings;
        if settings.clock == Clock::Events {
            return None;
        }
        let by_deadline = shard.next_deadline().map_or(Millis::MAX, |deadline| deadline.saturating_add(settings.grace));
        let by_minute = self.time.ticked.saturating_add(MINUTE);
        Some(by_deadline.min(by_minute).min(next_census_tick(shard).unwrap_or(Millis::MAX)))
    }

    /// Whether a tick at this moment would make a deadline or a census due, or the last tick was a minute before.
    pub fn tick_is_due(&self, moment: Millis) -> bool {
        moment > self.time.ticked && self.next_tick().is_some_and(|due| due <= moment)
    }

    /// Whether counts for alerts are due to be reported.
    pub fn has_census_due(&self) -> bool {
        self.shard.as_ref().and_then(Shard::census_due).is_some()
    }

    /// Reports counts for alerts, if they are due: once per minute of the watermark.
    pub fn report_census(&mut self) {
        if let Some(mark) = self.shard.as_ref().and_then(Shard::census_due) {
            self.apply_live(Operation::Census(mark), None);
        }
    }
}

/// The tick that makes the next census due: right after each minute, so that all shards report it at once.
fn next_census_tick(shard: &Shard) -> Option<Millis> {
    if shard.rules().alerts.is_empty() {
        return None;
    }
    let minute = shard.watermark().div_euclid(MINUTE) + 1;
    Some(minute.saturating_mul(MINUTE).saturating_add(shard.rules().event_settings.grace))
}
