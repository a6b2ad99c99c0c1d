//! A second implementation of E1, with `serde_json`, `jiff` and `rust_decimal`, that shares no code with the decoder.
//!
//! The `Value` of `serde_json` keeps neither repeated names nor the digits of numbers, so the tree is read level by
//! level from raw values; depth and repeated names are checked on it. Amounts above 10^18 are treated as over the
//! bound, which is right for rates from 0.001 on, and of the decimals after the ninth it only matters if there are any.

use super::{Partitioner, Source, partition_of};
use crate::engine::event::*;
use crate::engine::event_settings::{AttributeType, EventSettings};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashSet;

#[derive(Clone, Debug)]
enum Tree {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// The members of an object in order, repeated ones too.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

fn tree(text: &str, depth: usize) -> Option<Tree> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    let text = raw.get();
    let nested = |texts: Vec<Box<RawValue>>| -> Option<Vec<Tree>> {
        if depth == 64 {
            return None;
        }
        texts.iter().map(|text| tree(text.get(), depth + 1)).collect()
    };
    Some(match text.as_bytes()[0] {
        b'n' => Tree::Null,
        b't' | b'f' => Tree::Boolean(text == "true"),
        b'"' => Tree::Text(serde_json::from_str(text).ok()?),
        b'[' => Tree::List(nested(serde_json::from_str(text).ok()?)?),
        b'{' => {
            let (names, values): (Vec<_>, Vec<_>) = serde_json::from_str::<Members>(text).ok()?.0.into_iter().unzip();
            if names.iter().collect::<HashSet<_>>().len() < names.len() {
                return None;
            }
            Tree::Map(names.into_iter().zip(nested(values)?).collect())
        }
        _ => Tree::Number(text.into()),
    })
}

/// The fields of a record; null is absence.
struct Fields(Vec<(String, Tree)>);

type Judged<T> = Result<T, Reason>;

impl Fields {
    fn get(&self, name: &str) -> Option<&Tree> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        (!matches!(found.1, Tree::Null)).then_some(&found.1)
    }

    /// E5: a text of which at most 128 bytes are used.
    fn description(&self, name: &str, field: DescriptiveField, unfit: &mut Unfit) -> Option<Text<'static>> {
        description(self.get(name)?, field, unfit)
    }

    /// An id of an event or order; E6: a placeholder is none.
    fn id(&self, name: &str, placeholders: &[String]) -> Judged<Option<Text<'static>>> {
        let Some(found) = self.get(name) else { return Ok(None) };
        let id = id(found).ok_or(Reason::Schema)?;
        if is_placeholder(&id, placeholders) {
            return Ok(None);
        }
        if id.is_empty() || id.len() > 256 { Err(Reason::Schema) } else { Ok(Some(id.into())) }
    }

    /// The text of an `amount`, which counts.
    fn amount(&self) -> Judged<Option<String>> {
        match self.get("amount") {
            None => Ok(None),
            Some(Tree::Number(digits)) => Ok(Some(digits.clone())),
            Some(Tree::Text(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(Reason::Schema),
        }
    }

    fn categories(&self, unfit: &mut Unfit) -> Categories<'static> {
        let own = self.description("category", DescriptiveField::Category, unfit);
        let mut all: Vec<Text<'static>> = own.into_iter().collect();
        match self.get("items") {
            None => {}
            Some(Tree::List(items)) => {
                for item in items {
                    match item {
                        Tree::Map(members) => {
                            let item = Fields(members.clone());
                            all.extend(item.description("category", DescriptiveField::Category, unfit));
                        }
                        _ => unfit.leave_out(DescriptiveField::Items),
                    }
                }
            }
            Some(_) => unfit.leave_out(DescriptiveField::Items),
        }
        let mut categories = Categories::default();
        all.into_iter().for_each(|category| categories.add(category));
        categories
    }
}

fn description(tree: &Tree, field: DescriptiveField, unfit: &mut Unfit) -> Option<Text<'static>> {
    match tree {
        Tree::Text(text) if !text.is_empty() => Some(cut(text, field, unfit)),
        _ => {
            unfit.leave_out(field);
            None
        }
    }
}

/// As many whole characters as 128 bytes hold.
fn cut(text: &str, field: DescriptiveField, unfit: &mut Unfit) -> Text<'static> {
    let mut kept = String::new();
    for character in text.chars() {
        if kept.len() + character.len_utf8() > 128 {
            unfit.cut(field);
            break;
        }
        kept.push(character);
    }
    kept.into()
}

fn id(tree: &Tree) -> Option<String> {
    match tree {
        Tree::Text(text) => Some(text.clone()),
        Tree::Number(digits) if !digits.contains(['.', 'e', 'E']) => Some(digits.clone()),
        _ => None,
    }
}

fn is_placeholder(id: &str, placeholders: &[String]) -> bool {
    placeholders.iter().any(|known| known.eq_ignore_ascii_case(id))
}

/// What E1 says about a record.
pub fn judge(
    event_settings: &EventSettings,
    record: &Record<'_>,
    source: &Source,
    now: Millis,
) -> Judged<Event<'static>> {
    if record.value.len() > 65_536 {
        return Err(Reason::TooLarge);
    }
    let text = std::str::from_utf8(record.value).map_err(|_| Reason::Decode)?;
    let Some(Tree::Map(members)) = tree(text, 0) else { return Err(Reason::Decode) };
    let fields = Fields(members);
    let customer_id = customer_id(event_settings, record, source, &fields)?;
    if let (Source::Kafka { partitioner, partitions }, Some(key)) = (source, record.key)
        && *partitioner != Partitioner::Any
        && record.partition != partition_of(*partitioner, key, *partitions)
    {
        return Err(Reason::Partition);
    }
    let event_type = event_type(event_settings, &fields)?;
    let mut unfit = Unfit::default();
    let event = shape(event_settings, event_type, customer_id, &fields, &mut unfit)?;
    let time = event_time(&fields)?;
    if time > record.arrival.unwrap_or(now).min(now) + event_settings.max_future {
        return Err(Reason::TimeFuture);
    }
    let event = money(event_settings, Event { time, ..event }, &fields, &mut unfit)?;
    Ok(Event { unfit, ..event })
}

fn customer_id(
    event_settings: &EventSettings,
    record: &Record<'_>,
    source: &Source,
    fields: &Fields,
) -> Judged<Text<'static>> {
    let key = record.key.map(|key| std::str::from_utf8(key).map_err(|_| Reason::Key)).transpose()?;
    if key.is_none() && *source != Source::File {
        return Err(Reason::Key);
    }
    let field = match fields.get("customer_id") {
        None => None,
        Some(found) => Some(id(found).ok_or(Reason::Key)?),
    };
    if let (Some(key), None) = (key, &field)
        && (key.chars().any(|character| character < ' ' || character == '\u{7f}')
            || !key.starts_with(' ') && matches!(tree(key, 0), Some(Tree::Text(_) | Tree::Map(_) | Tree::List(_))))
    {
        return Err(Reason::Key);
    }
    let id = key.or(field.as_deref()).ok_or(Reason::Key)?;
    let fits = !id.is_empty() && id.len() <= 256 && field.as_ref().is_none_or(|field| field == id);
    let fits = fits && !is_placeholder(id, &event_settings.placeholders);
    if fits { Ok(id.to_owned().into()) } else { Err(Reason::Key) }
}

fn event_type(event_settings: &EventSettings, fields: &Fields) -> Judged<EventType> {
    let Some(Tree::Text(name)) = fields.get("type") else { return Err(Reason::Type) };
    let all = EventType::BUILT_IN.into_iter().map(|(_, event_type)| event_type);
    let all = all.chain((0..event_settings.events.len()).map(EventType::declared));
    all.into_iter().find(|event_type| event_settings.type_name(*event_type) == name).ok_or(Reason::Type)
}

fn shape(
    event_settings: &EventSettings,
    event_type: EventType,
    customer_id: Text<'static>,
    fields: &Fields,
    unfit: &mut Unfit,
) -> Judged<Event<'static>> {
    let id = |name: &str| fields.id(name, &event_settings.placeholders);
    let is = |types: &[EventType]| types.contains(&event_type);
    let carts = [EventType::CART_ADD, EventType::CART_REMOVE];
    match fields.get("time") {
        Some(Tree::Number(digits)) if !digits.contains(['.', 'e', 'E']) => {}
        Some(Tree::Text(text)) if !text.is_empty() && text.len() <= 128 => {}
        _ => return Err(Reason::Schema),
    }
    let event_id = id("event_id")?;
    let order_id =
        is(&[EventType::PURCHASE, EventType::REFUND, EventType::CANCEL, EventType::AMEND]).then(|| id("order_id"));
    let order_id = order_id.transpose()?.flatten();
    if is(&[EventType::CANCEL, EventType::AMEND]) && order_id.is_none() {
        return Err(Reason::Schema);
    }
    if is(&[EventType::PURCHASE, EventType::REFUND, EventType::AMEND]) {
        let amount = fields.amount()?;
        if amount.is_none() && (order_id.is_none() || event_type != EventType::REFUND) {
            return Err(Reason::Schema);
        }
    }
    let with_categories = is(&[EventType::PURCHASE, EventType::VIEW]) || is(&carts);
    Ok(Event {
        event_type,
        time: 0,
        customer_id,
        event_id,
        order_id,
        amount: None,
        foreign: false,
        discount: None,
        cart_total: None,
        cost: None,
        categories: if with_categories { fields.categories(unfit) } else { Categories::default() },
        channel: fields.description("channel", DescriptiveField::Channel, unfit),
        campaign: fields.description("campaign", DescriptiveField::Campaign, unfit),
        coupon: None,
        properties: Vec::new(),
        attributes: if is(&[EventType::PROFILE]) { attributes(event_settings, fields, unfit) } else { Vec::new() },
        unfit: Unfit::default(),
    })
}

fn attributes(
    event_settings: &EventSettings,
    fields: &Fields,
    unfit: &mut Unfit,
) -> Vec<(u8, AttributeValue<'static>)> {
    const FIELD: DescriptiveField = DescriptiveField::Attributes;
    let mut attributes = Vec::new();
    let members = match fields.get("attributes") {
        None => return attributes,
        Some(Tree::Map(members)) => members,
        Some(_) => {
            unfit.leave_out(FIELD);
            return attributes;
        }
    };
    for (index, declared) in event_settings.attributes.iter().enumerate() {
        let Some((_, value)) = members.iter().find(|(name, _)| *name == declared.name) else { continue };
        match attribute(declared.kind, value, unfit) {
            Some(value) => attributes.push((index as u8, value)),
            None => unfit.leave_out(FIELD),
        }
    }
    attributes
}

/// B6: what is plainly of the declared type.
fn attribute(kind: AttributeType, value: &Tree, unfit: &mut Unfit) -> Option<AttributeValue<'static>> {
    const FIELD: DescriptiveField = DescriptiveField::Attributes;
    let value = match (kind, value) {
        (_, Tree::Null) => AttributeValue::Removed,
        (AttributeType::Text, Tree::Number(digits)) => AttributeValue::Text(cut(digits, FIELD, unfit)),
        (AttributeType::Text, value) => AttributeValue::Text(description(value, FIELD, unfit)?),
        (AttributeType::Boolean, Tree::Boolean(truth)) => AttributeValue::Boolean(*truth),
        (AttributeType::Boolean, Tree::Text(text)) => AttributeValue::Boolean(text.parse().ok()?),
        // Not by `serde_json`: without its feature `float_roundtrip` it may be wrong in the last bit.
        (AttributeType::Number, Tree::Number(text) | Tree::Text(text)) if is_number(text) => {
            AttributeValue::Number(text.parse().ok().filter(|number: &f64| number.is_finite())?)
        }
        (AttributeType::Time, Tree::Number(digits)) => {
            let milliseconds = digits.parse::<i64>().ok().filter(|moment| moment.unsigned_abs() >= 100_000_000_000);
            AttributeValue::Time(milliseconds.filter(|moment| years("1900").contains(moment))?)
        }
        (AttributeType::Time, Tree::Text(text)) => {
            let is_date = text.len() == 10 && !text.contains('T');
            let midnight = if is_date { format!("{text}T00:00:00Z") } else { text.clone() };
            AttributeValue::Time(moment(&Tree::Text(midnight), "1900")?)
        }
        (AttributeType::Texts, Tree::Text(_)) => AttributeValue::Texts(vec![description(value, FIELD, unfit)?]),
        (AttributeType::Texts, Tree::List(elements)) => {
            let mut texts = Vec::new();
            for element in elements {
                let Some(text) = description(element, FIELD, unfit) else { continue };
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
            if texts.len() > 32 {
                unfit.cut(FIELD);
                texts.truncate(32);
            }
            AttributeValue::Texts(texts)
        }
        _ => return None,
    };
    Some(value)
}

fn is_number(text: &str) -> bool {
    matches!(tree(text, 0), Some(Tree::Number(digits)) if digits == text)
}

fn event_time(fields: &Fields) -> Judged<Millis> {
    let value = fields.get("time").ok_or(Reason::Schema)?;
    let reason = if matches!(value, Tree::Text(_)) { Reason::Time } else { Reason::TimeUnit };
    moment(value, "1990").ok_or(reason)
}

fn years(first: &str) -> std::ops::Range<Millis> {
    let year = |year: &str| format!("{year}-01-01T00:00:00Z").parse::<jiff::Timestamp>().unwrap().as_millisecond();
    year(first)..year("2100")
}

fn moment(value: &Tree, first_year: &str) -> Option<Millis> {
    let moment = match value {
        Tree::Number(digits) => digits.parse().ok()?,
        Tree::Text(text) => rfc3339(text)?,
        _ => return None,
    };
    years(first_year).contains(&moment).then_some(moment)
}

/// Checks the form of RFC 3339 by a template, and its values by `jiff`.
fn rfc3339(text: &str) -> Option<Millis> {
    let matches = |text: &str, template: &str| {
        let fits = |(c, t): (char, char)| if t == '0' { c.is_ascii_digit() } else { c.eq_ignore_ascii_case(&t) };
        text.len() == template.len()
            && text.chars().count() == text.len()
            && text.chars().zip(template.chars()).all(fits)
    };
    let (head, rest) = text.split_at_checked(19)?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let digits = fraction.strip_prefix('.').unwrap_or("0");
    let well_formed = matches(head, "0000-00-00T00:00:00")
        && (fraction.is_empty() || fraction.starts_with('.'))
        && !digits.is_empty()
        && digits.chars().all(|digit| digit.is_ascii_digit())
        && (matches(zone, "Z") || matches(zone, "+00:00") || matches(zone, "-00:00"));
    if !well_formed || &head[17..] == "60" || zone.get(1..3).is_some_and(|hours| hours > "23") {
        return None;
    }
    let cut: String = digits.chars().take(3).collect();
    let moment: jiff::Timestamp = format!("{head}.{cut}{zone}").to_uppercase().parse().ok()?;
    Some(moment.as_millisecond())
}

fn money(
    event_settings: &EventSettings,
    event: Event<'static>,
    fields: &Fields,
    unfit: &mut Unfit,
) -> Judged<Event<'static>> {
    let is = |types: &[EventType]| types.contains(&event.event_type);
    let written = if is(&[EventType::PURCHASE, EventType::REFUND, EventType::AMEND]) { fields.amount()? } else { None };
    let paid = written.map(|text| amount(&text)).transpose()?;
    if is(&[EventType::REFUND]) && paid == Some(Decimal::ZERO) {
        return Err(Reason::Amount);
    }
    // E5: an optional amount that does not fit is left out.
    let mut optional = |types: &[EventType], name: &str, field: DescriptiveField| {
        let found = fields.get(name).filter(|_| is(types))?;
        let read = match found {
            Tree::Number(text) | Tree::Text(text) => amount(text).ok(),
            _ => None,
        };
        if read.is_none() {
            unfit.leave_out(field);
        }
        read
    };
    let carts = [EventType::CART_ADD, EventType::CART_REMOVE];
    let discount = optional(&[EventType::PURCHASE], "discount", DescriptiveField::Discount);
    let cart_total = optional(&carts, "cart_total", DescriptiveField::CartTotal);
    let cost = optional(&[EventType::EXPOSURE], "cost", DescriptiveField::Cost);
    let rate = match fields.get("currency") {
        found if found.is_none() || [paid, discount, cart_total, cost] == [None; 4] => Decimal::ONE,
        Some(Tree::Text(code)) if code.is_empty() => {
            unfit.leave_out(DescriptiveField::Currency);
            Decimal::ONE
        }
        Some(Tree::Text(code)) if code.to_ascii_uppercase() == event_settings.currency.base => Decimal::ONE,
        Some(Tree::Text(code)) => {
            let known = event_settings.currency.rates.iter().find(|(known, _)| *known == code.to_ascii_uppercase());
            known.ok_or(Reason::Currency)?.1
        }
        _ => return Err(Reason::Currency),
    };
    let minor = |amount: Decimal| {
        if amount > Decimal::from(10_u64.pow(18)) {
            return None;
        }
        let exact = amount * rate * Decimal::from(10_u64.pow(event_settings.currency.decimals));
        let units = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
        i64::try_from(units).ok().filter(|units| *units <= 10_i64.pow(15))
    };
    let mut left_out = |amount: Option<Decimal>, field: DescriptiveField| {
        let units = minor(amount?);
        if units.is_none() {
            unfit.leave_out(field);
        }
        units
    };
    Ok(Event {
        amount: paid.map(|paid| minor(paid).ok_or(Reason::Amount)).transpose()?,
        foreign: paid.is_some()
            && matches!(fields.get("currency"), Some(Tree::Text(code))
                if !code.is_empty() && code.to_ascii_uppercase() != event_settings.currency.base),
        discount: left_out(discount, DescriptiveField::Discount),
        cart_total: left_out(cart_total, DescriptiveField::CartTotal),
        cost: left_out(cost, DescriptiveField::Cost),
        ..event
    })
}

/// A decimal by JSON's grammar of at most 64 characters, not negative; one too large for the rest is any large one.
fn amount(text: &str) -> Judged<Decimal> {
    if !is_number(text) || text.len() > 64 {
        return Err(Reason::Amount);
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let saturated = if exponent.starts_with('-') { -1_000_000 } else { 1_000_000 };
    let exponent: i64 = exponent.parse().unwrap_or(saturated).clamp(-1_000_000, 1_000_000);
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i64);
    let mut decimals = fraction - exponent;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let mut digits = digits.trim_start_matches('0').to_owned();
    if mantissa.starts_with('-') && !digits.is_empty() {
        return Err(Reason::Amount);
    }
    if digits.is_empty() {
        return Ok(Decimal::ZERO);
    }
    if digits.len() as i64 - decimals > 18 {
        return Ok(Decimal::MAX);
    }
    // Rates here have up to four decimals, so an exact half has at most nine. What is cut off is more than nothing.
    const DECIMALS_MAX: i64 = 9;
    let mut rest = false;
    while decimals > DECIMALS_MAX {
        rest |= digits.pop().is_some_and(|digit| digit != '0');
        decimals -= 1;
    }
    if rest {
        digits.push('1');
        decimals += 1;
    }
    let number: i128 = format!("0{digits}{}", "0".repeat((-decimals).max(0) as usize)).parse().unwrap();
    Ok(Decimal::from_i128_with_scale(number, decimals.max(0) as u32))
}
