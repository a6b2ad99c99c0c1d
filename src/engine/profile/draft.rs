//! A customer that is made of stored parts, the other way of [`super::image`].

use super::cart_events::{self, ADD, TOTAL, ZERO};
use super::hours::CategoryHour;
use super::image::{CartEvent, KeptAttribute, KeptValue};
use super::order::{Order, OrderParts, Refund, Totals, Waiting};
use super::row::{Held, ID_INLINE, Row, RowNumber};
use super::section::{PARTS, Section};
use super::texts::TextReference;
use super::{Profiles, attributes, memory};
use crate::engine::event::{EventType, Millis};

/// A customer in the making: filled part by part, records of each part in the order in which they were stored.
pub struct Draft {
    /// The plain fields; those of this folder's own are filled in by [`Profiles::restore`].
    pub row: Row,
    words: [Vec<u64>; PARTS],
    hours: Vec<u8>,
    texts: Vec<TextReference>,
}

impl Default for Draft {
    fn default() -> Self {
        Self { row: Row::EMPTY, words: Default::default(), hours: Vec::new(), texts: Vec::new() }
    }
}

impl Draft {
    /// Makes it empty, to be filled again.
    pub fn clear(&mut self) {
        self.row = Row::EMPTY;
        self.words.iter_mut().for_each(Vec::clear);
        self.hours.clear();
        self.texts.clear();
    }

    pub fn push_held(&mut self, held: Held) {
        self.part(Section::Held).push(held.pack());
    }

    pub fn held(&self) -> impl ExactSizeIterator<Item = Held> + use<'_> {
        self.words[Section::Held as usize].iter().map(|&word| Held::unpack(word))
    }

    pub fn set_totals(&mut self, totals: &Totals) {
        let part = self.part(Section::Totals);
        part.clear();
        part.extend_from_slice(memory::words(std::slice::from_ref(totals)));
    }

    /// The time of the latest refund, cancellation or profile event.
    pub fn push_latest(&mut self, event_type: EventType, time: Millis) {
        let word = attributes::latest_word(event_type, time);
        self.part(Section::Latest).extend(word);
    }

    pub fn push_attribute(&mut self, attribute: KeptAttribute) {
        if let KeptValue::Text(reference) = attribute.value {
            self.texts.push(reference);
        }
        self.part(Section::Attributes).extend(attributes::words(attribute));
    }

    pub fn push_waiting(&mut self, waiting: Waiting) {
        self.part(Section::Waiting).extend_from_slice(memory::words(&[waiting]));
    }

    pub fn push_order(&mut self, parts: &OrderParts) {
        self.texts.extend([parts.categories, parts.channel].into_iter().filter(|reference| *reference != 0));
        self.part(Section::Orders).extend_from_slice(memory::words(&[Order::restore(parts)]));
    }

    /// A refund that gave something back; `unlinked` without an order.
    pub fn push_refund(&mut self, time: Millis, given: i64, unlinked: bool) {
        self.part(Section::Refunds).extend_from_slice(memory::words(&[Refund::new(time, given, unlinked)]));
    }

    pub fn push_category_hour(&mut self, views: CategoryHour) {
        self.texts.push(views.category);
        self.part(Section::CategoryHours).extend_from_slice(memory::words(&[views]));
    }

    pub fn push_cart_event(&mut self, event: CartEvent) {
        let flag = |is: bool, flag: u64| if is { flag } else { 0 };
        let flags = flag(event.is_add, ADD) | flag(event.is_zero, ZERO) | flag(event.total.is_some(), TOTAL);
        let part = self.part(Section::Cart);
        part.push(cart_events::word(event.time, flags));
        part.extend(event.total.map(|total| total as u64));
    }

    /// Counts per type and hour, packed as [`super::hours`] tells.
    pub fn set_hours(&mut self, bytes: &[u8]) {
        self.hours.clear();
        self.hours.extend_from_slice(bytes);
    }

    fn part(&mut self, section: Section) -> &mut Vec<u64> {
        &mut self.words[section as usize]
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
        self.slab.free_the_rest();
    }

    /// Puts a customer into a row that is free.
    ///
    /// # Panics
    /// If the row is not free or beyond those there is room for, or the id is empty or over 256 bytes.
    pub fn restore(&mut self, number: RowNumber, id: &str, draft: &Draft) {
        assert!(!self.slab.get(number).alive, "row {number} is taken");
        self.index.insert(Self::hash(id.as_bytes()), number);
        let mut long_id: [u64; 32] = [0; 32];
        let row = self.slab.get_mut(number);
        let epoch = row.epoch;
        *row = Row { alive: true, epoch, ..draft.row.clone() };
        row.id_length = u8::try_from(id.len() - 1).expect("an id has 1 to 256 bytes");
        row.id = [0; ID_INLINE];
        let id_words = if id.len() <= ID_INLINE {
            row.id[..id.len()].copy_from_slice(id.as_bytes());
            0
        } else {
            memory::bytes_mut(&mut long_id)[..id.len()].copy_from_slice(id.as_bytes());
            id.len().div_ceil(8)
        };
        let mut parts: [&[u64]; PARTS] = std::array::from_fn(|part| draft.words[part].as_slice());
        parts[Section::Id as usize] = &long_id[..id_words];
        row.block = self.blocks.make_of(number, &parts, &draft.hours);
        draft.texts.iter().for_each(|&reference| self.texts.take_again(reference));
    }
}
