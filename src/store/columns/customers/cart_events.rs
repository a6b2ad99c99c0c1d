//! `cart_events`: the cart events that may still matter and are not among the hours.

use super::super::fields::{nullable, required, time_type, times, value};
use super::super::lists::{ListColumn, ListEnds, list_field};
use crate::engine::event::Millis;
use crate::engine::profile::CartEvent;
use crate::engine::profile::{CustomerBuilder, CustomerImage};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, PrimitiveArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use std::sync::Arc;

const NAME: &str = "cart_events";

pub fn field() -> Field {
    list_field(NAME, entry())
}

fn entry() -> Fields {
    vec![
        required("time", time_type()),
        required("adds", DataType::Boolean),
        required("empties", DataType::Boolean),
        nullable("total", DataType::Int64),
    ]
    .into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    times: Vec<Millis>,
    adds: Vec<bool>,
    empties: Vec<bool>,
    totals: Vec<Option<i64>>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        for event in image.cart() {
            self.times.push(event.time);
            self.adds.push(event.is_add);
            self.empties.push(event.is_zero);
            self.totals.push(event.total);
        }
        self.ends.push(self.times.len());
    }

    pub fn finish(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            times(self.times),
            Arc::new(BooleanArray::from(self.adds)),
            Arc::new(BooleanArray::from(self.empties)),
            Arc::new(Int64Array::from(self.totals)),
        ];
        self.ends.finish(entry(), columns)
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    times: &'a [Millis],
    adds: &'a BooleanArray,
    empties: &'a BooleanArray,
    totals: &'a PrimitiveArray<Int64Type>,
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        let list = ListColumn::new(batch, NAME);
        Self {
            list,
            times: list.times("time"),
            adds: list.booleans("adds"),
            empties: list.booleans("empties"),
            totals: list.nullable("total"),
        }
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            builder.push_cart_event(CartEvent {
                time: self.times[index],
                is_add: self.adds.value(index),
                is_zero: self.empties.value(index),
                total: value(self.totals, index),
            });
        }
    }
}
