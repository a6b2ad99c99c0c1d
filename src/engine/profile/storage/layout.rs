//! The layout of a customer's block: a header of 16 bytes with the number of records in each section, then the
//! sections.
//!
//! An empty section takes no space. The hours come last: they change most often, and the unused rest of the block is
//! behind them, so that a new hour moves nothing. Sections that few customers have are counted in a third word of the
//! header, which a block has only while one of them has records: the other customers neither store nor read it.
//!
//! Only functions of words are here. [`super::blocks`] allocates blocks, [`super::sections`] changes them.

use super::memory;
use crate::engine::profile::row::RowNumber;
use std::ops::Range;

/// Words of a granule, the unit in which blocks are allocated: 16 bytes.
pub const GRANULE: usize = 2;
/// Words of the header without the word of the rare sections.
pub const HEADER: usize = 2;
/// The bit of the header's second word that is set while the header has a third word.
pub const EXTENDED: u64 = 1 << 63;
/// Owner of a free block, and end of a list of free blocks.
pub const FREE: u32 = u32::MAX;

/// The parts of a block, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// An id of more than 16 bytes, in words.
    Id,
    /// Values of the segmentations and audiences, one word each.
    HeldValues,
    Totals,
    /// Latest refund, cancellation, amendment and profile event, one word each.
    Latest,
    Attributes,
    Waiting,
    Orders,
    Refunds,
    CategoryHours,
    /// In words.
    Cart,
    /// Rare: the times of the amendments that hold, one word for each amended order in the order of the orders.
    Amendments,
    /// Rare: ids of refunds, cancellations and amendments of orders, one word each.
    ReturnIds,
    /// In bytes.
    Hours,
}

/// The first of the sections that are counted in the third word of the header; they end before the hours.
pub const RARE: usize = Section::Amendments as usize;

/// All sections, in their order.
pub const SECTIONS: [Section; 13] = [
    Section::Id,
    Section::HeldValues,
    Section::Totals,
    Section::Latest,
    Section::Attributes,
    Section::Waiting,
    Section::Orders,
    Section::Refunds,
    Section::CategoryHours,
    Section::Cart,
    Section::Amendments,
    Section::ReturnIds,
    Section::Hours,
];

/// The bits of the header that hold a section's number of records, and the words of one record.
struct CountField {
    word: usize,
    shift: u32,
    bits: u32,
    record_words: usize,
}

const fn field(word: usize, shift: u32, bits: u32, record_words: usize) -> CountField {
    CountField { word, shift, bits, record_words }
}

/// By section. The first 32 bits of the first word are the owner's row, see [`owner`].
const COUNT_FIELDS: [CountField; 13] = [
    field(0, 58, 6, 1),
    field(1, 24, 7, 1),
    field(1, 59, 1, 9),
    field(1, 60, 3, 1),
    field(1, 45, 7, 2),
    field(1, 52, 5, 4),
    field(0, 32, 13, 4),
    field(0, 45, 13, 2),
    field(1, 38, 7, 2),
    field(1, 31, 7, 1),
    field(2, 0, 13, 1),
    field(2, 13, 7, 1),
    field(1, 0, 24, 0),
];
/// Number of sections that have whole records: all but the hours, which are bytes.
pub const SECTIONS_OF_RECORDS: usize = Section::Hours as usize;

/// Number of records that a section can have.
pub fn count_max(section: Section) -> usize {
    (1 << COUNT_FIELDS[section as usize].bits) - 1
}

/// Words of one record of a section; 0 for the hours.
#[inline]
pub fn record_words(section: Section) -> usize {
    COUNT_FIELDS[section as usize].record_words
}

/// The owner of a block, from its first word; `None` if the block is free.
pub fn owner(first_word: u64) -> Option<RowNumber> {
    let owner = first_word as u32;
    (owner != FREE).then_some(owner)
}

/// Whether the header has a third word.
#[inline]
pub fn is_extended(words: &[u64]) -> bool {
    words[1] & EXTENDED != 0
}

/// Whether a section is counted in the third word of the header.
#[inline]
pub fn is_rare(section: Section) -> bool {
    COUNT_FIELDS[section as usize].word == HEADER
}

/// Number of records of a section; of the hours, bytes.
#[inline]
pub fn count(words: &[u64], section: Section) -> usize {
    let field = &COUNT_FIELDS[section as usize];
    if is_rare(section) && !is_extended(words) {
        return 0;
    }
    (words[field.word] >> field.shift & ((1 << field.bits) - 1)) as usize
}

pub fn set_count(words: &mut [u64], section: Section, count: usize) {
    let field = &COUNT_FIELDS[section as usize];
    assert!(count <= count_max(section), "{section:?} with {count} records");
    let mask = ((1 << field.bits) - 1) << field.shift;
    words[field.word] = words[field.word] & !mask | (count as u64) << field.shift;
}

/// The first word of a section. Inlined: where the section is known, only those before it are added.
#[inline(always)]
pub fn start(words: &[u64], section: Section) -> usize {
    let sections = length_before::<{ Section::Id as usize }>(words, section)
        + length_before::<{ Section::HeldValues as usize }>(words, section)
        + length_before::<{ Section::Totals as usize }>(words, section)
        + length_before::<{ Section::Latest as usize }>(words, section)
        + length_before::<{ Section::Attributes as usize }>(words, section)
        + length_before::<{ Section::Waiting as usize }>(words, section)
        + length_before::<{ Section::Orders as usize }>(words, section)
        + length_before::<{ Section::Refunds as usize }>(words, section)
        + length_before::<{ Section::CategoryHours as usize }>(words, section)
        + length_before::<{ Section::Cart as usize }>(words, section);
    if is_extended(words) {
        let rare = length_before::<{ Section::Amendments as usize }>(words, section)
            + length_before::<{ Section::ReturnIds as usize }>(words, section);
        return HEADER + 1 + sections + rare;
    }
    HEADER + sections
}

/// Words of a section if it is before another.
#[inline(always)]
fn length_before<const SECTION: usize>(words: &[u64], section: Section) -> usize {
    if SECTION < section as usize { length::<SECTION>(words) } else { 0 }
}

/// The first word of the hours: the same as [`start`], once for all who ask for the hours.
#[inline]
pub fn hours_start(words: &[u64]) -> usize {
    start(words, Section::Hours)
}

/// Words of a section of records that is counted in the header of these words.
#[inline]
fn length<const SECTION: usize>(words: &[u64]) -> usize {
    let field = const { &COUNT_FIELDS[SECTION] };
    (words[field.word] >> field.shift & ((1 << field.bits) - 1)) as usize * field.record_words
}

/// Words in use, header included.
#[inline]
pub fn used(words: &[u64]) -> usize {
    hours_start(words) + count(words, Section::Hours).div_ceil(8)
}

/// Granules of a block with that many words in use: steps of about an eighth.
pub fn granules(words: usize) -> usize {
    let granules = words.div_ceil(GRANULE);
    if granules < 16 {
        return granules;
    }
    let step = 1_usize << (granules.ilog2() - 3);
    (granules + step - 1) & !(step - 1)
}

/// Granules of a customer's block.
pub fn size(words: &[u64]) -> usize {
    granules(used(words))
}

/// The words of a section; for hours, words that hold all its bytes.
#[inline]
pub fn range(words: &[u64], section: Section) -> Range<usize> {
    let (start, count) = (start(words, section), count(words, section));
    match section {
        Section::Hours => start..start + count.div_ceil(8),
        _ => start..start + count * record_words(section),
    }
}

/// The words of a section of a block's contents.
#[inline]
pub fn section(contents: &[u64], section: Section) -> &[u64] {
    &contents[range(contents, section)]
}

/// The bytes of the hours in a block's contents.
#[inline]
pub fn hours(contents: &[u64]) -> &[u8] {
    &memory::bytes(&contents[hours_start(contents)..])[..count(contents, Section::Hours)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_by_about_an_eighth() {
        for words in 2..4_000 {
            let granules = granules(words);
            assert!(granules * GRANULE >= words);
            assert!(granules * GRANULE - words < GRANULE + words / 8, "{words} words in {granules} granules");
        }
    }
}
