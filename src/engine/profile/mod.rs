//! The state of all customers of one shard, and how each event changes it (O1-O8, B1-B7).
//!
//! [`Profiles`] finds, makes and removes customers and applies events; [`Customer`] is the view that features read.
//! It knows nothing of rules, time's passing or outputs: the shard moves the clock, the rules read.
//!
//! What a customer costs:
//!
//! | part | bytes |
//! |---|---|
//! | row | 128 |
//! | index cell | 8, at 0.53 to 0.8 full |
//! | block header | 16 |
//! | id over 16 bytes | its length, to the next 8 |
//! | held value, per target | 8 |
//! | order | 32 |
//! | refund | 16 |
//! | folded orders and refunds, once | 64 |
//! | waiting refund or cancellation | 24 |
//! | hour with events | 4 |
//! | type in an hour, up to four events of a built-in type | 3 |
//! | type in an hour, other | 6, and once 1 |
//! | session at the earliest time of its hour | 0 |
//! | category in an hour | 16 |
//! | cart | 8 per event that may matter and is not the newest `cart_add` of its hour, 8 for the latest total |
//! | attribute | 16 |
//! | latest refund, cancellation, profile event | 8 |
//! | end of the block | to the next 16, over 256 the next 32, over 512 the next 64, … |

mod attributes;
mod blocks;
mod builder;
mod cart;
mod cart_events;
mod categories;
mod changes;
mod counting;
pub mod customer;
pub mod dedup;
mod hours;
pub mod image;
mod index;
mod memory;
pub mod order;
mod orders;
pub mod row;
mod section;
mod slab;
mod texts;
mod update;

#[cfg(test)]
mod tests;

pub use builder::CustomerBuilder;
pub use customer::{Customer, StoredValue};
pub use hours::CategoryHour;
pub use image::{AttributeParts, CartEvent, CustomerImage, CustomerImages, InternedValue};
pub use order::{Order, OrderParts, Refund, Totals, Waiting};
pub use row::{HeldValue, NONE, Row, RowNumber};
pub use texts::{TextReference, split_set};

use blocks::Blocks;
use changes::Changes;
use index::Index;
use row::ID_INLINE;
use section::Section;
use slab::Slab;
use texts::Texts;

/// What did not fit into a bound or had no effect, by kind; counted by the shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// Orders folded into the totals because 4,096 are remembered (O3).
    pub orders: u32,
    /// Waiting refunds and cancellations that gave way to later ones (O6).
    pub waiting: u32,
    /// Refunds no longer remembered singly because there are 4,096 later ones (O8).
    pub refunds: u32,
    /// Refunds that would have given back more than was left (O5).
    pub excess_refunds: u32,
    /// Hours of a type beyond 2,048 (B1).
    pub hours: u32,
    /// Pairs of hour and category beyond 64 (B5).
    pub categories: u32,
    /// Cart events beyond 64 (B3).
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

/// What a fingerprint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All of the state.
    All,
    /// What is known of the customers and held for them, and not in which row, nor what is armed.
    Known,
}

/// All customers of one shard.
pub struct Profiles {
    slab: Slab,
    index: Index,
    blocks: Blocks,
    texts: Texts,
    changes: Changes,
    /// Room for the owners of blocks that move.
    owners: Vec<RowNumber>,
}

impl Overflow {
    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        self.orders += other.orders;
        self.waiting += other.waiting;
        self.refunds += other.refunds;
        self.excess_refunds += other.excess_refunds;
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
            changes: Changes::new(),
            owners: Vec::new(),
        }
    }

    /// The hash that [`Self::find`] and [`Self::create`] expect.
    pub fn hash(id: &[u8]) -> u64 {
        xxhash_rust::xxh3::xxh3_64(id)
    }

    /// First pass over a batch: asks the memory for the index cell.
    #[inline]
    pub fn prefetch_cell(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Second pass: asks the memory for the row the index points to; not verified against the id.
    #[inline]
    pub fn prefetch_row(&self, hash: u64) -> Option<RowNumber> {
        let number = self.index.rows(hash).next()?;
        self.prefetch_number(number);
        Some(number)
    }

    /// Asks the memory for a row by its number.
    #[inline]
    pub fn prefetch_number(&self, row: RowNumber) {
        let row = self.slab.get(row);
        memory::prefetch(row);
        memory::prefetch(&row.id);
    }

    /// Whether a row of this number holds a living customer.
    pub fn is_live(&self, row: RowNumber) -> bool {
        self.slab.is_alive(row)
    }

    /// Between second and third pass: asks the memory for the variable part of a row that is there by now.
    #[inline]
    pub fn prefetch_blocks(&self, row: RowNumber) {
        let words = self.blocks.words(self.slab.get(row).block);
        for line in words.chunks(8).take(5) {
            memory::prefetch(&line[0]);
        }
    }

    /// The living customer with this id.
    #[inline]
    pub fn find(&self, hash: u64, id: &str) -> Option<RowNumber> {
        let id = id.as_bytes();
        let (mut inline, length) = ([0; ID_INLINE], id.len());
        if length > ID_INLINE {
            return self.index.rows(hash).find(|&row| self.id_bytes(row) == id);
        }
        inline[..length].copy_from_slice(id);
        self.index.rows(hash).find(|&row| {
            let row = self.slab.get(row);
            row.id == inline && usize::from(row.id_length) + 1 == length
        })
    }

    /// Number of living customers.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The living rows in order of their numbers.
    pub fn rows(&self) -> impl Iterator<Item = RowNumber> {
        std::iter::successors(self.next_row(0), |row| self.next_row(row + 1))
    }

    /// The smallest living row number at or after `from`: a sweep goes on with it.
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

    /// Row numbers below this were ever used.
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

    /// Different texts that customers share.
    pub fn texts(&self) -> usize {
        self.texts.len()
    }

    pub fn bytes(&self) -> Bytes {
        let (blocks, blocks_free) = self.blocks.bytes();
        Bytes { rows: self.slab.bytes(), index: self.index.bytes(), blocks, blocks_free, texts: self.texts.bytes() }
    }
}
