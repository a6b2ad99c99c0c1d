//! Features of the customer as a person: tenure, inactivity, attributes, and the bucket in a split.

use super::{Arguments, Value};
use crate::engine::calendar;
use crate::engine::event::{DAY, Millis, NEVER, REMEMBERED};
use crate::engine::profile::{Customer, NONE, StoredValue, split_set};
use xxhash_rust::xxh64::Xxh64;

pub fn last_activity(_: &Arguments, customer: &Customer<'_>, _: Millis) -> Option<Millis> {
    let last = customer.row().last_activity;
    (last != NONE).then_some(last)
}

pub fn first_event(_: &Arguments, customer: &Customer<'_>, _: Millis) -> Option<Millis> {
    let first = customer.row().first_event;
    (first != NEVER).then_some(first)
}

pub fn first_seen<'a>(arguments: &'a Arguments, customer: &Customer<'a>, now: Millis) -> Value<'a> {
    first_event(arguments, customer, now).map_or(Value::Null, Value::Time)
}

pub fn last_seen<'a>(arguments: &'a Arguments, customer: &Customer<'a>, now: Millis) -> Value<'a> {
    last_activity(arguments, customer, now).map_or(Value::Null, Value::Time)
}

pub fn customer_id<'a>(_: &'a Arguments, customer: &Customer<'a>, _: Millis) -> Value<'a> {
    Value::Text(customer.id())
}

/// Whole days from today, which begins at `utc_offset`, to the next day with month and day of the attribute's UTC day.
pub fn days_to_anniversary(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<i64> {
    let moment = moment_in_attribute(arguments, customer, now)?;
    Some(calendar::days_to_anniversary(arguments.day(now), moment.div_euclid(DAY)))
}

/// The latest event of the type, if it is within the last 400 days (docs/semantics.md, `since`).
pub fn latest_of_type(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Option<Millis> {
    customer.latest(arguments.event_type).filter(|latest| *latest > now - REMEMBERED)
}

pub fn latest_is_forgotten(arguments: &Arguments, customer: &Customer<'_>, now: Millis) -> Millis {
    latest_of_type(arguments, customer, now).map_or(NEVER, |latest| latest + REMEMBERED)
}

pub fn moment_in_attribute(arguments: &Arguments, customer: &Customer<'_>, _: Millis) -> Option<Millis> {
    match customer.attribute(arguments.attribute) {
        Some(StoredValue::Time(moment)) => Some(moment),
        _ => None,
    }
}

pub fn attribute<'a>(arguments: &'a Arguments, customer: &Customer<'a>, _: Millis) -> Value<'a> {
    match customer.attribute(arguments.attribute) {
        None => Value::Null,
        Some(StoredValue::Text(text)) => Value::Text(text),
        Some(StoredValue::Number(number)) => Value::Double(number),
        Some(StoredValue::Boolean(boolean)) => Value::Boolean(boolean),
        Some(StoredValue::Time(moment)) => Value::Time(moment),
        Some(StoredValue::Texts(set)) => Value::Texts(set),
    }
}

/// `has`: whether an attribute of type texts contains the text.
pub fn has<'a>(arguments: &'a Arguments, customer: &Customer<'a>, _: Millis) -> Value<'a> {
    match customer.attribute(arguments.attribute) {
        Some(StoredValue::Texts(set)) => Value::Boolean(split_set(set).any(|text| *text == *arguments.text)),
        _ => Value::Null,
    }
}

/// `bucket`: the hash of salt, a zero byte and id, modulo n.
pub fn bucket(arguments: &Arguments, customer: &Customer<'_>, _: Millis) -> Option<i64> {
    let mut hash = Xxh64::new(0);
    hash.update(arguments.text.as_bytes());
    hash.update(&[0]);
    hash.update(customer.id().as_bytes());
    Some((hash.digest() % u64::from(arguments.modulus)) as i64)
}
