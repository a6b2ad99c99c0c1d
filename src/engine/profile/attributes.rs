//! Declared attributes as profile events set them (B6), and the latest events of types that are not counted.

use super::blocks::{Blocks, Handle};
use super::customer::StoredValue;
use super::image::{AttributeParts, InternedValue};
use super::section::Section;
use super::texts::Texts;
use crate::engine::event::{AttributeValue, EventType, Millis};

/// An attribute is two words: time, kind and place, then the value. A removed one stays, with its time.
const REMOVED: u64 = 0;
const TEXT: u64 = 1;
const NUMBER: u64 = 2;
const BOOLEAN: u64 = 3;
const TIME: u64 = 4;
const KIND_SHIFT: u32 = 6;
const TIME_SHIFT: u32 = 9;
const INDEX_MASK: u64 = (1 << KIND_SHIFT) - 1;

fn kind(word: u64) -> u64 {
    word >> KIND_SHIFT & 7
}

/// The latest by event time wins, ties by arrival.
pub(super) fn set(
    blocks: &mut Blocks,
    texts: &mut Texts,
    handle: &mut Handle,
    time: Millis,
    index: u8,
    value: &AttributeValue<'_>,
) {
    let section = blocks.section(*handle, Section::Attributes);
    let known = section.chunks_exact(2).position(|attribute| attribute[0] & INDEX_MASK == u64::from(index));
    let at = match known {
        Some(nth) if section[nth * 2] as i64 >> TIME_SHIFT > time => return,
        Some(nth) => {
            if kind(section[nth * 2]) == TEXT {
                texts.release(section[nth * 2 + 1] as u32);
            }
            nth
        }
        None => {
            let end = section.len() / 2;
            blocks.splice(handle, Section::Attributes, end, 0, 1);
            end
        }
    };
    let value = match value {
        AttributeValue::Removed => InternedValue::Removed,
        AttributeValue::Text(text) => InternedValue::Text(texts.take(text)),
        AttributeValue::Number(number) => InternedValue::Number(*number),
        AttributeValue::Boolean(is) => InternedValue::Boolean(*is),
        AttributeValue::Time(moment) => InternedValue::Time(*moment),
    };
    let words = words(AttributeParts { index, time, value });
    blocks.section_mut(*handle, Section::Attributes)[at * 2..at * 2 + 2].copy_from_slice(&words);
}

pub(super) fn get<'a>(blocks: &'a Blocks, texts: &'a Texts, handle: Handle, index: u8) -> Option<StoredValue<'a>> {
    let mut attributes = blocks.section(handle, Section::Attributes).chunks_exact(2);
    let found = attributes.find(|attribute| attribute[0] & INDEX_MASK == u64::from(index))?;
    match kept([found[0], found[1]]).value {
        InternedValue::Removed => None,
        InternedValue::Text(reference) => Some(StoredValue::Text(texts.get(reference))),
        InternedValue::Number(number) => Some(StoredValue::Number(number)),
        InternedValue::Boolean(is) => Some(StoredValue::Boolean(is)),
        InternedValue::Time(moment) => Some(StoredValue::Time(moment)),
    }
}

/// An attribute of its two words.
pub(super) fn kept(words: [u64; 2]) -> AttributeParts {
    let value = match kind(words[0]) {
        TEXT => InternedValue::Text(words[1] as u32),
        NUMBER => InternedValue::Number(f64::from_bits(words[1])),
        BOOLEAN => InternedValue::Boolean(words[1] != 0),
        TIME => InternedValue::Time(words[1] as i64),
        _ => InternedValue::Removed,
    };
    AttributeParts { index: (words[0] & INDEX_MASK) as u8, time: words[0] as i64 >> TIME_SHIFT, value }
}

/// The two words of an attribute.
pub(super) fn words(attribute: AttributeParts) -> [u64; 2] {
    let (kind, word) = match attribute.value {
        InternedValue::Removed => (REMOVED, 0),
        InternedValue::Text(reference) => (TEXT, u64::from(reference)),
        InternedValue::Number(number) => (NUMBER, number.to_bits()),
        InternedValue::Boolean(is) => (BOOLEAN, u64::from(is)),
        InternedValue::Time(moment) => (TIME, moment as u64),
    };
    [(attribute.time << TIME_SHIFT) as u64 | kind << KIND_SHIFT | u64::from(attribute.index), word]
}

/// Gives back the texts of all attributes.
pub(super) fn release(blocks: &Blocks, texts: &mut Texts, handle: Handle) {
    for attribute in blocks.section(handle, Section::Attributes).chunks_exact(2) {
        if kind(attribute[0]) == TEXT {
            texts.release(attribute[1] as u32);
        }
    }
}

/// Notes the time of an event of a type that is neither counted nor an order.
pub(super) fn note_latest(blocks: &mut Blocks, handle: &mut Handle, event_type: EventType, time: Millis) {
    let Some(word) = latest_word(event_type, time) else { return };
    let latest = blocks.section_mut(*handle, Section::Latest);
    if let Some(known) = latest.iter_mut().find(|known| **known & 3 == word & 3) {
        *known = word.max(*known);
        return;
    }
    let end = latest.len();
    blocks.splice(handle, Section::Latest, end, 0, 1);
    blocks.section_mut(*handle, Section::Latest)[end] = word;
}

pub(super) fn latest(blocks: &Blocks, handle: Handle, event_type: EventType) -> Option<Millis> {
    let which = latest_place(event_type)?;
    let mut latest = blocks.section(handle, Section::Latest).iter();
    latest.find(|known| **known & 3 == which).map(|&known| known as i64 >> 2)
}

/// Types whose latest event is noted, by the lowest bits of its word.
const NOTED: [EventType; 3] = [EventType::REFUND, EventType::CANCEL, EventType::PROFILE];

fn latest_place(event_type: EventType) -> Option<u64> {
    NOTED.iter().position(|noted| *noted == event_type).map(|place| place as u64)
}

/// The word of the latest event of a type that is noted.
pub(super) fn latest_word(event_type: EventType, time: Millis) -> Option<u64> {
    latest_place(event_type).map(|which| (time << 2) as u64 | which)
}

/// What such a word says.
pub(super) fn latest_of(word: u64) -> (EventType, Millis) {
    (NOTED[(word & 3) as usize], word as i64 >> 2)
}
