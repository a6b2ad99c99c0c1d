//! Copies of customers, to be stored.
//!
//! A row and its block are copied as they are, which is quick. The copy is read part by part through
//! [`CustomerImage`], on another thread. References to texts have the meaning they had when the copy was made.

use crate::engine::event::{EventType, Millis};
use crate::engine::profile::FingerprintScope;
use crate::engine::profile::activity::CategoryHour;
use crate::engine::profile::attributes::{self, AttributeParts, InternedValue};
use crate::engine::profile::cart::{self, CartEvent};
use crate::engine::profile::held_value::HeldValue;
use crate::engine::profile::intervals::FoldedInterval;
use crate::engine::profile::orders::{Order, OrderParts, Refund, ReturnId, Totals, Waiting};
use crate::engine::profile::row::{ID_INLINE, Row, RowNumber};
use crate::engine::profile::storage::{self, Section, TextReference, Texts, memory};

/// Copied rows in order of their numbers.
#[derive(Clone, Debug, Default)]
pub struct CustomerImages {
    /// Each row with its number. The block of a copied row is the index of its first word in `words`.
    rows: Vec<(RowNumber, Row)>,
    words: Vec<u64>,
    /// With the index of the row.
    folded_intervals: Vec<(usize, FoldedInterval)>,
}

/// One copied row.
#[derive(Clone, Copy)]
pub struct CustomerImage<'a> {
    pub number: RowNumber,
    pub row: &'a Row,
    words: &'a [u64],
    folded_intervals: &'a [(usize, FoldedInterval)],
}

impl CustomerImages {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<(RowNumber, Row)>()
            + self.words.capacity() * size_of::<u64>()
            + self.folded_intervals.capacity() * size_of::<(usize, FoldedInterval)>()
    }

    pub fn get(&self, index: usize) -> CustomerImage<'_> {
        let (number, row) = &self.rows[index];
        let end = self.rows.get(index + 1).map_or(self.words.len(), |(_, next)| next.block as usize);
        let folded = &self.folded_intervals;
        let place = |index: usize| folded.partition_point(|(of, _)| *of < index);
        let folded_intervals = if folded.is_empty() { &[] } else { &folded[place(index)..place(index + 1)] };
        CustomerImage { number: *number, row, words: &self.words[row.block as usize..end], folded_intervals }
    }

    pub fn iter(&self) -> impl Iterator<Item = CustomerImage<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    pub fn push<'f>(
        &mut self,
        number: RowNumber,
        row: &Row,
        words: &[u64],
        folded_intervals: impl Iterator<Item = &'f FoldedInterval>,
    ) {
        let index = self.rows.len();
        self.folded_intervals.extend(folded_intervals.map(|folded| (index, *folded)));
        let block = u32::try_from(self.words.len()).expect("less than 32 GiB of copies");
        self.rows.push((number, Row { block, ..row.clone() }));
        self.words.extend_from_slice(words);
    }

    pub fn push_image(&mut self, image: &CustomerImage<'_>) {
        self.push(image.number, image.row, image.words, image.folded_intervals());
    }
}

impl<'a> CustomerImage<'a> {
    /// Whether the row has a customer. The other functions mean nothing for a free row.
    pub fn is_alive(&self) -> bool {
        self.row.alive
    }

    fn section(&self, section: Section) -> &'a [u64] {
        if self.words.is_empty() { &[] } else { storage::section(self.words, section) }
    }

    pub fn id(&self) -> &'a str {
        let length = usize::from(self.row.id_length) + 1;
        let bytes = if length <= ID_INLINE { &self.row.id[..] } else { memory::bytes(self.section(Section::Id)) };
        memory::text(&bytes[..length])
    }

    pub fn held(&self) -> impl Iterator<Item = HeldValue> + use<'a> {
        self.section(Section::HeldValues).iter().map(|&word| HeldValue::unpack(word))
    }

    pub fn totals(&self) -> Option<&'a Totals> {
        memory::records(self.section(Section::Totals)).first()
    }

    /// Times of the latest refund, cancellation, amendment and profile event.
    pub fn latest(&self) -> impl Iterator<Item = (EventType, Millis)> + use<'a> {
        self.section(Section::Latest).iter().map(|&word| attributes::unpack_latest(word))
    }

    pub fn attributes(&self) -> impl Iterator<Item = AttributeParts> + use<'a> {
        self.section(Section::Attributes).chunks_exact(2).map(|words| attributes::unpack([words[0], words[1]]))
    }

    pub fn waiting(&self) -> &'a [Waiting] {
        memory::records(self.section(Section::Waiting))
    }

    pub fn orders(&self) -> &'a [Order] {
        memory::records(self.section(Section::Orders))
    }

    pub fn refunds(&self) -> &'a [Refund] {
        memory::records(self.section(Section::Refunds))
    }

    pub fn category_hours(&self) -> &'a [CategoryHour] {
        memory::records(self.section(Section::CategoryHours))
    }

    pub fn cart(&self) -> impl Iterator<Item = CartEvent> + use<'a> {
        cart::unpack(self.section(Section::Cart))
    }

    /// Times of the amendments that hold, for each amended order in the order of the orders.
    pub fn amendments(&self) -> impl Iterator<Item = Millis> + use<'a> {
        self.section(Section::Amendments).iter().map(|&time| time as Millis)
    }

    pub fn return_ids(&self) -> &'a [ReturnId] {
        memory::records(self.section(Section::ReturnIds))
    }

    /// What is no longer remembered singly of absolute intervals.
    pub fn folded_intervals(&self) -> impl Iterator<Item = &'a FoldedInterval> + use<'a> {
        self.folded_intervals.iter().map(|(_, folded)| folded)
    }

    /// Counts per type and hour, packed (`activity/hours.rs` has the layout).
    pub fn hours(&self) -> &'a [u8] {
        if self.words.is_empty() { &[] } else { storage::hours(self.words) }
    }

    /// Bytes that are equal for two rows if and only if everything in the scope is equal, whatever references their
    /// texts have.
    pub fn canonical(&self, texts: &Texts, scope: FingerprintScope, into: &mut Vec<u8>) {
        let put = |into: &mut Vec<u8>, word: u64| into.extend_from_slice(&word.to_le_bytes());
        let text = |into: &mut Vec<u8>, reference: TextReference| {
            into.extend_from_slice(texts.get(reference).as_bytes());
            into.push(0xff);
        };
        into.extend_from_slice(self.id().as_bytes());
        let scalars = self.row.scalars();
        let scalars = match scope {
            FingerprintScope::All => {
                put(into, u64::from(self.number));
                &scalars[..]
            }
            FingerprintScope::Customers => &scalars[..Row::SCALARS_OF_EVENTS],
        };
        scalars.iter().for_each(|&word| put(into, word));
        put(into, self.section(Section::HeldValues).len() as u64);
        self.held().for_each(|held| put(into, held.canonical()));
        for section in [
            Section::Totals,
            Section::Latest,
            Section::Waiting,
            Section::Refunds,
            Section::Cart,
            Section::Amendments,
            Section::ReturnIds,
        ] {
            put(into, self.section(section).len() as u64);
            self.section(section).iter().for_each(|&word| put(into, word));
        }
        for attribute in self.attributes() {
            let (value_type, word) = match attribute.value {
                InternedValue::Text(reference) => {
                    text(into, reference);
                    (1, 0)
                }
                InternedValue::Removed => (0, 0),
                InternedValue::Number(number) => (2, number.to_bits()),
                InternedValue::Boolean(is) => (3, u64::from(is)),
                InternedValue::Time(moment) => (4, moment as u64),
                InternedValue::Texts(reference) => {
                    text(into, reference);
                    (5, 0)
                }
            };
            [u64::from(attribute.index), attribute.time as u64, value_type, word]
                .iter()
                .for_each(|&word| put(into, word));
        }
        for order in self.orders() {
            let parts = order.parts();
            let OrderParts { id, time, amount, given, categories, channel, .. } = parts;
            let flags = [parts.cancelled, parts.refunded, parts.discounted, parts.foreign, parts.amended];
            let flags = flags.iter().fold(0, |bits, flag| bits << 1 | u64::from(*flag));
            [id, time as u64, amount as u64, given as u64, flags].iter().for_each(|&word| put(into, word));
            text(into, categories);
            text(into, channel);
        }
        for views in self.category_hours() {
            text(into, views.category);
            put(into, u64::from(views.events));
            put(into, views.newest as u64);
        }
        put(into, self.folded_intervals.len() as u64);
        for FoldedInterval { interval, count, net } in self.folded_intervals() {
            [u64::from(interval.counted.0), interval.from as u64, interval.to as u64, *count as u64, *net as u64]
                .iter()
                .for_each(|&word| put(into, word));
        }
        into.extend_from_slice(self.hours());
    }
}
