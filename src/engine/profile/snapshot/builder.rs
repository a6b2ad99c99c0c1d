//! Builds customers from stored parts: the inverse of [`super::image`].

use crate::engine::event::{EventType, Millis};
use crate::engine::profile::Profiles;
use crate::engine::profile::activity::CategoryHour;
use crate::engine::profile::attributes::{self, AttributeParts};
use crate::engine::profile::cart::{self, CartEvent};
use crate::engine::profile::held_value::HeldValue;
use crate::engine::profile::intervals::FoldedInterval;
use crate::engine::profile::orders::{Order, OrderParts, Refund, ReturnId, Totals, Waiting};
use crate::engine::profile::row::{ID_INLINE, Row, RowNumber};
use crate::engine::profile::storage::{SECTIONS_OF_RECORDS, Section, TextReference, memory};

/// A customer that is being built: [`Self::begin`], then its parts in the order of the functions that push them, and
/// the records of each part in the order in which they were stored. The words are thus laid out as in the customer's
/// block, and copied once.
pub struct CustomerBuilder {
    /// The plain fields. [`Profiles::restore`] sets those that are private to the profiles.
    pub row: Row,
    /// The sections of records, then the hours.
    words: Vec<u64>,
    /// Words of each section of records.
    lengths: [usize; SECTIONS_OF_RECORDS],
    /// Bytes of the hours.
    hours: usize,
    texts: Vec<TextReference>,
    folded_intervals: Vec<FoldedInterval>,
}

impl Default for CustomerBuilder {
    fn default() -> Self {
        Self {
            row: Row::EMPTY,
            words: Vec::new(),
            lengths: [0; SECTIONS_OF_RECORDS],
            hours: 0,
            texts: Vec::new(),
            folded_intervals: Vec::new(),
        }
    }
}

impl CustomerBuilder {
    /// Begins a customer with this id and discards the one before it.
    ///
    /// # Panics
    /// If the id is empty or over 256 bytes.
    pub fn begin(&mut self, id: &str) {
        self.row = Row::EMPTY;
        self.words.clear();
        self.lengths = [0; SECTIONS_OF_RECORDS];
        self.hours = 0;
        self.texts.clear();
        self.folded_intervals.clear();
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

    /// The time of the latest refund, cancellation, amendment or profile event.
    pub fn push_latest(&mut self, event_type: EventType, time: Millis) {
        if let Some(word) = attributes::latest_word(event_type, time) {
            self.push(Section::Latest, &[word]);
        }
    }

    pub fn push_attribute(&mut self, attribute: AttributeParts) {
        self.texts.extend(Some(attribute.value.text()).filter(|reference| *reference != 0));
        self.push(Section::Attributes, &attributes::pack(attribute));
    }

    pub fn push_waiting(&mut self, waiting: Waiting) {
        self.push(Section::Waiting, memory::words(&[waiting]));
    }

    pub fn push_order(&mut self, parts: &OrderParts) {
        self.texts.extend([parts.categories, parts.channel].into_iter().filter(|reference| *reference != 0));
        self.push(Section::Orders, memory::words(&[Order::pack(parts)]));
    }

    /// A refund of more than 0; `unlinked` if it has no order.
    pub fn push_refund(&mut self, time: Millis, given: i64, unlinked: bool) {
        self.push(Section::Refunds, memory::words(&[Refund::new(time, given, unlinked)]));
    }

    pub fn push_category_hour(&mut self, views: CategoryHour) {
        self.texts.push(views.category);
        self.push(Section::CategoryHours, memory::words(&[views]));
    }

    pub fn push_cart_event(&mut self, event: CartEvent) {
        cart::pack(event).for_each(|word| self.push(Section::Cart, &[word]));
    }

    /// The time of the amendment that holds, for each amended order in the order of the orders.
    pub fn push_amendment(&mut self, time: Millis) {
        self.push(Section::Amendments, &[time as u64]);
    }

    pub fn push_return_id(&mut self, id: ReturnId) {
        self.push(Section::ReturnIds, memory::words(&[id]));
    }

    /// What is no longer remembered singly of an absolute interval, in order of the intervals. Apart from the other
    /// parts: their order does not matter to it.
    pub fn push_folded_interval(&mut self, folded: FoldedInterval) {
        self.folded_intervals.push(folded);
    }

    /// Counts per type and hour, packed (`activity/hours.rs` has the layout). At most once, and last.
    pub fn set_hours(&mut self, bytes: &[u8]) {
        assert!(self.hours == 0, "the hours are set once");
        self.push_bytes(bytes);
        self.hours = bytes.len();
    }

    #[inline]
    fn push(&mut self, section: Section, words: &[u64]) {
        debug_assert!(
            self.lengths[section as usize + 1..].iter().all(|length| *length == 0),
            "{section:?} is out of order"
        );
        debug_assert!(self.hours == 0, "{section:?} comes after the hours");
        self.words.extend_from_slice(words);
        self.lengths[section as usize] += words.len();
    }

    /// Appends bytes, padded to whole words with zeros; returns the number of words.
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
    /// Profiles with room for a number of customers in the rows below `rows`, all of them free.
    pub fn with_capacity(customers: usize, rows: RowNumber) -> Self {
        let mut profiles = Self::new();
        profiles.index.reserve(customers);
        profiles.slab.reserve(rows);
        profiles
    }

    /// The reference of a text, for builders. It counts as a use until [`Self::release_text`].
    pub fn intern_text(&mut self, text: &str) -> TextReference {
        self.texts.intern(text)
    }

    /// The reference of the texts of an attribute, which counts as a use likewise.
    pub fn intern_texts<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> TextReference {
        self.texts.intern_texts(texts)
    }

    /// The reference of a set of categories, which counts as a use likewise.
    pub fn intern_text_set<'t>(&mut self, categories: impl Iterator<Item = &'t str>) -> TextReference {
        self.texts.intern_set(categories)
    }

    pub fn release_text(&mut self, reference: TextReference) {
        self.texts.release(reference);
    }

    /// Frees the rows without a customer, after all customers were restored.
    pub fn end_restore(&mut self) {
        self.slab.free_the_rest(self.index.len());
    }

    /// Puts a customer into a free row; [`Self::index_restored`] must follow.
    ///
    /// # Panics
    /// If the row is not free or beyond the capacity.
    pub fn restore(&mut self, number: RowNumber, builder: &CustomerBuilder) {
        let row = self.slab.get_mut(number);
        assert!(!row.alive, "row {number} has a customer");
        let block = self.blocks.make_with_contents(number, &builder.words, &builder.lengths, builder.hours);
        *row = Row { alive: true, epoch: row.epoch, block, ..builder.row.clone() };
        self.folded_intervals.set(number, &builder.folded_intervals);
        builder.texts.iter().for_each(|&reference| self.texts.add_use(reference));
    }

    /// Adds restored customers to the index by the hashes of their ids. Many at once, so that the slots are prefetched.
    pub fn index_restored(&mut self, customers: &[(u64, RowNumber)]) {
        const AHEAD: usize = 16;
        for (index, &(hash, number)) in customers.iter().enumerate() {
            if let Some((ahead, _)) = customers.get(index + AHEAD) {
                self.index.prefetch(*ahead);
            }
            self.index.insert(hash, number);
        }
    }
}
