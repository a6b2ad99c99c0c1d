//! `amendments`: the time of the amendment that holds, for each remembered order that was amended, in the order of the
//! orders.

use super::super::fields::{required, time_type, times};
use super::super::formats::since;
use super::super::lists::{ListColumn, ListEnds, list_field};
use crate::engine::event::Millis;
use crate::engine::profile::{CustomerBuilder, CustomerImage};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Fields};

const NAME: &str = "amendments";

pub fn field() -> Field {
    since(3, list_field(NAME, entry()))
}

fn entry() -> Fields {
    vec![required("time", time_type())].into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    times: Vec<Millis>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        self.times.extend(image.amendments());
        self.ends.push(self.times.len());
    }

    pub fn finish(self) -> ArrayRef {
        self.ends.finish(entry(), vec![times(self.times)])
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    times: &'a [Millis],
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        let list = ListColumn::new(batch, NAME);
        Self { list, times: list.times("time") }
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        self.list.entries(row).for_each(|index| builder.push_amendment(self.times[index]));
    }
}
