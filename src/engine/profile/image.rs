//! Copies of customers, to be stored, and what is made of stored ones.
//!
//! A row and its block are copied as they are, which is quick; whoever stores the copy reads it part by part through
//! [`CustomerImage`], on another thread. References to text mean what they meant when the copy was made.

use super::cart_events::{self, ADD, TOTAL, ZERO};
use super::hours::CategoryHour;
use super::memory;
use super::order::{Order, OrderParts, Refund, Totals, Waiting};
use super::row::{HeldValue, ID_INLINE, Row, RowNumber};
use super::section::{self, Section};
use super::{Detail, Texts, attributes};
use crate::engine::event::{EventType, Millis};

/// Copied rows in order of their numbers.
#[derive(Clone, Debug, Default)]
pub struct CustomerImages {
    /// With their numbers; a row's block is the place of its words.
    rows: Vec<(RowNumber, Row)>,
    words: Vec<u64>,
}

/// One copied row.
#[derive(Clone, Copy)]
pub struct CustomerImage<'a> {
    pub number: RowNumber,
    pub row: &'a Row,
    words: &'a [u64],
}

/// An attribute with the time of the event that set it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttributeParts {
    /// Index in the list of declared attributes.
    pub index: u8,
    pub time: Millis,
    pub value: InternedValue,
}

/// The value of an attribute, a text by its reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InternedValue {
    Removed,
    /// Reference of the text.
    Text(u32),
    Number(f64),
    Boolean(bool),
    Time(Millis),
}

/// A cart event as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CartEvent {
    pub time: Millis,
    /// It is a `cart_add`.
    pub is_add: bool,
    /// It had a `cart_total` of 0.
    pub is_zero: bool,
    /// Minor units of the latest `cart_total`, on the event that had it.
    pub total: Option<i64>,
}

impl CustomerImages {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Memory that they take.
    pub fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<(RowNumber, Row)>() + self.words.capacity() * size_of::<u64>()
    }

    pub fn get(&self, place: usize) -> CustomerImage<'_> {
        let (number, row) = &self.rows[place];
        let end = self.rows.get(place + 1).map_or(self.words.len(), |(_, next)| next.block as usize);
        CustomerImage { number: *number, row, words: &self.words[row.block as usize..end] }
    }

    pub fn iter(&self) -> impl Iterator<Item = CustomerImage<'_>> {
        (0..self.len()).map(|place| self.get(place))
    }

    pub(super) fn push(&mut self, number: RowNumber, row: &Row, words: &[u64]) {
        let block = u32::try_from(self.words.len()).expect("less than 32 GiB of copies");
        self.rows.push((number, Row { block, ..row.clone() }));
        self.words.extend_from_slice(words);
    }

    pub(super) fn push_image(&mut self, image: &CustomerImage<'_>) {
        self.push(image.number, image.row, image.words);
    }
}

impl<'a> CustomerImage<'a> {
    /// Whether there is a customer in the row. A free one has nothing else to tell.
    pub fn is_alive(&self) -> bool {
        self.row.alive
    }

    fn part(&self, section: Section) -> &'a [u64] {
        if self.words.is_empty() { &[] } else { section::part(self.words, section) }
    }

    pub fn id(&self) -> &'a str {
        let length = usize::from(self.row.id_length) + 1;
        let bytes = if length <= ID_INLINE { &self.row.id[..] } else { memory::bytes(self.part(Section::Id)) };
        memory::text(&bytes[..length])
    }

    pub fn held(&self) -> impl Iterator<Item = HeldValue> + use<'a> {
        self.part(Section::HeldValues).iter().map(|&word| HeldValue::unpack(word))
    }

    pub fn totals(&self) -> Option<&'a Totals> {
        memory::records(self.part(Section::Totals)).first()
    }

    /// Times of the latest refund, cancellation and profile event.
    pub fn latest(&self) -> impl Iterator<Item = (EventType, Millis)> + use<'a> {
        self.part(Section::Latest).iter().map(|&word| attributes::latest_of(word))
    }

    pub fn attributes(&self) -> impl Iterator<Item = AttributeParts> + use<'a> {
        self.part(Section::Attributes).chunks_exact(2).map(|words| attributes::kept([words[0], words[1]]))
    }

    pub fn waiting(&self) -> &'a [Waiting] {
        memory::records(self.part(Section::Waiting))
    }

    pub fn orders(&self) -> &'a [Order] {
        memory::records(self.part(Section::Orders))
    }

    pub fn refunds(&self) -> &'a [Refund] {
        memory::records(self.part(Section::Refunds))
    }

    pub fn category_hours(&self) -> &'a [CategoryHour] {
        memory::records(self.part(Section::CategoryHours))
    }

    pub fn cart(&self) -> impl Iterator<Item = CartEvent> + use<'a> {
        let mut words = self.part(Section::Cart).iter();
        std::iter::from_fn(move || {
            let &word = words.next()?;
            let total = cart_events::is(word, TOTAL).then(|| *words.next().expect("the total follows") as i64);
            Some(CartEvent {
                time: cart_events::time(word),
                is_add: cart_events::is(word, ADD),
                is_zero: cart_events::is(word, ZERO),
                total,
            })
        })
    }

    /// Counts per type and hour, packed as [`super::hours`] tells.
    pub fn hours(&self) -> &'a [u8] {
        if self.words.is_empty() { &[] } else { section::hours(self.words) }
    }

    /// Bytes that are equal for two rows if and only if all of that detail is equal, whatever references texts have.
    pub(super) fn canonical(&self, texts: &Texts, detail: Detail, into: &mut Vec<u8>) {
        let put = |into: &mut Vec<u8>, word: u64| into.extend_from_slice(&word.to_le_bytes());
        let text = |into: &mut Vec<u8>, reference: u32| {
            into.extend_from_slice(texts.get(reference).as_bytes());
            into.push(0xff);
        };
        into.extend_from_slice(self.id().as_bytes());
        let scalars = self.row.scalars();
        let known = match detail {
            Detail::All => {
                put(into, u64::from(self.number));
                &scalars[..]
            }
            Detail::Known => &scalars[..Row::SCALARS_KNOWN],
        };
        known.iter().for_each(|&word| put(into, word));
        put(into, self.part(Section::HeldValues).len() as u64);
        self.held().for_each(|held| put(into, held.canonical()));
        for section in [Section::Totals, Section::Latest, Section::Waiting, Section::Refunds, Section::Cart] {
            put(into, self.part(section).len() as u64);
            self.part(section).iter().for_each(|&word| put(into, word));
        }
        for attribute in self.attributes() {
            let (kind, word) = match attribute.value {
                InternedValue::Text(reference) => {
                    text(into, reference);
                    (1, 0)
                }
                InternedValue::Removed => (0, 0),
                InternedValue::Number(number) => (2, number.to_bits()),
                InternedValue::Boolean(is) => (3, u64::from(is)),
                InternedValue::Time(moment) => (4, moment as u64),
            };
            [u64::from(attribute.index), attribute.time as u64, kind, word].iter().for_each(|&word| put(into, word));
        }
        for order in self.orders() {
            let OrderParts { id, time, amount, given, cancelled, refunded, discounted, categories, channel } =
                order.parts();
            let flags = u64::from(cancelled) | u64::from(refunded) << 1 | u64::from(discounted) << 2;
            [id, time as u64, amount as u64, given as u64, flags].iter().for_each(|&word| put(into, word));
            text(into, categories);
            text(into, channel);
        }
        for views in self.category_hours() {
            text(into, views.category);
            put(into, u64::from(views.events));
            put(into, views.newest as u64);
        }
        into.extend_from_slice(self.hours());
    }
}
