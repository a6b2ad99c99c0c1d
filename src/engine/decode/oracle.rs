//! A second implementation of E1, with `serde_json`, `jiff` and `rust_decimal`, that shares no code with the decoder.
//!
//! The `Value` of `serde_json` keeps neither repeated names nor the digits of numbers, so the tree is read level by
//! level from raw values; depth and repeated names are checked on it. Amounts above 10^18 are treated as over the
//! bound, which is right for rates from 0.001 on.

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

    fn text(&self, name: &str) -> Judged<Option<Text<'static>>> {
        self.get(name).map(short_text).transpose()
    }

    fn decimal(&self, name: &str) -> Judged<Option<String>> {
        match self.get(name) {
            None => Ok(None),
            Some(Tree::Number(digits)) => Ok(Some(digits.clone())),
            Some(other) => short_text(other).map(|text| Some(text.into_owned())),
        }
    }

    fn categories(&self) -> Judged<Categories<'static>> {
        let mut all: Vec<Text<'static>> = self.text("category")?.into_iter().collect();
        let items = match self.get("items") {
            None => &[],
            Some(Tree::List(items)) => items.as_slice(),
            Some(_) => return Err(Reason::Schema),
        };
        for item in items {
            let Tree::Map(members) = item else { return Err(Reason::Schema) };
            all.extend(Fields(members.clone()).text("category")?);
        }
        let mut categories = Categories::default();
        all.into_iter().for_each(|category| categories.add(category));
        Ok(categories)
    }
}

fn short_text(tree: &Tree) -> Judged<Text<'static>> {
    match tree {
        Tree::Text(text) if !text.is_empty() && text.len() <= 128 => Ok(text.clone().into()),
        _ => Err(Reason::Schema),
    }
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
    let customer_id = customer_id(record, source, &fields)?;
    if let (Source::Kafka { partitioner, partitions }, Some(key)) = (source, record.key)
        && *partitioner != Partitioner::Any
        && record.partition != partition_of(*partitioner, key, *partitions)
    {
        return Err(Reason::Partition);
    }
    let event_type = event_type(event_settings, &fields)?;
    let event = shape(event_settings, event_type, customer_id, &fields)?;
    let time = event_time(&fields)?;
    if time > record.arrival.unwrap_or(now).min(now) + event_settings.max_future {
        return Err(Reason::TimeFuture);
    }
    money(event_settings, Event { time, ..event }, &fields)
}

fn customer_id(record: &Record<'_>, source: &Source, fields: &Fields) -> Judged<Text<'static>> {
    let key = record.key.map(|key| std::str::from_utf8(key).map_err(|_| Reason::Key)).transpose()?;
    if key.is_none() && *source != Source::File {
        return Err(Reason::Key);
    }
    let field = match fields.get("customer_id") {
        None => None,
        Some(Tree::Text(text)) => Some(text.as_str()),
        Some(_) => return Err(Reason::Key),
    };
    let id = key.or(field).ok_or(Reason::Key)?;
    let fits = !id.is_empty() && id.len() <= 256 && field.is_none_or(|field| field == id);
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
) -> Judged<Event<'static>> {
    let is = |types: &[EventType]| types.contains(&event_type);
    let carts = [EventType::CART_ADD, EventType::CART_REMOVE];
    match fields.get("time") {
        Some(Tree::Number(digits)) if !digits.contains(['.', 'e', 'E']) => {}
        Some(text @ Tree::Text(_)) => _ = short_text(text)?,
        _ => return Err(Reason::Schema),
    }
    let order_id = is(&[EventType::PURCHASE, EventType::REFUND, EventType::CANCEL, EventType::AMEND])
        .then(|| fields.text("order_id"));
    let order_id = order_id.transpose()?.flatten();
    if is(&[EventType::CANCEL, EventType::AMEND]) && order_id.is_none() {
        return Err(Reason::Schema);
    }
    if is(&[EventType::PURCHASE, EventType::REFUND, EventType::AMEND]) {
        let amount = fields.decimal("amount")?;
        fields.text("currency")?;
        if amount.is_none() && (order_id.is_none() || event_type != EventType::REFUND) {
            return Err(Reason::Schema);
        }
    }
    for (types, name) in
        [(&[EventType::PURCHASE] as &[_], "discount"), (&carts, "cart_total"), (&[EventType::EXPOSURE], "cost")]
    {
        if is(types) {
            fields.decimal(name)?;
        }
    }
    let with_categories = is(&[EventType::PURCHASE, EventType::VIEW]) || is(&carts);
    Ok(Event {
        event_type,
        time: 0,
        customer_id,
        event_id: fields.text("event_id")?,
        order_id,
        amount: None,
        foreign: false,
        discount: None,
        cart_total: None,
        cost: None,
        categories: if with_categories { fields.categories()? } else { Categories::default() },
        channel: fields.text("channel")?,
        campaign: fields.text("campaign")?,
        coupon: None,
        properties: Vec::new(),
        attributes: if is(&[EventType::PROFILE]) { attributes(event_settings, fields)? } else { Vec::new() },
    })
}

fn attributes(event_settings: &EventSettings, fields: &Fields) -> Judged<Vec<(u8, AttributeValue<'static>)>> {
    let members = match fields.get("attributes") {
        None => return Ok(Vec::new()),
        Some(Tree::Map(members)) => members,
        Some(_) => return Err(Reason::Schema),
    };
    let mut attributes = Vec::new();
    for (index, declared) in event_settings.attributes.iter().enumerate() {
        let Some((_, value)) = members.iter().find(|(name, _)| *name == declared.name) else { continue };
        let value = match (declared.kind, value) {
            (_, Tree::Null) => AttributeValue::Removed,
            (AttributeType::Text, value) => AttributeValue::Text(short_text(value)?),
            (AttributeType::Boolean, Tree::Boolean(truth)) => AttributeValue::Boolean(*truth),
            // Not by `serde_json`: without its feature `float_roundtrip` it may be wrong in the last bit.
            (AttributeType::Number, Tree::Number(digits)) => match digits.parse::<f64>() {
                Ok(number) if number.is_finite() => AttributeValue::Number(number),
                _ => return Err(Reason::Schema),
            },
            (AttributeType::Time, value) => AttributeValue::Time(moment(value, "1900").ok_or(Reason::Schema)?),
            _ => return Err(Reason::Schema),
        };
        attributes.push((index as u8, value));
    }
    Ok(attributes)
}

fn event_time(fields: &Fields) -> Judged<Millis> {
    let value = fields.get("time").ok_or(Reason::Schema)?;
    let reason = if matches!(value, Tree::Text(_)) { Reason::Time } else { Reason::TimeUnit };
    moment(value, "1990").ok_or(reason)
}

fn moment(value: &Tree, first_year: &str) -> Option<Millis> {
    let year = |year: &str| format!("{year}-01-01T00:00:00Z").parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let moment = match value {
        Tree::Number(digits) => digits.parse().ok()?,
        Tree::Text(text) => rfc3339(text)?,
        _ => return None,
    };
    (year(first_year)..year("2100")).contains(&moment).then_some(moment)
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

fn money(event_settings: &EventSettings, event: Event<'static>, fields: &Fields) -> Judged<Event<'static>> {
    let is = |types: &[EventType]| types.contains(&event.event_type);
    let read =
        |used: bool, name| if used { fields.decimal(name)?.map(|text| amount(&text)).transpose() } else { Ok(None) };
    let sold = is(&[EventType::PURCHASE, EventType::REFUND, EventType::AMEND]);
    let paid = read(sold, "amount")?;
    if is(&[EventType::REFUND]) && paid == Some(Decimal::ZERO) {
        return Err(Reason::Amount);
    }
    let discount = read(is(&[EventType::PURCHASE]), "discount")?;
    let cart_total = read(is(&[EventType::CART_ADD, EventType::CART_REMOVE]), "cart_total")?;
    let cost = read(is(&[EventType::EXPOSURE]), "cost")?;
    let rate = match fields.text("currency") {
        Ok(Some(code)) if sold && code != event_settings.currency.base.as_str() => {
            let known = event_settings.currency.rates.iter().find(|(known, _)| *known == code);
            known.ok_or(Reason::Currency)?.1
        }
        _ => Decimal::ONE,
    };
    let minor = |amount: Option<Decimal>, rate: Decimal| match amount {
        None => Ok(None),
        Some(amount) if amount > Decimal::from(10_u64.pow(18)) => Err(Reason::Amount),
        Some(amount) => {
            let exact = amount * rate * Decimal::from(10_u64.pow(event_settings.currency.decimals));
            let units = exact.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
            let units = i64::try_from(units).ok().filter(|units| *units <= 10_i64.pow(15));
            units.map(Some).ok_or(Reason::Amount)
        }
    };
    Ok(Event {
        amount: minor(paid, rate)?,
        foreign: sold
            && paid.is_some()
            && fields
                .text("currency")
                .is_ok_and(|code| code.is_some_and(|code| code != event_settings.currency.base.as_str())),
        discount: minor(discount, rate)?,
        cart_total: minor(cart_total, Decimal::ONE)?,
        cost: minor(cost, Decimal::ONE)?,
        ..event
    })
}

/// A decimal by JSON's grammar, at most six decimals, not negative; one too large for the rest is any large one.
fn amount(text: &str) -> Judged<Decimal> {
    let is_number = matches!(tree(text, 0), Some(Tree::Number(digits)) if digits == text);
    if !is_number {
        return Err(Reason::Amount);
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let saturated = if exponent.starts_with('-') { -1_000_000 } else { 1_000_000 };
    let exponent: i64 = exponent.parse().unwrap_or(saturated).clamp(-1_000_000, 1_000_000);
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i64);
    let decimals = fraction - exponent;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    if decimals > 6 || mantissa.starts_with('-') && !digits.is_empty() {
        return Err(Reason::Amount);
    }
    if digits.is_empty() {
        return Ok(Decimal::ZERO);
    }
    if digits.len() as i64 - decimals > 18 {
        return Ok(Decimal::MAX);
    }
    let number: i128 = format!("{digits}{}", "0".repeat((-decimals).max(0) as usize)).parse().unwrap();
    Ok(Decimal::from_i128_with_scale(number, decimals.max(0) as u32))
}
