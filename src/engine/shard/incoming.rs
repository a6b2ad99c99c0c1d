//! An event as it goes through the shard: decoded, with the record that carried it.

use crate::engine::effects::{Effects, Trigger};
use crate::engine::event::{Event, EventType, Millis, Record};
use crate::engine::event_settings::EventSettings;

/// A decoded event and its record.
#[derive(Clone, Copy)]
pub struct IncomingEvent<'a> {
    pub record: &'a Record<'a>,
    pub event: &'a Event<'a>,
    /// The hash of the customer's id.
    pub customer_hash: u64,
    /// The earliest moment in whose minute the event's changes count for alerts.
    pub arrival: Millis,
}

impl IncomingEvent<'_> {
    /// The event as the trigger of changes, with its texts kept in `effects`.
    pub fn trigger(&self, event_settings: &EventSettings, effects: &mut Effects) -> Trigger {
        let Self { record, event, .. } = self;
        Trigger {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            event_id: event.event_id.as_deref().map(|id| effects.keep(id)),
            event_type: effects.keep(event_settings.type_name(event.event_type)),
            time: event.time,
        }
    }

    /// Whether the event only concerns the customer's consent to be known (E3, R3).
    pub fn is_about_consent(&self) -> bool {
        matches!(self.event.event_type, EventType::ERASE | EventType::OPT_OUT | EventType::OPT_IN)
    }
}

/// The hash under which an event id of a customer is remembered. The incarnation makes an erasure forget the ids (E3).
pub fn event_id_hash(customer_hash: u64, incarnation: u32, event_id: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(
        event_id.as_bytes(),
        customer_hash ^ (u64::from(incarnation) << 32 | u64::from(incarnation)),
    )
}
