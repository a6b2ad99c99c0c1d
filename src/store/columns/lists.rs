//! List columns: each row has any number of entries, and each entry is a struct.
//!
//! This is what all list columns have in common. The fields, writer and reader of each list are in one file of
//! [`super::customers`].

use super::fields;
use crate::engine::event::Millis;
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, PrimitiveArray, RecordBatch, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, TimestampMillisecondType};
use std::ops::Range;
use std::sync::Arc;

/// The field of a list column with these fields of an entry.
pub fn list_field(name: &str, entry: Fields) -> Field {
    fields::required(name, DataType::List(item(entry)))
}

/// The field of a list's entries.
fn item(entry: Fields) -> Arc<Field> {
    Arc::new(fields::required("item", DataType::Struct(entry)))
}

/// The ends of the rows' lists while a list column is written.
#[derive(Default)]
pub struct ListEnds(Vec<i32>);

impl ListEnds {
    /// Ends the list of a row; `entries` is the number of entries of all rows so far.
    pub fn push(&mut self, entries: usize) {
        self.0.push(i32::try_from(entries).expect("a file is full long before 2^31 entries"));
    }

    /// The column of all lists, with the columns of the entries' fields.
    pub fn finish(self, entry: Fields, columns: Vec<ArrayRef>) -> ArrayRef {
        let offsets: Vec<i32> = std::iter::once(0).chain(self.0).collect();
        let entries = StructArray::new(entry.clone(), columns, None);
        Arc::new(ListArray::new(item(entry), OffsetBuffer::new(offsets.into()), Arc::new(entries), None))
    }
}

/// A list column that is read: the range of entries of each row, and the entries' fields.
#[derive(Clone, Copy)]
pub struct ListColumn<'a> {
    offsets: &'a [i32],
    entries: &'a StructArray,
}

impl<'a> ListColumn<'a> {
    pub fn new(batch: &'a RecordBatch, name: &str) -> Self {
        let list = fields::column(batch, name).as_list::<i32>();
        Self { offsets: list.value_offsets(), entries: list.values().as_struct() }
    }

    /// The indices of a row's entries.
    #[inline]
    pub fn entries(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    pub fn field(&self, name: &str) -> &'a ArrayRef {
        fields::field(self.entries, name)
    }

    pub fn values<T: ArrowPrimitiveType>(&self, name: &str) -> &'a [T::Native] {
        fields::values::<T>(self.field(name))
    }

    pub fn times(&self, name: &str) -> &'a [Millis] {
        self.values::<TimestampMillisecondType>(name)
    }

    /// A field that may be null.
    pub fn nullable<T: ArrowPrimitiveType>(&self, name: &str) -> &'a PrimitiveArray<T> {
        self.field(name).as_primitive::<T>()
    }

    pub fn booleans(&self, name: &str) -> &'a BooleanArray {
        self.field(name).as_boolean()
    }
}
