//! The state of all customers of one shard, and how each event changes it (O1-O9, B1-B7).
//!
//! [`Profiles`] finds, creates and removes customers and applies events; [`Customer`] is the view that features read.
//! Nothing here knows rules or outputs, or advances a customer's clock: that is up to the shard.
//!
//! What a customer costs:
//!
//! | part | bytes |
//! |---|---|
//! | row | 128 |
//! | index slot | 8, at 0.53 to 0.8 full |
//! | block header | 16, with a part marked rare 24 |
//! | id over 16 bytes | its length, to the next 8 |
//! | held value, per segmentation or audience | 8 |
//! | order | 32 |
//! | refund | 16 |
//! | totals of folded orders and of refunds, once | 72 |
//! | waiting refund, cancellation or amendment | 32 |
//! | amended order, rare | 8 |
//! | id of a refund, cancellation or amendment of an order, rare | 8 |
//! | hour with events | 4 |
//! | type in an hour, up to four events of a built-in type | 3 |
//! | type in an hour, other | 6, and once 1 |
//! | session at the earliest time of its hour | 0 |
//! | category in an hour | 16 |
//! | cart | 8 per event that can matter and is not the newest `cart_add` of its hour, 8 for the latest total |
//! | attribute | 16 |
//! | absolute interval with what is no longer remembered singly | 40, and once 32 |
//! | latest refund, cancellation, amendment, profile event | 8 |
//! | end of the block | to the next 16, over 256 the next 32, over 512 the next 64, … |

mod activity;
mod attributes;
mod cart;
mod customer;
pub mod dedup;
mod held_value;
mod intervals;
mod orders;
mod row;
mod snapshot;
mod storage;
mod update;

#[cfg(test)]
mod tests;

pub use activity::{CategoryHour, EVENTS_TOLD_APART};
pub use attributes::{AttributeParts, InternedValue, StoredValue};
pub use cart::CartEvent;
pub use customer::Customer;
pub use held_value::HeldValue;
pub use intervals::FoldedInterval;
pub use orders::{Order, OrderAction, OrderParts, Refund, ReturnId, Totals, Waiting};
pub use row::{NONE, Row, RowNumber};
pub use snapshot::{CustomerBuilder, CustomerImage, CustomerImages};
pub use storage::{TextReference, split_set};

use intervals::FoldedIntervals;
use row::ID_INLINE;
use snapshot::Changes;
use storage::{Blocks, Index, Section, Slab, Texts, memory};

/// Number of records that one event pushed out at a bound, and of refunds that were cut. The shard adds them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// Orders folded into the totals because 4,096 later ones are stored (O3).
    pub orders: u32,
    /// Waiting refunds, cancellations and amendments dropped in favour of later ones (O6).
    pub waiting: u32,
    /// Refunds that are no longer stored because there are 4,096 later ones (O8).
    pub refunds: u32,
    /// Refunds of more than was left of the order (O5).
    pub excess_refunds: u32,
    /// Ids of refunds, cancellations and amendments dropped in favour of later ones (E3).
    pub return_ids: u32,
    /// Hours of a type beyond 2,048 (B1).
    pub hours: u32,
    /// Pairs of hour and category beyond 64 (B5).
    pub categories: u32,
    /// Cart events beyond 64 (B3).
    pub cart: u32,
}

/// Bytes in use, by part of the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    pub rows: usize,
    pub index: usize,
    pub blocks: usize,
    /// The part of `blocks` that no customer uses.
    pub blocks_free: usize,
    pub texts: usize,
}

/// What a fingerprint covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerprintScope {
    /// The whole state.
    All,
    /// The customers with their data and held values, but neither their rows nor their armed deadlines.
    Customers,
}

/// All customers of one shard.
pub struct Profiles {
    slab: Slab,
    index: Index,
    blocks: Blocks,
    texts: Texts,
    folded_intervals: FoldedIntervals,
    changes: Changes,
    /// Buffer for the owners and sizes of blocks that move.
    owners: Vec<(RowNumber, usize)>,
}

impl Overflow {
    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        self.orders += other.orders;
        self.waiting += other.waiting;
        self.refunds += other.refunds;
        self.excess_refunds += other.excess_refunds;
        self.return_ids += other.return_ids;
        self.hours += other.hours;
        self.categories += other.categories;
        self.cart += other.cart;
    }
}

impl Default for Profiles {
    fn default() -> Self {
        Self::new()
    }
}

impl Profiles {
    pub fn new() -> Self {
        Self {
            slab: Slab::new(),
            index: Index::new(),
            blocks: Blocks::new(),
            texts: Texts::new(),
            folded_intervals: FoldedIntervals::default(),
            changes: Changes::new(),
            owners: Vec::new(),
        }
    }

    /// The hash that [`Self::find`] and [`Self::create`] expect.
    pub fn hash(id: &[u8]) -> u64 {
        xxhash_rust::xxh3::xxh3_64(id)
    }

    /// First pass over a batch: prefetches the index slot.
    #[inline]
    pub fn prefetch_slot(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Second pass: prefetches the row that the index points to, without comparing its id.
    #[inline]
    pub fn prefetch_row(&self, hash: u64) -> Option<RowNumber> {
        let number = self.index.first(hash)?;
        self.prefetch_number(number);
        Some(number)
    }

    /// Prefetches a row by its number.
    #[inline]
    pub fn prefetch_number(&self, row: RowNumber) {
        let row = self.slab.get(row);
        memory::prefetch(row);
        memory::prefetch(&row.id);
    }

    /// Whether the row has a customer.
    pub fn is_live(&self, row: RowNumber) -> bool {
        self.slab.is_alive(row)
    }

    /// Between the second and third pass: prefetches the block of a row, which is in the cache by now.
    #[inline]
    pub fn prefetch_blocks(&self, row: RowNumber) {
        let words = self.blocks.words(self.slab.get(row).block);
        for line in words.chunks(8).take(5) {
            memory::prefetch(&line[0]);
        }
    }

    /// The row of the customer with this id.
    #[inline(never)]
    pub fn find(&self, hash: u64, id: &str) -> Option<RowNumber> {
        self.index.rows(hash).find(|row| self.is_of(*row, id.as_bytes()))
    }

    /// The same, where `expected` is most likely the row: [`Self::prefetch_row`] found it a while ago.
    #[inline]
    pub fn find_expected(&self, expected: Option<RowNumber>, hash: u64, id: &str) -> Option<RowNumber> {
        match expected {
            Some(row) if self.is_of(row, id.as_bytes()) => Some(row),
            _ => self.find(hash, id),
        }
    }

    /// Whether a row is that of the customer with this id.
    #[inline]
    fn is_of(&self, number: RowNumber, id: &[u8]) -> bool {
        let row = self.slab.get(number);
        if !row.alive || usize::from(row.id_length) + 1 != id.len() {
            return false;
        }
        match (id.first_chunk::<8>(), id.last_chunk::<8>()) {
            // Two words, which overlap in most ids.
            (Some(first), Some(last)) if id.len() <= ID_INLINE => {
                row.id.first_chunk() == Some(first) && row.id[..id.len()].last_chunk() == Some(last)
            }
            _ => self.id_bytes(number) == id,
        }
    }

    /// Number of customers.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows with a customer in order of their numbers.
    pub fn rows(&self) -> impl Iterator<Item = RowNumber> {
        std::iter::successors(self.next_row(0), |row| self.next_row(row + 1))
    }

    /// The first row with a customer at or after `from`.
    pub fn next_row(&self, from: RowNumber) -> Option<RowNumber> {
        self.slab.next(from)
    }

    #[inline]
    pub fn row(&self, row: RowNumber) -> &Row {
        self.slab.get(row)
    }

    #[inline]
    pub fn row_mut(&mut self, row: RowNumber) -> &mut Row {
        self.touch(row);
        self.slab.get_mut(row)
    }

    /// One more than the largest row number that was ever used.
    pub fn rows_used(&self) -> RowNumber {
        self.slab.used()
    }

    pub fn id(&self, row: RowNumber) -> &str {
        memory::text(self.id_bytes(row))
    }

    fn id_bytes(&self, row: RowNumber) -> &[u8] {
        let row = self.slab.get(row);
        let length = usize::from(row.id_length) + 1;
        if length <= ID_INLINE {
            &row.id[..length]
        } else {
            &memory::bytes(self.blocks.section(row.block, Section::Id))[..length]
        }
    }

    pub fn customer(&self, row: RowNumber) -> Customer<'_> {
        let hot = self.row(row);
        Customer { id: self.id_bytes(row), row: hot, hours: self.blocks.hours(hot.block), profiles: Some(self) }
    }

    /// Number of different texts that customers share.
    pub fn texts(&self) -> usize {
        self.texts.len()
    }

    pub fn bytes(&self) -> Bytes {
        let (blocks, blocks_free) = self.blocks.bytes();
        let blocks = blocks + self.folded_intervals.bytes();
        Bytes { rows: self.slab.bytes(), index: self.index.bytes(), blocks, blocks_free, texts: self.texts.bytes() }
    }
}
