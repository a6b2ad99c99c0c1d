//! The attributes of a profile event (B6): only declared ones are looked at.

use super::fields::{members, text, unfit};
use super::json::Value;
use super::time;
use crate::engine::event::{AttributeValue, Millis, Rejection};
use crate::engine::meaning::{Attribute, AttributeType};

/// The declared attributes in a profile event's `attributes`, in order of their declaration.
pub fn read<'a>(declared: &[Attribute], value: Value<'a>) -> Result<Vec<(u8, AttributeValue<'a>)>, Rejection> {
    let object = match value {
        Value::Absent | Value::Null => return Ok(Vec::new()),
        Value::Object(object) => object,
        other => return Err(unfit("attributes", "an object", other.kind())),
    };
    let mut attributes = Vec::new();
    for member in members(object) {
        let name = member.name.text();
        if let Some(place) = declared.iter().position(|attribute| attribute.name == name) {
            attributes.push((place as u8, attribute_value(&declared[place], member.value)?));
        }
    }
    attributes.sort_unstable_by_key(|(place, _)| *place);
    Ok(attributes)
}

fn attribute_value<'a>(declared: &Attribute, value: Value<'a>) -> Result<AttributeValue<'a>, Rejection> {
    let unfit = |expected, found: &str| unfit(&format!("attributes.{}", declared.name), expected, found);
    match (declared.kind, value) {
        (_, Value::Absent | Value::Null) => Ok(AttributeValue::Removed),
        (AttributeType::Text, Value::Text(_)) => {
            let text = text(&format!("attributes.{}", declared.name), value)?;
            Ok(text.map_or(AttributeValue::Removed, AttributeValue::Text))
        }
        (AttributeType::Text, other) => Err(unfit("a text of 1 to 128 bytes", other.kind())),
        (AttributeType::Number, Value::Number(digits)) => match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(AttributeValue::Number(number)),
            _ => Err(unfit("a number that fits a double", "one beyond 1.8e308")),
        },
        (AttributeType::Number, other) => Err(unfit("a number", other.kind())),
        (AttributeType::Boolean, Value::Boolean(truth)) => Ok(AttributeValue::Boolean(truth)),
        (AttributeType::Boolean, other) => Err(unfit("a boolean", other.kind())),
        (AttributeType::Time, other) => match moment(other) {
            Some(moment) => Ok(AttributeValue::Time(moment)),
            None => {
                Err(unfit("RFC 3339 text with zone or integer milliseconds, from 1900 to before 2100", other.kind()))
            }
        },
    }
}

fn moment(value: Value<'_>) -> Option<Millis> {
    let moment = match value {
        Value::Text(quoted) => time::rfc3339(&quoted.text()),
        Value::Number(number) => time::integer(number).ok(),
        _ => None,
    };
    moment.filter(|moment| (time::ATTRIBUTE_MIN..time::END).contains(moment))
}
