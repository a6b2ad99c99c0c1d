//! What the scanner hands out: values as places in the text.

use super::string;
use std::borrow::Cow;

/// A value in a text: what it is and where, in one register. Of a text the place is that between the quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Value(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There was no such field.
    Absent,
    Null,
    True,
    False,
    Number,
    Text,
    /// A text with escapes.
    EscapedText,
    Object,
    Array,
}

const KINDS: [Kind; 9] = [
    Kind::Absent,
    Kind::Null,
    Kind::True,
    Kind::False,
    Kind::Number,
    Kind::Text,
    Kind::EscapedText,
    Kind::Object,
    Kind::Array,
];

impl Value {
    pub const ABSENT: Self = Self(0);
    /// Bits of a place; records are much smaller.
    const PLACE_BITS: u32 = 28;

    #[inline]
    pub fn new(kind: Kind, start: usize, end: usize) -> Self {
        Self((kind as u64) << (2 * Self::PLACE_BITS) | (start as u64) << Self::PLACE_BITS | end as u64)
    }

    #[inline]
    pub fn kind(self) -> Kind {
        KINDS[(self.0 >> (2 * Self::PLACE_BITS)) as usize]
    }

    /// Without the table of [`Self::kind`]: a load would hold up the scan.
    #[inline]
    pub fn is(self, kind: Kind) -> bool {
        self.0 >> (2 * Self::PLACE_BITS) == kind as u64
    }

    /// No field, or null (E2).
    #[inline]
    pub fn is_absent(self) -> bool {
        self.is(Kind::Absent) || self.is(Kind::Null)
    }

    #[inline]
    pub fn is_text(self) -> bool {
        self.is(Kind::Text) || self.is(Kind::EscapedText)
    }

    /// As it stands in the text it was read from.
    #[inline]
    pub fn raw(self, text: &str) -> &str {
        &text[self.start()..self.end()]
    }

    #[inline]
    pub fn bytes(self, text: &str) -> &[u8] {
        &text.as_bytes()[self.start()..self.end()]
    }

    /// What a text means, or the digits of a number: borrowed unless there are escapes.
    #[inline]
    pub fn text(self, text: &str) -> Cow<'_, str> {
        let raw = self.raw(text);
        if self.is(Kind::EscapedText) { Cow::Owned(string::unescape(raw)) } else { Cow::Borrowed(raw) }
    }

    /// Where it begins.
    #[inline]
    pub fn start(self) -> usize {
        (self.0 >> Self::PLACE_BITS) as usize & ((1 << Self::PLACE_BITS) - 1)
    }

    #[inline]
    pub fn end(self) -> usize {
        self.0 as usize & ((1 << Self::PLACE_BITS) - 1)
    }

    /// Where the text goes on after it.
    #[inline]
    pub fn after(self) -> usize {
        self.end() + usize::from(self.is_text())
    }

    /// What it is, for messages.
    pub fn description(self) -> &'static str {
        match self.kind() {
            Kind::Absent => "nothing",
            Kind::Null => "null",
            Kind::True | Kind::False => "a boolean",
            Kind::Number => "a number",
            Kind::Text | Kind::EscapedText => "a text",
            Kind::Object => "an object",
            Kind::Array => "an array",
        }
    }
}
