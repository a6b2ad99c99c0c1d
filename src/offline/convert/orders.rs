//! Collects lines into orders and writes orders as native events.

use super::line::Line;
use super::mapping::Mapping;
use crate::engine::event::{Categories, Millis};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

/// Maximum number of decimals of an event's amount.
const DECIMALS_MAX: u32 = 6;

/// Why a line or an order is invalid: a stable reason and a message.
pub type Invalid = (&'static str, String);

/// An order that is being collected. About 300 bytes with its texts.
#[derive(Debug)]
pub struct Order {
    pub order_id: Box<str>,
    pub customer_id: Box<str>,
    /// The earliest time of its lines.
    pub time: Millis,
    /// The position of its first line: the index of the file and the line number.
    pub first_line: (usize, u64),
    /// The whole order is a return.
    is_return: bool,
    bought: Decimal,
    /// Whether any line is a purchase; an order with only returned lines is not a purchase.
    has_bought: bool,
    given_back: Decimal,
    discount: Decimal,
    categories: Vec<Box<str>>,
    channel: Option<Box<str>>,
    currency: Option<Box<str>>,
    returned_order: Option<Box<str>>,
    attributes: Vec<Box<str>>,
}

impl Order {
    /// An order with its first line.
    pub fn begin(
        mapping: &Mapping,
        line: &Line<'_>,
        first_line: (usize, u64),
        attributes: Vec<Box<str>>,
    ) -> Result<Self, Invalid> {
        let prefix = mapping.returns.order_prefix.as_deref();
        let mut order = Self {
            order_id: line.order_id.into(),
            customer_id: line.customer_id.as_str().into(),
            time: line.time,
            first_line,
            is_return: prefix.is_some_and(|prefix| line.order_id.starts_with(prefix)),
            bought: Decimal::ZERO,
            has_bought: false,
            given_back: Decimal::ZERO,
            discount: Decimal::ZERO,
            categories: Vec::new(),
            channel: line.channel.map(Into::into),
            currency: line.currency.map(Into::into),
            returned_order: line.returned_order.map(Into::into),
            attributes,
        };
        order.add(mapping, line)?;
        Ok(order)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If the line is invalid in this order.
    pub fn add(&mut self, mapping: &Mapping, line: &Line<'_>) -> Result<(), Invalid> {
        if *line.customer_id != *self.customer_id {
            let message =
                format!("order {} began with customer {}, found {}", self.order_id, self.customer_id, line.customer_id);
            return Err(("customer", message));
        }
        let (mut bought, mut given_back) = (self.bought, self.given_back);
        let gives_back = self.is_return || line.quantity.is_sign_negative() && mapping.returns.negative_quantity;
        if gives_back {
            given_back = sum(given_back, -line.sum)?;
        } else if line.sum.is_sign_negative() && !line.sum.is_zero() || line.quantity.is_sign_negative() {
            let message = format!("expected a quantity and a price of at least 0, found a sum of {}", line.sum);
            return Err(("amount", message));
        } else {
            bought = sum(bought, line.sum)?;
        }
        self.discount = sum(self.discount, line.discount)?;
        (self.bought, self.given_back) = (bought, given_back);
        self.has_bought |= !gives_back;
        self.time = self.time.min(line.time);
        if let Some(category) = line.category {
            let known = self.categories.iter().any(|known| **known == *category);
            if !known && self.categories.len() < Categories::MAX {
                self.categories.push(category.into());
            }
        }
        Ok(())
    }
}

fn sum(a: Decimal, b: Decimal) -> Result<Decimal, Invalid> {
    a.checked_add(b).ok_or_else(|| ("amount", format!("{a} + {b} is too large")))
}

/// The fields of native events in the order in which they are written.
#[derive(Default, Serialize)]
struct NativeEvent<'a> {
    event_id: String,
    customer_id: &'a str,
    #[serde(rename = "type")]
    event_type: &'static str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<BTreeMap<&'static str, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<BTreeMap<&'a str, Option<&'a str>>>,
}

/// The numbers of written events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub purchases: u64,
    pub refunds: u64,
    pub profiles: u64,
    /// Returns with an amount of 0, for which there is no event.
    pub empty_returns: u64,
    /// Orders that were written without an invalid line.
    pub incomplete: u64,
}

impl Written {
    pub fn events(&self) -> u64 {
        self.purchases + self.refunds + self.profiles
    }
}

/// Writes orders as events, one JSON object per line.
pub struct EventWriter<'m, W> {
    mapping: &'m Mapping,
    out: W,
    /// The last written attributes, by customer.
    profiles: HashMap<Box<str>, Vec<Box<str>>>,
    pub written: Written,
}

impl<'m, W: Write> EventWriter<'m, W> {
    pub fn new(mapping: &'m Mapping, out: W) -> Self {
        Self { mapping, out, profiles: HashMap::new(), written: Written::default() }
    }

    /// Writes the events of an order; `is_incomplete` if one of its lines is invalid.
    ///
    /// # Errors
    /// The inner error if the order has an amount that an event cannot have.
    pub fn write(&mut self, order: &Order, is_incomplete: bool) -> anyhow::Result<Result<(), Invalid>> {
        let (bought, given_back) = match (amount(order.bought), amount(returned(order))) {
            (Ok(bought), Ok(given_back)) => (bought, given_back),
            (Err(message), _) | (_, Err(message)) => return Ok(Err(("amount", message))),
        };
        self.profile(order)?;
        if order.has_bought {
            let discount = amount(order.discount).ok().filter(|_| !order.discount.is_zero());
            let event = NativeEvent {
                order_id: Some(&order.order_id),
                discount,
                category: order.categories.first().map(|category| &**category),
                items: order
                    .categories
                    .iter()
                    .skip(1)
                    .map(|category| BTreeMap::from([("category", &**category)]))
                    .collect(),
                ..self.money("order", "purchase", order, bought)
            };
            self.line(&event)?;
            self.written.purchases += 1;
        }
        let has_returned = order.is_return || !order.given_back.is_zero();
        if has_returned && returned(order).is_zero() {
            self.written.empty_returns += 1;
        } else if has_returned {
            let order_id = order.returned_order.as_deref();
            let event = NativeEvent { order_id, ..self.money("refund", "refund", order, given_back) };
            self.line(&event)?;
            self.written.refunds += 1;
        }
        self.written.incomplete += u64::from(is_incomplete);
        Ok(Ok(()))
    }

    pub fn finish(mut self) -> io::Result<Written> {
        self.out.flush()?;
        Ok(self.written)
    }

    fn money<'a>(&self, id: &str, event_type: &'static str, order: &'a Order, amount: String) -> NativeEvent<'a>
    where
        'm: 'a,
    {
        NativeEvent {
            event_id: format!("{id}-{}", order.order_id),
            customer_id: &order.customer_id,
            event_type,
            time: moment(order.time),
            amount: Some(amount),
            currency: order.currency.as_deref().or(self.mapping.amount.currency.as_deref()),
            channel: order.channel.as_deref().or(self.mapping.constants.channel.as_deref()),
            campaign: self.mapping.constants.campaign.as_deref(),
            ..NativeEvent::default()
        }
    }

    /// Writes a profile event if the customer's attributes differ from the last written ones; empty ones are null.
    fn profile(&mut self, order: &Order) -> io::Result<()> {
        if order.attributes.is_empty() || self.profiles.get(&order.customer_id) == Some(&order.attributes) {
            return Ok(());
        }
        let names = self.mapping.attributes.keys().map(String::as_str);
        let values = order.attributes.iter().map(|value| Some(&**value).filter(|text| !text.is_empty()));
        let event = NativeEvent {
            event_id: format!("profile-{}", order.order_id),
            customer_id: &order.customer_id,
            event_type: "profile",
            time: moment(order.time),
            attributes: Some(names.zip(values).collect()),
            ..NativeEvent::default()
        };
        serde_json::to_writer(&mut self.out, &event)?;
        self.out.write_all(b"\n")?;
        self.profiles.insert(order.customer_id.clone(), order.attributes.clone());
        self.written.profiles += 1;
        Ok(())
    }

    fn line(&mut self, event: &NativeEvent<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, event)?;
        self.out.write_all(b"\n")
    }
}

/// The returned amount: for a return, its sum with either sign, since exports differ.
fn returned(order: &Order) -> Decimal {
    if order.is_return { order.given_back.abs() } else { order.given_back }
}

fn amount(value: Decimal) -> Result<String, String> {
    let value = value.normalize();
    if value.scale() > DECIMALS_MAX {
        return Err(format!("expected an amount with at most {DECIMALS_MAX} decimals, found {value}"));
    }
    if value.is_sign_negative() && !value.is_zero() {
        return Err(format!("expected an amount of at least 0, found {value}"));
    }
    let scale = value.scale().max(2);
    Ok(format!("{value:.places$}", places = scale as usize))
}

fn moment(time: Millis) -> String {
    Timestamp::from_millisecond(time).map_or_else(|_| time.to_string(), |moment| moment.to_string())
}
