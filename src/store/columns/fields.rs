//! Building blocks of columns: types of fields, columns of times, and access to the values of a column.
//!
//! Times are milliseconds UTC; null is a time that is not known or never comes.

use crate::engine::event::Millis;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, TimeUnit, TimestampMillisecondType};
use std::sync::Arc;

/// A column of times that may be null.
pub type Times = PrimitiveArray<TimestampMillisecondType>;

pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// Texts that many rows share.
pub fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

pub fn nullable(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

pub fn times(times: Vec<Millis>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC"))
}

pub fn nullable_times(times: Vec<Option<Millis>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC"))
}

/// A column of a batch whose schema was compared with the expected one.
pub fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).expect("the batch has the columns of its kind")
}

/// A field of a struct column of such a batch.
pub fn field<'a>(column: &'a StructArray, name: &str) -> &'a ArrayRef {
    column.column_by_name(name).expect("the struct has the fields of its column")
}

/// The values of a column, also at positions that are null.
pub fn values<T: ArrowPrimitiveType>(column: &ArrayRef) -> &[T::Native] {
    column.as_primitive::<T>().values()
}

/// A value of a column; `None` if it is null.
pub fn value<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, index: usize) -> Option<T::Native> {
    column.is_valid(index).then(|| column.value(index))
}
