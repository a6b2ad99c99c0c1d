//! `held`: the value that a customer has of each segmentation and audience, since when, and the value before it.

use super::super::fields::{nullable, required, time_type, times, value};
use super::super::lists::{ListColumn, ListEnds, list_field};
use crate::engine::event::Millis;
use crate::engine::profile::{CustomerBuilder, CustomerImage, HeldValue};
use arrow::array::{ArrayRef, BooleanArray, PrimitiveArray, RecordBatch, UInt16Array};
use arrow::datatypes::{DataType, Field, Fields, UInt16Type};
use std::sync::Arc;

const NAME: &str = "held";

pub fn field() -> Field {
    list_field(NAME, entry())
}

fn entry() -> Fields {
    vec![
        nullable("value", DataType::UInt16),
        required("since", time_type()),
        required("dwells", DataType::Boolean),
        nullable("previous", DataType::UInt16),
    ]
    .into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    values: Vec<Option<u16>>,
    since: Vec<Millis>,
    dwells: Vec<bool>,
    previous: Vec<Option<u16>>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        for held in image.held() {
            let known = |value: u16| (value != HeldValue::NULL).then_some(value);
            self.values.push(known(held.value));
            self.since.push(held.since);
            self.dwells.push(held.dwells);
            self.previous.push(known(held.before));
        }
        self.ends.push(self.since.len());
    }

    pub fn finish(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt16Array::from(self.values)),
            times(self.since),
            Arc::new(BooleanArray::from(self.dwells)),
            Arc::new(UInt16Array::from(self.previous)),
        ];
        self.ends.finish(entry(), columns)
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    values: &'a PrimitiveArray<UInt16Type>,
    since: &'a [Millis],
    dwells: &'a BooleanArray,
    previous: &'a PrimitiveArray<UInt16Type>,
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        let list = ListColumn::new(batch, NAME);
        Self {
            list,
            values: list.nullable("value"),
            since: list.times("since"),
            dwells: list.booleans("dwells"),
            previous: list.nullable("previous"),
        }
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            let [held, before] =
                [self.values, self.previous].map(|values| value(values, index).unwrap_or(HeldValue::NULL));
            let (since, dwells) = (self.since[index], self.dwells.value(index));
            builder.push_held(HeldValue { value: held, since, dwells, before });
        }
    }
}
