//! Copies of customers into columns.
//!
//! Plain fields are a vector each; what a customer has several of is in [`super::lists`].

use super::lists::Lists;
use super::schema::{self, Kind, TIMES};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::{CustomerImage, NONE, Row, TextReference, Totals};
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Date32Array, Int64Array, RecordBatch, StringBuilder, StructArray,
    TimestampMillisecondArray, UInt8Array, UInt32Array,
};
use arrow::buffer::NullBuffer;
use std::cell::Cell;
use std::sync::Arc;

/// Customers of one file at most.
pub const CUSTOMERS_MAX: usize = 65_536;
/// A file with this much is full too: customers can have thousands of orders.
const BYTES_MAX: usize = 64 << 20;

/// The texts of a snapshot by their references.
#[derive(Default)]
pub struct Texts {
    texts: Vec<Option<Arc<str>>>,
    missing: Cell<Option<TextReference>>,
}

impl Texts {
    pub fn add(&mut self, reference: TextReference, text: Arc<str>) {
        let place = reference as usize;
        if place >= self.texts.len() {
            self.texts.resize(place + 1, None);
        }
        self.texts[place] = Some(text);
    }

    /// A text; one that is not there is noted, as all of a capture's texts come before its customers.
    pub(super) fn get(&self, reference: TextReference) -> Arc<str> {
        let text = self.texts.get(reference as usize).cloned().flatten();
        text.unwrap_or_else(|| {
            self.missing.set(Some(reference));
            Arc::default()
        })
    }

    /// A text that a customer refers to and that is not there: nothing of this may be stored.
    pub fn missing(&self) -> Option<TextReference> {
        self.missing.get()
    }
}

/// Rows of a file in the making.
#[derive(Default)]
pub struct CustomersBuilder {
    numbers: Vec<u32>,
    alive: Vec<bool>,
    ids: StringBuilder,
    times: [Vec<Option<Millis>>; TIMES.len()],
    last_event_day: Vec<i32>,
    revenue: Vec<i64>,
    counts: [Vec<u32>; 4],
    generation: Vec<u8>,
    muted: Vec<bool>,
    cart_value_known: Vec<bool>,
    totals: Vec<Option<Totals>>,
    lists: Lists,
    hours: BinaryBuilder,
    bytes: usize,
}

/// The times of a row in the order of [`TIMES`].
fn times_of(row: &Row) -> [Millis; TIMES.len()] {
    [
        row.clock,
        row.armed,
        row.life,
        row.first_event,
        row.last_activity,
        row.last_browsing,
        row.first_order,
        row.last_order,
        row.cart_until,
    ]
}

/// What null stands for, by column: a time that is not known is earlier than any, one that never comes later.
pub(super) const NULLS: [Millis; TIMES.len()] = [NONE, NEVER, NONE, NEVER, NONE, NONE, NONE, NONE, NONE];

impl CustomersBuilder {
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.len() == CUSTOMERS_MAX || self.bytes >= BYTES_MAX
    }

    /// Adds a row.
    pub fn push(&mut self, image: &CustomerImage<'_>, texts: &Texts) {
        let row = image.row;
        let is_alive = image.is_alive();
        self.numbers.push(image.number);
        self.alive.push(is_alive);
        self.ids.append_value(if is_alive { image.id() } else { "" });
        for ((column, time), null) in self.times.iter_mut().zip(times_of(row)).zip(NULLS) {
            column.push((time != null).then_some(time));
        }
        self.last_event_day.push(i32::from(row.last_event_day));
        self.revenue.push(row.revenue);
        for (column, count) in self.counts.iter_mut().zip([row.orders, row.placed, row.sequence, row.incarnation]) {
            column.push(count);
        }
        self.generation.push(row.generation);
        self.muted.push(row.muted);
        self.cart_value_known.push(row.cart_value_known);
        self.totals.push(image.totals().copied());
        self.bytes += size_of::<Row>() + image.hours().len() + self.lists.push(image, texts);
        self.hours.append_value(image.hours());
    }

    /// The rows as a batch; the builder is empty again.
    pub fn take(&mut self) -> Result<RecordBatch, String> {
        let mut all = std::mem::take(self);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(all.numbers)),
            Arc::new(BooleanArray::from(all.alive)),
            Arc::new(all.ids.finish()),
        ];
        columns.extend(all.times.map(maybe_times));
        columns.push(Arc::new(Date32Array::from(all.last_event_day)));
        columns.push(Arc::new(Int64Array::from(all.revenue)));
        columns.extend(all.counts.map(|counts| Arc::new(UInt32Array::from(counts)) as ArrayRef));
        columns.push(Arc::new(UInt8Array::from(all.generation)));
        columns.push(Arc::new(BooleanArray::from(all.muted)));
        columns.push(Arc::new(BooleanArray::from(all.cart_value_known)));
        let totals = totals(&all.totals);
        let [held, latest, attributes, waiting, orders, refunds, category_hours, cart_events] = all.lists.take();
        columns.extend([held, totals, latest, attributes, waiting, orders, refunds, category_hours, cart_events]);
        columns.push(Arc::new(all.hours.finish()));
        RecordBatch::try_new(Kind::Customers.schema(), columns)
            .map_err(|error| format!("cannot make columns of customers: {error}"))
    }
}

pub(super) fn maybe_times(times: Vec<Option<Millis>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC"))
}

pub(super) fn times(times: Vec<Millis>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC"))
}

fn totals(all: &[Option<Totals>]) -> ArrayRef {
    let each = || all.iter().map(|totals| totals.unwrap_or(Totals::EMPTY));
    let known = |time: Millis| (time != NONE).then_some(time);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(each().map(|totals| totals.counting))),
        Arc::new(UInt32Array::from_iter_values(each().map(|totals| totals.placed))),
        Arc::new(UInt32Array::from_iter_values(each().map(|totals| totals.returned))),
        Arc::new(UInt32Array::from_iter_values(each().map(|totals| totals.discounted))),
        maybe_times(each().map(|totals| known(totals.first)).collect()),
        maybe_times(each().map(|totals| known(totals.last)).collect()),
        Arc::new(Int64Array::from_iter_values(each().map(|totals| totals.net))),
        Arc::new(Int64Array::from_iter_values(each().map(|totals| totals.last_value))),
        Arc::new(Int64Array::from_iter_values(each().map(|totals| totals.refunded))),
        Arc::new(Int64Array::from_iter_values(each().map(|totals| totals.unlinked))),
    ];
    let nulls = all.iter().map(Option::is_some).collect::<Vec<bool>>();
    Arc::new(StructArray::new(schema::totals(), columns, Some(NullBuffer::from(nulls))))
}
