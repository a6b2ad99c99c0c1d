//! `totals`: what remains of the orders that are no longer remembered one by one, and sums of refunds. Null for a
//! customer without them.

use super::super::fields::{
    Times, column, field as field_of, nullable, nullable_times, required, time_type, value, values,
};
use super::super::formats::since;
use crate::engine::event::Millis;
use crate::engine::profile::NONE;
use crate::engine::profile::{CustomerBuilder, CustomerImage, Totals};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray, RecordBatch, StructArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, UInt32Type};
use std::sync::Arc;

const NAME: &str = "totals";

pub fn field() -> Field {
    nullable(NAME, DataType::Struct(entry()))
}

fn entry() -> Fields {
    vec![
        required("counting", DataType::UInt32),
        required("placed", DataType::UInt32),
        required("returned", DataType::UInt32),
        required("discounted", DataType::UInt32),
        nullable("first", time_type()),
        nullable("last", time_type()),
        required("net", DataType::Int64),
        required("last_value", DataType::Int64),
        required("refunded", DataType::Int64),
        required("unlinked", DataType::Int64),
        since(3, nullable("largest", DataType::Int64)),
    ]
    .into()
}

#[derive(Default)]
pub struct Writer(Vec<Option<Totals>>);

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        self.0.push(image.totals().copied());
    }

    pub fn finish(self) -> ArrayRef {
        let all = || self.0.iter().map(|totals| totals.unwrap_or(Totals::EMPTY));
        let counts = |of: fn(&Totals) -> u32| {
            Arc::new(UInt32Array::from_iter_values(all().map(|totals| of(&totals)))) as ArrayRef
        };
        let sums = |of: fn(&Totals) -> i64| {
            Arc::new(Int64Array::from_iter_values(all().map(|totals| of(&totals)))) as ArrayRef
        };
        let known = |time: Millis| (time != NONE).then_some(time);
        let columns = vec![
            counts(|totals| totals.counting),
            counts(|totals| totals.placed),
            counts(|totals| totals.returned),
            counts(|totals| totals.discounted),
            nullable_times(all().map(|totals| known(totals.first)).collect()),
            nullable_times(all().map(|totals| known(totals.last)).collect()),
            sums(|totals| totals.net),
            sums(|totals| totals.last_value),
            sums(|totals| totals.refunded),
            sums(|totals| totals.unlinked),
            Arc::new(Int64Array::from_iter_values(all().map(|totals| totals.largest))),
        ];
        let nulls = self.0.iter().map(Option::is_some).collect::<Vec<bool>>();
        Arc::new(StructArray::new(entry(), columns, Some(NullBuffer::from(nulls))))
    }
}

pub struct Reader<'a> {
    totals: &'a StructArray,
    counting: &'a [u32],
    placed: &'a [u32],
    returned: &'a [u32],
    discounted: &'a [u32],
    first: &'a Times,
    last: &'a Times,
    net: &'a [i64],
    last_value: &'a [i64],
    refunded: &'a [i64],
    unlinked: &'a [i64],
    largest: &'a PrimitiveArray<Int64Type>,
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        let totals = column(batch, NAME).as_struct();
        let counts = |name: &str| values::<UInt32Type>(field_of(totals, name));
        let times = |name: &str| field_of(totals, name).as_primitive();
        let sums = |name: &str| values::<Int64Type>(field_of(totals, name));
        Self {
            totals,
            counting: counts("counting"),
            placed: counts("placed"),
            returned: counts("returned"),
            discounted: counts("discounted"),
            first: times("first"),
            last: times("last"),
            net: sums("net"),
            last_value: sums("last_value"),
            refunded: sums("refunded"),
            unlinked: sums("unlinked"),
            largest: field_of(totals, "largest").as_primitive(),
        }
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        if !self.totals.is_valid(row) {
            return;
        }
        builder.set_totals(&Totals {
            counting: self.counting[row],
            placed: self.placed[row],
            returned: self.returned[row],
            discounted: self.discounted[row],
            first: value(self.first, row).unwrap_or(Totals::EMPTY.first),
            last: value(self.last, row).unwrap_or(Totals::EMPTY.last),
            net: self.net[row],
            last_value: self.last_value[row],
            refunded: self.refunded[row],
            unlinked: self.unlinked[row],
            // Format 2 lacks it. The latest of those orders was at most as large.
            largest: value(self.largest, row).unwrap_or(self.last_value[row]),
        });
    }
}
