//! Orders and refunds as they are remembered singly, and what is left of folded ones (O3-O8).

use crate::engine::event::{Event, Millis};

/// Orders remembered singly per customer (O3), and refunds (C9).
pub const REMEMBERED_MAX: usize = 4_096;

/// A remembered order.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Order {
    /// Hash of the order id; 0 without one.
    id: u64,
    /// Time times 8 plus flags.
    time: i64,
    amount: i64,
    given: i64,
    /// Interned set of categories, 0 if none.
    pub(super) categories: u32,
    /// Interned channel, 0 if none.
    pub(super) channel: u32,
}

impl Order {
    const CANCELLED: i64 = 1;
    const RETURNED: i64 = 2;
    const DISCOUNTED: i64 = 4;

    /// The order that a purchase is, without texts.
    pub(super) fn new(event: &Event<'_>) -> Self {
        let flags = if event.discounted { Self::DISCOUNTED } else { 0 };
        Self {
            id: event.order_id.as_deref().map_or(0, id_hash),
            time: event.time << 3 | flags,
            amount: event.amount.unwrap_or(0),
            given: 0,
            categories: 0,
            channel: 0,
        }
    }

    /// Cancels it.
    pub(super) fn cancel(&mut self) {
        self.time |= Self::CANCELLED;
    }

    /// O5: gives back `amount`, or all that is left, and says how much it was.
    pub(super) fn give_back(&mut self, amount: Option<i64>) -> i64 {
        if self.cancelled() {
            return 0;
        }
        let left = self.net();
        let given = amount.map_or(left, |amount| amount.min(left));
        self.given += given;
        self.time |= Self::RETURNED;
        given
    }

    pub fn time(&self) -> Millis {
        self.time >> 3
    }

    /// Minor units as ordered.
    pub fn amount(&self) -> i64 {
        self.amount
    }

    /// Minor units that refunds gave back (O5).
    pub fn given(&self) -> i64 {
        self.given
    }

    pub fn net(&self) -> i64 {
        self.amount - self.given
    }

    pub fn cancelled(&self) -> bool {
        self.time & Self::CANCELLED != 0
    }

    pub fn discounted(&self) -> bool {
        self.time & Self::DISCOUNTED != 0
    }

    /// Cancelled, or a refund was applied to it (C6).
    pub fn returned(&self) -> bool {
        self.time & (Self::CANCELLED | Self::RETURNED) != 0
    }

    /// O4: not cancelled, and something of it is left unless it was free.
    pub fn counts(&self) -> bool {
        !self.cancelled() && (self.amount == 0 || self.net() > 0)
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

/// A refund that gave something back, remembered for 400 days (C9).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Refund {
    /// Time times 2, plus 1 without an order.
    time: i64,
    given: i64,
}

impl Refund {
    pub(super) fn new(time: Millis, given: i64, unlinked: bool) -> Self {
        Self { time: time << 1 | i64::from(unlinked), given }
    }

    pub fn time(&self) -> Millis {
        self.time >> 1
    }

    /// Minor units given back, after the cap.
    pub fn given(&self) -> i64 {
        self.given
    }

    /// Without an order (O7): lowers revenue by its own time.
    pub fn unlinked(&self) -> bool {
        self.time & 1 != 0
    }
}

/// What is left of orders that are no longer remembered singly (O3), and lifetime sums of refunds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Totals {
    /// Folded orders that counted.
    pub counting: u32,
    /// All folded orders.
    pub placed: u32,
    /// Folded orders that were cancelled or had a refund.
    pub returned: u32,
    /// Folded orders that counted and had a discount.
    pub discounted: u32,
    /// Net amounts of folded orders that counted.
    pub net: i64,
    /// Times of the earliest and the latest folded order that counted; [`super::row::NONE`] if none.
    pub first: Millis,
    pub last: Millis,
    /// Net amount of the latest folded order that counted.
    pub last_value: i64,
    /// All that refunds ever gave back, remembered ones included (O8).
    pub refunded: i64,
    /// The part of `refunded` that had no order (O7).
    pub unlinked: i64,
}

/// A refund or cancellation whose order is not remembered (O6).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Waiting {
    pub order: u64,
    pub time: Millis,
    /// What to give back; [`Waiting::ALL`] or [`Waiting::CANCEL`].
    pub amount: i64,
}

impl Waiting {
    pub const MAX: usize = 16;
    pub const ALL: i64 = -1;
    pub const CANCEL: i64 = -2;
}

/// Hash of an order id, never 0.
pub(super) fn id_hash(id: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(id.as_bytes()).max(1)
}

impl Totals {
    /// Takes an order in that is no longer remembered.
    pub(super) fn fold(&mut self, order: &Order) {
        self.placed += 1;
        self.returned += u32::from(order.returned());
        if !order.counts() {
            return;
        }
        self.counting += 1;
        self.discounted += u32::from(order.discounted());
        self.net += order.net();
        if self.first == super::row::NONE || order.time() < self.first {
            self.first = order.time();
        }
        if order.time() >= self.last {
            (self.last, self.last_value) = (order.time(), order.net());
        }
    }

    pub const EMPTY: Self = Self {
        counting: 0,
        placed: 0,
        returned: 0,
        discounted: 0,
        net: 0,
        first: super::row::NONE,
        last: super::row::NONE,
        last_value: 0,
        refunded: 0,
        unlinked: 0,
    };
}
