//! The hot part of a customer: two cache lines with all that most rules read.

use super::blocks::Handle;
use crate::engine::event::{DAY, MINUTE, Millis, NEVER};

/// Place of a customer's row in its shard; a removed customer's number is used again.
pub type RowNumber = u32;

/// A time that is not known yet: earlier than any.
pub const NONE: Millis = Millis::MIN;

/// A customer's row.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Row {
    /// The latest of the accepted events' times and of the last change's `effective_at` (T2).
    pub clock: Millis,
    /// Time of the customer's entry in the wheel; [`crate::engine::event::NEVER`] if it has none.
    pub armed: Millis,
    /// Instant of the first evaluation (R8).
    pub life: Millis,
    /// Time of the earliest accepted event, for `tenure_days`.
    pub first_event: Millis,
    /// Latest activity (B4), or [`NONE`].
    pub last_activity: Millis,
    /// Latest browsing event (B2), or [`NONE`].
    pub last_browsing: Millis,
    /// Earliest order that counts (O4), or [`NONE`].
    pub first_order: Millis,
    /// Latest order that counts, or [`NONE`].
    pub last_order: Millis,
    /// Lifetime revenue in minor units: net amounts of orders that count, less refunds without an order (O7).
    pub revenue: i64,
    /// The cart is open while now is before this (B3); [`NONE`] while it is closed.
    pub cart_until: Millis,
    /// Orders that count, lifetime.
    pub orders: u32,
    /// Accepted purchases, lifetime.
    pub placed: u32,
    /// Number of changes published (R4).
    pub sequence: u32,
    /// Which of the customers made in this shard it is: salts hashes of event ids, so that an erasure forgets them.
    pub incarnation: u32,
    /// UTC day of the latest accepted event's time (R7).
    pub last_event_day: u16,
    /// The number of the rules the customer was last evaluated with, counted by the shard: tells who has yet to be swept (R6).
    pub generation: u8,
    /// Changes are not published yet (R11).
    pub muted: bool,
    /// Whether the latest `cart_total` belongs to the open cart.
    pub cart_value_known: bool,
    pub(super) alive: bool,
    /// Length of the id, less 1.
    pub(super) id_length: u8,
    /// In which capture's time it changed last ([`super::changes`]).
    pub(super) epoch: u32,
    /// The customer's variable part.
    pub(super) block: Handle,
    /// The id, if it has no more than 16 bytes; else it stands in the block.
    pub(super) id: [u8; ID_INLINE],
}

/// Ids up to this length stand in the row.
pub(super) const ID_INLINE: usize = 16;

/// A browsing event this long after the one before it starts a session.
const SESSION_GAP: Millis = 30 * MINUTE;

impl Row {
    /// Whether a browsing event of this time starts a session (B2).
    pub fn starts_session(&self, time: Millis) -> bool {
        self.last_browsing == NONE || time - self.last_browsing > SESSION_GAP
    }

    /// A row of nobody.
    pub(super) const EMPTY: Self = Self {
        clock: NONE,
        armed: NEVER,
        life: NONE,
        first_event: NEVER,
        last_activity: NONE,
        last_browsing: NONE,
        first_order: NONE,
        last_order: NONE,
        revenue: 0,
        cart_until: NONE,
        orders: 0,
        placed: 0,
        sequence: 0,
        incarnation: 0,
        last_event_day: 0,
        generation: 0,
        muted: false,
        cart_value_known: false,
        alive: false,
        id_length: 0,
        epoch: 0,
        block: 0,
        id: [0; ID_INLINE],
    };

    /// All plain fields, the last ones being those that do not follow from the customer's events and time alone: the
    /// deadline that is armed, which may be early, and counters of the shard.
    pub(super) fn scalars(&self) -> [u64; Self::SCALARS] {
        [
            self.clock as u64,
            self.life as u64,
            self.first_event as u64,
            self.last_activity as u64,
            self.last_browsing as u64,
            self.first_order as u64,
            self.last_order as u64,
            self.revenue as u64,
            self.cart_until as u64,
            u64::from(self.orders),
            u64::from(self.placed),
            u64::from(self.sequence),
            u64::from(self.last_event_day),
            u64::from(self.muted) | u64::from(self.cart_value_known) << 1,
            self.armed as u64,
            u64::from(self.incarnation),
            u64::from(self.generation),
        ]
    }

    const SCALARS: usize = 17;
    /// How many of the scalars follow from the customer's events and time.
    pub(super) const SCALARS_KNOWN: usize = 14;
}

/// The value of one target (segmentation or audience) for one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldValue {
    /// Place of the segment; audiences: 0 out, 1 in; [`HeldValue::NULL`]: no value.
    pub value: u16,
    /// Since when, by `effective_at`.
    pub since: Millis,
    /// Whether `min_dwell` holds it: not when it came from null (R5).
    pub dwells: bool,
    /// The value before it; [`HeldValue::NULL`] if there was none, or it is not known any more.
    pub before: u16,
}

impl HeldValue {
    pub const NULL: u16 = u16::MAX;
    pub const NONE: Self = Self::new(Self::NULL, 0, false);

    /// A value that nothing is known to have come before.
    pub const fn new(value: u16, since: Millis, dwells: bool) -> Self {
        Self { value, since, dwells, before: Self::NULL }
    }

    /// The value that follows this one.
    pub fn then(self, value: u16, since: Millis, dwells: bool) -> Self {
        Self { value, since, dwells, before: self.value }
    }

    /// Whether a change to `value` at `at` goes back to the value before, within a day.
    pub fn is_return(self, value: u16, at: Millis) -> bool {
        value == self.before && value != Self::NULL && at - self.since <= DAY
    }

    /// In one word: 8 bits of value, `dwells`, 8 bits of the value before, and 47 bits of the time: the years until 4199.
    pub(super) fn pack(self) -> u64 {
        let (value, before) = (self.value.min(0xff), self.before.min(0xff));
        (self.since << 17) as u64 | u64::from(before) << 9 | u64::from(self.dwells) << 8 | u64::from(value)
    }

    /// The value in a word; 255 is null.
    pub(super) fn byte_of(word: u64) -> u8 {
        (word & 0xff) as u8
    }

    pub(super) fn unpack(word: u64) -> Self {
        let value = |bits: u64| if bits & 0xff == 0xff { Self::NULL } else { (bits & 0xff) as u16 };
        Self { value: value(word), since: word as i64 >> 17, dwells: word & 0x100 != 0, before: value(word >> 9) }
    }

    /// What a fingerprint takes of it: the same as before there was a value before, where that is null.
    pub(super) fn canonical(self) -> u64 {
        let before = (self.before.min(0xff) as u8).wrapping_add(1);
        ((self.since << 9) as u64 | u64::from(self.dwells) << 8 | u64::from(self.value.min(0xff)))
            ^ u64::from(before) << 56
    }
}
