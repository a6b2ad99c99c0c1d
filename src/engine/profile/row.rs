//! The hot part of a customer: two cache lines with all that most rules read.
//!
//! The numbers by which the parts of the state refer to each other are declared here too, because a row has them.

use crate::engine::event::{MINUTE, Millis, NEVER};

/// Number of a customer's row in its shard; the number of a removed customer is used again.
pub type RowNumber = u32;

/// Where a customer's block is: a granule, or a large block (see [`super::storage`]).
pub(super) type BlockHandle = u32;

/// A time that is not known yet: earlier than any.
pub const NONE: Millis = Millis::MIN;

/// A customer's row.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Row {
    /// The latest of the accepted events' times and of the last change's `effective_at` (T2).
    pub clock: Millis,
    /// The armed deadline: the customer's time in the wheel; [`NEVER`] if it is not in the wheel.
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
    /// Number of the customer among all that were created in this shard. It salts hashes of event ids, so that an
    /// erasure forgets them.
    pub incarnation: u32,
    /// UTC day of the latest accepted event's time (R7).
    pub last_event_day: u16,
    /// The number of the rules with which the customer was evaluated last, counted by the shard: a sweep (R6) has yet
    /// to reach customers with another number.
    pub generation: u8,
    /// Whether changes are not published yet (R11).
    pub muted: bool,
    /// Whether the latest `cart_total` belongs to the open cart.
    pub cart_value_known: bool,
    pub(super) alive: bool,
    /// Length of the id, less 1.
    pub(super) id_length: u8,
    /// The number of captures begun when the row changed last ([`super::snapshot`]).
    pub(super) epoch: u32,
    /// The customer's variable part.
    pub(super) block: BlockHandle,
    /// The id if it has at most 16 bytes; a longer one is in the block.
    pub(super) id: [u8; ID_INLINE],
}

/// Bytes of an id that is in the row at most.
pub(super) const ID_INLINE: usize = 16;

/// A browsing event more than this after the previous one starts a session.
const SESSION_GAP: Millis = 30 * MINUTE;

impl Row {
    /// Whether a browsing event of this time starts a session (B2).
    pub fn starts_session(&self, time: Millis) -> bool {
        self.last_browsing == NONE || time - self.last_browsing > SESSION_GAP
    }

    /// A row without a customer.
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

    /// All plain fields. The last ones do not follow from the customer's events and time alone: the armed deadline,
    /// which may be early, and counters of the shard.
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
    /// Number of the scalars that follow from the customer's events and time.
    pub(super) const SCALARS_OF_EVENTS: usize = 14;
}
