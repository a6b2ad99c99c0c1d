//! Files of earlier formats, brought into the columns of this one, so that nobody else knows of them.
//!
//! A snapshot that goes on from one of an earlier format has files of both.

use super::schema::{self, Kind, item};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The columns of customers in format 1.
pub(super) fn customers_of_format_1() -> Schema {
    let today = Kind::Customers.schema();
    let fields = today.fields().iter().map(|field| match field.name().as_str() {
        "held" => Arc::new(Field::new("held", DataType::List(item(schema::held_of_format_1().into())), false)),
        _ => Arc::clone(field),
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// Customers of format 1 in the columns of today: nothing is known of the values before those held.
pub(super) fn from_format_1(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let today = Kind::Customers.schema();
    let (place, _) = today.column_with_name("held").expect("customers hold values");
    let list = batch.column(place).as_list::<i32>();
    let values = list.values().as_struct();
    let (mut columns, nulls) = (values.columns().to_vec(), values.nulls().cloned());
    columns.push(new_null_array(&DataType::UInt16, values.len()));
    let values = StructArray::try_new(schema::held(), columns, nulls)?;
    let list =
        ListArray::try_new(item(schema::held()), list.offsets().clone(), Arc::new(values), list.nulls().cloned())?;
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns[place] = Arc::new(list);
    RecordBatch::try_new(today, columns)
}
