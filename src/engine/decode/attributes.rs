//! The attributes of a profile event (B6). Only declared ones are read.

use super::fields::{CHECKED, Field, Fields, schema_rejection, text};

use super::time;
use super::value::{JsonKind, JsonValue};
use crate::engine::calendar;
use crate::engine::event::{AttributeValue, Millis, Rejection};
use crate::engine::event_settings::{Attribute, AttributeType};

/// The declared attributes among a profile event's `attributes`, in order of their declaration, each with its index.
pub fn read<'a>(declared: &[Attribute], fields: &Fields<'a>) -> Result<Vec<(u8, AttributeValue<'a>)>, Rejection> {
    let mut attributes = Vec::new();
    let object = fields.value(Field::Attributes);
    match object.kind() {
        JsonKind::Absent | JsonKind::Null => return Ok(attributes),
        JsonKind::Object => {}
        _ => return Err(schema_rejection("attributes", "an object", object.description())),
    }
    let mut members = fields.members(object);
    while let Some(member) = members.next_member().expect(CHECKED) {
        let name = member.name.text(fields.text);
        if let Some(index) = declared.iter().position(|attribute| !attribute.retired && attribute.name == name) {
            let value = attribute_value(&declared[index], fields.text, member.value)?;
            attributes.push((index as u8, value));
        }
    }
    attributes.sort_unstable_by_key(|(index, _)| *index);
    Ok(attributes)
}

fn attribute_value<'a>(
    declared: &Attribute,
    record: &'a str,
    value: JsonValue,
) -> Result<AttributeValue<'a>, Rejection> {
    if value.is_absent() {
        return Ok(AttributeValue::Removed);
    }
    let read = match declared.kind {
        AttributeType::Text => {
            let text = text(record, value, &format!("attributes.{}", declared.name))?;
            text.map(AttributeValue::Text)
        }
        AttributeType::Number => number(record, value).map(AttributeValue::Number),
        AttributeType::Boolean => match value.kind() {
            JsonKind::True => Some(AttributeValue::Boolean(true)),
            JsonKind::False => Some(AttributeValue::Boolean(false)),
            _ => None,
        },
        AttributeType::Time => moment(record, value).map(AttributeValue::Time),
    };
    let expected = match declared.kind {
        AttributeType::Text => "a text",
        AttributeType::Number => "a number that a double holds",
        AttributeType::Boolean => "true or false",
        AttributeType::Time => "RFC 3339 text with zone or integer milliseconds, from 1900 to before 2100",
    };
    read.ok_or_else(|| schema_rejection(&format!("attributes.{}", declared.name), expected, value.description()))
}

fn number(record: &str, value: JsonValue) -> Option<f64> {
    let number = (value.kind() == JsonKind::Number).then(|| value.raw(record).parse::<f64>().ok())??;
    number.is_finite().then_some(number)
}

fn moment(record: &str, value: JsonValue) -> Option<Millis> {
    let moment = match value.kind() {
        JsonKind::Text | JsonKind::EscapedText => calendar::parse_rfc3339(&value.text(record)),
        JsonKind::Number => time::milliseconds(value.raw(record)).ok(),
        _ => None,
    };
    moment.filter(|moment| (time::ATTRIBUTE_MIN..time::END).contains(moment))
}
