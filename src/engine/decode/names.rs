//! The names seen in one JSON object, to find one that comes twice.
//!
//! A few plain names are compared one by one, without allocation. Many names, or names with escapes (`"\u0061"` is
//! `"a"`), go to an ordered set, so that an object made to be slow costs n log n.

use super::value::{Kind, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Up to how many names are compared one by one.
const FEW: usize = 16;

pub struct NameSet<'a> {
    few: [Value; FEW],
    count: usize,
    /// All names, once there are more than a few or one has escapes; empty before.
    many: BTreeSet<Cow<'a, str>>,
}

impl Default for NameSet<'_> {
    #[inline]
    fn default() -> Self {
        Self { few: [Value::ABSENT; FEW], count: 0, many: BTreeSet::new() }
    }
}

impl<'a> NameSet<'a> {
    /// Adds a name of an object in a text; false if it was there.
    #[inline]
    pub fn insert(&mut self, text: &'a str, name: Value) -> bool {
        if name.is(Kind::EscapedText) || self.count == FEW || !self.many.is_empty() {
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
    fn insert_many(&mut self, text: &'a str, name: Value) -> bool {
        if self.many.is_empty() {
            self.many.extend(self.few[..self.count].iter().map(|name| Cow::Borrowed(name.raw(text))));
        }
        self.many.insert(name.text(text))
    }
}
