//! What a customer has several of, into columns that are lists of structs.

use super::encode::{Texts, maybe_times, times};
use super::schema::{self, item};
use super::words::Words;
use crate::engine::event::{EventType, Millis};
use crate::engine::profile::{AttributeParts, CustomerImage, HeldValue, InternedValue, Order, Waiting, split_set};
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StructArray};
use arrow::array::{UInt8Array, UInt16Array, UInt32Array, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Fields;
use std::sync::Arc;

/// The lists of all rows of a file in the making.
#[derive(Default)]
pub(super) struct Lists {
    held: HeldList,
    latest: LatestList,
    attributes: AttributeList,
    waiting: WaitingList,
    orders: OrderList,
    refunds: RefundList,
    category_hours: CategoryHourList,
    cart_events: CartEventList,
}

impl Lists {
    /// Adds the lists of a row; about how many bytes they take.
    pub fn push(&mut self, image: &CustomerImage<'_>, texts: &Texts) -> usize {
        self.held.push(image);
        self.latest.push(image);
        self.attributes.push(image, texts);
        self.waiting.push(image);
        self.orders.push(image, texts);
        self.refunds.push(image);
        self.category_hours.push(image, texts);
        self.cart_events.push(image);
        size_of_val(image.orders()) * 2 + size_of_val(image.refunds()) + size_of_val(image.category_hours())
    }

    pub fn take(self) -> [ArrayRef; 8] {
        [
            self.held.take(),
            self.latest.take(),
            self.attributes.take(),
            self.waiting.take(),
            self.orders.take(),
            self.refunds.take(),
            self.category_hours.take(),
            self.cart_events.take(),
        ]
    }
}

/// Where each row's list ends.
#[derive(Default)]
struct Ends(Vec<i32>);

impl Ends {
    fn push(&mut self, end: usize) {
        self.0.push(i32::try_from(end).expect("a file is full long before 2^31 entries"));
    }

    fn list(self, fields: Fields, columns: Vec<ArrayRef>) -> ArrayRef {
        let offsets: Vec<i32> = std::iter::once(0).chain(self.0).collect();
        let values = StructArray::new(fields.clone(), columns, None);
        Arc::new(ListArray::new(item(fields), OffsetBuffer::new(offsets.into()), Arc::new(values), None))
    }
}

#[derive(Default)]
struct HeldList {
    ends: Ends,
    values: Vec<Option<u16>>,
    since: Vec<Millis>,
    dwells: Vec<bool>,
    previous: Vec<Option<u16>>,
}

impl HeldList {
    fn push(&mut self, image: &CustomerImage<'_>) {
        for held in image.held() {
            let known = |value: u16| (value != HeldValue::NULL).then_some(value);
            self.values.push(known(held.value));
            self.since.push(held.since);
            self.dwells.push(held.dwells);
            self.previous.push(known(held.before));
        }
        self.ends.push(self.since.len());
    }

    fn take(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt16Array::from(self.values)),
            times(self.since),
            Arc::new(BooleanArray::from(self.dwells)),
            Arc::new(UInt16Array::from(self.previous)),
        ];
        self.ends.list(schema::held(), columns)
    }
}

/// Name of a built-in type.
pub(super) fn type_name(event_type: EventType) -> &'static str {
    EventType::BUILT_IN.iter().find(|(_, known)| *known == event_type).expect("a type that is noted is built in").0
}

#[derive(Default)]
struct LatestList {
    ends: Ends,
    types: Words,
    times: Vec<Millis>,
}

impl LatestList {
    fn push(&mut self, image: &CustomerImage<'_>) {
        for (event_type, time) in image.latest() {
            self.types.push(u32::from(event_type.0) + 1, || type_name(event_type).into());
            self.times.push(time);
        }
        self.ends.push(self.times.len());
    }

    fn take(mut self) -> ArrayRef {
        self.ends.list(schema::latest(), vec![self.types.take(), times(self.times)])
    }
}

#[derive(Default)]
struct AttributeList {
    ends: Ends,
    indexes: Vec<u8>,
    times: Vec<Millis>,
    texts: Words,
    numbers: Vec<Option<f64>>,
    booleans: Vec<Option<bool>>,
    moments: Vec<Option<Millis>>,
}

impl AttributeList {
    fn push(&mut self, image: &CustomerImage<'_>, texts: &Texts) {
        for AttributeParts { index, time, value } in image.attributes() {
            self.indexes.push(index);
            self.times.push(time);
            let text = if let InternedValue::Text(reference) = value { reference } else { 0 };
            self.texts.push(text, || texts.get(text));
            self.numbers.push(if let InternedValue::Number(number) = value { Some(number) } else { None });
            self.booleans.push(if let InternedValue::Boolean(is) = value { Some(is) } else { None });
            self.moments.push(if let InternedValue::Time(moment) = value { Some(moment) } else { None });
        }
        self.ends.push(self.indexes.len());
    }

    fn take(mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt8Array::from(self.indexes)),
            times(self.times),
            self.texts.take(),
            Arc::new(Float64Array::from(self.numbers)),
            Arc::new(BooleanArray::from(self.booleans)),
            maybe_times(self.moments),
        ];
        self.ends.list(schema::attributes(), columns)
    }
}

#[derive(Default)]
struct WaitingList {
    ends: Ends,
    orders: Vec<u64>,
    times: Vec<Millis>,
    cancels: Vec<bool>,
    amounts: Vec<Option<i64>>,
}

impl WaitingList {
    fn push(&mut self, image: &CustomerImage<'_>) {
        for waiting in image.waiting() {
            self.orders.push(waiting.order);
            self.times.push(waiting.time);
            self.cancels.push(waiting.amount == Waiting::CANCEL);
            self.amounts.push((waiting.amount >= 0).then_some(waiting.amount));
        }
        self.ends.push(self.orders.len());
    }

    fn take(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(self.orders)),
            times(self.times),
            Arc::new(BooleanArray::from(self.cancels)),
            Arc::new(Int64Array::from(self.amounts)),
        ];
        self.ends.list(schema::waiting(), columns)
    }
}

#[derive(Default)]
struct OrderList {
    ends: Ends,
    ids: Vec<u64>,
    times: Vec<Millis>,
    amounts: Vec<i64>,
    given: Vec<i64>,
    flags: [Vec<bool>; 3],
    categories: Words,
    channels: Words,
}

impl OrderList {
    fn push(&mut self, image: &CustomerImage<'_>, texts: &Texts) {
        for order in image.orders().iter().map(Order::parts) {
            self.ids.push(order.id);
            self.times.push(order.time);
            self.amounts.push(order.amount);
            self.given.push(order.given);
            for (column, flag) in self.flags.iter_mut().zip([order.cancelled, order.refunded, order.discounted]) {
                column.push(flag);
            }
            self.categories.push(order.categories, || json_list(&texts.get(order.categories)));
            self.channels.push(order.channel, || texts.get(order.channel));
        }
        self.ends.push(self.ids.len());
    }

    fn take(mut self) -> ArrayRef {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(self.ids)),
            times(self.times),
            Arc::new(Int64Array::from(self.amounts)),
            Arc::new(Int64Array::from(self.given)),
        ];
        columns.extend(self.flags.map(|flags| Arc::new(BooleanArray::from(flags)) as ArrayRef));
        columns.extend([self.categories.take(), self.channels.take()]);
        self.ends.list(schema::orders(), columns)
    }
}

/// A set of categories as a JSON array.
fn json_list(joined: &str) -> Arc<str> {
    serde_json::Value::from(split_set(joined).collect::<Vec<_>>()).to_string().into()
}

#[derive(Default)]
struct RefundList {
    ends: Ends,
    times: Vec<Millis>,
    given: Vec<i64>,
    unlinked: Vec<bool>,
}

impl RefundList {
    fn push(&mut self, image: &CustomerImage<'_>) {
        for refund in image.refunds() {
            self.times.push(refund.time());
            self.given.push(refund.given());
            self.unlinked.push(refund.unlinked());
        }
        self.ends.push(self.times.len());
    }

    fn take(self) -> ArrayRef {
        let unlinked = Arc::new(BooleanArray::from(self.unlinked));
        self.ends.list(schema::refunds(), vec![times(self.times), Arc::new(Int64Array::from(self.given)), unlinked])
    }
}

#[derive(Default)]
struct CategoryHourList {
    ends: Ends,
    categories: Words,
    views: Vec<u32>,
    newest: Vec<Millis>,
}

impl CategoryHourList {
    fn push(&mut self, image: &CustomerImage<'_>, texts: &Texts) {
        for hour in image.category_hours() {
            self.categories.push(hour.category, || texts.get(hour.category));
            self.views.push(hour.events);
            self.newest.push(hour.newest);
        }
        self.ends.push(self.views.len());
    }

    fn take(mut self) -> ArrayRef {
        let views = Arc::new(UInt32Array::from(self.views));
        self.ends.list(schema::category_hours(), vec![self.categories.take(), views, times(self.newest)])
    }
}

#[derive(Default)]
struct CartEventList {
    ends: Ends,
    times: Vec<Millis>,
    adds: Vec<bool>,
    empties: Vec<bool>,
    totals: Vec<Option<i64>>,
}

impl CartEventList {
    fn push(&mut self, image: &CustomerImage<'_>) {
        for event in image.cart() {
            self.times.push(event.time);
            self.adds.push(event.is_add);
            self.empties.push(event.is_zero);
            self.totals.push(event.total);
        }
        self.ends.push(self.times.len());
    }

    fn take(self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            times(self.times),
            Arc::new(BooleanArray::from(self.adds)),
            Arc::new(BooleanArray::from(self.empties)),
            Arc::new(Int64Array::from(self.totals)),
        ];
        self.ends.list(schema::cart_events(), columns)
    }
}
