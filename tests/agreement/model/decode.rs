//! From a record's bytes to an event or the reason of its rejection: E1, check by check, in its order.

use super::counts::{coupon, properties};
use super::json::{self, Json};
use super::moment;
use super::money::{self, Decimal, Rate};
use super::partition::Source;
use super::rules::{AttributeType, DeclaredKind, Rules};
use std::collections::BTreeMap;

pub const TOO_LARGE_BYTES: usize = 64 * 1024;
const TEXT_BYTES_MAX: usize = 128;
const ID_BYTES_MAX: usize = 256;
const CATEGORIES_MAX: usize = 8;

pub const BUILT_IN: [&str; 16] = [
    "purchase",
    "refund",
    "cancel",
    "amend",
    "view",
    "search",
    "cart_add",
    "cart_remove",
    "checkout",
    "open",
    "click",
    "exposure",
    "profile",
    "erase",
    "opt_out",
    "opt_in",
];

/// A record of a log or a line of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
    /// `None` in files.
    pub arrival: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    /// The journalled wall clock of the record's step.
    pub now: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: String,
    pub browsing: bool,
    pub activity: bool,
    pub time: i64,
    pub customer: String,
    pub event_id: Option<String>,
    pub order_id: Option<String>,
    /// Minor units of the base currency.
    pub amount: Option<i64>,
    /// Whether `amount` was in another currency than the base.
    pub foreign: bool,
    pub discount: Option<i64>,
    pub cart_total: Option<i64>,
    pub cost: Option<i64>,
    pub categories: Vec<String>,
    pub channel: Option<String>,
    pub campaign: Option<String>,
    pub coupon: Option<String>,
    pub properties: BTreeMap<String, AttributeValue>,
    pub attributes: Vec<(String, AttributeValue)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    Removed,
    Text(String),
    Number(f64),
    Boolean(bool),
    Moment(i64),
}

type Checked<T> = Result<T, &'static str>;

/// The event of a record, or the reason of its rejection.
pub fn decode(record: &Record, source: Source, rules: &Rules) -> Checked<Event> {
    if record.value.len() > TOO_LARGE_BYTES {
        return Err("too_large");
    }
    let object = json::parse_object(&record.value).ok_or("decode")?;
    let customer = customer(record, source, &object)?;
    if !source.accepts(customer.as_bytes(), record.partition) {
        return Err("partition");
    }
    let kind = match object.member("type") {
        Some(Json::Text(kind)) if BUILT_IN.contains(&kind.as_str()) || rules.events.contains_key(kind) => kind.clone(),
        _ => return Err("type"),
    };
    let mut event = schema(&object, &kind, customer, rules)?;
    event.time = time(object.member("time").ok_or("schema")?)?;
    let arrival = record.arrival.unwrap_or(event.time).min(record.now);
    if event.time > arrival + rules.max_future {
        return Err("time_future");
    }
    money_fields(&object, &mut event, rules)?;
    Ok(event)
}

/// E1 `key`.
fn customer(record: &Record, source: Source, object: &Json) -> Checked<String> {
    let key = match &record.key {
        Some(key) => Some(String::from_utf8(key.clone()).map_err(|_| "key")?),
        None if source != Source::Files => return Err("key"),
        None => None,
    };
    let field = match object.member("customer_id") {
        Some(Json::Text(id)) => Some(id.clone()),
        Some(_) => return Err("key"),
        None => None,
    };
    let id = match (key, field) {
        (Some(key), Some(field)) if key != field => return Err("key"),
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => return Err("key"),
    };
    if id.is_empty() || id.len() > ID_BYTES_MAX { Err("key") } else { Ok(id) }
}

/// E1 `schema`: everything about the fields of the type except the content of times and amounts.
fn schema(object: &Json, kind: &str, customer: String, rules: &Rules) -> Checked<Event> {
    let declared = rules.events.get(kind);
    let browsing = ["view", "search", "cart_add", "cart_remove", "checkout"].contains(&kind)
        || declared == Some(&DeclaredKind::Browsing);
    let activity = browsing || kind == "purchase" || kind == "click" || declared == Some(&DeclaredKind::Activity);
    let buys = ["purchase", "refund", "amend"].contains(&kind);
    let orders = buys || kind == "cancel";
    let carts = kind.starts_with("cart_") && declared.is_none();
    let with_categories = kind == "purchase" || kind == "view" || carts;

    let event_id = text(object, "event_id")?;
    let channel = text(object, "channel")?;
    let campaign = text(object, "campaign")?;
    match object.member("time") {
        Some(Json::Text(_)) => drop(text(object, "time")?),
        Some(Json::Number(number)) if !number.contains(['.', 'e', 'E']) => {}
        _ => return Err("schema"),
    }
    let order_id = if orders { text(object, "order_id")? } else { None };
    let amount = if buys { decimal_text(object, "amount")? } else { None };
    if buys {
        text(object, "currency")?;
    }
    if kind == "purchase" {
        decimal_text(object, "discount")?;
    }
    if carts {
        decimal_text(object, "cart_total")?;
    }
    if kind == "exposure" {
        decimal_text(object, "cost")?;
    }
    let amount_missing = amount.is_none() && buys && (kind != "refund" || order_id.is_none());
    if amount_missing || ((kind == "cancel" || kind == "amend") && order_id.is_none()) {
        return Err("schema");
    }
    let categories = if with_categories { categories(object)? } else { Vec::new() };
    let attributes = if kind == "profile" { attributes(object, rules)? } else { Vec::new() };
    Ok(Event {
        kind: kind.into(),
        browsing,
        activity,
        time: 0,
        customer,
        event_id,
        order_id,
        amount: None,
        foreign: false,
        discount: None,
        cart_total: None,
        cost: None,
        categories,
        channel,
        campaign,
        coupon: coupon(object, kind),
        properties: properties(object, rules),
        attributes,
    })
}

/// An optional text of 1 to 128 bytes.
fn text(object: &Json, name: &str) -> Checked<Option<String>> {
    match object.member(name) {
        None => Ok(None),
        Some(Json::Text(text)) if (1..=TEXT_BYTES_MAX).contains(&text.len()) => Ok(Some(text.clone())),
        Some(_) => Err("schema"),
    }
}

/// An optional decimal, as text or as a JSON number: its text.
fn decimal_text(object: &Json, name: &str) -> Checked<Option<String>> {
    match object.member(name) {
        Some(Json::Number(number)) => Ok(Some(number.clone())),
        _ => text(object, name),
    }
}

/// The event's category, then those of its items; the first eight distinct.
fn categories(object: &Json) -> Checked<Vec<String>> {
    let mut found: Vec<String> = text(object, "category")?.into_iter().collect();
    match object.member("items") {
        None => {}
        Some(Json::Array(items)) => {
            for item in items {
                match item {
                    Json::Object(_) => found.extend(text(item, "category")?),
                    _ => return Err("schema"),
                }
            }
        }
        Some(_) => return Err("schema"),
    }
    let mut distinct = Vec::new();
    for category in found {
        if !distinct.contains(&category) && distinct.len() < CATEGORIES_MAX {
            distinct.push(category);
        }
    }
    Ok(distinct)
}

/// Declared attributes (B6); others are ignored.
fn attributes(object: &Json, rules: &Rules) -> Checked<Vec<(String, AttributeValue)>> {
    let members = match object.member("attributes") {
        None => return Ok(Vec::new()),
        Some(Json::Object(members)) => members,
        Some(_) => return Err("schema"),
    };
    let mut found = Vec::new();
    for (name, value) in members {
        let Some(kind) = rules.attributes.get(name) else { continue };
        let value = match (kind, value) {
            (_, Json::Null) => AttributeValue::Removed,
            (AttributeType::Text, Json::Text(text)) if (1..=TEXT_BYTES_MAX).contains(&text.len()) => {
                AttributeValue::Text(text.clone())
            }
            (AttributeType::Boolean, Json::Boolean(boolean)) => AttributeValue::Boolean(*boolean),
            (AttributeType::Number, Json::Number(number)) => {
                AttributeValue::Number(number.parse().ok().filter(|double: &f64| double.is_finite()).ok_or("schema")?)
            }
            (AttributeType::Time, Json::Text(text)) => {
                AttributeValue::Moment(moment::parse(text).filter(moment::is_attribute).ok_or("schema")?)
            }
            (AttributeType::Time, Json::Number(number)) => {
                AttributeValue::Moment(number.parse().ok().filter(moment::is_attribute).ok_or("schema")?)
            }
            _ => return Err("schema"),
        };
        found.push((name.clone(), value));
    }
    Ok(found)
}

/// E1 `time` and `time_unit`.
fn time(field: &Json) -> Checked<i64> {
    match field {
        Json::Text(text) => moment::parse(text).filter(moment::is_event).ok_or("time"),
        Json::Number(number) => number.parse().ok().filter(moment::is_event).ok_or("time_unit"),
        _ => Err("schema"),
    }
}

/// E1 `amount`, `currency`, and `amount` again. The currency is that of `amount` and `discount`.
fn money_fields(object: &Json, event: &mut Event, rules: &Rules) -> Checked<()> {
    let kind = event.kind.as_str();
    let buys = ["purchase", "refund", "amend"].contains(&kind);
    let field = |name: &str, meant: bool, positive: bool| -> Checked<Option<Decimal>> {
        match if meant { decimal_text(object, name)? } else { None } {
            Some(text) => money::decimal(&text, positive).map(Some).ok_or("amount"),
            None => Ok(None),
        }
    };
    let amount = field("amount", buys, kind == "refund")?;
    let discount = field("discount", kind == "purchase", false)?;
    let cart_total = field("cart_total", kind == "cart_add" || kind == "cart_remove", false)?;
    let cost = field("cost", kind == "exposure", false)?;
    let code = if buys { text(object, "currency")? } else { None };
    event.foreign = amount.is_some() && code.as_ref().is_some_and(|code| *code != rules.base);
    let rate = match code {
        Some(code) => rules.rate(&code).ok_or("currency")?,
        None => Rate::ONE,
    };
    let minor = |decimal: Option<Decimal>, rate: Rate| match decimal {
        Some(decimal) => money::minor_units(decimal, rate, rules.decimals).map(Some).ok_or("amount"),
        None => Ok(None),
    };
    event.amount = minor(amount, rate)?;
    event.discount = minor(discount, rate)?;
    event.cart_total = minor(cart_total, Rate::ONE)?;
    event.cost = minor(cost, Rate::ONE)?;
    Ok(())
}
