//! `folded_intervals`: what customers did in absolute intervals of the rules and is no longer remembered singly.

use super::super::fields::{required, time_type, times};
use super::super::formats::since;
use super::super::lists::{ListColumn, ListEnds, list_field};
use crate::engine::event::{EventType, Millis};
use crate::engine::event_settings::Interval;
use crate::engine::profile::{CustomerBuilder, CustomerImage, FoldedInterval};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, UInt8Type};
use std::sync::Arc;

const NAME: &str = "folded_intervals";

pub fn field() -> Field {
    since(3, list_field(NAME, entry()))
}

fn entry() -> Fields {
    vec![
        required("event_type", DataType::UInt8),
        required("from", time_type()),
        required("to", time_type()),
        required("count", DataType::Int64),
        required("net", DataType::Int64),
    ]
    .into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    event_types: Vec<u8>,
    from: Vec<Millis>,
    to: Vec<Millis>,
    counts: Vec<i64>,
    net: Vec<i64>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        for FoldedInterval { interval, count, net } in image.folded_intervals() {
            self.event_types.push(interval.counted.0);
            self.from.push(interval.from);
            self.to.push(interval.to);
            self.counts.push(*count);
            self.net.push(*net);
        }
        self.ends.push(self.counts.len());
    }

    pub fn finish(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt8Array::from(self.event_types)),
            times(self.from),
            times(self.to),
            Arc::new(Int64Array::from(self.counts)),
            Arc::new(Int64Array::from(self.net)),
        ];
        self.ends.finish(entry(), columns)
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    event_types: &'a [u8],
    from: &'a [Millis],
    to: &'a [Millis],
    counts: &'a [i64],
    net: &'a [i64],
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        let list = ListColumn::new(batch, NAME);
        Self {
            list,
            event_types: list.values::<UInt8Type>("event_type"),
            from: list.times("from"),
            to: list.times("to"),
            counts: list.values::<Int64Type>("count"),
            net: list.values::<Int64Type>("net"),
        }
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            let counted = EventType(self.event_types[index]);
            let interval = Interval { counted, from: self.from[index], to: self.to[index] };
            let (count, net) = (self.counts[index], self.net[index]);
            builder.push_folded_interval(FoldedInterval { interval, count, net });
        }
    }
}
