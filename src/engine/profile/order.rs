//! Orders and refunds as they are remembered singly, and what is left of folded ones (O3-O8).

use crate::engine::event::Millis;

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
    pub(super) const CANCELLED: i64 = 1;
    pub(super) const RETURNED: i64 = 2;
    pub(super) const DISCOUNTED: i64 = 4;

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

impl Totals {
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
