//! `attributes`: the declared attributes that were set, by their index among the declared ones, with the time at which
//! they were set. An attribute whose values are all null was removed. The texts of one of type `texts` are one text, a
//! JSON array.

use super::super::fields::{Times, nullable, nullable_times, required, text_type, time_type, times, value};
use super::super::formats::since;
use super::super::lists::{ListColumn, ListEnds, list_field};
use super::super::texts::{TextColumn, TextWriter, Texts, set_from_json, set_to_json};
use crate::engine::event::Millis;
use crate::engine::profile::{AttributeParts, InternedValue};
use crate::engine::profile::{CustomerBuilder, CustomerImage, TextReference};
use crate::engine::shard::Restored;
use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, PrimitiveArray, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, UInt8Type};
use std::sync::Arc;

const NAME: &str = "attributes";

pub fn field() -> Field {
    list_field(NAME, entry())
}

fn entry() -> Fields {
    vec![
        required("place", DataType::UInt8),
        required("time", time_type()),
        nullable("text", text_type()),
        nullable("number", DataType::Float64),
        nullable("boolean", DataType::Boolean),
        nullable("moment", time_type()),
        since(3, nullable("texts", text_type())),
    ]
    .into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    indices: Vec<u8>,
    times: Vec<Millis>,
    texts: TextWriter,
    numbers: Vec<Option<f64>>,
    booleans: Vec<Option<bool>>,
    moments: Vec<Option<Millis>>,
    sets: TextWriter,
}

/// Stands for the empty set among the references of a [`TextWriter`], where 0 is null.
const EMPTY_SET: TextReference = TextReference::MAX;

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>, texts: &Texts) {
        for AttributeParts { index, time, value } in image.attributes() {
            self.indices.push(index);
            self.times.push(time);
            let text = if let InternedValue::Text(reference) = value { reference } else { 0 };
            self.texts.push(text, || texts.get(text));
            self.numbers.push(if let InternedValue::Number(number) = value { Some(number) } else { None });
            self.booleans.push(if let InternedValue::Boolean(boolean) = value { Some(boolean) } else { None });
            self.moments.push(if let InternedValue::Time(moment) = value { Some(moment) } else { None });
            match value {
                InternedValue::Texts(0) => self.sets.push(EMPTY_SET, || "[]".into()),
                InternedValue::Texts(set) => self.sets.push(set, || set_to_json(&texts.get(set))),
                _ => self.sets.push(0, Arc::default),
            }
        }
        self.ends.push(self.indices.len());
    }

    pub fn finish(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt8Array::from(self.indices)),
            times(self.times),
            self.texts.finish(),
            Arc::new(Float64Array::from(self.numbers)),
            Arc::new(BooleanArray::from(self.booleans)),
            nullable_times(self.moments),
            self.sets.finish(),
        ];
        self.ends.finish(entry(), columns)
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    indices: &'a [u8],
    times: &'a [Millis],
    texts: TextColumn<'a, TextReference>,
    numbers: &'a PrimitiveArray<Float64Type>,
    booleans: &'a BooleanArray,
    moments: &'a Times,
    sets: TextColumn<'a, Option<TextReference>>,
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch, restored: &mut Restored) -> Result<Self, String> {
        let list = ListColumn::new(batch, NAME);
        Ok(Self {
            list,
            indices: list.values::<UInt8Type>("place"),
            times: list.times("time"),
            texts: TextColumn::new(list.field("text"), |text| Ok(restored.text(text)))?,
            numbers: list.nullable("number"),
            booleans: list.booleans("boolean"),
            moments: list.nullable("moment"),
            sets: TextColumn::new(list.field("texts"), |json| {
                Ok(Some(restored.texts(set_from_json(json)?.iter().map(String::as_str))))
            })?,
        })
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            let (attribute, time) = (self.indices[index], self.times[index]);
            builder.push_attribute(AttributeParts { index: attribute, time, value: self.value(index) });
        }
    }

    fn value(&self, index: usize) -> InternedValue {
        let boolean = || self.booleans.is_valid(index).then(|| InternedValue::Boolean(self.booleans.value(index)));
        match self.texts.get(index) {
            0 => value(self.numbers, index)
                .map(InternedValue::Number)
                .or_else(boolean)
                .or_else(|| value(self.moments, index).map(InternedValue::Time))
                .or_else(|| self.sets.get(index).map(InternedValue::Texts))
                .unwrap_or(InternedValue::Removed),
            reference => InternedValue::Text(reference),
        }
    }
}
