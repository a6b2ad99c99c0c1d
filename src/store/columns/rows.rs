//! All columns of a file of customers, ready to be read row by row.
//!
//! A start waits for this: what a column is is looked up once per file, each text once per file, and nothing is allocated
//! per customer. Parts are pushed in the order in which a [`CustomerBuilder`] wants them.

use super::decode::Customers;
use super::encode::NULLS;
use super::entries::{
    AttributeEntries, CartEntries, CategoryEntries, HeldEntries, LatestEntries, ListOf, OrderEntries, RefundEntries,
    WaitingEntries,
};
use super::schema::TIMES;
use crate::engine::profile::{CustomerBuilder, Totals};
use crate::engine::shard::Restored;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, PrimitiveArray, StructArray,
};
use arrow::datatypes::{Date32Type, Int64Type, TimestampMillisecondType, UInt8Type, UInt32Type};

/// A column of times that may be null.
pub(super) type Times = PrimitiveArray<TimestampMillisecondType>;

/// The values of a column, whatever is null.
pub(super) fn values<T: ArrowPrimitiveType>(column: &ArrayRef) -> &[T::Native] {
    column.as_primitive::<T>().values()
}

pub(super) fn get<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, place: usize) -> Option<T::Native> {
    column.is_valid(place).then(|| column.value(place))
}

/// See the module.
pub(super) struct Rows<'a> {
    plain: Plain<'a>,
    held: HeldEntries<'a>,
    totals: TotalsRows<'a>,
    latest: LatestEntries<'a>,
    attributes: AttributeEntries<'a>,
    waiting: WaitingEntries<'a>,
    orders: OrderEntries<'a>,
    refunds: RefundEntries<'a>,
    category_hours: CategoryEntries<'a>,
    cart_events: CartEntries<'a>,
    hours: &'a BinaryArray,
}

impl<'a> Rows<'a> {
    pub fn new(customers: &'a Customers, restored: &mut Restored) -> Result<Self, String> {
        let list = |name: &str| ListOf::new(customers.column(name));
        Ok(Self {
            plain: Plain::new(customers),
            held: HeldEntries::new(&list("held")),
            totals: TotalsRows::new(customers.column("totals").as_struct()),
            latest: LatestEntries::new(&list("latest"))?,
            attributes: AttributeEntries::new(&list("attributes"), restored)?,
            waiting: WaitingEntries::new(&list("waiting")),
            orders: OrderEntries::new(&list("remembered_orders"), restored)?,
            refunds: RefundEntries::new(&list("remembered_refunds")),
            category_hours: CategoryEntries::new(&list("category_hours"), restored)?,
            cart_events: CartEntries::new(&list("cart_events")),
            hours: customers.column("hours").as_binary(),
        })
    }

    /// Fills a builder that was begun with the row's id.
    pub fn fill(&self, row: usize, builder: &mut CustomerBuilder) {
        self.plain.fill(row, builder);
        self.held.fill(row, builder);
        self.totals.fill(row, builder);
        self.latest.fill(row, builder);
        self.attributes.fill(row, builder);
        self.waiting.fill(row, builder);
        self.orders.fill(row, builder);
        self.refunds.fill(row, builder);
        self.category_hours.fill(row, builder);
        self.cart_events.fill(row, builder);
        builder.set_hours(self.hours.value(row));
    }
}

/// What a customer has one of.
struct Plain<'a> {
    times: [&'a Times; TIMES.len()],
    last_event_day: &'a [i32],
    revenue: &'a [i64],
    counts: [&'a [u32]; 4],
    generation: &'a [u8],
    muted: &'a BooleanArray,
    cart_value_known: &'a BooleanArray,
}

impl<'a> Plain<'a> {
    fn new(customers: &'a Customers) -> Self {
        let column = |name: &str| customers.column(name);
        Self {
            times: TIMES.map(|name| column(name).as_primitive()),
            last_event_day: values::<Date32Type>(column("last_event_day")),
            revenue: values::<Int64Type>(column("revenue")),
            counts: ["orders", "placed", "sequence", "incarnation"].map(|name| values::<UInt32Type>(column(name))),
            generation: values::<UInt8Type>(column("generation")),
            muted: column("muted").as_boolean(),
            cart_value_known: column("cart_value_known").as_boolean(),
        }
    }

    fn fill(&self, place: usize, builder: &mut CustomerBuilder) {
        let time = |column: usize| get(self.times[column], place).unwrap_or(NULLS[column]);
        let row = &mut builder.row;
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
}

struct TotalsRows<'a> {
    all: &'a StructArray,
    counts: [&'a [u32]; 4],
    times: [&'a Times; 2],
    sums: [&'a [i64]; 4],
}

impl<'a> TotalsRows<'a> {
    fn new(all: &'a StructArray) -> Self {
        Self {
            all,
            counts: [0, 1, 2, 3].map(|place| values::<UInt32Type>(all.column(place))),
            times: [4, 5].map(|place| all.column(place).as_primitive()),
            sums: [6, 7, 8, 9].map(|place| values::<Int64Type>(all.column(place))),
        }
    }

    fn fill(&self, row: usize, builder: &mut CustomerBuilder) {
        if !self.all.is_valid(row) {
            return;
        }
        let [counting, placed, returned, discounted] = self.counts.map(|counts| counts[row]);
        let [first, last] = self.times.map(|times| get(times, row));
        let [net, last_value, refunded, unlinked] = self.sums.map(|sums| sums[row]);
        builder.set_totals(&Totals {
            counting,
            placed,
            returned,
            discounted,
            first: first.unwrap_or(Totals::EMPTY.first),
            last: last.unwrap_or(Totals::EMPTY.last),
            net,
            last_value,
            refunded,
            unlinked,
        });
    }
}
