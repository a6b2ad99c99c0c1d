//! The state of all customers of one shard, and how each event changes it (O1-O8, B1-B7).
//!
//! [`Profiles`] finds, makes and removes customers and applies events; [`Customer`] is the view that features read.
//! It knows nothing of rules, time's passing or outputs: the shard moves the clock, the rules read.

pub mod customer;
pub mod dedup;
pub mod order;
pub mod row;

pub use customer::{Customer, StoredValue};
pub use order::{Order, Refund, Totals};
pub use row::{Held, Row, RowNumber};

use super::event::{Event, Millis};
use super::meaning::Meaning;

/// What did not fit into a bound or had no effect, by kind; counted by the shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// Orders folded into the totals because 4,096 are remembered (O3).
    pub orders: u32,
    /// Waiting refunds and cancellations that gave way to later ones (O6).
    pub waiting: u32,
    /// Refunds no longer remembered singly because there are 4,096 later ones (C9).
    pub refunds: u32,
    /// Refunds that would have given back more than was left (O5).
    pub excess_refunds: u32,
    /// Hours of a type beyond 2,048 (B1).
    pub hours: u32,
    /// Pairs of hour and category beyond 64 (B5).
    pub categories: u32,
    /// Cart events beyond 64 (C8).
    pub cart: u32,
}

/// Bytes held, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    pub rows: usize,
    pub index: usize,
    pub blocks: usize,
    /// Of the blocks' bytes those that no customer uses.
    pub blocks_free: usize,
    pub texts: usize,
}

/// All customers of one shard.
#[derive(Default)]
pub struct Profiles {}

impl Overflow {
    pub fn add(&mut self, _: &Self) {}
}

impl Profiles {
    pub fn new() -> Self {
        Self::default()
    }

    /// The hash that [`Self::find`] and [`Self::create`] expect.
    pub fn hash(id: &[u8]) -> u64 {
        xxhash_rust::xxh3::xxh3_64(id)
    }

    /// First pass over a batch: asks the memory for the index cell.
    pub fn prefetch_cell(&self, _hash: u64) {}

    /// Second pass: asks the memory for the row the index points to; not verified against the id.
    pub fn prefetch_row(&self, _hash: u64) -> Option<RowNumber> {
        None
    }

    /// Asks the memory for a row by its number.
    pub fn prefetch_number(&self, _row: RowNumber) {}

    /// Whether a row of this number holds a living customer.
    pub fn is_live(&self, _row: RowNumber) -> bool {
        unimplemented!()
    }

    /// Between second and third pass: asks the memory for the variable part of a row that is there by now.
    pub fn prefetch_blocks(&self, _row: RowNumber) {}

    /// The living customer with this id.
    pub fn find(&self, _hash: u64, _id: &str) -> Option<RowNumber> {
        unimplemented!()
    }

    /// A new customer (there must be none with this id) that holds `held` values, all [`Held::NONE`].
    pub fn create(&mut self, _hash: u64, _id: &str, _held: usize) -> RowNumber {
        unimplemented!()
    }

    /// Forgets all that is known of the customer.
    pub fn remove(&mut self, _row: RowNumber) {
        unimplemented!()
    }

    /// Number of living customers.
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The living rows in order of their numbers.
    pub fn rows(&self) -> impl Iterator<Item = RowNumber> {
        std::iter::successors(self.next_row(0), |row| self.next_row(row + 1))
    }

    /// The smallest living row number at or after `from`: a sweep goes on with it.
    pub fn next_row(&self, _from: RowNumber) -> Option<RowNumber> {
        unimplemented!()
    }

    pub fn row(&self, _row: RowNumber) -> &Row {
        unimplemented!()
    }

    pub fn row_mut(&mut self, _row: RowNumber) -> &mut Row {
        unimplemented!()
    }

    pub fn id(&self, _row: RowNumber) -> &str {
        unimplemented!()
    }

    pub fn customer(&self, _row: RowNumber) -> Customer<'_> {
        unimplemented!()
    }

    /// Whether the event is a purchase whose order is remembered as of `at`, the later of clock and its time (O2).
    pub fn is_duplicate_order(&self, _row: RowNumber, _event: &Event<'_>, _at: Millis) -> bool {
        unimplemented!()
    }

    /// Applies an accepted event as of `at`, the later of the clock and its time. Moves neither clock nor held values.
    pub fn update(&mut self, _row: RowNumber, _event: &Event<'_>, _at: Millis, _meaning: &Meaning) -> Overflow {
        unimplemented!()
    }

    /// Copies the customer's held values, one per target, into `into` (cleared before). They are packed in 8 bytes each, so no slice is lent.
    pub fn held(&self, _row: RowNumber, _into: &mut Vec<Held>) {
        unimplemented!()
    }

    /// Sets the held values; another number of them than before is fine (new rules).
    pub fn set_held(&mut self, _row: RowNumber, _held: &[Held]) {
        unimplemented!()
    }

    pub fn bytes(&self) -> Bytes {
        Bytes::default()
    }
}
