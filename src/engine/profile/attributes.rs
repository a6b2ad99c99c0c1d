//! Declared attributes as profile events set them (B6), and the latest events of types that are not counted.

use super::blocks::{Blocks, Handle};
use super::customer::StoredValue;
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
const PLACE_MASK: u64 = (1 << KIND_SHIFT) - 1;

fn kind(word: u64) -> u64 {
    word >> KIND_SHIFT & 7
}

/// The latest by event time wins, ties by arrival.
pub(super) fn set(
    blocks: &mut Blocks,
    texts: &mut Texts,
    handle: &mut Handle,
    time: Millis,
    place: u8,
    value: &AttributeValue<'_>,
) {
    let section = blocks.section(*handle, Section::Attributes);
    let known = section.chunks_exact(2).position(|attribute| attribute[0] & PLACE_MASK == u64::from(place));
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
    let (kind, word) = match value {
        AttributeValue::Removed => (REMOVED, 0),
        AttributeValue::Text(text) => (TEXT, u64::from(texts.take(text))),
        AttributeValue::Number(number) => (NUMBER, number.to_bits()),
        AttributeValue::Boolean(is) => (BOOLEAN, u64::from(*is)),
        AttributeValue::Time(moment) => (TIME, *moment as u64),
    };
    let head = (time << TIME_SHIFT) as u64 | kind << KIND_SHIFT | u64::from(place);
    blocks.section_mut(*handle, Section::Attributes)[at * 2..at * 2 + 2].copy_from_slice(&[head, word]);
}

pub(super) fn get<'a>(blocks: &'a Blocks, texts: &'a Texts, handle: Handle, place: u8) -> Option<StoredValue<'a>> {
    let mut attributes = blocks.section(handle, Section::Attributes).chunks_exact(2);
    let found = attributes.find(|attribute| attribute[0] & PLACE_MASK == u64::from(place))?;
    match kind(found[0]) {
        TEXT => Some(StoredValue::Text(texts.get(found[1] as u32))),
        NUMBER => Some(StoredValue::Number(f64::from_bits(found[1]))),
        BOOLEAN => Some(StoredValue::Boolean(found[1] != 0)),
        TIME => Some(StoredValue::Time(found[1] as i64)),
        _ => None,
    }
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
    let Some(which) = latest_place(event_type) else { return };
    let latest = blocks.section_mut(*handle, Section::Latest);
    let word = (time << 2) as u64 | which;
    if let Some(known) = latest.iter_mut().find(|known| **known & 3 == which) {
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

fn latest_place(event_type: EventType) -> Option<u64> {
    match event_type {
        EventType::REFUND => Some(0),
        EventType::CANCEL => Some(1),
        EventType::PROFILE => Some(2),
        _ => None,
    }
}
