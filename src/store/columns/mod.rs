//! A shard's state as columns of Arrow IPC files, which any Arrow library can read.
//!
//! One file of code per column or list: its fields, its writer and its reader. `customers` puts the columns of
//! customers together, `ids` and `marks` are the other two kinds of files; `file` converts a batch of columns to bytes
//! and back, `formats` completes the columns of earlier formats. `fields`, `lists` and `texts` are the building blocks.
//! docs/snapshots.md describes each column.

mod customers;
mod fields;
mod file;
mod formats;
mod ids;
mod kind;
mod lists;
mod marks;
mod texts;

pub use customers::{CUSTOMERS_MAX, Customers, CustomersBuilder};
pub use file::{read, write};
pub use ids::{IdHours, IdsBuilder};
pub use kind::{FORMAT, FORMAT_OLDEST, FileKind};
pub use marks::{MarksBuilder, read_marks};
pub use texts::Texts;
pub(super) use texts::without_unused_texts;
