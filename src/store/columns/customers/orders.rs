//! `remembered_orders`: the orders that are remembered one by one, by time. The categories of an order are one text, a
//! JSON array.

use super::super::fields::{nullable, required, text_type, time_type, times};
use super::super::formats::since;
use super::super::lists::{ListColumn, ListEnds, list_field};
use super::super::texts::{TextColumn, TextWriter, Texts, set_from_json, set_to_json};
use crate::engine::event::Millis;
use crate::engine::profile::{CustomerBuilder, CustomerImage, Order, OrderParts, TextReference};
use crate::engine::shard::Restored;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, UInt64Type};
use std::sync::Arc;

const NAME: &str = "remembered_orders";

pub fn field() -> Field {
    list_field(NAME, entry())
}

fn entry() -> Fields {
    vec![
        required("order", DataType::UInt64),
        required("time", time_type()),
        required("amount", DataType::Int64),
        required("given_back", DataType::Int64),
        required("cancelled", DataType::Boolean),
        required("refunded", DataType::Boolean),
        required("discounted", DataType::Boolean),
        nullable("categories", text_type()),
        nullable("channel", text_type()),
        since(3, required("foreign", DataType::Boolean)),
        since(3, required("amended", DataType::Boolean)),
    ]
    .into()
}

#[derive(Default)]
pub struct Writer {
    ends: ListEnds,
    ids: Vec<u64>,
    times: Vec<Millis>,
    amounts: Vec<i64>,
    given_back: Vec<i64>,
    cancelled: Vec<bool>,
    refunded: Vec<bool>,
    discounted: Vec<bool>,
    categories: TextWriter,
    channels: TextWriter,
    foreign: Vec<bool>,
    amended: Vec<bool>,
}

impl Writer {
    pub fn push(&mut self, image: &CustomerImage<'_>, texts: &Texts) {
        for order in image.orders().iter().map(Order::parts) {
            self.ids.push(order.id);
            self.times.push(order.time);
            self.amounts.push(order.amount);
            self.given_back.push(order.given);
            self.cancelled.push(order.cancelled);
            self.refunded.push(order.refunded);
            self.discounted.push(order.discounted);
            self.categories.push(order.categories, || set_to_json(&texts.get(order.categories)));
            self.channels.push(order.channel, || texts.get(order.channel));
            self.foreign.push(order.foreign);
            self.amended.push(order.amended);
        }
        self.ends.push(self.ids.len());
    }

    pub fn finish(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(self.ids)),
            times(self.times),
            Arc::new(Int64Array::from(self.amounts)),
            Arc::new(Int64Array::from(self.given_back)),
            Arc::new(BooleanArray::from(self.cancelled)),
            Arc::new(BooleanArray::from(self.refunded)),
            Arc::new(BooleanArray::from(self.discounted)),
            self.categories.finish(),
            self.channels.finish(),
            Arc::new(BooleanArray::from(self.foreign)),
            Arc::new(BooleanArray::from(self.amended)),
        ];
        self.ends.finish(entry(), columns)
    }
}

pub struct Reader<'a> {
    list: ListColumn<'a>,
    ids: &'a [u64],
    times: &'a [Millis],
    amounts: &'a [i64],
    given_back: &'a [i64],
    cancelled: &'a BooleanArray,
    refunded: &'a BooleanArray,
    discounted: &'a BooleanArray,
    categories: TextColumn<'a, TextReference>,
    channels: TextColumn<'a, TextReference>,
    foreign: &'a BooleanArray,
    amended: &'a BooleanArray,
}

impl<'a> Reader<'a> {
    pub fn new(batch: &'a RecordBatch, restored: &mut Restored) -> Result<Self, String> {
        let list = ListColumn::new(batch, NAME);
        let categories = TextColumn::new(list.field("categories"), |json| {
            let categories = set_from_json(json)?;
            Ok(restored.text_set(categories.iter().map(String::as_str)))
        })?;
        Ok(Self {
            list,
            ids: list.values::<UInt64Type>("order"),
            times: list.times("time"),
            amounts: list.values::<Int64Type>("amount"),
            given_back: list.values::<Int64Type>("given_back"),
            cancelled: list.booleans("cancelled"),
            refunded: list.booleans("refunded"),
            discounted: list.booleans("discounted"),
            categories,
            channels: TextColumn::new(list.field("channel"), |text| Ok(restored.text(text)))?,
            foreign: list.booleans("foreign"),
            amended: list.booleans("amended"),
        })
    }

    pub fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        for index in self.list.entries(row) {
            builder.push_order(&OrderParts {
                id: self.ids[index],
                time: self.times[index],
                amount: self.amounts[index],
                given: self.given_back[index],
                cancelled: self.cancelled.value(index),
                refunded: self.refunded.value(index),
                discounted: self.discounted.value(index),
                categories: self.categories.get(index),
                channel: self.channels.get(index),
                foreign: self.foreign.value(index),
                amended: self.amended.value(index),
            });
        }
    }
}
