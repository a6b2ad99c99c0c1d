//! Marks of erasure and opt-out: columns, builder and reader.

use super::fields::{column, nullable, nullable_times, required, time_type, times, value};
use super::kind::FileKind;
use crate::engine::shard::{Mark, StoredMark};
use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, SchemaRef, TimestampMillisecondType, UInt64Type};
use std::sync::{Arc, LazyLock};

/// Marks per file: 32 MiB.
const MARKS_MAX: usize = 1 << 20;

pub(super) fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        FileKind::Marks.schema(vec![
            required("customer", DataType::UInt64),
            required("dropped_until", time_type()),
            required("counted_from", time_type()),
            nullable("opted_out_at", time_type()),
        ])
    });
    SCHEMA.clone()
}

/// The marks of a file that is being made.
#[derive(Default)]
pub struct MarksBuilder {
    marks: Vec<StoredMark>,
}

impl MarksBuilder {
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.marks.len() >= MARKS_MAX
    }

    pub fn push(&mut self, mark: StoredMark) {
        self.marks.push(mark);
    }

    /// The marks as a batch; the builder is empty afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, String> {
        let marks = std::mem::take(&mut self.marks);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(marks.iter().map(|stored| stored.hash))),
            times(marks.iter().map(|stored| stored.mark.dropped_until).collect()),
            times(marks.iter().map(|stored| stored.mark.counted_from).collect()),
            nullable_times(marks.iter().map(|stored| stored.mark.opted_out_at).collect()),
        ];
        RecordBatch::try_new(schema(), columns).map_err(|error| format!("cannot make columns of marks: {error}"))
    }
}

/// The marks of a file.
pub fn read_marks(batch: &RecordBatch) -> impl Iterator<Item = StoredMark> + '_ {
    let times = |name: &str| column(batch, name).as_primitive::<TimestampMillisecondType>();
    let hashes = column(batch, "customer").as_primitive::<UInt64Type>();
    let (dropped_until, counted_from) = (times("dropped_until"), times("counted_from"));
    let opted_out_at = times("opted_out_at");
    (0..batch.num_rows()).map(move |row| StoredMark {
        hash: hashes.value(row),
        mark: Mark {
            dropped_until: dropped_until.value(row),
            counted_from: counted_from.value(row),
            opted_out_at: value(opted_out_at, row),
        },
    })
}
