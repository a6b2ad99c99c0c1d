//! Interned texts that many customers share (categories, channels, attributes), each stored once with a count of its
//! uses.
//!
//! A reference is a `u32`; 0 means no text. A set (the categories of an order, the texts of an attribute) is one text
//! too: its texts in order of their bytes, each behind a byte with its length. Releasing the last use frees the text,
//! so nothing of an erased customer remains.

use crate::engine::event::{Categories, TEXTS_MAX};
use hashbrown::HashTable;
use std::sync::Arc;

/// Index of an interned text, 0 for none.
pub type TextReference = u32;

/// Different texts in a shard at most: references have 28 bits in orders.
const REFERENCES_MAX: usize = 1 << 28;

pub struct Texts {
    /// By reference. The first means no text and is never used.
    texts: Vec<CountedText>,
    free: Vec<TextReference>,
    by_bytes: HashTable<TextReference>,
    bytes: usize,
    /// While texts are retained: those whose last use was released meanwhile.
    unused: Option<Vec<TextReference>>,
    /// Buffer for a set while it is looked up.
    joined: String,
}

#[derive(Default)]
struct CountedText {
    text: Arc<str>,
    uses: u32,
}

fn hash(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

/// The texts of an interned set.
pub fn split_set(joined: &str) -> impl Iterator<Item = &str> {
    let mut rest = joined;
    std::iter::from_fn(move || {
        let mut chars = rest.chars();
        let length = chars.next()? as usize;
        let (text, after) = chars.as_str().split_at(length);
        rest = after;
        Some(text)
    })
}

impl Texts {
    pub fn new() -> Self {
        Self {
            texts: vec![CountedText::default()],
            free: Vec::new(),
            by_bytes: HashTable::new(),
            bytes: 0,
            unused: None,
            joined: String::new(),
        }
    }

    /// The reference of a text in use.
    pub fn find(&self, text: &str) -> Option<TextReference> {
        self.by_bytes.find(hash(text), |&known| &*self.texts[known as usize].text == text).copied()
    }

    pub fn get(&self, reference: TextReference) -> &str {
        &self.texts[reference as usize].text
    }

    /// Interns a text and counts a use of it.
    pub fn intern(&mut self, text: &str) -> TextReference {
        if let Some(known) = self.find(text) {
            self.texts[known as usize].uses += 1;
            return known;
        }
        self.bytes += text.len();
        let text_in_use = CountedText { text: text.into(), uses: 1 };
        let reference = match self.free.pop() {
            Some(free) => {
                self.texts[free as usize] = text_in_use;
                free
            }
            None => {
                self.texts.push(text_in_use);
                assert!(self.texts.len() <= REFERENCES_MAX, "at most {REFERENCES_MAX} different texts per shard");
                (self.texts.len() - 1) as TextReference
            }
        };
        self.by_bytes.insert_unique(hash(text), reference, |&known| hash(&self.texts[known as usize].text));
        reference
    }

    /// Interns a set of categories and counts a use of it; 0 for an empty set.
    pub fn intern_set<'t>(&mut self, categories: impl Iterator<Item = &'t str>) -> TextReference {
        self.intern_sorted::<{ Categories::MAX }>(categories)
    }

    /// Like [`Self::intern_set`], for the distinct texts of an attribute.
    pub fn intern_texts<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> TextReference {
        self.intern_sorted::<TEXTS_MAX>(texts)
    }

    fn intern_sorted<'t, const MAX: usize>(&mut self, texts: impl Iterator<Item = &'t str>) -> TextReference {
        let (mut sorted, mut count) = ([""; MAX], 0);
        for text in texts.take(MAX) {
            sorted[count] = text;
            count += 1;
        }
        if count == 0 {
            return 0;
        }
        sorted[..count].sort_unstable();
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        for text in &sorted[..count] {
            joined.push(char::from_u32(text.len() as u32).expect("texts of sets have at most 128 bytes"));
            joined.push_str(text);
        }
        let reference = self.intern(&joined);
        self.joined = joined;
        reference
    }

    /// The texts of a set.
    pub fn set(&self, reference: TextReference) -> impl Iterator<Item = &str> {
        split_set(self.get(reference))
    }

    /// Counts one more use of a text in use.
    pub fn add_use(&mut self, reference: TextReference) {
        self.texts[reference as usize].uses += 1;
    }

    /// Releases a use; does nothing for 0.
    pub fn release(&mut self, reference: TextReference) {
        if reference == 0 {
            return;
        }
        let counted = &mut self.texts[reference as usize];
        counted.uses -= 1;
        if counted.uses > 0 {
            return;
        }
        match &mut self.unused {
            Some(unused) => unused.push(reference),
            None => self.free(reference),
        }
    }

    fn free(&mut self, reference: TextReference) {
        let text = std::mem::take(&mut self.texts[reference as usize].text);
        self.bytes -= text.len();
        self.by_bytes
            .find_entry(hash(&text), |&known| known == reference)
            .expect("a used text is in the table")
            .remove();
        self.free.push(reference);
    }

    /// From now on no text is freed, until [`Self::end_retaining`].
    pub fn retain_all(&mut self) {
        self.unused = Some(Vec::new());
    }

    /// Frees the texts that are no longer used, and from now on a text with its last use.
    pub fn end_retaining(&mut self) {
        for reference in self.unused.take().unwrap_or_default() {
            let counted = &self.texts[reference as usize];
            // It may be in use again, or listed twice.
            if counted.uses == 0 && !counted.text.is_empty() {
                self.free(reference);
            }
        }
    }

    /// At most `count` texts with references from `from` on.
    pub fn list(&self, from: TextReference, count: usize) -> Vec<(TextReference, Arc<str>)> {
        let later = self.texts.iter().enumerate().skip(from as usize);
        let in_use = later.filter(|(_, counted)| !counted.text.is_empty());
        in_use.take(count).map(|(reference, counted)| (reference as TextReference, Arc::clone(&counted.text))).collect()
    }

    /// Number of different texts.
    pub fn len(&self) -> usize {
        self.by_bytes.len()
    }

    /// Bytes in use, without the allocator's overhead.
    pub fn bytes(&self) -> usize {
        self.bytes
            + self.texts.capacity() * size_of::<CountedText>()
            + self.by_bytes.allocation_size()
            + self.free.capacity() * 4
    }

    /// All uses by text.
    #[cfg(test)]
    pub fn uses(&self) -> std::collections::BTreeMap<String, u32> {
        self.texts
            .iter()
            .filter(|counted| counted.uses > 0)
            .map(|counted| (counted.text.to_string(), counted.uses))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use std::collections::BTreeMap;

    #[test]
    fn counts_uses_and_frees() {
        let mut random = Random::of_test();
        let mut texts = Texts::new();
        let mut naive: BTreeMap<String, u32> = BTreeMap::new();
        let mut held: Vec<(TextReference, String)> = Vec::new();
        for _ in 0..20_000 {
            if held.is_empty() || random.below(100) < 51 {
                let text = format!("text {}", random.below(300));
                held.push((texts.intern(&text), text.clone()));
                *naive.entry(text).or_default() += 1;
            } else {
                let (reference, text) = held.swap_remove(random.below(held.len() as u64) as usize);
                assert_eq!(texts.get(reference), text);
                texts.release(reference);
                let uses = naive.get_mut(&text).unwrap();
                *uses -= 1;
                if *uses == 0 {
                    naive.remove(&text);
                    assert_eq!(texts.find(&text), None);
                }
            }
        }
        assert_eq!(texts.uses(), naive);
        assert_eq!(texts.bytes, naive.keys().map(String::len).sum::<usize>());
    }

    #[test]
    fn a_set_is_the_same_in_any_order() {
        let mut texts = Texts::new();
        let long = "x".repeat(128);
        let one = texts.intern_set(["shoes", "bags", &long].into_iter());
        let two = texts.intern_set([&long, "shoes", "bags"].into_iter());
        assert_eq!(one, two);
        assert_eq!(texts.set(one).collect::<Vec<_>>(), ["bags", "shoes", &long]);
        assert_eq!(texts.intern_set(std::iter::empty()), 0);
        assert_eq!(texts.set(0).count(), 0);
    }

    #[test]
    fn a_set_of_an_attribute_has_up_to_32_texts() {
        let mut texts = Texts::new();
        let all: Vec<String> = (0..40).map(|n| format!("text {n:02}")).collect();
        let set = texts.intern_texts(all.iter().rev().map(String::as_str));
        assert_eq!(texts.set(set).collect::<Vec<_>>(), &all[8..]);
        let few = texts.intern_texts(["b", "a"].into_iter());
        assert_eq!(few, texts.intern_set(["a", "b"].into_iter()));
        assert_eq!(texts.intern_texts(std::iter::empty()), 0);
    }
}
