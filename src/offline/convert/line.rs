//! Reads a line of an order export as its mapping describes it: from columns of text to a checked [`Line`].

use super::mapping::{Mapping, TimeFormat};
use crate::document::nearest::nearest_or_all;
use crate::engine::event::Millis;
use csv::ByteRecord;
use jiff::Timestamp;
use jiff::fmt::strtime;
use rust_decimal::Decimal;

const CUSTOMER_BYTES_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 128;
/// The valid times of events: from 1990 to before 2100.
const TIMES: std::ops::Range<Millis> = 631_152_000_000..4_102_444_800_000;

/// What a line contains of its order. Texts are borrowed from the record, except the customer id.
#[derive(Debug, PartialEq)]
pub struct Line<'a> {
    pub customer_id: String,
    pub order_id: &'a str,
    pub time: Millis,
    pub quantity: Decimal,
    /// Quantity x price.
    pub sum: Decimal,
    pub discount: Decimal,
    pub category: Option<&'a str>,
    pub channel: Option<&'a str>,
    pub currency: Option<&'a str>,
    pub returned_order: Option<&'a str>,
}

/// Why a line was not used.
#[derive(Debug, PartialEq)]
pub enum Unusable {
    /// It has no customer: it is counted and skipped, but not an error.
    NoCustomer,
    /// A stable reason and a message.
    Invalid(&'static str, String),
}

fn invalid<T>(reason: &'static str, message: String) -> Result<T, Unusable> {
    Err(Unusable::Invalid(reason, message))
}

/// The indices of the mapped columns in a file.
pub struct LineReader<'m> {
    mapping: &'m Mapping,
    time_format: TimeFormat,
    columns: usize,
    customer: usize,
    order: usize,
    time: usize,
    price: usize,
    quantity: Option<usize>,
    discount: Option<usize>,
    category: Option<usize>,
    channel: Option<usize>,
    currency: Option<usize>,
    returned_order: Option<usize>,
    attributes: Vec<usize>,
    /// The text and value of the last time: the lines of an order usually have the same time.
    last_time: (String, Millis),
}

impl<'m> LineReader<'m> {
    /// Finds the columns in the header line.
    ///
    /// # Errors
    /// All columns that are missing.
    pub fn new(mapping: &'m Mapping, header: &ByteRecord) -> Result<Self, String> {
        let names: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let mut missing = Vec::new();
        let mut find = |name: &str| {
            names.iter().position(|known| known.trim_start_matches('\u{feff}') == name).unwrap_or_else(|| {
                missing.push(format!("no column `{name}`; {}", nearest_or_all(name, names.iter().map(String::as_str))));
                0
            })
        };
        let reader = Self {
            mapping,
            time_format: mapping.time_format()?,
            columns: names.len(),
            customer: find(&mapping.customer.column),
            order: find(&mapping.order.column),
            time: find(&mapping.time.column),
            price: find(&mapping.amount.price),
            quantity: mapping.amount.quantity.as_deref().map(&mut find),
            discount: mapping.order.discount.as_deref().map(&mut find),
            category: mapping.order.category.as_deref().map(&mut find),
            channel: mapping.order.channel.as_deref().map(&mut find),
            currency: mapping.amount.currency_column.as_deref().map(&mut find),
            returned_order: mapping.returns.order_column.as_deref().map(&mut find),
            attributes: mapping.attributes.values().map(|name| find(name)).collect(),
            last_time: (String::new(), 0),
        };
        if missing.is_empty() { Ok(reader) } else { Err(missing.join("\n")) }
    }

    pub fn read<'a>(&mut self, record: &'a ByteRecord) -> Result<Line<'a>, Unusable> {
        if record.len() != self.columns {
            return invalid("columns", format!("expected {} columns, found {}", self.columns, record.len()));
        }
        let customer_id = self.customer_id(field(record, self.customer, "customer")?)?;
        let order_id = field(record, self.order, "order")?;
        if order_id.is_empty() || order_id.len() > TEXT_BYTES_MAX {
            return invalid(
                "order",
                format!("expected an order number of 1 to {TEXT_BYTES_MAX} bytes, found {order_id:?}"),
            );
        }
        let quantity = self.quantity.map_or(Ok(Decimal::ONE), |column| self.decimal(record, column, "quantity"))?;
        let price = self.decimal(record, self.price, "price")?;
        let Some(sum) = quantity.checked_mul(price) else {
            return invalid("amount", format!("{quantity} x {price} is too large"));
        };
        Ok(Line {
            customer_id,
            order_id,
            time: self.moment(field(record, self.time, "time")?)?,
            quantity,
            sum,
            discount: self.discount.map_or(Ok(Decimal::ZERO), |column| self.decimal(record, column, "discount"))?,
            category: text(record, self.category, "category")?,
            channel: text(record, self.channel, "channel")?,
            currency: text(record, self.currency, "currency")?,
            returned_order: text(record, self.returned_order, "order")?,
        })
    }

    /// The order id of an invalid line; empty if it cannot be read.
    pub fn order_id<'a>(&self, record: &'a ByteRecord) -> &'a str {
        if self.order < record.len() { field(record, self.order, "order").unwrap_or("") } else { "" }
    }

    /// The values of the mapped attributes, ordered by their names.
    pub fn attributes(&self, record: &ByteRecord) -> Vec<Box<str>> {
        let value = |column: &usize| field(record, *column, "attribute").unwrap_or("").into();
        self.attributes.iter().map(value).collect()
    }

    fn customer_id(&self, raw: &str) -> Result<String, Unusable> {
        let rules = &self.mapping.customer;
        let id = raw.strip_prefix(rules.strip_prefix.as_str()).unwrap_or(raw);
        let id = id.strip_suffix(rules.strip_suffix.as_str()).unwrap_or(id);
        if id.is_empty() {
            return Err(Unusable::NoCustomer);
        }
        let id = format!("{}{id}", rules.prefix);
        if id.len() > CUSTOMER_BYTES_MAX {
            return invalid(
                "customer",
                format!("expected an id of at most {CUSTOMER_BYTES_MAX} bytes, found {}", id.len()),
            );
        }
        Ok(id)
    }

    fn decimal(&self, record: &ByteRecord, column: usize, what: &str) -> Result<Decimal, Unusable> {
        let text = field(record, column, "amount")?;
        let parsed = match self.mapping.amount.decimal_point.as_str() {
            "," if !text.contains('.') => Decimal::from_str_exact(&text.replace(',', ".")),
            "," => return invalid("amount", format!("expected a {what} with a decimal comma, found {text:?}")),
            _ => Decimal::from_str_exact(text),
        };
        parsed.or_else(|_| invalid("amount", format!("expected a {what} as a decimal number, found {text:?}")))
    }

    fn moment(&mut self, text: &str) -> Result<Millis, Unusable> {
        if self.last_time.0 != text || text.is_empty() {
            let time = parse_time(&self.time_format, text).or_else(|error| {
                invalid("time", format!("expected a time like the mapping's format, found {text:?}: {error}"))
            })?;
            if !TIMES.contains(&time) {
                return invalid("time", format!("expected a time from 1990 to before 2100, found {text:?}"));
            }
            self.last_time = (text.to_owned(), time);
        }
        Ok(self.last_time.1)
    }
}

fn parse_time(format: &TimeFormat, text: &str) -> Result<Millis, String> {
    let number = || text.parse::<i64>().map_err(|_| "it is not an integer".to_owned());
    let message = |error: jiff::Error| error.to_string();
    Ok(match format {
        TimeFormat::Rfc3339 => text.parse::<Timestamp>().map_err(message)?.as_millisecond(),
        TimeFormat::UnixSeconds => number()?.saturating_mul(1_000),
        TimeFormat::UnixMillis => number()?,
        TimeFormat::Zoned(format) => {
            strtime::parse(format, text).and_then(|parts| parts.to_timestamp()).map_err(message)?.as_millisecond()
        }
        TimeFormat::Local(format, zone) => {
            let local = strtime::parse(format, text).and_then(|parts| parts.to_datetime()).map_err(message)?;
            zone.to_timestamp(local).map_err(message)?.as_millisecond()
        }
    })
}

/// The field without leading and trailing blanks.
fn field<'a>(record: &'a ByteRecord, column: usize, reason: &'static str) -> Result<&'a str, Unusable> {
    match std::str::from_utf8(&record[column]) {
        Ok(text) => Ok(text.trim()),
        Err(_) => invalid(reason, format!("expected UTF-8 text in column {}, found invalid bytes", column + 1)),
    }
}

/// An optional text: `None` if the column is not mapped or empty.
fn text<'a>(record: &'a ByteRecord, column: Option<usize>, reason: &'static str) -> Result<Option<&'a str>, Unusable> {
    let Some(column) = column else { return Ok(None) };
    let text = field(record, column, reason)?;
    if text.len() > TEXT_BYTES_MAX {
        return invalid(reason, format!("expected at most {TEXT_BYTES_MAX} bytes, found {}", text.len()));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}
