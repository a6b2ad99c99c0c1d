//! Tests of profiles against naive models.

mod bounds;
mod naive;
mod whole;

use crate::engine::event::{Event, EventType, Millis};

/// An event of a type with nothing in it.
pub(super) fn event(event_type: EventType, time: Millis) -> Event<'static> {
    Event {
        event_type,
        time,
        customer_id: "c".into(),
        event_id: None,
        order_id: None,
        amount: None,
        discounted: false,
        cart_total: None,
        cost: None,
        categories: Default::default(),
        channel: None,
        campaign: None,
        attributes: Vec::new(),
    }
}
