//! The names of one JSON object, to find a repeated one.
//!
//! A few plain names are compared one by one, without allocation. Many names, or names with escapes (`"\u0061"` is
//! `"a"`), are inserted into an ordered set, so that an object made to be slow costs n log n.

use super::value::{JsonKind, JsonValue};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Names that are compared one by one at most.
const FEW: usize = 16;

pub struct NameSet<'a> {
    few: [JsonValue; FEW],
    count: usize,
    /// All names as soon as there are more than [`FEW`] or one has escapes; empty before.
    many: BTreeSet<Cow<'a, str>>,
}

impl Default for NameSet<'_> {
    #[inline]
    fn default() -> Self {
        Self { few: [JsonValue::ABSENT; FEW], count: 0, many: BTreeSet::new() }
    }
}

impl<'a> NameSet<'a> {
    /// Adds a name in a text; false if the object has it already.
    #[inline]
    pub fn insert(&mut self, text: &'a str, name: JsonValue) -> bool {
        if name.is(JsonKind::EscapedText) || self.count == FEW || !self.many.is_empty() {
            return self.insert_many(text, name);
        }
        let bytes = name.bytes(text);
        if self.few[..self.count].iter().any(|known| known.bytes(text) == bytes) {
            return false;
        }
        self.few[self.count] = name;
        self.count += 1;
        true
    }

    #[cold]
    fn insert_many(&mut self, text: &'a str, name: JsonValue) -> bool {
        if self.many.is_empty() {
            self.many.extend(self.few[..self.count].iter().map(|name| Cow::Borrowed(name.raw(text))));
        }
        self.many.insert(name.text(text))
    }
}
