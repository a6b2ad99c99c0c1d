//! Where the state of a shard's customers lies in memory: a slab of rows, an index of their ids, a block per customer
//! for everything that varies in length, and the texts that customers share.
//!
//! This folder knows how a block is laid out, but not what the words of its sections mean: the folders of
//! [`crate::engine::profile`] that own a section pack and unpack it.

mod blocks;
mod index;
mod layout;
pub mod memory;
mod sections;
mod slab;
mod texts;

pub use blocks::Blocks;
pub use index::Index;
pub use layout::{SECTIONS_OF_RECORDS, Section, hours, section};
pub use slab::Slab;
pub use texts::{TextReference, Texts, split_set};
