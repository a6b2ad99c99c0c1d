//! What a customer has several of: columns that are lists of structs, read row by row into a builder.

use super::lists::type_name;
use super::rows::{Times, get, values};
use crate::engine::event::{EventType, Millis};
use crate::engine::profile::{
    AttributeParts, CartEvent, CategoryHour, CustomerBuilder, HeldValue, InternedValue, OrderParts, TextReference,
    Waiting,
};
use crate::engine::shard::Restored;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, StructArray};
use arrow::datatypes::{
    Float64Type, Int32Type, Int64Type, TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use std::ops::Range;

/// A list column: where each row's entries begin and end, and the entries' fields.
pub(super) struct ListOf<'a> {
    rows: &'a [i32],
    fields: &'a StructArray,
}

impl<'a> ListOf<'a> {
    pub fn new(column: &'a ArrayRef) -> Self {
        let list = column.as_list::<i32>();
        Self { rows: list.value_offsets(), fields: list.values().as_struct() }
    }

    fn column(&self, place: usize) -> &'a ArrayRef {
        self.fields.column(place)
    }

    fn values<T: ArrowPrimitiveType>(&self, place: usize) -> &'a [T::Native] {
        values::<T>(self.column(place))
    }

    fn times(&self, place: usize) -> &'a [Millis] {
        self.values::<TimestampMillisecondType>(place)
    }

    fn primitive<T: ArrowPrimitiveType>(&self, place: usize) -> &'a PrimitiveArray<T> {
        self.column(place).as_primitive::<T>()
    }

    fn booleans(&self, place: usize) -> &'a BooleanArray {
        self.column(place).as_boolean()
    }
}

/// The entries of a row.
#[inline]
fn entries(rows: &[i32], row: usize) -> Range<usize> {
    rows[row] as usize..rows[row + 1] as usize
}

/// A column of texts, with what the reader makes of each different one.
struct WordsOf<'a, T> {
    keys: &'a PrimitiveArray<Int32Type>,
    meanings: Vec<T>,
}

impl<'a, T: Copy + Default> WordsOf<'a, T> {
    pub fn new(column: &'a ArrayRef, meaning: impl FnMut(&str) -> Result<T, String>) -> Result<Self, String> {
        let words = column.as_dictionary::<Int32Type>();
        let texts = words.values().as_string::<i32>();
        let meanings = texts.iter().map(Option::unwrap_or_default).map(meaning).collect::<Result<_, _>>()?;
        Ok(Self { keys: words.keys(), meanings })
    }

    #[inline]
    fn get(&self, place: usize) -> T {
        if self.keys.is_valid(place) { self.meanings[self.keys.value(place) as usize] } else { T::default() }
    }
}

pub(super) struct HeldEntries<'a> {
    rows: &'a [i32],
    value: &'a PrimitiveArray<UInt16Type>,
    since: &'a [Millis],
    dwells: &'a BooleanArray,
    before: &'a PrimitiveArray<UInt16Type>,
}

impl<'a> HeldEntries<'a> {
    pub fn new(list: &ListOf<'a>) -> Self {
        Self {
            rows: list.rows,
            value: list.primitive(0),
            since: list.times(1),
            dwells: list.booleans(2),
            before: list.primitive(3),
        }
    }

    pub fn fill(&self, row: usize, builder: &mut CustomerBuilder) {
        for at in entries(self.rows, row) {
            let [value, before] = [self.value, self.before].map(|values| get(values, at).unwrap_or(HeldValue::NULL));
            builder.push_held(HeldValue { value, since: self.since[at], dwells: self.dwells.value(at), before });
        }
    }
}

pub(super) struct LatestEntries<'a> {
    rows: &'a [i32],
    event_type: WordsOf<'a, Option<EventType>>,
    time: &'a [Millis],
}

impl<'a> LatestEntries<'a> {
    pub fn new(list: &ListOf<'a>) -> Result<Self, String> {
        let noted = [EventType::REFUND, EventType::CANCEL, EventType::PROFILE];
        let type_named = |name: &str| {
            let known = noted.into_iter().find(|known| type_name(*known) == name);
            known.map(Some).ok_or_else(|| format!("expected refund, cancel or profile in `latest`, found {name:?}"))
        };
        Ok(Self { rows: list.rows, event_type: WordsOf::new(list.column(0), type_named)?, time: list.times(1) })
    }

    pub fn fill(&self, row: usize, builder: &mut CustomerBuilder) {
        for at in entries(self.rows, row) {
            if let Some(event_type) = self.event_type.get(at) {
                builder.push_latest(event_type, self.time[at]);
            }
        }
    }
}

pub(super) struct AttributeEntries<'a> {
    rows: &'a [i32],
    place: &'a [u8],
    time: &'a [Millis],
    text: WordsOf<'a, TextReference>,
    number: &'a PrimitiveArray<Float64Type>,
    boolean: &'a BooleanArray,
    moment: &'a Times,
}

impl<'a> AttributeEntries<'a> {
    pub fn new(list: &ListOf<'a>, restored: &mut Restored) -> Result<Self, String> {
        Ok(Self {
            rows: list.rows,
            place: list.values::<UInt8Type>(0),
            time: list.times(1),
            text: WordsOf::new(list.column(2), |text| Ok(restored.text(text)))?,
            number: list.primitive(3),
            boolean: list.booleans(4),
            moment: list.primitive(5),
        })
    }

    pub fn fill(&self, row: usize, builder: &mut CustomerBuilder) {
        for at in entries(self.rows, row) {
            builder.push_attribute(AttributeParts {
                index: self.place[at],
                time: self.time[at],
                value: self.value(at),
            });
        }
    }

    fn value(&self, at: usize) -> InternedValue {
        let boolean = || self.boolean.is_valid(at).then(|| InternedValue::Boolean(self.boolean.value(at)));
        match self.text.get(at) {
            0 => get(self.number, at)
                .map(InternedValue::Number)
                .or_else(boolean)
                .or_else(|| get(self.moment, at).map(InternedValue::Time))
                .unwrap_or(InternedValue::Removed),
            reference => InternedValue::Text(reference),
        }
    }
}

pub(super) struct WaitingEntries<'a> {
    rows: &'a [i32],
    order: &'a [u64],
    time: &'a [Millis],
    cancels: &'a BooleanArray,
    amount: &'a PrimitiveArray<Int64Type>,
}

impl<'a> WaitingEntries<'a> {
    pub fn new(list: &ListOf<'a>) -> Self {
        Self {
            rows: list.rows,
            order: list.values::<UInt64Type>(0),
            time: list.times(1),
            cancels: list.booleans(2),
            amount: list.primitive(3),
        }
    }

    pub fn fill(&self, row: usize, builder: &mut CustomerBuilder) {
        for at in entries(self.rows, row) {
            let whole = if self.cancels.value(at) { Waiting::CANCEL } else { Waiting::ALL };
            let amount = get(self.amount, at).unwrap_or(whole);
            builder.push_waiting(Waiting { order: self.order[at], time: self.time[at], amount });
        }
    }
}

pub(super) struct OrderEntries<'a> {
    rows: &'a [i32],
    id: &'a [u64],
    time: &'a [Millis],
    amount: &'a [i64],
    given: &'a [i64],
    cancelled: &'a BooleanArray,
    refunded: &'a BooleanArray,
    discounted: &'a BooleanArray,
    categories: WordsOf<'a, TextReference>,
    channel: WordsOf<'a, TextReference>,
}

impl<'a> OrderEntries<'a> {
    pub fn new(list: &ListOf<'a>, restored: &mut Restored) -> Result<Self, String> {
        let set = |json: &str| {
            let categories: Vec<String> = serde_json::from_str(json)
                .map_err(|_| format!("expected a JSON array of categories, found {json:?}"))?;
            Ok(restored.text_set(categories.iter().map(String::as_str)))
        };
        Ok(Self {
            rows: list.rows,
            id: list.values::<UInt64Type>(0),
            time: list.times(1),
            amount: list.values::<Int64Type>(2),
            given: list.values::<Int64Type>(3),
            cancelled: list.booleans(4),
            refunded: list.booleans(5),
            discounted: list.booleans(6),
            categories: WordsOf::new(list.column(7), set)?,
            channel: WordsOf::new(list.column(8), |text| Ok(restored.text(text)))?,
        })
    }

    pub fn fill(&self, row: usize, builder: &mut CustomerBuilder) {
        for at in entries(self.rows, row) {
            builder.push_order(&OrderParts {
                id: self.id[at],
                time: self.time[at],
                amount: self.amount[at],
                given: self.given[at],
                cancelled: self.cancelled.value(at),
                refunded: self.refunded.value(at),
                discounted: self.discounted.value(at),
                categories: self.categories.get(at),
                channel: self.channel.get(at),
            });
        }
    }
}

pub(super) struct RefundEntries<'a> {
    rows: &'a [i32],
    time: &'a [Millis],
    given: &'a [i64],
    unlinked: &'a BooleanArray,
}

impl<'a> RefundEntries<'a> {
    pub fn new(list: &ListOf<'a>) -> Self {
        Self { rows: list.rows, time: list.times(0), given: list.values::<Int64Type>(1), unlinked: list.booleans(2) }
    }

    pub fn fill(&self, row: usize, builder: &mut CustomerBuilder) {
        for at in entries(self.rows, row) {
            builder.push_refund(self.time[at], self.given[at], self.unlinked.value(at));
        }
    }
}

pub(super) struct CategoryEntries<'a> {
    rows: &'a [i32],
    category: WordsOf<'a, TextReference>,
    events: &'a [u32],
    newest: &'a [Millis],
}

impl<'a> CategoryEntries<'a> {
    pub fn new(list: &ListOf<'a>, restored: &mut Restored) -> Result<Self, String> {
        Ok(Self {
            rows: list.rows,
            category: WordsOf::new(list.column(0), |text| Ok(restored.text(text)))?,
            events: list.values::<UInt32Type>(1),
            newest: list.times(2),
        })
    }

    pub fn fill(&self, row: usize, builder: &mut CustomerBuilder) {
        for at in entries(self.rows, row) {
            let category = self.category.get(at);
            builder.push_category_hour(CategoryHour { category, events: self.events[at], newest: self.newest[at] });
        }
    }
}

pub(super) struct CartEntries<'a> {
    rows: &'a [i32],
    time: &'a [Millis],
    is_add: &'a BooleanArray,
    is_zero: &'a BooleanArray,
    total: &'a PrimitiveArray<Int64Type>,
}

impl<'a> CartEntries<'a> {
    pub fn new(list: &ListOf<'a>) -> Self {
        Self {
            rows: list.rows,
            time: list.times(0),
            is_add: list.booleans(1),
            is_zero: list.booleans(2),
            total: list.primitive(3),
        }
    }

    pub fn fill(&self, row: usize, builder: &mut CustomerBuilder) {
        for at in entries(self.rows, row) {
            builder.push_cart_event(CartEvent {
                time: self.time[at],
                is_add: self.is_add.value(at),
                is_zero: self.is_zero.value(at),
                total: get(self.total, at),
            });
        }
    }
}
