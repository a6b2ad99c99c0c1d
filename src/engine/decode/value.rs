//! The values that the scanner returns: ranges of the text with a kind.

use super::escape::unescape;
use std::borrow::Cow;

/// A value in a text: its kind and its range, in one register. The range of a string is that between the quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JsonValue(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    /// The record has no such field.
    Absent,
    Null,
    True,
    False,
    Number,
    Text,
    /// A string with escapes.
    EscapedText,
    Object,
    Array,
}

const KINDS: [JsonKind; 9] = [
    JsonKind::Absent,
    JsonKind::Null,
    JsonKind::True,
    JsonKind::False,
    JsonKind::Number,
    JsonKind::Text,
    JsonKind::EscapedText,
    JsonKind::Object,
    JsonKind::Array,
];

impl JsonValue {
    pub const ABSENT: Self = Self(0);
    /// Bits of an offset; records are much smaller.
    const OFFSET_BITS: u32 = 28;

    #[inline]
    pub fn new(kind: JsonKind, start: usize, end: usize) -> Self {
        Self((kind as u64) << (2 * Self::OFFSET_BITS) | (start as u64) << Self::OFFSET_BITS | end as u64)
    }

    #[inline]
    pub fn kind(self) -> JsonKind {
        KINDS[(self.0 >> (2 * Self::OFFSET_BITS)) as usize]
    }

    /// Compares without the table of [`Self::kind`], whose load would slow the scan.
    #[inline]
    pub fn is(self, kind: JsonKind) -> bool {
        self.0 >> (2 * Self::OFFSET_BITS) == kind as u64
    }

    /// Whether the field is missing or null (E2).
    #[inline]
    pub fn is_absent(self) -> bool {
        self.is(JsonKind::Absent) || self.is(JsonKind::Null)
    }

    #[inline]
    pub fn is_text(self) -> bool {
        self.is(JsonKind::Text) || self.is(JsonKind::EscapedText)
    }

    /// The range of the text that it was read from.
    #[inline]
    pub fn raw(self, text: &str) -> &str {
        &text[self.start()..self.end()]
    }

    #[inline]
    pub fn bytes(self, text: &str) -> &[u8] {
        &text.as_bytes()[self.start()..self.end()]
    }

    /// The text of a string, or the digits of a number: borrowed unless there are escapes.
    #[inline]
    pub fn text(self, text: &str) -> Cow<'_, str> {
        let raw = self.raw(text);
        if self.is(JsonKind::EscapedText) { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }
    }

    #[inline]
    pub fn start(self) -> usize {
        (self.0 >> Self::OFFSET_BITS) as usize & ((1 << Self::OFFSET_BITS) - 1)
    }

    #[inline]
    pub fn end(self) -> usize {
        self.0 as usize & ((1 << Self::OFFSET_BITS) - 1)
    }

    /// Bytes of the range: of a string, as it is written between the quotes.
    #[inline]
    pub fn length(self) -> usize {
        self.end() - self.start()
    }

    /// The offset after the value, its closing quote included.
    #[inline]
    pub fn after(self) -> usize {
        self.end() + usize::from(self.is_text())
    }

    /// The kind, for messages.
    pub fn description(self) -> &'static str {
        match self.kind() {
            JsonKind::Absent => "nothing",
            JsonKind::Null => "null",
            JsonKind::True | JsonKind::False => "a boolean",
            JsonKind::Number => "a number",
            JsonKind::Text | JsonKind::EscapedText => "a text",
            JsonKind::Object => "an object",
            JsonKind::Array => "an array",
        }
    }
}
