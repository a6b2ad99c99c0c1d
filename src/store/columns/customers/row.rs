//! The columns of a customer's row: number, id, times, counters and flags.
//!
//! Columns of the same type are in a table with their names and the fields of the row; the schema, the writer and the
//! reader follow the tables.

use super::super::fields::{Times, column, nullable, nullable_times, required, time_type, value, values};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::NONE;
use crate::engine::profile::{CustomerBuilder, CustomerImage, Row};
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray, StringBuilder, UInt8Array,
    UInt32Array,
};
use arrow::datatypes::{DataType, Date32Type, Field, Int64Type, UInt8Type, UInt32Type};
use std::sync::Arc;

/// A column of times.
struct TimeColumn {
    name: &'static str,
    /// The value for which null stands: an unknown time is earlier than any, a time that never comes is later.
    null: Millis,
    field: fn(&mut Row) -> &mut Millis,
}

const TIMES: [TimeColumn; 9] = [
    TimeColumn { name: "clock", null: NONE, field: |row| &mut row.clock },
    TimeColumn { name: "armed", null: NEVER, field: |row| &mut row.armed },
    TimeColumn { name: "life", null: NONE, field: |row| &mut row.life },
    TimeColumn { name: "first_event", null: NEVER, field: |row| &mut row.first_event },
    TimeColumn { name: "last_activity", null: NONE, field: |row| &mut row.last_activity },
    TimeColumn { name: "last_browsing", null: NONE, field: |row| &mut row.last_browsing },
    TimeColumn { name: "first_order", null: NONE, field: |row| &mut row.first_order },
    TimeColumn { name: "last_order", null: NONE, field: |row| &mut row.last_order },
    TimeColumn { name: "cart_until", null: NONE, field: |row| &mut row.cart_until },
];

/// A column of counters.
struct CountColumn {
    name: &'static str,
    field: fn(&mut Row) -> &mut u32,
}

const COUNTS: [CountColumn; 4] = [
    CountColumn { name: "orders", field: |row| &mut row.orders },
    CountColumn { name: "placed", field: |row| &mut row.placed },
    CountColumn { name: "sequence", field: |row| &mut row.sequence },
    CountColumn { name: "incarnation", field: |row| &mut row.incarnation },
];

/// A column of flags.
struct FlagColumn {
    name: &'static str,
    field: fn(&mut Row) -> &mut bool,
}

const FLAGS: [FlagColumn; 2] = [
    FlagColumn { name: "muted", field: |row| &mut row.muted },
    FlagColumn { name: "cart_value_known", field: |row| &mut row.cart_value_known },
];

pub fn fields() -> Vec<Field> {
    let mut fields = vec![
        required("number", DataType::UInt32),
        required("alive", DataType::Boolean),
        required("id", DataType::Utf8),
    ];
    fields.extend(TIMES.map(|time| nullable(time.name, time_type())));
    fields.push(required("last_event_day", DataType::Date32));
    fields.push(required("revenue", DataType::Int64));
    fields.extend(COUNTS.map(|count| required(count.name, DataType::UInt32)));
    fields.push(required("generation", DataType::UInt8));
    fields.extend(FLAGS.map(|flag| required(flag.name, DataType::Boolean)));
    fields
}

#[derive(Default)]
pub struct Writer {
    numbers: Vec<u32>,
    alive: Vec<bool>,
    ids: StringBuilder,
    times: [Vec<Option<Millis>>; TIMES.len()],
    last_event_days: Vec<i32>,
    revenues: Vec<i64>,
    counts: [Vec<u32>; COUNTS.len()],
    generations: Vec<u8>,
    flags: [Vec<bool>; FLAGS.len()],
}

impl Writer {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    pub fn push(&mut self, image: &CustomerImage<'_>) {
        let is_alive = image.is_alive();
        let mut row = image.row.clone();
        self.numbers.push(image.number);
        self.alive.push(is_alive);
        self.ids.append_value(if is_alive { image.id() } else { "" });
        for (values, column) in self.times.iter_mut().zip(&TIMES) {
            let time = *(column.field)(&mut row);
            values.push((time != column.null).then_some(time));
        }
        self.last_event_days.push(i32::from(row.last_event_day));
        self.revenues.push(row.revenue);
        for (values, column) in self.counts.iter_mut().zip(&COUNTS) {
            values.push(*(column.field)(&mut row));
        }
        self.generations.push(row.generation);
        for (values, column) in self.flags.iter_mut().zip(&FLAGS) {
            values.push(*(column.field)(&mut row));
        }
    }

    pub fn finish(mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(self.numbers)),
            Arc::new(BooleanArray::from(self.alive)),
            Arc::new(self.ids.finish()),
        ];
        columns.extend(self.times.map(nullable_times));
        columns.push(Arc::new(Date32Array::from(self.last_event_days)));
        columns.push(Arc::new(Int64Array::from(self.revenues)));
        columns.extend(self.counts.map(|counts| Arc::new(UInt32Array::from(counts)) as ArrayRef));
        columns.push(Arc::new(UInt8Array::from(self.generations)));
        columns.extend(self.flags.map(|flags| Arc::new(BooleanArray::from(flags)) as ArrayRef));
        columns
    }
}

pub fn numbers(batch: &RecordBatch) -> &[u32] {
    values::<UInt32Type>(column(batch, "number"))
}

pub fn alive(batch: &RecordBatch) -> &BooleanArray {
    column(batch, "alive").as_boolean()
}

pub fn ids(batch: &RecordBatch) -> &StringArray {
    column(batch, "id").as_string()
}

/// Reads all but the number and the id.
pub struct Reader<'a> {
    times: [&'a Times; TIMES.len()],
    last_event_days: &'a [i32],
    revenues: &'a [i64],
    counts: [&'a [u32]; COUNTS.len()],
    generations: &'a [u8],
    flags: [&'a BooleanArray; FLAGS.len()],
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        Self {
            times: TIMES.map(|time| column(batch, time.name).as_primitive()),
            last_event_days: values::<Date32Type>(column(batch, "last_event_day")),
            revenues: values::<Int64Type>(column(batch, "revenue")),
            counts: COUNTS.map(|count| values::<UInt32Type>(column(batch, count.name))),
            generations: values::<UInt8Type>(column(batch, "generation")),
            flags: FLAGS.map(|flag| column(batch, flag.name).as_boolean()),
        }
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        let into = &mut builder.row;
        for (times, column) in self.times.iter().zip(&TIMES) {
            *(column.field)(into) = value(times, row).unwrap_or(column.null);
        }
        into.last_event_day = self.last_event_days[row] as u16;
        into.revenue = self.revenues[row];
        for (counts, column) in self.counts.iter().zip(&COUNTS) {
            *(column.field)(into) = counts[row];
        }
        into.generation = self.generations[row];
        for (flags, column) in self.flags.iter().zip(&FLAGS) {
            *(column.field)(into) = flags.value(row);
        }
    }
}
