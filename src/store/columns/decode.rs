//! Customers out of columns, into a shard in the making.
//!
//! A start waits for this: columns are read by place, each text is looked up once per file, and nothing is allocated per
//! customer.

use super::encode::NULLS;
use super::lists::type_name;
use super::schema::TIMES;
use crate::engine::event::EventType;
use crate::engine::profile::image::{CartEvent, KeptAttribute, KeptValue};
use crate::engine::profile::{CategoryHour, Draft, Held, OrderParts, TextReference, Totals, Waiting};
use crate::engine::shard::Restored;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, RecordBatch, StructArray,
};
use arrow::datatypes::{
    Date32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};

/// So many rows ahead places in the index are asked for: rows stand in order, places do not.
const AHEAD: usize = 12;

/// The rows of a file.
pub struct Customers {
    batch: RecordBatch,
}

/// The values of a column, whatever is null.
fn values<T: ArrowPrimitiveType>(column: &ArrayRef) -> &[T::Native] {
    column.as_primitive::<T>().values()
}

fn get<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, place: usize) -> Option<T::Native> {
    column.is_valid(place).then(|| column.value(place))
}

/// A list column: where each row's entries begin and end, and the entries' fields.
struct ListOf<'a> {
    offsets: &'a [i32],
    fields: &'a StructArray,
}

impl<'a> ListOf<'a> {
    fn new(column: &'a ArrayRef) -> Self {
        let list = column.as_list::<i32>();
        Self { offsets: list.value_offsets(), fields: list.values().as_struct() }
    }

    #[inline]
    fn of(&self, row: usize) -> std::ops::Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    fn values<T: ArrowPrimitiveType>(&self, place: usize) -> &'a [T::Native] {
        values::<T>(self.fields.column(place))
    }

    fn primitive<T: ArrowPrimitiveType>(&self, place: usize) -> &'a PrimitiveArray<T> {
        self.fields.column(place).as_primitive::<T>()
    }

    fn booleans(&self, place: usize) -> &'a BooleanArray {
        self.fields.column(place).as_boolean()
    }
}

/// A column of texts, with what the reader makes of each different one.
struct WordsOf<'a, T> {
    keys: &'a PrimitiveArray<Int32Type>,
    meanings: Vec<T>,
}

impl<'a, T: Copy + Default> WordsOf<'a, T> {
    fn new(column: &'a ArrayRef, meaning: impl FnMut(&str) -> Result<T, String>) -> Result<Self, String> {
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

impl Customers {
    /// The rows of a batch that [`super::read`] gave.
    pub fn new(batch: RecordBatch) -> Self {
        Self { batch }
    }

    fn column(&self, name: &str) -> &ArrayRef {
        self.batch.column_by_name(name).expect("the columns were compared with the schema")
    }

    /// Numbers of the rows.
    pub fn numbers(&self) -> &[u32] {
        values::<UInt32Type>(self.column("number"))
    }

    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Which rows hold a customer.
    pub fn alive(&self) -> &BooleanArray {
        self.column("alive").as_boolean()
    }

    /// Puts the customers of those rows that `is_wanted` into a shard in the making; it is asked once for each row.
    pub fn restore(&self, restored: &mut Restored, mut is_wanted: impl FnMut(u32) -> bool) -> Result<(), String> {
        let rows = Rows::new(self, restored)?;
        let (numbers, alive) = (self.numbers(), self.alive());
        let ids = self.column("id").as_string::<i32>();
        let mut draft = Draft::default();
        for (place, &number) in numbers.iter().enumerate() {
            if place > 0 && numbers[place - 1] >= number {
                return Err(format!("expected rows in order of their numbers, found {number} out of it"));
            }
            if place + AHEAD < ids.len() {
                restored.expect(ids.value(place + AHEAD));
            }
            if !is_wanted(number) || !alive.value(place) {
                continue;
            }
            let id = ids.value(place);
            if !(1..=256).contains(&id.len()) {
                return Err(format!("expected an id of 1 to 256 bytes in row {number}, found {}", id.len()));
            }
            draft.clear();
            rows.fill(place, &mut draft);
            restored.add(number, id, &draft);
        }
        Ok(())
    }
}

/// All columns of a file, ready to be read row by row.
struct Rows<'a> {
    times: [&'a PrimitiveArray<TimestampMillisecondType>; TIMES.len()],
    last_event_day: &'a [i32],
    revenue: &'a [i64],
    counts: [&'a [u32]; 4],
    generation: &'a [u8],
    muted: &'a BooleanArray,
    cart_value_known: &'a BooleanArray,
    totals: &'a StructArray,
    hours: &'a arrow::array::BinaryArray,
    held: ListOf<'a>,
    latest: ListOf<'a>,
    latest_types: WordsOf<'a, Option<EventType>>,
    attributes: ListOf<'a>,
    attribute_texts: WordsOf<'a, TextReference>,
    waiting: ListOf<'a>,
    orders: ListOf<'a>,
    order_categories: WordsOf<'a, TextReference>,
    order_channels: WordsOf<'a, TextReference>,
    refunds: ListOf<'a>,
    category_hours: ListOf<'a>,
    viewed_categories: WordsOf<'a, TextReference>,
    cart_events: ListOf<'a>,
}

impl<'a> Rows<'a> {
    fn new(customers: &'a Customers, restored: &mut Restored) -> Result<Self, String> {
        let column = |name: &str| customers.column(name);
        let list = |name: &str| ListOf::new(customers.column(name));
        let (latest, attributes) = (list("latest"), list("attributes"));
        let (orders, category_hours) = (list("remembered_orders"), list("category_hours"));
        let noted = [EventType::REFUND, EventType::CANCEL, EventType::PROFILE];
        let type_named = |name: &str| {
            let known = noted.into_iter().find(|known| type_name(*known) == name);
            known.map(Some).ok_or_else(|| format!("expected refund, cancel or profile in `latest`, found {name:?}"))
        };
        let mut set = |json: &str| {
            let categories: Vec<String> = serde_json::from_str(json)
                .map_err(|_| format!("expected a JSON array of categories, found {json:?}"))?;
            Ok(restored.text_set(categories.iter().map(String::as_str)))
        };
        let order_categories = WordsOf::new(orders.fields.column(7), &mut set)?;
        let mut text = |text: &str| Ok(restored.text(text));
        Ok(Self {
            times: TIMES.map(|name| column(name).as_primitive()),
            last_event_day: values::<Date32Type>(column("last_event_day")),
            revenue: values::<Int64Type>(column("revenue")),
            counts: ["orders", "placed", "sequence", "incarnation"].map(|name| values::<UInt32Type>(column(name))),
            generation: values::<UInt8Type>(column("generation")),
            muted: column("muted").as_boolean(),
            cart_value_known: column("cart_value_known").as_boolean(),
            totals: column("totals").as_struct(),
            hours: column("hours").as_binary(),
            held: list("held"),
            latest_types: WordsOf::new(latest.fields.column(0), type_named)?,
            latest,
            attribute_texts: WordsOf::new(attributes.fields.column(2), &mut text)?,
            attributes,
            waiting: list("waiting"),
            order_channels: WordsOf::new(orders.fields.column(8), &mut text)?,
            order_categories,
            orders,
            refunds: list("remembered_refunds"),
            viewed_categories: WordsOf::new(category_hours.fields.column(0), &mut text)?,
            category_hours,
            cart_events: list("cart_events"),
        })
    }

    fn fill(&self, row: usize, draft: &mut Draft) {
        self.fill_plain(row, draft);
        self.fill_held(row, draft);
        self.fill_person(row, draft);
        self.fill_orders(row, draft);
        self.fill_browsing(row, draft);
    }

    fn fill_plain(&self, place: usize, draft: &mut Draft) {
        let time = |column: usize| get(self.times[column], place).unwrap_or(NULLS[column]);
        let row = &mut draft.row;
        row.clock = time(0);
        row.armed = time(1);
        row.life = time(2);
        row.first_event = time(3);
        row.last_activity = time(4);
        row.last_browsing = time(5);
        row.first_order = time(6);
        row.last_order = time(7);
        row.cart_until = time(8);
        row.last_event_day = self.last_event_day[place] as u16;
        row.revenue = self.revenue[place];
        [row.orders, row.placed, row.sequence, row.incarnation] = self.counts.map(|counts| counts[place]);
        row.generation = self.generation[place];
        row.muted = self.muted.value(place);
        row.cart_value_known = self.cart_value_known.value(place);
    }

    fn fill_held(&self, row: usize, draft: &mut Draft) {
        let list = &self.held;
        let (values, since, dwells) =
            (list.primitive::<UInt16Type>(0), list.values::<TimestampMillisecondType>(1), list.booleans(2));
        let previous = list.primitive::<UInt16Type>(3);
        for place in list.of(row) {
            let value = get(values, place).unwrap_or(Held::NULL);
            let before = get(previous, place).unwrap_or(Held::NULL);
            draft.push_held(Held { value, since: since[place], dwells: dwells.value(place), before });
        }
    }

    fn fill_person(&self, row: usize, draft: &mut Draft) {
        let list = &self.latest;
        for place in list.of(row) {
            if let Some(event_type) = self.latest_types.get(place) {
                draft.push_latest(event_type, list.values::<TimestampMillisecondType>(1)[place]);
            }
        }
        let list = &self.attributes;
        for at in list.of(row) {
            let (number, boolean) = (list.primitive::<Float64Type>(3), list.booleans(4));
            let moment = get(list.primitive::<TimestampMillisecondType>(5), at);
            let value = match self.attribute_texts.get(at) {
                0 => get(number, at)
                    .map(KeptValue::Number)
                    .or_else(|| boolean.is_valid(at).then(|| KeptValue::Boolean(boolean.value(at))))
                    .or_else(|| moment.map(KeptValue::Time))
                    .unwrap_or(KeptValue::Removed),
                reference => KeptValue::Text(reference),
            };
            let (place, time) = (list.values::<UInt8Type>(0)[at], list.values::<TimestampMillisecondType>(1)[at]);
            draft.push_attribute(KeptAttribute { place, time, value });
        }
    }

    fn fill_orders(&self, row: usize, draft: &mut Draft) {
        if self.totals.is_valid(row) {
            draft.set_totals(&self.totals_of(row));
        }
        let list = &self.orders;
        for at in list.of(row) {
            draft.push_order(&OrderParts {
                id: list.values::<UInt64Type>(0)[at],
                time: list.values::<TimestampMillisecondType>(1)[at],
                amount: list.values::<Int64Type>(2)[at],
                given: list.values::<Int64Type>(3)[at],
                cancelled: list.booleans(4).value(at),
                refunded: list.booleans(5).value(at),
                discounted: list.booleans(6).value(at),
                categories: self.order_categories.get(at),
                channel: self.order_channels.get(at),
            });
        }
        let list = &self.refunds;
        for at in list.of(row) {
            let (time, given) = (list.values::<TimestampMillisecondType>(0)[at], list.values::<Int64Type>(1)[at]);
            draft.push_refund(time, given, list.booleans(2).value(at));
        }
        let list = &self.waiting;
        for at in list.of(row) {
            let whole = if list.booleans(2).value(at) { Waiting::CANCEL } else { Waiting::ALL };
            draft.push_waiting(Waiting {
                order: list.values::<UInt64Type>(0)[at],
                time: list.values::<TimestampMillisecondType>(1)[at],
                amount: get(list.primitive::<Int64Type>(3), at).unwrap_or(whole),
            });
        }
    }

    fn totals_of(&self, row: usize) -> Totals {
        let count = |place: usize| values::<UInt32Type>(self.totals.column(place))[row];
        let sum = |place: usize| values::<Int64Type>(self.totals.column(place))[row];
        let time = |place: usize| get(self.totals.column(place).as_primitive::<TimestampMillisecondType>(), row);
        Totals {
            counting: count(0),
            placed: count(1),
            returned: count(2),
            discounted: count(3),
            first: time(4).unwrap_or(Totals::EMPTY.first),
            last: time(5).unwrap_or(Totals::EMPTY.last),
            net: sum(6),
            last_value: sum(7),
            refunded: sum(8),
            unlinked: sum(9),
        }
    }

    fn fill_browsing(&self, row: usize, draft: &mut Draft) {
        let list = &self.category_hours;
        for at in list.of(row) {
            draft.push_category_hour(CategoryHour {
                category: self.viewed_categories.get(at),
                events: list.values::<UInt32Type>(1)[at],
                newest: list.values::<TimestampMillisecondType>(2)[at],
            });
        }
        let list = &self.cart_events;
        for at in list.of(row) {
            draft.push_cart_event(CartEvent {
                time: list.values::<TimestampMillisecondType>(0)[at],
                is_add: list.booleans(1).value(at),
                is_zero: list.booleans(2).value(at),
                total: get(list.primitive::<Int64Type>(3), at),
            });
        }
        draft.set_hours(self.hours.value(row));
    }
}
