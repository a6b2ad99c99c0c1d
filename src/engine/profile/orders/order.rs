//! The stored records of orders (O3-O9): an order, a refund, and the totals of orders that are no longer stored one by
//! one.

use crate::engine::event::{Event, Millis};
use crate::engine::profile::row::NONE;
use crate::engine::profile::storage::TextReference;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Orders stored one by one per customer at most (O3), and refunds (O8).
pub const REMEMBERED_MAX: usize = 4_096;

/// An order, in four words.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Order {
    /// Hash of the order id (51 bits), 0 without one; lower part of the channel (13 bits).
    id: u64,
    /// Time (42 bits), flags (5), upper part of the channel (15).
    time: u64,
    /// Minor units as ordered or amended (50 bits), lower part of the categories (14).
    amount: u64,
    /// Minor units refunded (50 bits), upper part of the categories (14).
    given: u64,
}

const CANCELLED: u64 = 1 << 15;
const RETURNED: u64 = 1 << 16;
const DISCOUNTED: u64 = 1 << 17;
const FOREIGN: u64 = 1 << 18;
const AMENDED: u64 = 1 << 19;
const TIME_SHIFT: u32 = 20;
const ID_SHIFT: u32 = 13;
const AMOUNT_SHIFT: u32 = 14;

/// Minor units that may be left of a foreign order by rounding once something of it was given back (O4).
const DUST: i64 = 5;

/// The lowest `count` bits.
const fn low(word: u64, count: u32) -> u64 {
    word & ((1 << count) - 1)
}

/// An order, unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderParts {
    /// Hash of the order id, 0 without one.
    pub id: u64,
    pub time: Millis,
    /// Minor units as ordered, or as amended.
    pub amount: i64,
    /// Minor units refunded.
    pub given: i64,
    pub cancelled: bool,
    /// Whether a refund was applied to it.
    pub refunded: bool,
    pub discounted: bool,
    /// Whether its purchase, a refund or an amendment of it was in another currency than the base.
    pub foreign: bool,
    /// Whether it was amended; the time of the amendment is stored apart.
    pub amended: bool,
    /// Interned set of categories, 0 if none.
    pub categories: TextReference,
    /// Interned channel, 0 if none.
    pub channel: TextReference,
}

impl Order {
    /// The order of a purchase with its interned texts.
    pub fn new(event: &Event<'_>, categories: TextReference, channel: TextReference) -> Self {
        Self::pack(&OrderParts {
            id: event.order_id.as_deref().map_or(0, id_hash),
            time: event.time,
            amount: event.amount.unwrap_or(0),
            discounted: event.discounted(),
            foreign: event.foreign,
            categories,
            channel,
            ..OrderParts::default()
        })
    }

    pub fn pack(parts: &OrderParts) -> Self {
        let (categories, channel) = (u64::from(parts.categories), u64::from(parts.channel));
        let flag = |is: bool, flag: u64| if is { flag } else { 0 };
        let flags = flag(parts.cancelled, CANCELLED)
            | flag(parts.refunded, RETURNED)
            | flag(parts.discounted, DISCOUNTED)
            | flag(parts.foreign, FOREIGN)
            | flag(parts.amended, AMENDED);
        Self {
            id: parts.id << ID_SHIFT | low(channel, ID_SHIFT),
            time: (parts.time as u64) << TIME_SHIFT | flags | channel >> ID_SHIFT,
            amount: (parts.amount as u64) << AMOUNT_SHIFT | low(categories, AMOUNT_SHIFT),
            given: (parts.given as u64) << AMOUNT_SHIFT | categories >> AMOUNT_SHIFT,
        }
    }

    pub fn parts(&self) -> OrderParts {
        OrderParts {
            id: self.id(),
            time: self.time(),
            amount: self.amount(),
            given: self.given(),
            cancelled: self.cancelled(),
            refunded: self.time & RETURNED != 0,
            discounted: self.discounted(),
            foreign: self.time & FOREIGN != 0,
            amended: self.amended(),
            categories: self.categories(),
            channel: self.channel(),
        }
    }

    pub fn cancel(&mut self) {
        self.time |= CANCELLED;
    }

    /// Refunds `amount`, or all that is left (O5); returns the amount that was refunded.
    pub fn refund(&mut self, amount: Option<i64>) -> i64 {
        if self.cancelled() {
            return 0;
        }
        let left = self.net();
        let refunded = amount.map_or(left, |amount| amount.min(left));
        self.given += (refunded as u64) << AMOUNT_SHIFT;
        self.time |= RETURNED;
        refunded
    }

    #[inline]
    pub fn time(&self) -> Millis {
        (self.time >> TIME_SHIFT) as Millis
    }

    /// Sets what it was worth before refunds (O9).
    pub fn amend(&mut self, amount: i64) {
        self.amount = (amount as u64) << AMOUNT_SHIFT | low(self.amount, AMOUNT_SHIFT);
        self.time |= AMENDED;
    }

    /// Marks it as an order that was in another currency (O4).
    pub fn mark_foreign(&mut self) {
        self.time |= FOREIGN;
    }

    /// Minor units as ordered, or as amended.
    #[inline]
    pub fn amount(&self) -> i64 {
        (self.amount >> AMOUNT_SHIFT) as i64
    }

    /// Minor units refunded (O5).
    #[inline]
    pub fn given(&self) -> i64 {
        (self.given >> AMOUNT_SHIFT) as i64
    }

    /// What is left of it: not below 0, since an amendment can be lower than what was given back (O9).
    #[inline]
    pub fn net(&self) -> i64 {
        (self.amount() - self.given()).max(0)
    }

    #[inline]
    pub fn cancelled(&self) -> bool {
        self.time & CANCELLED != 0
    }

    #[inline]
    pub fn discounted(&self) -> bool {
        self.time & DISCOUNTED != 0
    }

    #[inline]
    pub fn amended(&self) -> bool {
        self.time & AMENDED != 0
    }

    /// Whether it is cancelled, or a refund was applied to it (O5).
    #[inline]
    pub fn returned(&self) -> bool {
        self.time & (CANCELLED | RETURNED) != 0
    }

    /// Whether it counts (O4): it is not cancelled, and nothing of it was given back or more than dust is left.
    #[inline]
    pub fn counts(&self) -> bool {
        let dust = if self.time & FOREIGN == 0 { 0 } else { DUST };
        !self.cancelled() && (self.given() == 0 || self.net() > dust)
    }

    #[inline]
    pub fn id(&self) -> u64 {
        self.id >> ID_SHIFT
    }

    /// Interned set of categories, 0 if none.
    pub fn categories(&self) -> TextReference {
        (low(self.amount, AMOUNT_SHIFT) | low(self.given, AMOUNT_SHIFT) << AMOUNT_SHIFT) as TextReference
    }

    /// Interned channel, 0 if none.
    pub fn channel(&self) -> TextReference {
        (low(self.id, ID_SHIFT) | low(self.time, 15) << ID_SHIFT) as TextReference
    }
}

/// A refund of more than 0, stored for 400 days (O8).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Refund {
    /// The time times 2, plus 1 without an order.
    time: i64,
    given: i64,
}

impl Refund {
    pub fn new(time: Millis, given: i64, unlinked: bool) -> Self {
        Self { time: time << 1 | i64::from(unlinked), given }
    }

    pub fn time(&self) -> Millis {
        self.time >> 1
    }

    /// Minor units refunded, at most what was left of the order.
    pub fn given(&self) -> i64 {
        self.given
    }

    /// Whether it has no order (O7): then it lowers revenue at its own time.
    pub fn unlinked(&self) -> bool {
        self.time & 1 != 0
    }
}

/// Totals of orders that are no longer stored one by one, the folded orders (O3), and lifetime sums of refunds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
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
    /// Times of the earliest and the latest folded order that counted; [`NONE`] if none.
    pub first: Millis,
    pub last: Millis,
    /// Net amount of the latest folded order that counted.
    pub last_value: i64,
    /// Largest net amount of a folded order that counted; 0 if none.
    pub largest: i64,
    /// Minor units of all refunds, stored ones included (O8).
    pub refunded: i64,
    /// The part of `refunded` without an order (O7).
    pub unlinked: i64,
}

/// Hash of an order id in 51 bits, never 0.
pub fn id_hash(id: &str) -> u64 {
    (xxhash_rust::xxh3::xxh3_64(id.as_bytes()) >> ID_SHIFT).max(1)
}

impl Totals {
    /// Adds an order that is no longer stored.
    pub fn fold(&mut self, order: &Order) {
        self.placed += 1;
        self.returned += u32::from(order.returned());
        if !order.counts() {
            return;
        }
        self.counting += 1;
        self.discounted += u32::from(order.discounted());
        self.net += order.net();
        self.largest = self.largest.max(order.net());
        if self.first == NONE || order.time() < self.first {
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
        first: NONE,
        last: NONE,
        last_value: 0,
        largest: 0,
        refunded: 0,
        unlinked: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::EventType;
    use crate::engine::profile::tests::event;

    #[test]
    fn an_order_stores_the_largest_values() {
        let mut purchase = event(EventType::PURCHASE, 4_102_444_799_999);
        purchase.amount = Some(1_000_000_000_000_000);
        purchase.order_id = Some("x".into());
        purchase.discount = Some(1);
        let mut order = Order::new(&purchase, (1 << 28) - 1, (1 << 28) - 2);
        let texts = |order: &Order| (order.categories(), order.channel(), order.id());
        let before = texts(&order);
        assert_eq!(before, ((1 << 28) - 1, (1 << 28) - 2, id_hash("x")));
        assert_eq!(order.refund(Some(999_999_999_999_999)), 999_999_999_999_999);
        assert_eq!((order.net(), order.counts(), order.returned()), (1, true, true));
        assert_eq!(order.refund(None), 1);
        assert_eq!((order.given(), order.counts(), order.cancelled()), (order.amount(), false, false));
        order.cancel();
        order.mark_foreign();
        order.amend(1_000_000_000_000_000);
        assert_eq!((order.time(), order.cancelled(), order.discounted()), (purchase.time, true, true));
        assert_eq!(texts(&order), before);
        assert_eq!((order.parts().foreign, order.amended()), (true, true));
        assert_eq!(Order::pack(&order.parts()).parts(), order.parts());
    }

    #[test]
    fn dust_of_a_foreign_order_does_not_count() {
        let order = |amount: i64, given: i64, foreign: bool| {
            Order::pack(&OrderParts { amount, given, foreign, refunded: given > 0, ..OrderParts::default() })
        };
        let counts = |amount, given, foreign| order(amount, given, foreign).counts();
        assert!(counts(921, 915, true) && !counts(921, 916, true) && counts(921, 920, false));
        assert!(counts(3, 0, true) && counts(0, 0, true), "nothing was given back");
        assert!(!counts(0, 5, false) && !counts(4, 5, false), "amended to less than was given back");
        assert_eq!(order(4, 5, false).net(), 0);
    }
}
