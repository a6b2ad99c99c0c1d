//! `waiting`: refunds, cancellations and amendments that arrived before their order. A null amount is the whole order.

use super::super::fields::{nullable, required, time_type, times, value};
use super::super::formats::since;
use super::super::lists::{ListColumn, ListEnds, list_field};
use crate::engine::event::Millis;
use crate::engine::profile::{CustomerBuilder, CustomerImage, OrderAction, Waiting};
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
        since(3, required("amends", DataType::Boolean)),
        since(3, required("foreign", DataType::Boolean)),
        since(3, required("id", DataType::UInt64)),
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
    amends: Vec<bool>,
    foreign: Vec<bool>,
    ids: Vec<u64>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        for waiting in image.waiting() {
            self.orders.push(waiting.order);
            self.times.push(waiting.time);
            let action = waiting.action();
            self.cancels.push(action == OrderAction::Cancel);
            self.amounts.push(match action {
                OrderAction::Refund(amount) => amount,
                OrderAction::Cancel => None,
                OrderAction::Amend(amount) => Some(amount),
            });
            self.amends.push(matches!(action, OrderAction::Amend(_)));
            self.foreign.push(waiting.foreign());
            self.ids.push(waiting.id());
        }
        self.ends.push(self.orders.len());
    }

    pub fn finish(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(self.orders)),
            times(self.times),
            Arc::new(BooleanArray::from(self.cancels)),
            Arc::new(Int64Array::from(self.amounts)),
            Arc::new(BooleanArray::from(self.amends)),
            Arc::new(BooleanArray::from(self.foreign)),
            Arc::new(UInt64Array::from(self.ids)),
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
    amends: &'a BooleanArray,
    foreign: &'a BooleanArray,
    ids: &'a [u64],
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
            amends: list.booleans("amends"),
            foreign: list.booleans("foreign"),
            ids: list.values::<UInt64Type>("id"),
        }
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            let amount = value(self.amounts, index);
            let action = match (self.cancels.value(index), self.amends.value(index)) {
                (true, _) => OrderAction::Cancel,
                (_, true) => OrderAction::Amend(amount.unwrap_or(0)),
                _ => OrderAction::Refund(amount),
            };
            let (order, time) = (self.orders[index], self.times[index]);
            builder.push_waiting(Waiting::new(order, time, action, self.foreign.value(index), self.ids[index]));
        }
    }
}
