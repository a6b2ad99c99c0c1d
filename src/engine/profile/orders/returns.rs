//! What refunds, cancellations and amendments do to an order, how they are stored while their order is unknown (O6),
//! and the ids by which their repeats are recognised (E3).

use crate::engine::event::{Event, EventType, Millis};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What an event does to an order that exists. Amounts are minor units of the base currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderAction {
    /// A refund; `None`: of all that is left (O5).
    Refund(Option<i64>),
    Cancel,
    /// What the order was worth before refunds (O9).
    Amend(i64),
}

impl OrderAction {
    /// The action of a refund, a cancellation or an amendment.
    pub fn of(event: &Event<'_>) -> Self {
        match event.event_type {
            EventType::REFUND => Self::Refund(event.amount),
            EventType::AMEND => Self::Amend(event.amount.unwrap_or(0)),
            _ => Self::Cancel,
        }
    }
}

/// An action that waits for its order (O6).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Waiting {
    /// Hash of the order id.
    pub order: u64,
    pub time: Millis,
    /// Minor units; [`ALL`] or [`CANCEL`].
    amount: i64,
    /// The id of the event (40 bits), then the flags.
    id_and_flags: u64,
}

/// A refund of all that is left.
const ALL: i64 = -1;
const CANCEL: i64 = -2;
const AMENDS: u64 = 1;
const FOREIGN: u64 = 2;
const FLAGS: u32 = 2;

/// Bits of a [`ReturnId`] that name the event, and those that name the order.
const EVENT_BITS: u32 = 40;
const ORDER_BITS: u32 = 64 - EVENT_BITS;

impl Waiting {
    /// Waiting refunds, cancellations and amendments per customer at most.
    pub const MAX: usize = 16;

    /// `foreign`: its amount was in another currency than the base; `id` is 0 without an event id.
    pub fn new(order: u64, time: Millis, action: OrderAction, foreign: bool, id: u64) -> Self {
        let (amount, amends) = match action {
            OrderAction::Refund(amount) => (amount.unwrap_or(ALL), 0),
            OrderAction::Cancel => (CANCEL, 0),
            OrderAction::Amend(amount) => (amount, AMENDS),
        };
        Self { order, time, amount, id_and_flags: id << FLAGS | amends | if foreign { FOREIGN } else { 0 } }
    }

    pub fn action(&self) -> OrderAction {
        match self.amount {
            ALL => OrderAction::Refund(None),
            CANCEL => OrderAction::Cancel,
            amount if self.id_and_flags & AMENDS != 0 => OrderAction::Amend(amount),
            amount => OrderAction::Refund(Some(amount)),
        }
    }

    pub fn foreign(&self) -> bool {
        self.id_and_flags & FOREIGN != 0
    }

    /// The part of a [`ReturnId`] that names the event, 0 without an event id.
    pub fn id(&self) -> u64 {
        self.id_and_flags >> FLAGS
    }
}

/// The id of a refund, a cancellation or an amendment that has an event id and an order id, in one word. It is known as
/// long as its order is remembered, or the event waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct ReturnId(u64);

impl ReturnId {
    /// Ids per customer at most.
    pub const MAX: usize = 64;

    /// From the hash of the order id and the event id.
    pub fn new(order: u64, event_id: &str) -> Self {
        let event = xxhash_rust::xxh3::xxh3_64_with_seed(event_id.as_bytes(), order) >> ORDER_BITS;
        Self::from_parts(order, event.max(1))
    }

    /// From the hash of the order id, of which some bits are stored, and the part that names the event.
    pub fn from_parts(order: u64, event: u64) -> Self {
        Self(order << EVENT_BITS | event)
    }

    /// The part that names the event, never 0. It depends on the order id too.
    pub fn event(self) -> u64 {
        self.0 & ((1 << EVENT_BITS) - 1)
    }

    /// The bits of the order id's hash that are stored: among the 64 orders of a customer they name one.
    pub fn order(self) -> u64 {
        self.0 >> EVENT_BITS
    }

    /// Whether it is of the order with this hash.
    pub fn is_of(self, order: u64) -> bool {
        self.order() == order & ((1 << ORDER_BITS) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_action_stores_the_largest_values() {
        let order = (1 << 51) - 1;
        let id = ReturnId::new(order, "an id");
        assert!(id.is_of(order) && !id.is_of(order - 1) && id.event() != 0);
        assert_eq!(ReturnId::from_parts(order, id.event()), id);
        assert_eq!(ReturnId::from_parts(id.order(), id.event()), id);
        let amount = 1_000_000_000_000_000;
        for action in [
            OrderAction::Refund(None),
            OrderAction::Refund(Some(amount)),
            OrderAction::Cancel,
            OrderAction::Amend(0),
            OrderAction::Amend(amount),
        ] {
            for foreign in [false, true] {
                let waiting = Waiting::new(order, 4_102_444_799_999, action, foreign, id.event());
                assert_eq!((waiting.action(), waiting.foreign(), waiting.id()), (action, foreign, id.event()));
            }
        }
    }
}
