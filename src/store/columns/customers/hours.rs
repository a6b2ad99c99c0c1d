//! `hours`: the counts of events per type and hour, in the packed form in which the engine has them.

use super::super::fields::{column, required};
use crate::engine::profile::{CustomerBuilder, CustomerImage};
use arrow::array::{ArrayRef, AsArray, BinaryArray, BinaryBuilder, RecordBatch};
use arrow::datatypes::{DataType, Field};
use std::sync::Arc;

const NAME: &str = "hours";

pub fn field() -> Field {
    required(NAME, DataType::Binary)
}

#[derive(Default)]
pub struct Writer(BinaryBuilder);

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        self.0.append_value(image.hours());
    }

    pub fn finish(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

pub struct Reader<'a>(&'a BinaryArray);

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        Self(column(batch, NAME).as_binary())
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        builder.set_hours(self.0.value(row));
    }
}
