//! `category_hours`: a customer's views by category and hour.

use super::super::fields::{required, text_type, time_type, times};
use super::super::lists::{ListColumn, ListEnds, list_field};
use super::super::texts::{TextColumn, TextWriter, Texts};
use crate::engine::event::Millis;
use crate::engine::profile::{CategoryHour, CustomerBuilder, CustomerImage, TextReference};
use crate::engine::shard::Restored;
use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Fields, UInt32Type};
use std::sync::Arc;

const NAME: &str = "category_hours";

pub fn field() -> Field {
    list_field(NAME, entry())
}

fn entry() -> Fields {
    vec![required("category", text_type()), required("views", DataType::UInt32), required("newest", time_type())].into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    categories: TextWriter,
    views: Vec<u32>,
    newest: Vec<Millis>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>, texts: &Texts) {
        for hour in image.category_hours() {
            self.categories.push(hour.category, || texts.get(hour.category));
            self.views.push(hour.events);
            self.newest.push(hour.newest);
        }
        self.ends.push(self.views.len());
    }

    pub fn finish(self) -> ArrayRef {
        let views = Arc::new(UInt32Array::from(self.views));
        self.ends.finish(entry(), vec![self.categories.finish(), views, times(self.newest)])
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    categories: TextColumn<'a, TextReference>,
    views: &'a [u32],
    newest: &'a [Millis],
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch, restored: &mut Restored) -> Result<Self, String> {
        let list = ListColumn::new(batch, NAME);
        Ok(Self {
            list,
            categories: TextColumn::new(list.field("category"), |text| Ok(restored.text(text)))?,
            views: list.values::<UInt32Type>("views"),
            newest: list.times("newest"),
        })
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            let (category, events) = (self.categories.get(index), self.views[index]);
            builder.push_category_hour(CategoryHour { category, events, newest: self.newest[index] });
        }
    }
}
