//! The attributes of a profile event (B6): only declared ones are looked at.

use super::fields::{CHECKED, Field, Fields, text, unfit};
use super::time;
use super::value::{Kind, Value};
use crate::engine::event::{AttributeValue, Millis, Rejection};
use crate::engine::event_settings::{Attribute, AttributeType};

/// The declared attributes in a profile event's `attributes`, in order of their declaration.
pub fn read<'a>(declared: &[Attribute], fields: &Fields<'a>) -> Result<Vec<(u8, AttributeValue<'a>)>, Rejection> {
    let mut attributes = Vec::new();
    let object = fields.value(Field::Attributes);
    match object.kind() {
        Kind::Absent | Kind::Null => return Ok(attributes),
        Kind::Object => {}
        _ => return Err(unfit("attributes", "an object", object.description())),
    }
    let mut members = fields.members(object);
    while let Some(member) = members.next_member().expect(CHECKED) {
        let name = member.name.text(fields.text);
        if let Some(place) = declared.iter().position(|attribute| !attribute.retired && attribute.name == name) {
            let value = attribute_value(&declared[place], fields.text, member.value)?;
            attributes.push((place as u8, value));
        }
    }
    attributes.sort_unstable_by_key(|(place, _)| *place);
    Ok(attributes)
}

fn attribute_value<'a>(declared: &Attribute, record: &'a str, value: Value) -> Result<AttributeValue<'a>, Rejection> {
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
            Kind::True => Some(AttributeValue::Boolean(true)),
            Kind::False => Some(AttributeValue::Boolean(false)),
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
    read.ok_or_else(|| unfit(&format!("attributes.{}", declared.name), expected, value.description()))
}

fn number(record: &str, value: Value) -> Option<f64> {
    let number = (value.kind() == Kind::Number).then(|| value.raw(record).parse::<f64>().ok())??;
    number.is_finite().then_some(number)
}

fn moment(record: &str, value: Value) -> Option<Millis> {
    let moment = match value.kind() {
        Kind::Text | Kind::EscapedText => time::rfc3339(&value.text(record)),
        Kind::Number => time::integer(value.raw(record)).ok(),
        _ => None,
    };
    moment.filter(|moment| (time::ATTRIBUTE_MIN..time::END).contains(moment))
}
