//! `return_ids`: ids of refunds, cancellations and amendments of orders that are remembered or waited for, in order of
//! their acceptance.

use super::super::fields::required;
use super::super::formats::since;
use super::super::lists::{ListColumn, ListEnds, list_field};
use crate::engine::profile::{CustomerBuilder, CustomerImage, ReturnId};
use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Fields, UInt64Type};
use std::sync::Arc;

const NAME: &str = "return_ids";

pub fn field() -> Field {
    since(3, list_field(NAME, entry()))
}

fn entry() -> Fields {
    vec![required("order", DataType::UInt64), required("id", DataType::UInt64)].into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    orders: Vec<u64>,
    ids: Vec<u64>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        for id in image.return_ids() {
            self.orders.push(id.order());
            self.ids.push(id.event());
        }
        self.ends.push(self.ids.len());
    }

    pub fn finish(self) -> ArrayRef {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(UInt64Array::from(self.orders)), Arc::new(UInt64Array::from(self.ids))];
        self.ends.finish(entry(), columns)
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    orders: &'a [u64],
    ids: &'a [u64],
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        let list = ListColumn::new(batch, NAME);
        Self { list, orders: list.values::<UInt64Type>("order"), ids: list.values::<UInt64Type>("id") }
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            builder.push_return_id(ReturnId::from_parts(self.orders[index], self.ids[index]));
        }
    }
}
