//! The kinds of files that snapshots are made of, and the version of their layout.
//!
//! Separate from the columns themselves, so that every column file can name its kind without knowing the others.

use arrow::datatypes::{Field, Schema, SchemaRef};
use std::collections::HashMap;
use std::sync::Arc;

/// Version of the layout of files and manifests that are written.
pub const FORMAT: u32 = 3;
/// The earliest version that is read.
pub const FORMAT_OLDEST: u32 = 2;

/// What a file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// One row per customer, ordered by row number.
    Customers,
    /// Event ids, by the hour in which they were accepted.
    Ids,
    /// Marks of erasure and opt-out.
    Marks,
}

impl FileKind {
    /// The name of the kind in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Ids => "ids",
            Self::Marks => "marks",
        }
    }

    /// The schema of these columns, with the format and the kind as metadata.
    pub(super) fn schema(self, fields: Vec<Field>) -> SchemaRef {
        let metadata = [("shoal.format", FORMAT.to_string()), ("shoal.kind", self.name().to_owned())];
        let metadata: HashMap<String, String> = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        Arc::new(Schema::new_with_metadata(fields, metadata))
    }
}
