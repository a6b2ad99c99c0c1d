//! Ids of events and marks, both ways.

use super::encode::{maybe_times, times};
use super::schema::Kind;
use crate::engine::event::{HOUR, Millis};
use crate::engine::profile::dedup::HourOfIds;
use crate::engine::shard::{Mark, StoredMark};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, TimestampMillisecondType, UInt64Type};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Ids of one file: 32 MiB.
pub const IDS_MAX: usize = 4 << 20;
/// Marks of one file: 32 MiB.
pub const MARKS_MAX: usize = 1 << 20;

/// Ids of a file in the making.
#[derive(Default)]
pub struct IdsBuilder {
    hours: Vec<Millis>,
    befores: Vec<u64>,
    ends: Vec<i32>,
    ids: Vec<u64>,
}

impl IdsBuilder {
    pub fn is_full(&self) -> bool {
        self.ids.len() >= IDS_MAX
    }

    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// Rows, one for each run of ids of one hour.
    pub fn len(&self) -> usize {
        self.hours.len()
    }

    /// Adds ids of an hour, of which so many came before, in the order in which they were accepted.
    pub fn push(&mut self, hour: i64, before: usize, ids: impl Iterator<Item = u64>) {
        self.ids.extend(ids);
        self.befores.push(before as u64);
        self.hours.push(hour * HOUR);
        self.ends.push(i32::try_from(self.ids.len()).expect("a file is full long before 2^31 ids"));
    }

    pub fn push_hour(&mut self, hour: &HourOfIds) {
        self.push(hour.hour, hour.before, hour.iter());
    }

    /// The ids as a batch; the builder is empty again.
    pub fn take(&mut self) -> Result<RecordBatch, String> {
        let Self { hours, befores, ends, ids } = std::mem::take(self);
        let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
        let field = Arc::new(Field::new("item", DataType::UInt64, false));
        let list = ListArray::new(field, OffsetBuffer::new(offsets.into()), Arc::new(UInt64Array::from(ids)), None);
        let columns: Vec<ArrayRef> = vec![times(hours), Arc::new(UInt64Array::from(befores)), Arc::new(list)];
        RecordBatch::try_new(Kind::Ids.schema(), columns)
            .map_err(|error| format!("cannot make columns of ids: {error}"))
    }
}

/// Ids by hour, as they come together from several files.
#[derive(Default)]
pub struct Hours(BTreeMap<i64, Run>);

/// Ids of an hour that follow each other.
#[derive(Default)]
struct Run {
    /// How many of the hour came before.
    before: usize,
    ids: Vec<u64>,
}

impl Hours {
    /// Takes the ids of a file. A run of ids says how many of its hour came before it; what an earlier file has from
    /// there on was stored without being known to be, or belongs to an hour that went because there were too many ids
    /// and began again: the later file is right.
    pub fn read(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let hours = batch.column(0).as_primitive::<TimestampMillisecondType>().values();
        let befores = batch.column(1).as_primitive::<UInt64Type>().values();
        let list = batch.column(2).as_list::<i32>();
        let (ids, offsets) = (list.values().as_primitive::<UInt64Type>().values(), list.value_offsets());
        for (row, (&hour, &before)) in hours.iter().zip(befores).enumerate() {
            let before = before as usize;
            let fresh = || Run { before, ids: Vec::new() };
            let known = self.0.entry(hour.div_euclid(HOUR)).or_insert_with(fresh);
            if before < known.before {
                *known = fresh();
            }
            let found = known.before + known.ids.len();
            if found < before {
                return Err(format!("of the hour of {hour} expected {before} ids before its next ones, found {found}"));
            }
            known.ids.truncate(before - known.before);
            known.ids.extend_from_slice(&ids[offsets[row] as usize..offsets[row + 1] as usize]);
        }
        Ok(())
    }

    /// All that was taken: hours with how many ids came before, and the ids.
    pub fn into_runs(self) -> impl Iterator<Item = (i64, usize, Vec<u64>)> {
        self.0.into_iter().map(|(hour, run)| (hour, run.before, run.ids))
    }
}

/// Marks of a file in the making.
#[derive(Default)]
pub struct MarksBuilder {
    marks: Vec<StoredMark>,
}

impl MarksBuilder {
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.marks.len() >= MARKS_MAX
    }

    pub fn push(&mut self, mark: StoredMark) {
        self.marks.push(mark);
    }

    /// The marks as a batch; the builder is empty again.
    pub fn take(&mut self) -> Result<RecordBatch, String> {
        let marks = std::mem::take(&mut self.marks);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(marks.iter().map(|stored| stored.hash))),
            times(marks.iter().map(|stored| stored.mark.dropped_until).collect()),
            times(marks.iter().map(|stored| stored.mark.counted_from).collect()),
            maybe_times(marks.iter().map(|stored| stored.mark.opted_out_at).collect()),
        ];
        RecordBatch::try_new(Kind::Marks.schema(), columns)
            .map_err(|error| format!("cannot make columns of marks: {error}"))
    }
}

/// The marks of a file.
pub fn read_marks(batch: &RecordBatch) -> impl Iterator<Item = StoredMark> + '_ {
    let times = |place: usize| batch.column(place).as_primitive::<TimestampMillisecondType>();
    let hashes = batch.column(0).as_primitive::<UInt64Type>();
    let (dropped_until, counted_from, opted_out_at) = (times(1), times(2), times(3));
    (0..batch.num_rows()).map(move |row| StoredMark {
        hash: hashes.value(row),
        mark: Mark {
            dropped_until: dropped_until.value(row),
            counted_from: counted_from.value(row),
            opted_out_at: opted_out_at.is_valid(row).then(|| opted_out_at.value(row)),
        },
    })
}
