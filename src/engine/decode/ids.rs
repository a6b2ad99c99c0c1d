//! Ids of events, orders and customers: texts, or JSON integers as they are written, and the placeholders that stand
//! for a missing id (E6).

use super::fields::{Field, Fields, schema_rejection};
use super::value::{JsonKind, JsonValue};
use crate::engine::event::{Rejection, Text};

/// Bytes of an id at most.
pub const ID_BYTES_MAX: usize = 256;

/// Texts that are no ids, whatever their case.
pub struct Placeholders {
    /// A bit for each length of a text in the list; the highest for all from 63 on. Few ids have one of these lengths.
    lengths: u64,
    texts: Vec<Box<str>>,
}

impl Placeholders {
    pub fn new(texts: &[String]) -> Self {
        let lengths = texts.iter().fold(0, |bits, text| bits | length_bit(text));
        Self { lengths, texts: texts.iter().map(|text| text.as_str().into()).collect() }
    }

    /// No text is a placeholder.
    pub const NONE: Self = Self { lengths: 0, texts: Vec::new() };

    #[inline(always)]
    pub fn contains(&self, text: &str) -> bool {
        self.lengths & length_bit(text) != 0 && self.lists(text)
    }

    #[inline(never)]
    fn lists(&self, text: &str) -> bool {
        self.texts.iter().any(|known| known.eq_ignore_ascii_case(text))
    }
}

#[inline(always)]
fn length_bit(text: &str) -> u64 {
    1 << text.len().min(63)
}

/// Reads the optional id of an event or order: a text of 1 to 256 bytes, or an integer as it is written. A placeholder
/// is none.
#[inline(always)]
pub fn read_id<'a>(
    fields: &Fields<'a>,
    field: Field,
    placeholders: &Placeholders,
    into: &mut Option<Text<'a>>,
) -> Result<(), Rejection> {
    match fields.plain(field, ID_BYTES_MAX) {
        Some(id) if !placeholders.contains(id) => *into = Some(Text::Borrowed(id)),
        None if fields.value(field).is_absent() => {}
        _ => *into = unusual_id(fields, field, placeholders)?,
    }
    Ok(())
}

#[cold]
fn unusual_id<'a>(
    fields: &Fields<'a>,
    field: Field,
    placeholders: &Placeholders,
) -> Result<Option<Text<'a>>, Rejection> {
    const EXPECTED: &str = "a text of 1 to 256 bytes or an integer";
    let value = fields.value(field);
    let Some(id) = id_text(fields.text, value) else {
        return Err(schema_rejection(field.name(), EXPECTED, described(fields.text, value)));
    };
    if placeholders.contains(&id) {
        Ok(None)
    } else if (1..=ID_BYTES_MAX).contains(&id.len()) {
        Ok(Some(id))
    } else {
        Err(schema_rejection(field.name(), EXPECTED, &format!("{} bytes", id.len())))
    }
}

/// The text of an id of any length; `None` if the value is neither a text nor an integer.
pub fn id_text(text: &str, value: JsonValue) -> Option<Text<'_>> {
    let is_id = value.is_text() || value.is(JsonKind::Number) && is_integer(value.raw(text));
    is_id.then(|| value.text(text))
}

/// What was found in place of an id, for a message.
pub fn described(text: &str, value: JsonValue) -> &'static str {
    if value.is(JsonKind::Number) && !is_integer(value.raw(text)) {
        "a number with a fraction or an exponent"
    } else {
        value.description()
    }
}

/// Whether a JSON number has neither a fraction nor an exponent.
pub fn is_integer(number: &str) -> bool {
    !number.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_compared_without_case() {
        let placeholders = Placeholders::new(&["Guest".into(), "(not set)".into(), "".into(), "x".repeat(70)]);
        for text in ["guest", "GUEST", "(Not Set)", "", &"X".repeat(70)] {
            assert!(placeholders.contains(text), "{text:?}");
        }
        for text in ["guests", "gues", "null", " ", "(not-set)", &"x".repeat(71), &"y".repeat(70)] {
            assert!(!placeholders.contains(text), "{text:?}");
        }
        assert!(!Placeholders::NONE.contains(""));
        // Only ASCII has no case: `ß` and the Kelvin sign stay what they are.
        assert!(!Placeholders::new(&["k".into()]).contains("\u{212a}"));
    }
}
