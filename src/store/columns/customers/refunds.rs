//! `remembered_refunds`: the refunds of 400 days, with or without a known order.

use super::super::fields::{required, time_type, times};
use super::super::lists::{ListColumn, ListEnds, list_field};
use crate::engine::event::Millis;
use crate::engine::profile::{CustomerBuilder, CustomerImage};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use std::sync::Arc;

const NAME: &str = "remembered_refunds";

pub fn field() -> Field {
    list_field(NAME, entry())
}

fn entry() -> Fields {
    vec![
        required("time", time_type()),
        required("given_back", DataType::Int64),
        required("without_order", DataType::Boolean),
    ]
    .into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    times: Vec<Millis>,
    given_back: Vec<i64>,
    without_order: Vec<bool>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        for refund in image.refunds() {
            self.times.push(refund.time());
            self.given_back.push(refund.given());
            self.without_order.push(refund.unlinked());
        }
        self.ends.push(self.times.len());
    }

    pub fn finish(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            times(self.times),
            Arc::new(Int64Array::from(self.given_back)),
            Arc::new(BooleanArray::from(self.without_order)),
        ];
        self.ends.finish(entry(), columns)
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    times: &'a [Millis],
    given_back: &'a [i64],
    without_order: &'a BooleanArray,
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        let list = ListColumn::new(batch, NAME);
        Self {
            list,
            times: list.times("time"),
            given_back: list.values::<Int64Type>("given_back"),
            without_order: list.booleans("without_order"),
        }
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            builder.push_refund(self.times[index], self.given_back[index], self.without_order.value(index));
        }
    }
}
