//! Declared attributes as profile events set them (B6), and the latest events of types that are not counted.

use super::row::BlockHandle;
use super::storage::{Blocks, Section, TextReference, Texts};
use crate::engine::event::{AttributeValue, EventType, Millis};

/// The value of an attribute that a customer has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StoredValue<'a> {
    Text(&'a str),
    Number(f64),
    Boolean(bool),
    Time(Millis),
    /// An interned set.
    Texts(&'a str),
}

/// An attribute with the time of the event that set it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttributeParts {
    /// Index in the list of declared attributes.
    pub index: u8,
    pub time: Millis,
    pub value: InternedValue,
}

/// The value of an attribute with its text interned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InternedValue {
    Removed,
    Text(TextReference),
    Number(f64),
    Boolean(bool),
    Time(Millis),
    /// An interned set; 0 is the empty one.
    Texts(TextReference),
}

impl InternedValue {
    /// The text that it uses, 0 for none.
    pub fn text(self) -> TextReference {
        match self {
            Self::Text(reference) | Self::Texts(reference) => reference,
            _ => 0,
        }
    }
}

/// An attribute is two words: time, type and index, then the value. A removed one stays, with its time.
const REMOVED: u64 = 0;
const TEXT: u64 = 1;
const NUMBER: u64 = 2;
const BOOLEAN: u64 = 3;
const TIME: u64 = 4;
const TEXTS: u64 = 5;
const TYPE_SHIFT: u32 = 6;
const TIME_SHIFT: u32 = 9;
const INDEX_MASK: u64 = (1 << TYPE_SHIFT) - 1;

fn value_type(word: u64) -> u64 {
    word >> TYPE_SHIFT & 7
}

/// Sets an attribute unless a later event has set it; of events at the same time the last to arrive wins.
pub(super) fn set(
    blocks: &mut Blocks,
    texts: &mut Texts,
    handle: &mut BlockHandle,
    time: Millis,
    index: u8,
    value: &AttributeValue<'_>,
) {
    let section = blocks.section(*handle, Section::Attributes);
    let known = section.chunks_exact(2).position(|attribute| attribute[0] & INDEX_MASK == u64::from(index));
    let slot = match known {
        Some(slot) if section[slot * 2] as i64 >> TIME_SHIFT > time => return,
        Some(slot) => {
            texts.release(unpack([section[slot * 2], section[slot * 2 + 1]]).value.text());
            slot
        }
        None => {
            let end = section.len() / 2;
            blocks.splice(handle, Section::Attributes, end, 0, 1);
            end
        }
    };
    let value = match value {
        AttributeValue::Removed => InternedValue::Removed,
        AttributeValue::Text(text) => InternedValue::Text(texts.intern(text)),
        AttributeValue::Number(number) => InternedValue::Number(*number),
        AttributeValue::Boolean(is) => InternedValue::Boolean(*is),
        AttributeValue::Time(moment) => InternedValue::Time(*moment),
        AttributeValue::Texts(of) => InternedValue::Texts(texts.intern_texts(of.iter().map(|text| &**text))),
    };
    let words = pack(AttributeParts { index, time, value });
    blocks.section_mut(*handle, Section::Attributes)[slot * 2..slot * 2 + 2].copy_from_slice(&words);
}

pub(super) fn get<'a>(blocks: &'a Blocks, texts: &'a Texts, handle: BlockHandle, index: u8) -> Option<StoredValue<'a>> {
    let mut attributes = blocks.section(handle, Section::Attributes).chunks_exact(2);
    let found = attributes.find(|attribute| attribute[0] & INDEX_MASK == u64::from(index))?;
    match unpack([found[0], found[1]]).value {
        InternedValue::Removed => None,
        InternedValue::Text(reference) => Some(StoredValue::Text(texts.get(reference))),
        InternedValue::Number(number) => Some(StoredValue::Number(number)),
        InternedValue::Boolean(is) => Some(StoredValue::Boolean(is)),
        InternedValue::Time(moment) => Some(StoredValue::Time(moment)),
        InternedValue::Texts(reference) => Some(StoredValue::Texts(texts.get(reference))),
    }
}

/// The attribute in its two words.
pub(super) fn unpack(words: [u64; 2]) -> AttributeParts {
    let value = match value_type(words[0]) {
        TEXT => InternedValue::Text(words[1] as TextReference),
        NUMBER => InternedValue::Number(f64::from_bits(words[1])),
        BOOLEAN => InternedValue::Boolean(words[1] != 0),
        TIME => InternedValue::Time(words[1] as i64),
        TEXTS => InternedValue::Texts(words[1] as TextReference),
        _ => InternedValue::Removed,
    };
    AttributeParts { index: (words[0] & INDEX_MASK) as u8, time: words[0] as i64 >> TIME_SHIFT, value }
}

/// The two words of an attribute.
pub(super) fn pack(attribute: AttributeParts) -> [u64; 2] {
    let (value_type, word) = match attribute.value {
        InternedValue::Removed => (REMOVED, 0),
        InternedValue::Text(reference) => (TEXT, u64::from(reference)),
        InternedValue::Number(number) => (NUMBER, number.to_bits()),
        InternedValue::Boolean(is) => (BOOLEAN, u64::from(is)),
        InternedValue::Time(moment) => (TIME, moment as u64),
        InternedValue::Texts(reference) => (TEXTS, u64::from(reference)),
    };
    [(attribute.time << TIME_SHIFT) as u64 | value_type << TYPE_SHIFT | u64::from(attribute.index), word]
}

/// Releases the texts of all attributes.
pub(super) fn release(blocks: &Blocks, texts: &mut Texts, handle: BlockHandle) {
    for attribute in blocks.section(handle, Section::Attributes).chunks_exact(2) {
        texts.release(unpack([attribute[0], attribute[1]]).value.text());
    }
}

/// Records the time of an event whose type is neither counted nor an order.
pub(super) fn record_latest(blocks: &mut Blocks, handle: &mut BlockHandle, event_type: EventType, time: Millis) {
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

pub(super) fn latest(blocks: &Blocks, handle: BlockHandle, event_type: EventType) -> Option<Millis> {
    let index = latest_index(event_type)?;
    let mut latest = blocks.section(handle, Section::Latest).iter();
    latest.find(|known| **known & 3 == index).map(|&known| known as i64 >> 2)
}

/// Types whose latest event is recorded; the index is in the lowest bits of the word.
const LATEST_TYPES: [EventType; 4] = [EventType::REFUND, EventType::CANCEL, EventType::PROFILE, EventType::AMEND];

fn latest_index(event_type: EventType) -> Option<u64> {
    LATEST_TYPES.iter().position(|of| *of == event_type).map(|index| index as u64)
}

/// The word for the latest event of a type; `None` if it is not recorded.
pub(super) fn latest_word(event_type: EventType, time: Millis) -> Option<u64> {
    latest_index(event_type).map(|index| (time << 2) as u64 | index)
}

/// Type and time in such a word.
pub(super) fn unpack_latest(word: u64) -> (EventType, Millis) {
    (LATEST_TYPES[(word & 3) as usize], word as i64 >> 2)
}
