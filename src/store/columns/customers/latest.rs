//! `latest`: the times of a customer's latest refund, cancellation, profile event and amendment.

use super::super::fields::{required, text_type, time_type, times};
use super::super::lists::{ListColumn, ListEnds, list_field};
use super::super::texts::{TextColumn, TextWriter};
use crate::engine::event::{EventType, Millis};
use crate::engine::profile::{CustomerBuilder, CustomerImage};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Fields};

const NAME: &str = "latest";
const TYPES: [EventType; 4] = [EventType::REFUND, EventType::CANCEL, EventType::PROFILE, EventType::AMEND];

pub fn field() -> Field {
    list_field(NAME, entry())
}

fn entry() -> Fields {
    vec![required("type", text_type()), required("time", time_type())].into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    types: TextWriter,
    times: Vec<Millis>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>) {
        for (event_type, time) in image.latest() {
            self.types.push(u32::from(event_type.0) + 1, || event_type.built_in_name().into());
            self.times.push(time);
        }
        self.ends.push(self.times.len());
    }

    pub fn finish(self) -> ArrayRef {
        self.ends.finish(entry(), vec![self.types.finish(), times(self.times)])
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    types: TextColumn<'a, Option<EventType>>,
    times: &'a [Millis],
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch) -> Result<Self, String> {
        let list = ListColumn::new(batch, NAME);
        let type_of = |name: &str| {
            let known = TYPES.into_iter().find(|known| known.built_in_name() == name);
            known
                .map(Some)
                .ok_or_else(|| format!("expected refund, cancel, profile or amend in `{NAME}`, found {name:?}"))
        };
        Ok(Self { list, types: TextColumn::new(list.field("type"), type_of)?, times: list.times("time") })
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            if let Some(event_type) = self.types.get(index) {
                builder.push_latest(event_type, self.times[index]);
            }
        }
    }
}
