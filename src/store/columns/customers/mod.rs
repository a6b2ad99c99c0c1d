//! The columns of customers: one row per customer, ordered by row number.
//!
//! This file has the order of the columns and puts rows together. `row` has the columns of a customer's row; every
//! other file has one column with its type, its writer and its reader. The writers run on the snapshot thread. A start
//! waits for the readers: they look up columns and texts once per file and allocate nothing per customer.

mod amendments;
mod attributes;
mod cart_events;
mod category_hours;
mod held_values;
mod hours;
mod intervals;
mod latest;
mod orders;
mod refunds;
mod return_ids;
mod row;
mod totals;
mod waiting;

use super::kind::FileKind;
use super::texts::Texts;
use crate::engine::profile::{CustomerBuilder, CustomerImage, Row};
use crate::engine::shard::Restored;
use arrow::array::{BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{Field, SchemaRef};
use std::sync::LazyLock;

/// Customers per file.
pub const CUSTOMERS_MAX: usize = 65_536;
/// A file with this many bytes is full too: a customer can have thousands of orders.
const BYTES_MAX: usize = 64 << 20;

pub(super) fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| FileKind::Customers.schema(fields()));
    SCHEMA.clone()
}

fn fields() -> Vec<Field> {
    let mut fields = row::fields();
    fields.extend([
        held_values::field(),
        totals::field(),
        latest::field(),
        attributes::field(),
        waiting::field(),
        orders::field(),
        refunds::field(),
        category_hours::field(),
        cart_events::field(),
        amendments::field(),
        return_ids::field(),
        hours::field(),
        intervals::field(),
    ]);
    fields
}

/// The rows of a file that is being made.
#[derive(Default)]
pub struct CustomersBuilder {
    row: row::Writer,
    held_values: held_values::Writer,
    totals: totals::Writer,
    latest: latest::Writer,
    attributes: attributes::Writer,
    waiting: waiting::Writer,
    orders: orders::Writer,
    refunds: refunds::Writer,
    category_hours: category_hours::Writer,
    cart_events: cart_events::Writer,
    amendments: amendments::Writer,
    return_ids: return_ids::Writer,
    hours: hours::Writer,
    intervals: intervals::Writer,
    /// Approximate size of the rows.
    bytes: usize,
}

impl CustomersBuilder {
    pub fn is_empty(&self) -> bool {
        self.row.len() == 0
    }

    pub fn is_full(&self) -> bool {
        self.row.len() == CUSTOMERS_MAX || self.bytes >= BYTES_MAX
    }

    /// Adds a row.
    pub fn push(&mut self, image: &CustomerImage<'_>, texts: &Texts) {
        self.row.push(image);
        self.held_values.push(image);
        self.totals.push(image);
        self.latest.push(image);
        self.attributes.push(image, texts);
        self.waiting.push(image);
        self.orders.push(image, texts);
        self.refunds.push(image);
        self.category_hours.push(image, texts);
        self.cart_events.push(image);
        self.amendments.push(image);
        self.return_ids.push(image);
        self.hours.push(image);
        self.intervals.push(image);
        self.bytes += approximate_bytes(image);
    }

    /// The rows as a batch; the builder is empty afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, String> {
        let rows = std::mem::take(self);
        let mut columns = rows.row.finish();
        columns.extend([
            rows.held_values.finish(),
            rows.totals.finish(),
            rows.latest.finish(),
            rows.attributes.finish(),
            rows.waiting.finish(),
            rows.orders.finish(),
            rows.refunds.finish(),
            rows.category_hours.finish(),
            rows.cart_events.finish(),
            rows.amendments.finish(),
            rows.return_ids.finish(),
            rows.hours.finish(),
            rows.intervals.finish(),
        ]);
        RecordBatch::try_new(schema(), columns).map_err(|error| format!("cannot make columns of customers: {error}"))
    }
}

/// The size of a row with those lists that can be long. The texts of an order count as much as the order itself.
fn approximate_bytes(image: &CustomerImage<'_>) -> usize {
    let orders = size_of_val(image.orders()) * 2;
    let lists = orders + size_of_val(image.refunds()) + size_of_val(image.category_hours());
    size_of::<Row>() + image.hours().len() + lists
}

/// The rows of a file.
pub struct Customers {
    batch: RecordBatch,
}

impl Customers {
    /// The rows of a batch that [`super::read`] returned.
    pub fn new(batch: RecordBatch) -> Self {
        Self { batch }
    }

    /// The row numbers.
    pub fn numbers(&self) -> &[u32] {
        row::numbers(&self.batch)
    }

    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Which rows have a customer.
    pub fn alive(&self) -> &BooleanArray {
        row::alive(&self.batch)
    }

    /// The customers' ids; empty in rows without a customer.
    pub fn ids(&self) -> &StringArray {
        row::ids(&self.batch)
    }

    /// Restores the customers of those rows that `is_wanted`, which is called once per row.
    pub fn restore(&self, restored: &mut Restored, mut is_wanted: impl FnMut(u32) -> bool) -> Result<(), String> {
        let reader = Reader::new(&self.batch, restored)?;
        let (numbers, alive, ids) = (self.numbers(), self.alive(), self.ids());
        let mut builder = CustomerBuilder::default();
        for (index, &number) in numbers.iter().enumerate() {
            if index > 0 && numbers[index - 1] >= number {
                return Err(format!(
                    "expected rows ordered by their numbers, found {number} after {}",
                    numbers[index - 1]
                ));
            }
            if !is_wanted(number) || !alive.value(index) {
                continue;
            }
            let id = ids.value(index);
            if !(1..=256).contains(&id.len()) {
                return Err(format!("expected an id of 1 to 256 bytes in row {number}, found {} bytes", id.len()));
            }
            builder.begin(id);
            reader.read(index, &mut builder);
            restored.add(number, id, &builder);
        }
        Ok(())
    }
}

/// The readers of all columns of a batch.
struct Reader<'a> {
    row: row::Reader<'a>,
    held_values: held_values::Reader<'a>,
    totals: totals::Reader<'a>,
    latest: latest::Reader<'a>,
    attributes: attributes::Reader<'a>,
    waiting: waiting::Reader<'a>,
    orders: orders::Reader<'a>,
    refunds: refunds::Reader<'a>,
    category_hours: category_hours::Reader<'a>,
    cart_events: cart_events::Reader<'a>,
    amendments: amendments::Reader<'a>,
    return_ids: return_ids::Reader<'a>,
    hours: hours::Reader<'a>,
    intervals: intervals::Reader<'a>,
}

impl<'a> Reader<'a> {
    fn new(batch: &'a RecordBatch, restored: &mut Restored) -> Result<Self, String> {
        Ok(Self {
            row: row::Reader::new(batch),
            held_values: held_values::Reader::new(batch),
            totals: totals::Reader::new(batch),
            latest: latest::Reader::new(batch)?,
            attributes: attributes::Reader::new(batch, restored)?,
            waiting: waiting::Reader::new(batch),
            orders: orders::Reader::new(batch, restored)?,
            refunds: refunds::Reader::new(batch),
            category_hours: category_hours::Reader::new(batch, restored)?,
            cart_events: cart_events::Reader::new(batch),
            amendments: amendments::Reader::new(batch),
            return_ids: return_ids::Reader::new(batch),
            hours: hours::Reader::new(batch),
            intervals: intervals::Reader::new(batch),
        })
    }

    /// Reads a row into a builder that has the row's id. A builder expects its parts in this order.
    fn read(&self, row: usize, builder: &mut CustomerBuilder) {
        self.row.read(row, builder);
        self.held_values.read(row, builder);
        self.totals.read(row, builder);
        self.latest.read(row, builder);
        self.attributes.read(row, builder);
        self.waiting.read(row, builder);
        self.orders.read(row, builder);
        self.refunds.read(row, builder);
        self.category_hours.read(row, builder);
        self.cart_events.read(row, builder);
        self.amendments.read(row, builder);
        self.return_ids.read(row, builder);
        self.hours.read(row, builder);
        self.intervals.read(row, builder);
    }
}
