//! A customer's block: a header of 16 bytes with the number of records in each section, then the sections.
//!
//! A section that is empty takes no space. The hours stand last: they change most often, and what is left of the block
//! is behind them, so that a new hour moves nothing.

use super::blocks::{Blocks, GRANULE, Handle};
use super::memory::{self, Plain};
use super::row::RowNumber;
use std::ops::Range;

/// The parts of a block, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// An id of more than 16 bytes, in words.
    Id,
    /// Values of the targets, one word each.
    HeldValues,
    Totals,
    /// Latest refund, cancellation and profile event, one word each.
    Latest,
    Attributes,
    Waiting,
    Orders,
    Refunds,
    CategoryHours,
    /// In words.
    Cart,
    /// In bytes.
    Hours,
}

/// All of them, in their order.
const ALL: [Section; 11] = [
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
    Section::Hours,
];

/// Where the header says how many records there are, and the words of a record.
struct Place {
    word: usize,
    shift: u32,
    bits: u32,
    words: usize,
}

const fn place(word: usize, shift: u32, bits: u32, words: usize) -> Place {
    Place { word, shift, bits, words }
}

/// By section. The first 32 bits of the first word are the owner's row, which [`Blocks`] relies on.
const PLACES: [Place; 11] = [
    place(0, 58, 6, 1),
    place(1, 24, 7, 1),
    place(1, 59, 1, 8),
    place(1, 57, 2, 1),
    place(1, 45, 7, 2),
    place(1, 52, 5, 3),
    place(0, 32, 13, 4),
    place(0, 45, 13, 2),
    place(1, 38, 7, 2),
    place(1, 31, 7, 1),
    place(1, 0, 24, 0),
];
pub(super) const HEADER: usize = 2;
/// Sections of whole records: all but the hours.
pub(super) const PARTS: usize = Section::Hours as usize;

#[inline]
fn count(words: &[u64], section: Section) -> usize {
    let place = &PLACES[section as usize];
    (words[place.word] >> place.shift & ((1 << place.bits) - 1)) as usize
}

fn set_count(words: &mut [u64], section: Section, count: usize) {
    let place = &PLACES[section as usize];
    assert!(count < 1 << place.bits, "{section:?} with {count} records");
    let mask = ((1 << place.bits) - 1) << place.shift;
    words[place.word] = words[place.word] & !mask | (count as u64) << place.shift;
}

/// The first word of a section.
#[inline]
fn start(words: &[u64], section: Section) -> usize {
    let mut start = HEADER;
    for place in &PLACES[..section as usize] {
        start += (words[place.word] >> place.shift & ((1 << place.bits) - 1)) as usize * place.words;
    }
    start
}

/// Words in use, header included.
fn used(words: &[u64]) -> usize {
    start(words, Section::Hours) + count(words, Section::Hours).div_ceil(8)
}

/// Granules of a block with that many words in use: steps of about an eighth.
fn granules(words: usize) -> usize {
    let granules = words.div_ceil(GRANULE);
    let step = 1 << granules.ilog2().saturating_sub(3);
    granules.next_multiple_of(step)
}

/// Granules of a customer's block.
pub(super) fn size(words: &[u64]) -> usize {
    granules(used(words))
}

/// The words of a section; for hours, words that hold all its bytes.
#[inline]
fn range(words: &[u64], section: Section) -> Range<usize> {
    let start = start(words, section);
    let length = match section {
        Section::Hours => count(words, section).div_ceil(8),
        _ => count(words, section) * PLACES[section as usize].words,
    };
    start..start + length
}

/// The words of a section of a block's contents.
#[inline]
pub(super) fn part(contents: &[u64], section: Section) -> &[u64] {
    &contents[range(contents, section)]
}

/// The bytes of the hours in a block's contents.
#[inline]
pub(super) fn hours(contents: &[u64]) -> &[u8] {
    &memory::bytes(part(contents, Section::Hours))[..count(contents, Section::Hours)]
}

impl Blocks {
    /// A block of these contents: parts of so many words, in the order of their sections, and so many bytes of hours.
    pub fn make_of(&mut self, owner: RowNumber, contents: &[u64], parts: &[usize; PARTS], hours: usize) -> Handle {
        let words = HEADER + contents.len();
        let handle = self.allocate(granules(words));
        let block = &mut self.words_mut(handle)[..words];
        block[..HEADER].copy_from_slice(&[u64::from(owner), 0]);
        block[HEADER..].copy_from_slice(contents);
        for (&length, section) in parts.iter().zip(ALL).filter(|(length, _)| **length > 0) {
            set_count(block, section, length / PLACES[section as usize].words);
        }
        set_count(block, Section::Hours, hours);
        handle
    }

    /// The words of a block that are in use.
    pub fn contents(&self, handle: Handle) -> &[u64] {
        let words = self.words(handle);
        &words[..used(words)]
    }

    /// A block without sections.
    pub fn make(&mut self, owner: RowNumber) -> Handle {
        let handle = self.allocate(granules(HEADER));
        self.words_mut(handle)[..HEADER].copy_from_slice(&[u64::from(owner), 0]);
        handle
    }

    /// Gives back a block that [`Self::make`] made.
    pub fn destroy(&mut self, handle: Handle) {
        let granules = size(self.words(handle));
        self.release(handle, granules);
    }

    #[inline]
    pub fn count(&self, handle: Handle, section: Section) -> usize {
        count(self.words(handle), section)
    }

    /// The words of a section.
    #[inline]
    pub fn section(&self, handle: Handle, section: Section) -> &[u64] {
        part(self.words(handle), section)
    }

    #[inline]
    pub fn section_mut(&mut self, handle: Handle, section: Section) -> &mut [u64] {
        let words = self.words_mut(handle);
        let range = range(words, section);
        &mut words[range]
    }

    #[inline]
    pub fn records<T: Plain>(&self, handle: Handle, section: Section) -> &[T] {
        memory::records(self.section(handle, section))
    }

    #[inline]
    pub fn records_mut<T: Plain>(&mut self, handle: Handle, section: Section) -> &mut [T] {
        memory::records_mut(self.section_mut(handle, section))
    }

    /// The bytes of the hours.
    #[inline]
    pub fn hours(&self, handle: Handle) -> &[u8] {
        hours(self.words(handle))
    }

    pub fn hours_mut(&mut self, handle: Handle) -> &mut [u8] {
        let words = self.words_mut(handle);
        let (range, count) = (range(words, Section::Hours), count(words, Section::Hours));
        &mut memory::bytes_mut(&mut words[range])[..count]
    }

    /// Replaces `removed` records from the `at`-th on by `added` ones of any content.
    pub fn splice(&mut self, handle: &mut Handle, section: Section, at: usize, removed: usize, added: usize) {
        let record = PLACES[section as usize].words;
        let words = self.words(*handle);
        let (old_used, old_count) = (used(words), count(words, section));
        let begin = start(words, section) + at * record;
        let new_used = old_used + added * record - removed * record;
        self.refit(handle, old_used, old_used.max(new_used));
        let words = self.words_mut(*handle);
        if added != removed {
            words.copy_within(begin + removed * record..old_used, begin + added * record);
            set_count(words, section, old_count + added - removed);
        }
        self.refit(handle, old_used.max(new_used), new_used);
    }

    /// Replaces the hours' bytes in `range` by others.
    pub fn splice_hours(&mut self, handle: &mut Handle, range: Range<usize>, bytes: &[u8]) {
        let words = self.words(*handle);
        let (begin, old_count) = (start(words, Section::Hours), count(words, Section::Hours));
        let new_count = old_count - range.len() + bytes.len();
        let largest = begin + old_count.max(new_count).div_ceil(8);
        self.refit(handle, begin + old_count.div_ceil(8), largest);
        let words = self.words_mut(*handle);
        let hours = memory::bytes_mut(&mut words[begin..largest]);
        hours.copy_within(range.end..old_count, range.start + bytes.len());
        hours[range.start..range.start + bytes.len()].copy_from_slice(bytes);
        set_count(words, Section::Hours, new_count);
        self.refit(handle, largest, begin + new_count.div_ceil(8));
    }

    /// Another block if the size for `to` words is another than that for `from` words.
    fn refit(&mut self, handle: &mut Handle, from: usize, to: usize) {
        let (before, after) = (granules(from), granules(to));
        if before != after {
            *handle = self.reallocate(*handle, before, after, from.min(to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// One customer, naively: the records of each section, and the bytes of the hours.
    struct Naive {
        handle: Handle,
        sections: [Vec<Vec<u64>>; 10],
        hours: Vec<u8>,
    }

    fn change(random: &mut Random, blocks: &mut Blocks, naive: &mut Naive, owner: u32) {
        let section = ALL[random.below(11) as usize];
        let large = random.below(200) == 0;
        if section == Section::Hours {
            let at = random.below(naive.hours.len() as u64 + 1) as usize;
            let removed = random.below(20).min((naive.hours.len() - at) as u64) as usize;
            let added: Vec<u8> =
                (0..random.below(if large { 9_000 } else { 30 })).map(|_| random.draw() as u8).collect();
            blocks.splice_hours(&mut naive.handle, at..at + removed, &added);
            naive.hours.splice(at..at + removed, added);
        } else {
            let place = &PLACES[section as usize];
            let records = &mut naive.sections[section as usize];
            let at = random.below(records.len() as u64 + 1) as usize;
            let removed = random.below(4).min((records.len() - at) as u64) as usize;
            let room = (1usize << place.bits) - 1 - (records.len() - removed);
            let added = (random.below(if large { 900 } else { 4 }) as usize).min(room);
            blocks.splice(&mut naive.handle, section, at, removed, added);
            let new: Vec<Vec<u64>> = (0..added).map(|_| (0..place.words).map(|_| random.draw()).collect()).collect();
            let words: Vec<u64> = new.concat();
            blocks.section_mut(naive.handle, section)[at * place.words..at * place.words + words.len()]
                .copy_from_slice(&words);
            records.splice(at..at + removed, new);
        }
        assert_eq!(super::super::blocks::owner(blocks.words(naive.handle)[0]), Some(owner));
    }

    #[test]
    fn sections_keep_their_records() {
        let mut random = Random::of_test();
        let mut blocks = Blocks::new();
        let mut all: Vec<Option<Naive>> = (0..60).map(|_| None).collect();
        for _ in 0..40_000 {
            let owner = random.below(all.len() as u64) as usize;
            match &mut all[owner] {
                None => {
                    let handle = blocks.make(owner as u32);
                    all[owner] = Some(Naive { handle, sections: Default::default(), hours: Vec::new() });
                }
                Some(naive) if random.below(100) == 0 => {
                    blocks.destroy(naive.handle);
                    all[owner] = None;
                }
                Some(naive) => change(&mut random, &mut blocks, naive, owner as u32),
            }
            if let Some(naive) = &all[owner] {
                for section in &ALL[..10] {
                    assert_eq!(blocks.section(naive.handle, *section), naive.sections[*section as usize].concat());
                }
                assert_eq!(blocks.hours(naive.handle), naive.hours);
            }
        }
        for naive in all.into_iter().flatten() {
            blocks.destroy(naive.handle);
        }
        let (bytes, free) = blocks.bytes();
        assert_eq!(bytes, free, "all is free again");
    }

    #[test]
    fn blocks_grow_by_about_an_eighth() {
        for words in 2..4_000 {
            let granules = granules(words);
            assert!(granules * GRANULE >= words);
            assert!(granules * GRANULE - words < GRANULE + words / 8, "{words} words in {granules} granules");
        }
    }
}
