//! `waiting`: refunds and cancellations that arrived before their order. A null amount is the whole order.

use super::super::fields::{nullable, required, time_type, times, value};
use super::super::lists::{ListColumn, ListEnds, list_field};
use crate::engine::event::Millis;
use crate::engine::profile::{CustomerBuilder, CustomerImage, Waiting};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, PrimitiveArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, UInt64Type};
use std::sync::Arc;

const NAME: &str = "waiting";

pub fn field() -> Field {
    list_field(NAME, entry())
}

fn entry() -> Fields {
    vec![
        required("order", DataType::UInt64),
        required("time", time_type()),
        required("cancels", DataType::Boolean),
        nullable("amount", DataType::Int64),
    ]
    .into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    orders: Vec<u64>,
    times: Vec<Millis>,
    cancels: Vec<bool>,
    amounts: Vec<Option<i64>>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        for waiting in image.waiting() {
            self.orders.push(waiting.order);
            self.times.push(waiting.time);
            self.cancels.push(waiting.amount == Waiting::CANCEL);
            self.amounts.push((waiting.amount >= 0).then_some(waiting.amount));
        }
        self.ends.push(self.orders.len());
    }

    pub fn finish(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(self.orders)),
            times(self.times),
            Arc::new(BooleanArray::from(self.cancels)),
            Arc::new(Int64Array::from(self.amounts)),
        ];
        self.ends.finish(entry(), columns)
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    orders: &'a [u64],
    times: &'a [Millis],
    cancels: &'a BooleanArray,
    amounts: &'a PrimitiveArray<Int64Type>,
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        let list = ListColumn::new(batch, NAME);
        Self {
            list,
            orders: list.values::<UInt64Type>("order"),
            times: list.times("time"),
            cancels: list.booleans("cancels"),
            amounts: list.nullable("amount"),
        }
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            let all = if self.cancels.value(index) { Waiting::CANCEL } else { Waiting::ALL };
            let amount = value(self.amounts, index).unwrap_or(all);
            builder.push_waiting(Waiting { order: self.orders[index], time: self.times[index], amount });
        }
    }
}
