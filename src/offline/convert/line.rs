//! Reads a line of an order export as its mapping describes it: from columns of text to a checked [`Line`].

use super::columns::{ColumnFinder, delimiter_hint};
use super::csv_reader::Record;
use super::mapping::{AttributeType, Mapping, PLACEHOLDERS, StatusMeaning, TimeFormat};
use super::number::NumberFormat;
use super::time::parse_time;
use crate::document::nearest::nearest_or_all;
use crate::engine::currency;
use crate::engine::event::Millis;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use std::collections::BTreeSet;

const CUSTOMER_BYTES_MAX: usize = 256;
const ORDER_BYTES_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 128;
/// The valid times of events: from 1990 to before 2100.
const TIMES: std::ops::Range<Millis> = 631_152_000_000..4_102_444_800_000;

/// What a line contains of its order. Texts are borrowed from the record, except the customer id.
#[derive(Debug, PartialEq)]
pub struct Line<'a> {
    /// `None`: the order's customer is on another line, or the order has none.
    pub customer_id: Option<String>,
    pub order_id: &'a str,
    pub time: Millis,
    pub quantity: Decimal,
    /// Quantity x price. `None` if the line has no amount of its own.
    pub sum: Option<Decimal>,
    /// The amount of the whole order.
    pub total: Option<Decimal>,
    pub discount: Option<Decimal>,
    pub category: Option<&'a str>,
    pub channel: Option<&'a str>,
    pub coupon: Option<&'a str>,
    pub currency: Option<String>,
    pub status: Option<(StatusMeaning, &'a str)>,
    pub cancelled_at: Option<Millis>,
    pub returned_order: Option<&'a str>,
    /// What was given back of the whole order.
    pub returned: Option<Decimal>,
    pub returned_at: Option<Millis>,
}

/// Why a line is invalid: a stable reason and a message.
pub type Invalid = (&'static str, String);

/// A value of an attribute as events have it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum AttributeValue {
    Text(Box<str>),
    Integer(i64),
    Number(f64),
    Boolean(bool),
}

/// The indices of the mapped columns in a file.
pub struct LineReader<'m> {
    mapping: &'m Mapping,
    time_format: TimeFormat,
    number_format: NumberFormat,
    names: Vec<String>,
    /// The columns that the mapping does not name.
    pub unused: Vec<String>,
    customer: usize,
    fallback: Option<usize>,
    order: usize,
    time: usize,
    price: Option<usize>,
    quantity: Option<usize>,
    total: Option<usize>,
    discount: Option<usize>,
    category: Option<usize>,
    channel: Option<usize>,
    coupon: Option<usize>,
    currency: Option<usize>,
    status: Option<usize>,
    cancelled_at: Option<usize>,
    returned_order: Option<usize>,
    returned: Option<usize>,
    returned_at: Option<usize>,
    attributes: Vec<(usize, AttributeType)>,
    /// The text and value of the last time: the lines of an order usually have the same time.
    last_time: (String, Millis),
}

impl<'m> LineReader<'m> {
    /// Finds the columns in the header line.
    ///
    /// # Errors
    /// All columns that are missing or there twice.
    pub fn new(mapping: &'m Mapping, header: &Record) -> Result<Self, String> {
        let names: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let mut columns = ColumnFinder { names: &names, used: BTreeSet::new(), mistakes: Vec::new() };
        let (order, amount, returns) = (&mapping.order, &mapping.amount, &mapping.returns);
        let mut reader = Self {
            mapping,
            time_format: mapping.time_format()?,
            number_format: mapping.number_format(),
            names: Vec::new(),
            unused: Vec::new(),
            customer: columns.find(&mapping.customer.column),
            order: columns.find(&order.column),
            time: columns.find(&mapping.time.column),
            price: columns.optional(Some(&amount.price).filter(|name| !name.is_empty())),
            fallback: columns.optional(mapping.customer.fallback.as_ref()),
            quantity: columns.optional(amount.quantity.as_ref()),
            total: columns.optional(amount.total.as_ref()),
            discount: columns.optional(order.discount.as_ref()),
            category: columns.optional(order.category.as_ref()),
            channel: columns.optional(order.channel.as_ref()),
            coupon: columns.optional(order.coupon.as_ref()),
            currency: columns.optional(amount.currency_column.as_ref()),
            status: columns.optional(mapping.status.column.as_ref()),
            cancelled_at: columns.optional(order.cancelled_at.as_ref()),
            returned_order: columns.optional(returns.order_column.as_ref()),
            returned: columns.optional(returns.amount_column.as_ref()),
            returned_at: columns.optional(returns.time_column.as_ref()),
            attributes: mapping
                .attributes
                .iter()
                .map(|(name, column)| {
                    (columns.find(column), mapping.attribute_types.get(name).copied().unwrap_or_default())
                })
                .collect(),
            last_time: (String::new(), 0),
        };
        let ColumnFinder { used, mut mistakes, .. } = columns;
        if !mistakes.is_empty() {
            mistakes.extend(delimiter_hint(&names));
            return Err(mistakes.join("\n"));
        }
        let is_unused = |(index, _): &(usize, &String)| !used.contains(index);
        reader.unused = names.iter().enumerate().filter(is_unused).map(|(_, name)| name.clone()).collect();
        reader.names = names;
        Ok(reader)
    }

    pub fn read<'a>(&mut self, record: &'a Record) -> Result<Line<'a>, Invalid> {
        if record.len() != self.names.len() {
            let message = format!(
                "expected {} columns, found {}; a field with a delimiter or a line break must be quoted",
                self.names.len(),
                record.len()
            );
            return Err(("columns", message));
        }
        let order_id = self.field(record, self.order, "order")?;
        if order_id.is_empty() || order_id.len() > ORDER_BYTES_MAX {
            let message = format!(
                "expected an order number of 1 to {ORDER_BYTES_MAX} bytes in column `{}`, found {order_id:?}",
                self.names[self.order]
            );
            return Err(("order", message));
        }
        if is_placeholder(order_id) {
            let message = format!(
                "expected an order number in column `{}`, found the placeholder {order_id:?}",
                self.names[self.order]
            );
            return Err(("order", message));
        }
        self.check_id(order_id, self.order, "order")?;
        let customer_id = self.customer_id(record)?;
        let quantity = match self.quantity {
            None => Decimal::ONE,
            Some(column) => self.required(record, column, "quantity")?,
        };
        let sum = self.sum(record, quantity)?;
        let status = match self.text(record, self.status, "status")? {
            None => None,
            Some(status) => Some((self.meaning(status)?, status)),
        };
        Ok(Line {
            customer_id,
            order_id,
            time: self.moment(record, self.time)?,
            quantity,
            sum,
            total: self.decimal(record, self.total, "total")?,
            discount: self.decimal(record, self.discount, "discount")?,
            category: self.text(record, self.category, "category")?,
            channel: self.text(record, self.channel, "channel")?,
            coupon: self.text(record, self.coupon, "coupon")?,
            currency: self.currency(record)?,
            status,
            cancelled_at: self.optional_moment(record, self.cancelled_at)?,
            returned_order: self.returned_order(record)?,
            returned: self.returned(record)?,
            returned_at: self.optional_moment(record, self.returned_at)?,
        })
    }

    /// The order id of an invalid line; empty if it cannot be read.
    pub fn order_id<'a>(&self, record: &'a Record) -> &'a str {
        self.field(record, self.order, "order").unwrap_or("")
    }

    /// The values of the mapped attributes, ordered by their names: `None` if empty. What is not of its type is left
    /// out and added to `left_out`.
    ///
    /// # Errors
    /// If a value cannot be decoded.
    pub fn attributes(
        &self,
        record: &Record,
        left_out: &mut Vec<String>,
    ) -> Result<Vec<Option<AttributeValue>>, Invalid> {
        let mut values = Vec::with_capacity(self.attributes.len());
        for (column, attribute_type) in &self.attributes {
            let text = self.field(record, *column, "attribute")?;
            let value = self.attribute(text, *attribute_type);
            if value.is_none() && !text.is_empty() {
                left_out.push(format!(
                    "column `{}`: {text:?} is not {}; it is left out",
                    self.names[*column],
                    match attribute_type {
                        AttributeType::Number => "a number",
                        AttributeType::Boolean => "true or false",
                        _ => "a time",
                    }
                ));
            }
            values.push(value);
        }
        Ok(values)
    }

    fn attribute(&self, text: &str, attribute_type: AttributeType) -> Option<AttributeValue> {
        if text.is_empty() {
            return None;
        }
        match attribute_type {
            AttributeType::Text | AttributeType::Unknown => Some(AttributeValue::Text(text.into())),
            AttributeType::Number => {
                let number = self.number_format.parse(text)?.normalize();
                // Attributes are doubles in rules as well; an integer is written without a fraction.
                let text = number.to_string();
                text.parse().map(AttributeValue::Integer).or_else(|_| text.parse().map(AttributeValue::Number)).ok()
            }
            AttributeType::Boolean => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "t" | "1" => Some(AttributeValue::Boolean(true)),
                "false" | "no" | "n" | "f" | "0" => Some(AttributeValue::Boolean(false)),
                _ => None,
            },
            AttributeType::Time => {
                let date = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|day| day.timestamp());
                let own =
                    || parse_time(&self.time_format, text).ok().and_then(|time| Timestamp::from_millisecond(time).ok());
                let moment = text.parse::<Timestamp>().ok().or_else(own).or_else(date)?;
                Some(AttributeValue::Text(moment.to_string().into()))
            }
        }
    }

    /// The field without leading and trailing blanks, and without the `="..."` by which spreadsheets keep digits.
    fn field<'a>(&self, record: &'a Record, column: usize, reason: &'static str) -> Result<&'a str, Invalid> {
        let name = || self.names.get(column).map_or("", String::as_str);
        let Some(bytes) = record.get(column) else {
            return Err((reason, format!("the line ends before column `{}`", name())));
        };
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\u{fffd}') => {
                let text = text.trim();
                let formula = text.strip_prefix("=\"").and_then(|text| text.strip_suffix('"'));
                Ok(formula.unwrap_or(text).trim())
            }
            _ => {
                let message = format!(
                    "column `{}` has bytes that are not text in the file's encoding; set [file] encoding, for example \
                     \"windows-1252\"",
                    name()
                );
                Err((reason, message))
            }
        }
    }

    /// An optional text: `None` if the column is not mapped or empty.
    fn text<'a>(
        &self,
        record: &'a Record,
        column: Option<usize>,
        reason: &'static str,
    ) -> Result<Option<&'a str>, Invalid> {
        let Some(column) = column else { return Ok(None) };
        let text = self.field(record, column, reason)?;
        if text.len() > TEXT_BYTES_MAX {
            let name = &self.names[column];
            let message = format!("expected at most {TEXT_BYTES_MAX} bytes in column `{name}`, found {}", text.len());
            return Err((reason, message));
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn customer_id(&self, record: &Record) -> Result<Option<String>, Invalid> {
        let rules = &self.mapping.customer;
        let is_id = |id: &str| {
            !id.is_empty() && !rules.placeholders.iter().any(|placeholder| placeholder.eq_ignore_ascii_case(id))
        };
        let raw = self.field(record, self.customer, "customer")?;
        let id = raw.strip_prefix(rules.strip_prefix.as_str()).unwrap_or(raw);
        let id = id.strip_suffix(rules.strip_suffix.as_str()).unwrap_or(id).trim();
        let id = if is_id(raw) && is_id(id) {
            self.check_id(id, self.customer, "customer")?;
            format!("{}{id}", rules.prefix)
        } else {
            let Some(fallback) = self.fallback else { return Ok(None) };
            let id = self.field(record, fallback, "customer")?;
            if !is_id(id) {
                return Ok(None);
            }
            self.check_id(id, fallback, "customer")?;
            id.to_owned()
        };
        if id.len() > CUSTOMER_BYTES_MAX {
            let message = format!("expected an id of at most {CUSTOMER_BYTES_MAX} bytes, found {}", id.len());
            return Err(("customer", message));
        }
        Ok(Some(if rules.lower_case { id.to_lowercase() } else { id }))
    }

    /// Spreadsheets shorten long ids to the likes of 1.0E+05, which many ids have in common.
    fn check_id(&self, id: &str, column: usize, reason: &'static str) -> Result<(), Invalid> {
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_shortened = id.split_once("E+").is_some_and(|(mantissa, exponent)| {
            is_digits(exponent) && is_digits(&mantissa.replacen(['.', ','], "", 1))
        });
        if !is_shortened {
            return Ok(());
        }
        let message = format!(
            "{id:?} in column `{}` is an id that a spreadsheet shortened; export the column as text",
            self.names[column]
        );
        Err((reason, message))
    }

    fn sum(&self, record: &Record, quantity: Decimal) -> Result<Option<Decimal>, Invalid> {
        let Some(column) = self.price else { return Ok(None) };
        // With a quantity each line has a price. Without, it is the line's amount, or the order's on one of its lines.
        let price = match self.decimal(record, self.price, "price")? {
            None if self.quantity.is_some() => return Err(self.not_a_number(column, "price", "")),
            price => price,
        };
        let Some(price) = price else { return Ok(None) };
        match quantity.checked_mul(price) {
            Some(sum) => Ok(Some(sum)),
            None => Err(("amount", format!("{quantity} x {price} is too large"))),
        }
    }

    /// A number; `None` if the column is not mapped or empty.
    fn decimal(&self, record: &Record, column: Option<usize>, what: &str) -> Result<Option<Decimal>, Invalid> {
        let Some(column) = column else { return Ok(None) };
        let text = self.field(record, column, "amount")?;
        if text.is_empty() {
            return Ok(None);
        }
        self.number_format.parse(text).map(Some).ok_or_else(|| self.not_a_number(column, what, text))
    }

    fn required(&self, record: &Record, column: usize, what: &str) -> Result<Decimal, Invalid> {
        self.decimal(record, Some(column), what)?.ok_or_else(|| self.not_a_number(column, what, ""))
    }

    fn not_a_number(&self, column: usize, what: &str, text: &str) -> Invalid {
        let form = if self.number_format.decimal_point == ',' { "with a decimal comma" } else { "as a decimal number" };
        let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
        let has_sign = text.chars().any(|c| c.is_alphabetic() || !c.is_ascii() && !c.is_whitespace());
        let hint = match has_digit {
            true if has_sign => "; see `signs` of [amount]",
            true => "; see `decimal_point` and `thousands` of [amount]",
            false => "",
        };
        let name = &self.names[column];
        ("amount", format!("expected a {what} {form} in column `{name}`, found {text:?}{hint}"))
    }

    /// What was given back of the order, from its own column.
    fn returned(&self, record: &Record) -> Result<Option<Decimal>, Invalid> {
        let (Some(column), Some(key)) = (self.returned, &self.mapping.returns.amount_after) else {
            return self.decimal(record, self.returned, "returned amount");
        };
        let text = self.field(record, column, "amount")?;
        let mut sum = None;
        for part in text.split(key.as_str()).skip(1) {
            let number = part.split(['|', ';']).next().unwrap_or("").trim();
            let Some(number) = self.number_format.parse(number) else {
                return Err(self.not_a_number(column, "returned amount", number));
            };
            sum = Some(add(sum.unwrap_or_default(), number)?);
        }
        if sum.is_none() && !text.is_empty() {
            let name = &self.names[column];
            return Err(("amount", format!("expected {key:?} in column `{name}`, found {text:?}")));
        }
        Ok(sum)
    }

    fn currency(&self, record: &Record) -> Result<Option<String>, Invalid> {
        let Some(text) = self.text(record, self.currency, "currency")? else { return Ok(None) };
        let code = text.to_ascii_uppercase();
        if currency::decimals(&code).is_none() {
            return Err(("currency", format!("expected the ISO 4217 code of a currency, found {text:?}")));
        }
        Ok(Some(code))
    }

    fn meaning(&self, status: &str) -> Result<StatusMeaning, Invalid> {
        self.mapping.status.meaning(status).ok_or_else(|| {
            let hint = nearest_or_all(status, self.mapping.status.known());
            ("status", format!("expected a status that [status] lists, found {status:?}; {hint}"))
        })
    }

    fn returned_order<'a>(&self, record: &'a Record) -> Result<Option<&'a str>, Invalid> {
        let Some(column) = self.returned_order else { return Ok(None) };
        let id = self.field(record, column, "order")?;
        if id.len() > ORDER_BYTES_MAX {
            let name = &self.names[column];
            let message = format!("expected at most {ORDER_BYTES_MAX} bytes in column `{name}`, found {}", id.len());
            return Err(("order", message));
        }
        self.check_id(id, column, "order")?;
        Ok(Some(id).filter(|id| !id.is_empty() && !is_placeholder(id)))
    }

    fn optional_moment(&mut self, record: &Record, column: Option<usize>) -> Result<Option<Millis>, Invalid> {
        match column {
            Some(column) if !self.field(record, column, "time")?.is_empty() => self.moment(record, column).map(Some),
            _ => Ok(None),
        }
    }

    fn moment(&mut self, record: &Record, column: usize) -> Result<Millis, Invalid> {
        let text = self.field(record, column, "time")?;
        if self.last_time.0 != text || text.is_empty() {
            let name = &self.names[column];
            let time = parse_time(&self.time_format, text).map_err(|error| {
                (
                    "time",
                    format!("expected a time like the mapping's format in column `{name}`, found {text:?}: {error}"),
                )
            })?;
            if !TIMES.contains(&time) {
                let message = format!("expected a time from 1990 to before 2100 in column `{name}`, found {text:?}");
                return Err(("time", message));
            }
            self.last_time = (text.to_owned(), time);
        }
        Ok(self.last_time.1)
    }
}

/// Orders without a number would become one order.
fn is_placeholder(id: &str) -> bool {
    PLACEHOLDERS.iter().any(|placeholder| placeholder.eq_ignore_ascii_case(id))
}

/// Adds amounts.
///
/// # Errors
/// If the sum is too large for an exact decimal.
pub fn add(a: Decimal, b: Decimal) -> Result<Decimal, Invalid> {
    a.checked_add(b).ok_or_else(|| ("amount", format!("{a} + {b} is too large")))
}
