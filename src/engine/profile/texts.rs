//! Texts that many customers share (categories, channels, attributes), each kept once with a count of its uses.
//!
//! A reference is a `u32`; 0 is no text. A set of categories is one text too: its texts in order of bytes, each after
//! a byte with its length. The last use that is released frees the text, so nothing of an erased customer stays.

use crate::engine::event::Categories;
use hashbrown::HashTable;
use std::sync::Arc;

/// Place of a text, 0 for none.
pub type TextReference = u32;

/// Different texts of a shard: references have 28 bits in orders.
const TEXTS_MAX: usize = 1 << 28;

pub(super) struct Texts {
    /// The first stands for no text and is never used.
    entries: Vec<Entry>,
    free: Vec<TextReference>,
    by_bytes: HashTable<TextReference>,
    bytes: usize,
    /// While texts are handed out, those nobody uses any more stay, and are listed here.
    unused: Option<Vec<TextReference>>,
    /// Room for a set while it is looked up.
    joined: String,
}

#[derive(Default)]
struct Entry {
    text: Arc<str>,
    uses: u32,
}

fn hash(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

/// The texts of the text that a set of categories is.
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
            entries: vec![Entry::default()],
            free: Vec::new(),
            by_bytes: HashTable::new(),
            bytes: 0,
            unused: None,
            joined: String::new(),
        }
    }

    /// The reference of a text that somebody uses.
    pub fn find(&self, text: &str) -> Option<TextReference> {
        self.by_bytes.find(hash(text), |&known| &*self.entries[known as usize].text == text).copied()
    }

    pub fn get(&self, reference: TextReference) -> &str {
        &self.entries[reference as usize].text
    }

    /// Takes a use of a text.
    pub fn take(&mut self, text: &str) -> TextReference {
        if let Some(known) = self.find(text) {
            self.entries[known as usize].uses += 1;
            return known;
        }
        self.bytes += text.len();
        let entry = Entry { text: text.into(), uses: 1 };
        let reference = match self.free.pop() {
            Some(free) => {
                self.entries[free as usize] = entry;
                free
            }
            None => {
                self.entries.push(entry);
                assert!(self.entries.len() <= TEXTS_MAX, "at most {TEXTS_MAX} different texts per shard");
                (self.entries.len() - 1) as TextReference
            }
        };
        self.by_bytes.insert_unique(hash(text), reference, |&known| hash(&self.entries[known as usize].text));
        reference
    }

    /// Takes a use of a set of categories; 0 for an empty one.
    pub fn take_set<'t>(&mut self, categories: impl Iterator<Item = &'t str>) -> TextReference {
        let (mut sorted, mut count) = ([""; Categories::MAX], 0);
        for category in categories.take(Categories::MAX) {
            sorted[count] = category;
            count += 1;
        }
        if count == 0 {
            return 0;
        }
        sorted[..count].sort_unstable();
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        for text in &sorted[..count] {
            joined.push(char::from_u32(text.len() as u32).expect("a category has at most 128 bytes"));
            joined.push_str(text);
        }
        let reference = self.take(&joined);
        self.joined = joined;
        reference
    }

    /// The texts of a set.
    pub fn set(&self, reference: TextReference) -> impl Iterator<Item = &str> {
        split_set(self.get(reference))
    }

    /// Takes one more use of a text that somebody uses.
    pub fn take_again(&mut self, reference: TextReference) {
        self.entries[reference as usize].uses += 1;
    }

    /// Gives a use back; 0 is fine.
    pub fn release(&mut self, reference: TextReference) {
        if reference == 0 {
            return;
        }
        let entry = &mut self.entries[reference as usize];
        entry.uses -= 1;
        if entry.uses > 0 {
            return;
        }
        match &mut self.unused {
            Some(unused) => unused.push(reference),
            None => self.free(reference),
        }
    }

    fn free(&mut self, reference: TextReference) {
        let text = std::mem::take(&mut self.entries[reference as usize].text);
        self.bytes -= text.len();
        self.by_bytes
            .find_entry(hash(&text), |&known| known == reference)
            .expect("a used text is in the table")
            .remove();
        self.free.push(reference);
    }

    /// From now on no text goes, until [`Self::let_go`].
    pub fn hold(&mut self) {
        self.unused = Some(Vec::new());
    }

    /// Texts may go again, and those go that nobody uses.
    pub fn let_go(&mut self) {
        for reference in self.unused.take().unwrap_or_default() {
            let entry = &self.entries[reference as usize];
            // Used again meanwhile, or listed twice.
            if entry.uses == 0 && !entry.text.is_empty() {
                self.free(reference);
            }
        }
    }

    /// Texts with references from `from` on, at most so many.
    pub fn list(&self, from: TextReference, count: usize) -> Vec<(TextReference, Arc<str>)> {
        let entries = self.entries.iter().enumerate().skip(from as usize);
        let known = entries.filter(|(_, entry)| !entry.text.is_empty());
        known.take(count).map(|(place, entry)| (place as TextReference, Arc::clone(&entry.text))).collect()
    }

    /// Different texts.
    pub fn len(&self) -> usize {
        self.by_bytes.len()
    }

    /// Bytes held, without what the allocator adds.
    pub fn bytes(&self) -> usize {
        self.bytes
            + self.entries.capacity() * size_of::<Entry>()
            + self.by_bytes.allocation_size()
            + self.free.capacity() * 4
    }

    /// All uses, by text: for tests.
    #[cfg(test)]
    pub fn uses(&self) -> std::collections::BTreeMap<String, u32> {
        self.entries.iter().filter(|entry| entry.uses > 0).map(|entry| (entry.text.to_string(), entry.uses)).collect()
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
                held.push((texts.take(&text), text.clone()));
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
        let one = texts.take_set(["shoes", "bags", &long].into_iter());
        let two = texts.take_set([&long, "shoes", "bags"].into_iter());
        assert_eq!(one, two);
        assert_eq!(texts.set(one).collect::<Vec<_>>(), ["bags", "shoes", &long]);
        assert_eq!(texts.take_set(std::iter::empty()), 0);
        assert_eq!(texts.set(0).count(), 0);
    }
}
