//! An event as it goes through the shard: decoded, with the record that carried it.

use crate::engine::effects::{Effects, Trigger};
use crate::engine::event::{Event, EventType, Millis, Record};
use crate::engine::event_settings::EventSettings;
use crate::engine::profile::RowNumber;

/// A decoded event and its record.
#[derive(Clone, Copy)]
pub struct IncomingEvent<'a> {
    pub record: &'a Record<'a>,
    pub event: &'a Event<'a>,
    /// The hash of the customer's id.
    pub customer_hash: u64,
    /// Most likely the customer's row: the one that the index had for the hash before the chunk was processed.
    pub expected_row: Option<RowNumber>,
    /// The hash of the event's id, if it was computed then.
    pub id_hash: Option<IdHash>,
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

    /// The hash under which the event's id is remembered for this incarnation of its customer; `None` without an id.
    #[inline]
    pub fn id_hash(&self, incarnation: u32) -> Option<u64> {
        match self.id_hash {
            Some(known) if known.incarnation == incarnation => Some(known.hash),
            _ => IdHash::new(self.event, self.customer_hash, incarnation).map(|id_hash| id_hash.hash),
        }
    }

    /// Whether the event only concerns the customer's consent to be known (E3, R3).
    pub fn is_about_consent(&self) -> bool {
        matches!(self.event.event_type, EventType::ERASE | EventType::OPT_OUT | EventType::OPT_IN)
    }
}

/// The hash under which an event id of a customer is remembered. The incarnation makes an erasure forget the ids (E3).
#[derive(Clone, Copy)]
pub struct IdHash {
    pub hash: u64,
    incarnation: u32,
}

impl IdHash {
    /// The hash of an event's id; `None` if it has none.
    pub fn new(event: &Event<'_>, customer_hash: u64, incarnation: u32) -> Option<Self> {
        let id = event.event_id.as_deref()?;
        let seed = customer_hash ^ (u64::from(incarnation) << 32 | u64::from(incarnation));
        Some(Self { hash: xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), seed), incarnation })
    }
}
