//! The attributes of a profile event (B6). Only declared ones are read, and what is written is taken for the declared
//! type where it plainly is of it.

use super::fields::{CHECKED, Field, Fields, cut_text, description};
use super::ids::is_integer;
use super::json::number_length;
use super::time;
use super::value::{JsonKind, JsonValue};
use crate::engine::calendar;
use crate::engine::event::{AttributeValue, DAY, DescriptiveField, Millis, TEXTS_MAX, Text, Unfit};
use crate::engine::event_settings::{Attribute, AttributeType};

/// Integers of fewer milliseconds than this from 1970 are no moments: they are most likely in seconds.
const MILLISECONDS_MIN: u64 = 100_000_000_000;

/// The declared attributes among a profile event's `attributes`, in order of their declaration, each with its index.
pub fn read<'a>(declared: &[Attribute], fields: &Fields<'a>, unfit: &mut Unfit) -> Vec<(u8, AttributeValue<'a>)> {
    let mut attributes = Vec::new();
    let object = fields.value(Field::Attributes);
    if object.is_absent() {
        return attributes;
    }
    if !object.is(JsonKind::Object) {
        unfit.leave_out(DescriptiveField::Attributes);
        return attributes;
    }
    let mut members = fields.members(object);
    while let Some(member) = members.next_member().expect(CHECKED) {
        let name = member.name.text(fields.text);
        let Some(index) = declared.iter().position(|attribute| !attribute.retired && attribute.name == name) else {
            continue;
        };
        match value(declared[index].kind, fields, member.value, DescriptiveField::Attributes, unfit) {
            Some(value) => attributes.push((index as u8, value)),
            None => unfit.leave_out(DescriptiveField::Attributes),
        }
    }
    attributes.sort_unstable_by_key(|(index, _)| *index);
    attributes
}

/// The value as one of the declared type; `None` if it is not plainly of it. `field` is where it stands.
pub fn value<'a>(
    declared: AttributeType,
    fields: &Fields<'a>,
    value: JsonValue,
    field: DescriptiveField,
    unfit: &mut Unfit,
) -> Option<AttributeValue<'a>> {
    if value.is_absent() {
        return Some(AttributeValue::Removed);
    }
    Some(match declared {
        AttributeType::Text => AttributeValue::Text(text(fields.text, value, field, unfit)?),
        AttributeType::Number => AttributeValue::Number(number(fields.text, value)?),
        AttributeType::Boolean => AttributeValue::Boolean(boolean(fields.text, value)?),
        AttributeType::Time => AttributeValue::Time(moment(fields.text, value)?),
        AttributeType::Texts => AttributeValue::Texts(texts(fields, value, field, unfit)?),
    })
}

/// A text, or a number as it is written.
fn text<'a>(record: &'a str, value: JsonValue, field: DescriptiveField, unfit: &mut Unfit) -> Option<Text<'a>> {
    if value.is(JsonKind::Number) {
        return cut_text(value.text(record), field, unfit);
    }
    description(record, value, field, unfit)
}

/// A number that a double holds, also in a text.
fn number(record: &str, value: JsonValue) -> Option<f64> {
    let written = match value.kind() {
        JsonKind::Number => value.text(record),
        JsonKind::Text | JsonKind::EscapedText => {
            let text = value.text(record);
            (number_length(text.as_bytes()) == Ok(text.len())).then_some(text)?
        }
        _ => return None,
    };
    written.parse().ok().filter(|number: &f64| number.is_finite())
}

/// `true` or `false`, also in a text.
fn boolean(record: &str, value: JsonValue) -> Option<bool> {
    match value.kind() {
        JsonKind::True => Some(true),
        JsonKind::False => Some(false),
        JsonKind::Text | JsonKind::EscapedText => match &*value.text(record) {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A time as events have it, a date (its UTC midnight), or milliseconds that cannot be seconds.
fn moment(record: &str, value: JsonValue) -> Option<Millis> {
    let moment = match value.kind() {
        JsonKind::Text | JsonKind::EscapedText => {
            let text = value.text(record);
            calendar::parse_rfc3339(&text).or_else(|| calendar::parse_date(&text).map(|day| day * DAY))
        }
        JsonKind::Number => {
            let written = value.raw(record);
            let integer: Option<Millis> = is_integer(written).then(|| written.parse().ok()).flatten();
            integer.filter(|moment| moment.unsigned_abs() >= MILLISECONDS_MIN)
        }
        _ => None,
    };
    moment.filter(|moment| (time::ATTRIBUTE_MIN..time::END).contains(moment))
}

/// The first distinct texts of an array, or one text.
fn texts<'a>(
    fields: &Fields<'a>,
    value: JsonValue,
    field: DescriptiveField,
    unfit: &mut Unfit,
) -> Option<Vec<Text<'a>>> {
    if value.is_text() {
        return description(fields.text, value, field, unfit).map(|text| vec![text]);
    }
    if !value.is(JsonKind::Array) {
        return None;
    }
    let mut texts: Vec<Text<'a>> = Vec::new();
    let mut elements = fields.elements(value);
    while let Some(element) = elements.next_element().expect(CHECKED) {
        if element.is(JsonKind::Null) {
            unfit.leave_out(field);
            continue;
        }
        let Some(text) = description(fields.text, element, field, unfit) else { continue };
        if texts.contains(&text) {
            continue;
        }
        if texts.len() < TEXTS_MAX {
            texts.push(text);
        } else {
            unfit.cut(field);
        }
    }
    Some(texts)
}
