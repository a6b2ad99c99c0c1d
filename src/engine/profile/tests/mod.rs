//! Tests of profiles against naive models.

mod bounds;
mod intervals;
mod naive;
mod own_counts;
mod whole;

use crate::engine::event::{Event, EventType, Millis};

/// An event without any optional field.
pub(super) fn event(event_type: EventType, time: Millis) -> Event<'static> {
    Event::bare(event_type, time)
}
