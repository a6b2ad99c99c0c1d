//! Event ids by the hour in which they were accepted: columns, builder and reader.

use super::fields::{column, required, time_type, times, values};
use super::kind::FileKind;
use crate::engine::event::{HOUR, Millis};
use crate::engine::profile::dedup::HourOfIds;
use arrow::array::{ArrayRef, AsArray, ListArray, RecordBatch, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, SchemaRef, TimestampMillisecondType, UInt64Type};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Ids per file: 32 MiB.
const IDS_MAX: usize = 4 << 20;

pub(super) fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let list = DataType::List(item());
        FileKind::Ids.schema(vec![
            required("hour", time_type()),
            required("before", DataType::UInt64),
            required("ids", list),
        ])
    });
    SCHEMA.clone()
}

fn item() -> Arc<Field> {
    Arc::new(required("item", DataType::UInt64))
}

/// The ids of a file that is being made.
#[derive(Default)]
pub struct IdsBuilder {
    hours: Vec<Millis>,
    before: Vec<u64>,
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

    /// Adds ids of an hour in the order in which they were accepted; `before` is the number of earlier ids of the hour.
    pub fn push(&mut self, hour: i64, before: usize, ids: impl Iterator<Item = u64>) {
        self.ids.extend(ids);
        self.before.push(before as u64);
        self.hours.push(hour * HOUR);
        self.ends.push(i32::try_from(self.ids.len()).expect("a file is full long before 2^31 ids"));
    }

    pub fn push_hour(&mut self, hour: &HourOfIds) {
        self.push(hour.hour, hour.before, hour.iter());
    }

    /// The ids as a batch; the builder is empty afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, String> {
        let Self { hours, before, ends, ids } = std::mem::take(self);
        let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
        let list = ListArray::new(item(), OffsetBuffer::new(offsets.into()), Arc::new(UInt64Array::from(ids)), None);
        let columns: Vec<ArrayRef> = vec![times(hours), Arc::new(UInt64Array::from(before)), Arc::new(list)];
        RecordBatch::try_new(schema(), columns).map_err(|error| format!("cannot make columns of ids: {error}"))
    }
}

/// Ids by hour, collected from several files.
#[derive(Default)]
pub struct IdHours(BTreeMap<i64, Run>);

/// Consecutive ids of an hour.
#[derive(Default)]
struct Run {
    /// Number of earlier ids of the hour.
    before: usize,
    ids: Vec<u64>,
}

impl IdHours {
    /// Adds the ids of a file. A run has the number of ids of its hour that precede it. Ids of an earlier file from
    /// that number on are replaced: they were stored by a snapshot that was not confirmed, or the hour was dropped
    /// because there were too many ids and started anew. In both cases the later file is right.
    pub fn read(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let hours = values::<TimestampMillisecondType>(column(batch, "hour"));
        let befores = values::<UInt64Type>(column(batch, "before"));
        let list = column(batch, "ids").as_list::<i32>();
        let (ids, offsets) = (values::<UInt64Type>(list.values()), list.value_offsets());
        for (row, (&hour, &before)) in hours.iter().zip(befores).enumerate() {
            let before = before as usize;
            let fresh = || Run { before, ids: Vec::new() };
            let known = self.0.entry(hour.div_euclid(HOUR)).or_insert_with(fresh);
            if before < known.before {
                *known = fresh();
            }
            let found = known.before + known.ids.len();
            if found < before {
                return Err(format!("expected {before} earlier ids of the hour that starts at {hour}, found {found}"));
            }
            known.ids.truncate(before - known.before);
            known.ids.extend_from_slice(&ids[offsets[row] as usize..offsets[row + 1] as usize]);
        }
        Ok(())
    }

    /// All ids that were read: the hour, the number of its ids that precede them, and the ids.
    pub fn into_runs(self) -> impl Iterator<Item = (i64, usize, Vec<u64>)> {
        self.0.into_iter().map(|(hour, run)| (hour, run.before, run.ids))
    }
}
