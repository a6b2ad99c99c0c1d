//! The columns of a snapshot's files, by kind of file; docs/snapshots.md tells what each means.
//!
//! Times are milliseconds UTC; null is a time that is not known, or never comes. Texts that many customers share are
//! dictionary columns; a set of categories is one text, a JSON array.

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Version of the layout of files and manifests.
pub const FORMAT: u32 = 2;
/// The oldest that is read. In format 1 nothing was known of the value before the one held.
pub const FORMAT_MIN: u32 = 1;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A row for each customer, in order of their numbers.
    Customers,
    /// Ids of events, by the hour in which they were accepted.
    Ids,
    /// Marks of erasure and opt-out.
    Marks,
}

impl Kind {
    /// As it stands in names of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Ids => "ids",
            Self::Marks => "marks",
        }
    }

    pub fn schema(self) -> SchemaRef {
        static ALL: LazyLock<[SchemaRef; 3]> = LazyLock::new(|| {
            let with = |kind: Kind, fields: Vec<Field>| {
                let about = [("shoal.format", FORMAT.to_string()), ("shoal.kind", kind.name().to_owned())];
                let about: HashMap<String, String> = about.map(|(key, value)| (key.to_owned(), value)).into();
                Arc::new(Schema::new_with_metadata(fields, about))
            };
            [with(Kind::Customers, customers()), with(Kind::Ids, ids()), with(Kind::Marks, marks())]
        });
        ALL[self as usize].clone()
    }
}

/// Columns of times of a customer's row.
pub(super) const TIMES: [&str; 9] = [
    "clock",
    "armed",
    "life",
    "first_event",
    "last_activity",
    "last_browsing",
    "first_order",
    "last_order",
    "cart_until",
];

pub(super) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

pub(super) fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn always(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn maybe(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// A list of structs.
fn list(name: &str, fields: Fields) -> Field {
    always(name, DataType::List(item(fields)))
}

/// The field that is the item of a list of structs.
pub(super) fn item(fields: Fields) -> Arc<Field> {
    Arc::new(always("item", DataType::Struct(fields)))
}

fn customers() -> Vec<Field> {
    let mut fields =
        vec![always("number", DataType::UInt32), always("alive", DataType::Boolean), always("id", DataType::Utf8)];
    fields.extend(TIMES.iter().map(|name| maybe(name, time_type())));
    fields.extend([
        always("last_event_day", DataType::Date32),
        always("revenue", DataType::Int64),
        always("orders", DataType::UInt32),
        always("placed", DataType::UInt32),
        always("sequence", DataType::UInt32),
        always("incarnation", DataType::UInt32),
        always("generation", DataType::UInt8),
        always("muted", DataType::Boolean),
        always("cart_value_known", DataType::Boolean),
        list("held", held()),
        maybe("totals", DataType::Struct(totals())),
        list("latest", latest()),
        list("attributes", attributes()),
        list("waiting", waiting()),
        list("remembered_orders", orders()),
        list("remembered_refunds", refunds()),
        list("category_hours", category_hours()),
        list("cart_events", cart_events()),
        always("hours", DataType::Binary),
    ]);
    fields
}

pub(super) fn held() -> Fields {
    let previous = maybe("previous", DataType::UInt16);
    held_of_format_1().into_iter().chain([previous]).collect()
}

pub(super) fn held_of_format_1() -> Vec<Field> {
    vec![maybe("value", DataType::UInt16), always("since", time_type()), always("dwells", DataType::Boolean)]
}

pub(super) fn totals() -> Fields {
    let counts = ["counting", "placed", "returned", "discounted"].map(|name| always(name, DataType::UInt32));
    let times = ["first", "last"].map(|name| maybe(name, time_type()));
    let sums = ["net", "last_value", "refunded", "unlinked"].map(|name| always(name, DataType::Int64));
    counts.into_iter().chain(times).chain(sums).collect()
}

pub(super) fn latest() -> Fields {
    vec![always("type", text_type()), always("time", time_type())].into()
}

pub(super) fn attributes() -> Fields {
    vec![
        always("place", DataType::UInt8),
        always("time", time_type()),
        maybe("text", text_type()),
        maybe("number", DataType::Float64),
        maybe("boolean", DataType::Boolean),
        maybe("moment", time_type()),
    ]
    .into()
}

pub(super) fn waiting() -> Fields {
    vec![
        always("order", DataType::UInt64),
        always("time", time_type()),
        always("cancels", DataType::Boolean),
        maybe("amount", DataType::Int64),
    ]
    .into()
}

pub(super) fn orders() -> Fields {
    vec![
        always("order", DataType::UInt64),
        always("time", time_type()),
        always("amount", DataType::Int64),
        always("given_back", DataType::Int64),
        always("cancelled", DataType::Boolean),
        always("refunded", DataType::Boolean),
        always("discounted", DataType::Boolean),
        maybe("categories", text_type()),
        maybe("channel", text_type()),
    ]
    .into()
}

pub(super) fn refunds() -> Fields {
    vec![always("time", time_type()), always("given_back", DataType::Int64), always("without_order", DataType::Boolean)]
        .into()
}

pub(super) fn category_hours() -> Fields {
    vec![always("category", text_type()), always("views", DataType::UInt32), always("newest", time_type())].into()
}

pub(super) fn cart_events() -> Fields {
    vec![
        always("time", time_type()),
        always("adds", DataType::Boolean),
        always("empties", DataType::Boolean),
        maybe("total", DataType::Int64),
    ]
    .into()
}

fn ids() -> Vec<Field> {
    let list = DataType::List(Arc::new(always("item", DataType::UInt64)));
    vec![always("hour", time_type()), always("before", DataType::UInt64), always("ids", list)]
}

fn marks() -> Vec<Field> {
    vec![
        always("customer", DataType::UInt64),
        always("dropped_until", time_type()),
        always("counted_from", time_type()),
        maybe("opted_out_at", time_type()),
    ]
}
