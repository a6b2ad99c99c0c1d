//! The moments that a shard knows (T1 to T3): its watermark, the journalled wall clock, and the latest event.

use crate::engine::event::{HOUR, Millis, Record};
use crate::engine::event_settings::{Clock, EventSettings};

/// The time of one shard; each moment is [`Millis::MIN`] until it is known.
#[derive(Clone, Copy, Debug)]
pub struct ShardTime {
    /// Deadlines up to this moment may fire (T3).
    pub watermark: Millis,
    /// The latest wall clock of an input.
    pub now: Millis,
    /// The latest time of an accepted event.
    pub latest_event: Millis,
    /// The hour of the watermark, counted from 1970.
    hour: i64,
}

impl ShardTime {
    pub const UNKNOWN: Self = Self::new(Millis::MIN, Millis::MIN, Millis::MIN);

    pub const fn new(watermark: Millis, now: Millis, latest_event: Millis) -> Self {
        Self { watermark, now, latest_event, hour: watermark.div_euclid(HOUR) }
    }

    /// The hour of the watermark, counted from 1970.
    #[inline]
    pub fn hour(&self) -> i64 {
        self.hour
    }

    /// Raises the watermark to a moment, unless it is there already. Returns whether this began another hour.
    #[inline]
    pub fn raise_watermark(&mut self, moment: Millis) -> bool {
        if moment <= self.watermark {
            return false;
        }
        self.watermark = moment;
        // An hour that has begun ends after the watermark's first moment in it.
        let is_same = moment < self.hour.saturating_add(1).saturating_mul(HOUR);
        if !is_same {
            self.hour = moment.div_euclid(HOUR);
        }
        !is_same
    }

    /// The moment up to which the deadlines of a record's customer fire before the record is applied: the watermark
    /// or, with a wall clock, what a tick at the record's arrival would make of it (T3). So a backlog has the same
    /// results as a service that is up to date.
    pub fn due_before(&self, record: &Record<'_>, event_settings: &EventSettings) -> Millis {
        match record.arrival {
            Some(arrival) if event_settings.clock == Clock::Wall => {
                self.watermark.max(arrival.min(self.now) - event_settings.grace)
            }
            _ => self.watermark,
        }
    }

    /// The earliest moment in whose minute the changes of a record count for alerts: its arrival, whatever ticks came
    /// before it.
    pub fn arrival(&self, record: &Record<'_>, event_settings: &EventSettings) -> Millis {
        match record.arrival {
            // The bound keeps a producer's clock that is far ahead from moving the changes into the future.
            Some(arrival) if event_settings.clock == Clock::Wall => {
                arrival.min(self.now.saturating_add(event_settings.max_future)) - event_settings.grace
            }
            _ => self.watermark,
        }
    }
}
