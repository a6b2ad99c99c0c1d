//! The names seen in one JSON object, to find one that comes twice.
//!
//! A few plain names are compared one by one, without allocation. Many names, or names with escapes (`"\u0061"` is
//! `"a"`), go to an ordered set, so that an object made to be slow costs n log n.

use super::json::Quoted;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Up to how many names are compared one by one.
const FEW: usize = 16;

#[derive(Default)]
pub struct NameSet<'a> {
    few: [&'a str; FEW],
    count: usize,
    /// All names, once there are more than a few or one has escapes; empty before.
    many: BTreeSet<Cow<'a, str>>,
}

impl<'a> NameSet<'a> {
    /// Adds a name; false if it was there.
    #[inline]
    pub fn insert(&mut self, name: Quoted<'a>) -> bool {
        if name.escaped || self.count == FEW || !self.many.is_empty() {
            return self.insert_many(name);
        }
        if self.few[..self.count].contains(&name.raw) {
            return false;
        }
        self.few[self.count] = name.raw;
        self.count += 1;
        true
    }

    #[cold]
    fn insert_many(&mut self, name: Quoted<'a>) -> bool {
        if self.many.is_empty() {
            self.many.extend(self.few[..self.count].iter().map(|name| Cow::Borrowed(*name)));
        }
        self.many.insert(name.text())
    }
}
