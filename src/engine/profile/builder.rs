//! A customer that is made of stored parts, the other way of [`super::image`].

use super::cart_events::{self, ADD, TOTAL, ZERO};
use super::hours::CategoryHour;
use super::image::{AttributeParts, CartEvent, InternedValue};
use super::order::{Order, OrderParts, Refund, Totals, Waiting};
use super::row::{HeldValue, ID_INLINE, Row, RowNumber};
use super::section::{PARTS, Section};
use super::texts::TextReference;
use super::{Profiles, attributes, memory};
use crate::engine::event::{EventType, Millis};

/// A customer in the making: [`Self::begin`], then its parts in the order of the functions that push them, records of each
/// in the order in which they were stored. So the words stand as they will in the customer's block, and are copied once.
pub struct CustomerBuilder {
    /// The plain fields; those of this folder's own are filled in by [`Profiles::restore`].
    pub row: Row,
    /// Parts and hours, one after the other.
    words: Vec<u64>,
    /// Words of each part.
    lengths: [usize; PARTS],
    /// Bytes of the hours.
    hours: usize,
    texts: Vec<TextReference>,
}

impl Default for CustomerBuilder {
    fn default() -> Self {
        Self { row: Row::EMPTY, words: Vec::new(), lengths: [0; PARTS], hours: 0, texts: Vec::new() }
    }
}

impl CustomerBuilder {
    /// Begins with a customer of this id; whoever was there before is gone.
    ///
    /// # Panics
    /// If the id is empty or over 256 bytes.
    pub fn begin(&mut self, id: &str) {
        self.row = Row::EMPTY;
        self.words.clear();
        self.lengths = [0; PARTS];
        self.hours = 0;
        self.texts.clear();
        self.row.id_length = u8::try_from(id.len().wrapping_sub(1)).expect("an id has 1 to 256 bytes");
        if id.len() <= ID_INLINE {
            self.row.id[..id.len()].copy_from_slice(id.as_bytes());
        } else {
            self.lengths[Section::Id as usize] = self.push_bytes(id.as_bytes());
        }
    }

    pub fn push_held(&mut self, held: HeldValue) {
        self.push(Section::HeldValues, &[held.pack()]);
    }

    pub fn held(&self) -> impl ExactSizeIterator<Item = HeldValue> + use<'_> {
        let from = self.lengths[Section::Id as usize];
        self.words[from..from + self.lengths[Section::HeldValues as usize]].iter().map(|&word| HeldValue::unpack(word))
    }

    /// At most once.
    pub fn set_totals(&mut self, totals: &Totals) {
        self.push(Section::Totals, memory::words(std::slice::from_ref(totals)));
    }

    /// The time of the latest refund, cancellation or profile event.
    pub fn push_latest(&mut self, event_type: EventType, time: Millis) {
        if let Some(word) = attributes::latest_word(event_type, time) {
            self.push(Section::Latest, &[word]);
        }
    }

    pub fn push_attribute(&mut self, attribute: AttributeParts) {
        if let InternedValue::Text(reference) = attribute.value {
            self.texts.push(reference);
        }
        self.push(Section::Attributes, &attributes::words(attribute));
    }

    pub fn push_waiting(&mut self, waiting: Waiting) {
        self.push(Section::Waiting, memory::words(&[waiting]));
    }

    pub fn push_order(&mut self, parts: &OrderParts) {
        self.texts.extend([parts.categories, parts.channel].into_iter().filter(|reference| *reference != 0));
        self.push(Section::Orders, memory::words(&[Order::restore(parts)]));
    }

    /// A refund that gave something back; `unlinked` without an order.
    pub fn push_refund(&mut self, time: Millis, given: i64, unlinked: bool) {
        self.push(Section::Refunds, memory::words(&[Refund::new(time, given, unlinked)]));
    }

    pub fn push_category_hour(&mut self, views: CategoryHour) {
        self.texts.push(views.category);
        self.push(Section::CategoryHours, memory::words(&[views]));
    }

    pub fn push_cart_event(&mut self, event: CartEvent) {
        let flag = |is: bool, flag: u64| if is { flag } else { 0 };
        let flags = flag(event.is_add, ADD) | flag(event.is_zero, ZERO) | flag(event.total.is_some(), TOTAL);
        self.push(Section::Cart, &[cart_events::word(event.time, flags)]);
        if let Some(total) = event.total {
            self.push(Section::Cart, &[total as u64]);
        }
    }

    /// Counts per type and hour, packed as [`super::hours`] tells. At most once, and last.
    pub fn set_hours(&mut self, bytes: &[u8]) {
        assert!(self.hours == 0, "hours come once");
        self.push_bytes(bytes);
        self.hours = bytes.len();
    }

    #[inline]
    fn push(&mut self, section: Section, words: &[u64]) {
        debug_assert!(
            self.lengths[section as usize + 1..].iter().all(|length| *length == 0),
            "{section:?} out of order"
        );
        debug_assert!(self.hours == 0, "{section:?} behind the hours");
        self.words.extend_from_slice(words);
        self.lengths[section as usize] += words.len();
    }

    /// Appends bytes, filled up to words with zeros; how many words.
    fn push_bytes(&mut self, bytes: &[u8]) -> usize {
        let (whole, rest) = bytes.as_chunks::<8>();
        self.words.extend(whole.iter().map(|word| u64::from_ne_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.words.push(u64::from_ne_bytes(last));
        }
        bytes.len().div_ceil(8)
    }
}

impl Profiles {
    /// Room for so many customers in rows below `rows`, all free.
    pub fn with_room(customers: usize, rows: RowNumber) -> Self {
        let mut profiles = Self::new();
        profiles.index.reserve(customers);
        profiles.slab.reserve(rows);
        profiles
    }

    /// The reference of a text, for drafts; taken once more than customers use it, until [`Self::release_text`].
    pub fn take_text(&mut self, text: &str) -> TextReference {
        self.texts.take(text)
    }

    /// The reference of a set of categories, likewise.
    pub fn take_text_set<'t>(&mut self, categories: impl Iterator<Item = &'t str>) -> TextReference {
        self.texts.take_set(categories)
    }

    pub fn release_text(&mut self, reference: TextReference) {
        self.texts.release(reference);
    }

    /// All customers are there: the other rows are free.
    pub fn end_restore(&mut self) {
        self.slab.free_the_rest(self.index.len());
    }

    /// Puts a customer into a row that is free; [`Self::enter`] must follow.
    ///
    /// # Panics
    /// If the row is not free or beyond those there is room for.
    pub fn restore(&mut self, number: RowNumber, builder: &CustomerBuilder) {
        let row = self.slab.get_mut(number);
        assert!(!row.alive, "row {number} is taken");
        let block = self.blocks.make_of(number, &builder.words, &builder.lengths, builder.hours);
        *row = Row { alive: true, epoch: row.epoch, block, ..builder.row.clone() };
        builder.texts.iter().for_each(|&reference| self.texts.take_again(reference));
    }

    /// Enters customers into the index, by the hashes of their ids: many at once, as each place is somewhere else.
    pub fn enter(&mut self, customers: &[(u64, RowNumber)]) {
        const AHEAD: usize = 16;
        for (place, &(hash, number)) in customers.iter().enumerate() {
            if let Some((ahead, _)) = customers.get(place + AHEAD) {
                self.index.prefetch(*ahead);
            }
            self.index.insert(hash, number);
        }
    }
}
