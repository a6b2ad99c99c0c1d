//! From a record's bytes to an event or the reason of its rejection: E1, check by check, in its order.

use super::counts::{coupon, properties};
use super::json::{self, Json};
use super::moment;
use super::money::{self, Decimal, Rate};
use super::partition::Source;
use super::rules::{AttributeType, DeclaredKind, Rules};
use std::collections::{BTreeMap, BTreeSet};

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
    pub unfit: Unfit,
}

/// The fields of which something was left out or cut (E5): `channel left_out`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unfit(pub BTreeSet<String>);

impl Unfit {
    pub fn leave_out(&mut self, field: &str) {
        self.0.insert(format!("{field} left_out"));
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    Removed,
    Text(String),
    Number(f64),
    Boolean(bool),
    Moment(i64),
    /// Distinct texts.
    Texts(Vec<String>),
}

/// Texts of an attribute of type `texts` at most (B6).
const TEXTS_MAX: usize = 32;
/// A smaller integer in an attribute of type `time` is most likely in seconds (B6).
const MILLISECONDS_MIN: i64 = 100_000_000_000;

type Checked<T> = Result<T, &'static str>;

/// The event of a record, or the reason of its rejection.
pub fn decode(record: &Record, source: Source, rules: &Rules) -> Checked<Event> {
    if record.value.len() > TOO_LARGE_BYTES {
        return Err("too_large");
    }
    let object = json::parse_object(&record.value).ok_or("decode")?;
    let customer = customer(record, source, &object, rules)?;
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
fn customer(record: &Record, source: Source, object: &Json, rules: &Rules) -> Checked<String> {
    let key = match &record.key {
        Some(key) => Some(String::from_utf8(key.clone()).map_err(|_| "key")?),
        None if source != Source::Files => return Err("key"),
        None => None,
    };
    let field = match object.member("customer_id") {
        Some(written) => Some(id_text(written).ok_or("key")?),
        None => None,
    };
    if let (Some(key), None) = (&key, &field)
        && !is_plain(key)
    {
        return Err("key");
    }
    let id = match (key, field) {
        (Some(key), Some(field)) if key != field => return Err("key"),
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => return Err("key"),
    };
    if id.is_empty() || id.len() > ID_BYTES_MAX || rules.is_placeholder(&id) { Err("key") } else { Ok(id) }
}

/// Whether a key that stands alone is plain text: no JSON but a number or word, no control characters.
fn is_plain(key: &str) -> bool {
    let in_brackets = |open: char, close: char| key.starts_with(open) && key.trim_end().ends_with(close);
    let is_in_brackets = in_brackets('"', '"') || in_brackets('{', '}') || in_brackets('[', ']');
    let whole = json::parse_object(format!("{{\"key\":{key}}}").as_bytes());
    let is_json = is_in_brackets && matches!(whole, Some(Json::Object(members)) if members.len() == 1);
    !is_json && !key.chars().any(|character| character.is_ascii_control())
}

/// A text, or an integer as written.
fn id_text(written: &Json) -> Option<String> {
    match written {
        Json::Text(text) => Some(text.clone()),
        Json::Number(number) if !number.contains(['.', 'e', 'E']) => Some(number.clone()),
        _ => None,
    }
}

/// The id of an event or order: 1 to 256 bytes; a placeholder is none (E6).
fn id(object: &Json, name: &str, rules: &Rules) -> Checked<Option<String>> {
    let Some(written) = object.member(name) else { return Ok(None) };
    let id = id_text(written).ok_or("schema")?;
    if rules.is_placeholder(&id) {
        return Ok(None);
    }
    if id.is_empty() || id.len() > ID_BYTES_MAX { Err("schema") } else { Ok(Some(id)) }
}

/// E1 `schema`: the fields of the type that must be there or count, except for the content of times and amounts. What
/// only describes is taken as far as it fits (E5).
fn schema(object: &Json, kind: &str, customer: String, rules: &Rules) -> Checked<Event> {
    let declared = rules.events.get(kind);
    let browsing = ["view", "search", "cart_add", "cart_remove", "checkout"].contains(&kind)
        || declared == Some(&DeclaredKind::Browsing);
    let activity = browsing || kind == "purchase" || kind == "click" || declared == Some(&DeclaredKind::Activity);
    let buys = ["purchase", "refund", "amend"].contains(&kind);
    let orders = buys || kind == "cancel";
    let carts = kind.starts_with("cart_") && declared.is_none();
    let with_categories = kind == "purchase" || kind == "view" || carts;

    let event_id = id(object, "event_id", rules)?;
    let mut unfit = Unfit::default();
    let channel = describing(object, "channel", &mut unfit);
    let campaign = describing(object, "campaign", &mut unfit);
    let coupon = coupon(object, kind, &mut unfit);
    let properties = properties(object, kind, rules, &mut unfit);
    match object.member("time") {
        Some(Json::Text(text)) if (1..=TEXT_BYTES_MAX).contains(&text.len()) => {}
        Some(Json::Number(number)) if !number.contains(['.', 'e', 'E']) => {}
        _ => return Err("schema"),
    }
    let order_id = if orders { id(object, "order_id", rules)? } else { None };
    if buys {
        match object.member("amount") {
            None | Some(Json::Number(_)) => {}
            Some(Json::Text(text)) if !text.is_empty() => {}
            Some(_) => return Err("schema"),
        }
    }
    let amount_missing = object.member("amount").is_none() && buys && (kind != "refund" || order_id.is_none());
    if amount_missing || ((kind == "cancel" || kind == "amend") && order_id.is_none()) {
        return Err("schema");
    }
    let categories = if with_categories { categories(object, &mut unfit) } else { Vec::new() };
    let attributes = if kind == "profile" { attributes(object, rules, &mut unfit) } else { Vec::new() };
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
        coupon,
        properties,
        attributes,
        unfit,
    })
}

/// A member that only describes, if it fits.
fn describing(object: &Json, name: &str, unfit: &mut Unfit) -> Option<String> {
    fitting(object.member(name)?, name, unfit)
}

/// E5: a text, of which as many whole characters count as 128 bytes hold; nothing if it is empty or no text.
pub fn fitting(written: &Json, field: &str, unfit: &mut Unfit) -> Option<String> {
    match written {
        Json::Text(text) if !text.is_empty() => Some(cut(text, field, unfit)),
        _ => {
            unfit.leave_out(field);
            None
        }
    }
}

fn cut(text: &str, field: &str, unfit: &mut Unfit) -> String {
    let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = ends.take_while(|end| *end <= TEXT_BYTES_MAX).last().unwrap_or(0);
    if end < text.len() {
        unfit.0.insert(format!("{field} cut"));
    }
    text[..end].into()
}

/// The event's category, then those of its items; the first eight distinct.
fn categories(object: &Json, unfit: &mut Unfit) -> Vec<String> {
    let mut found: Vec<String> = describing(object, "category", unfit).into_iter().collect();
    match object.member("items") {
        None => {}
        Some(Json::Array(items)) => {
            for item in items {
                match item {
                    Json::Object(_) => found.extend(describing(item, "category", unfit)),
                    _ => unfit.leave_out("items"),
                }
            }
        }
        Some(_) => unfit.leave_out("items"),
    }
    let mut distinct = distinct(found);
    distinct.truncate(CATEGORIES_MAX);
    distinct
}

fn distinct(all: Vec<String>) -> Vec<String> {
    let mut distinct = Vec::new();
    for text in all {
        if !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    distinct
}

/// Declared attributes (B6); others are ignored.
fn attributes(object: &Json, rules: &Rules, unfit: &mut Unfit) -> Vec<(String, AttributeValue)> {
    let members = match object.member("attributes") {
        None => return Vec::new(),
        Some(Json::Object(members)) => members,
        Some(_) => {
            unfit.leave_out("attributes");
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for (name, written) in members {
        let Some(kind) = rules.attributes.get(name) else { continue };
        match attribute(*kind, written, unfit) {
            Some(value) => found.push((name.clone(), value)),
            None => unfit.leave_out("attributes"),
        }
    }
    found
}

/// What is written, as the declared type where it plainly is of it.
fn attribute(kind: AttributeType, written: &Json, unfit: &mut Unfit) -> Option<AttributeValue> {
    if *written == Json::Null {
        return Some(AttributeValue::Removed);
    }
    plainly(kind, written, "attributes", unfit)
}

pub fn plainly(kind: AttributeType, written: &Json, field: &str, unfit: &mut Unfit) -> Option<AttributeValue> {
    match kind {
        AttributeType::Text => match written {
            Json::Number(number) => Some(AttributeValue::Text(cut(number, field, unfit))),
            other => fitting(other, field, unfit).map(AttributeValue::Text),
        },
        AttributeType::Boolean => match written {
            Json::Boolean(boolean) => Some(AttributeValue::Boolean(*boolean)),
            Json::Text(text) if text == "true" => Some(AttributeValue::Boolean(true)),
            Json::Text(text) if text == "false" => Some(AttributeValue::Boolean(false)),
            _ => None,
        },
        AttributeType::Number => match written {
            Json::Number(number) => double(number),
            Json::Text(text) if json::is_number(text) => double(text),
            _ => None,
        },
        AttributeType::Time => {
            let moment = match written {
                Json::Text(text) => moment::parse(text).or_else(|| moment::parse(&format!("{text}T00:00:00Z"))),
                Json::Number(number) => {
                    let in_milliseconds = |moment: &i64| !(-MILLISECONDS_MIN + 1..MILLISECONDS_MIN).contains(moment);
                    number.parse().ok().filter(in_milliseconds)
                }
                _ => None,
            };
            moment.filter(moment::is_attribute).map(AttributeValue::Moment)
        }
        AttributeType::Texts => match written {
            Json::Array(elements) => {
                let texts = elements.iter().filter_map(|element| fitting(element, field, unfit)).collect();
                let mut texts = distinct(texts);
                if texts.len() > TEXTS_MAX {
                    texts.truncate(TEXTS_MAX);
                    unfit.0.insert(format!("{field} cut"));
                }
                Some(AttributeValue::Texts(texts))
            }
            other => Some(AttributeValue::Texts(vec![fitting(other, field, unfit)?])),
        },
    }
}

fn double(number: &str) -> Option<AttributeValue> {
    number.parse().ok().filter(|double: &f64| double.is_finite()).map(AttributeValue::Number)
}

/// E1 `time` and `time_unit`.
fn time(field: &Json) -> Checked<i64> {
    match field {
        Json::Text(text) => moment::parse(text).filter(moment::is_event).ok_or("time"),
        Json::Number(number) => number.parse().ok().filter(moment::is_event).ok_or("time_unit"),
        _ => Err("schema"),
    }
}

/// E1 `amount`, `currency`, and `amount` again. An `amount` counts; the other amounts are optional, and what does not
/// fit is left out (E5). The currency is that of all amounts, and looked at where there is one.
fn money_fields(object: &Json, event: &mut Event, rules: &Rules) -> Checked<()> {
    let kind = event.kind.clone();
    let written = |name: &str| match object.member(name) {
        Some(Json::Number(text) | Json::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let is_sale = ["purchase", "refund", "amend"].contains(&kind.as_str());
    let amount = match written("amount").filter(|_| is_sale) {
        Some(text) => Some(money::decimal(&text, kind == "refund").ok_or("amount")?),
        None => None,
    };
    let mut optional = |name: &str, meant: bool| {
        object.member(name).filter(|_| meant)?;
        let read = written(name).and_then(|text| money::decimal(&text, false));
        if read.is_none() {
            event.unfit.leave_out(name);
        }
        read
    };
    let discount = optional("discount", kind == "purchase");
    let cart_total = optional("cart_total", kind == "cart_add" || kind == "cart_remove");
    let cost = optional("cost", kind == "exposure");
    let is_any_there = [&amount, &discount, &cart_total, &cost].into_iter().any(Option::is_some);
    let rate = match object.member("currency").filter(|_| is_any_there) {
        None => Rate::ONE,
        Some(Json::Text(code)) if code.is_empty() => {
            event.unfit.leave_out("currency");
            Rate::ONE
        }
        Some(Json::Text(code)) => {
            event.foreign = amount.is_some() && !code.eq_ignore_ascii_case(&rules.base);
            rules.rate(code).ok_or("currency")?
        }
        Some(_) => return Err("currency"),
    };
    let minor = |decimal: &Decimal| money::minor_units(decimal, rate, rules.decimals);
    event.amount = match amount {
        Some(amount) => Some(minor(&amount).ok_or("amount")?),
        None => None,
    };
    let mut fitting = |name: &str, decimal: Option<Decimal>| {
        let units = minor(&decimal?);
        if units.is_none() {
            event.unfit.leave_out(name);
        }
        units
    };
    let discount = fitting("discount", discount);
    let cart_total = fitting("cart_total", cart_total);
    let cost = fitting("cost", cost);
    (event.discount, event.cart_total, event.cost) = (discount, cart_total, cost);
    Ok(())
}
