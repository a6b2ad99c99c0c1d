//! Reading and changing the sections of blocks.
//!
//! A change may need a block of another size; the caller's handle then points to the new one.

use super::blocks::Blocks;
use super::layout::{
    self, EXTENDED, HEADER, RARE, SECTIONS, SECTIONS_OF_RECORDS, Section, count, granules, hours_start, is_extended,
    is_rare, range, record_words, set_count, size, start, used,
};
use super::memory::{self, Record};
use crate::engine::profile::row::{BlockHandle, RowNumber};
use std::ops::Range;

impl Blocks {
    /// A block with these contents. `lengths` are the words of each section, in their order, and `hours` the bytes of
    /// the hours.
    pub fn make_with_contents(
        &mut self,
        owner: RowNumber,
        contents: &[u64],
        lengths: &[usize; SECTIONS_OF_RECORDS],
        hours: usize,
    ) -> BlockHandle {
        let extended = lengths[RARE..].iter().any(|length| *length > 0);
        let header = HEADER + usize::from(extended);
        let words = header + contents.len();
        let handle = self.allocate(granules(words));
        let block = &mut self.words_mut(handle)[..words];
        block[..header].copy_from_slice(&[u64::from(owner), if extended { EXTENDED } else { 0 }, 0][..header]);
        block[header..].copy_from_slice(contents);
        for (&length, section) in lengths.iter().zip(SECTIONS).filter(|(length, _)| **length > 0) {
            set_count(block, section, length / record_words(section));
        }
        set_count(block, Section::Hours, hours);
        handle
    }

    /// The words of a block that are in use.
    pub fn contents(&self, handle: BlockHandle) -> &[u64] {
        let words = self.words(handle);
        &words[..used(words)]
    }

    /// A block without sections.
    pub fn make(&mut self, owner: RowNumber) -> BlockHandle {
        let handle = self.allocate(granules(HEADER));
        self.words_mut(handle)[..HEADER].copy_from_slice(&[u64::from(owner), 0]);
        handle
    }

    /// Frees a block with all its sections.
    pub fn destroy(&mut self, handle: BlockHandle) {
        let granules = size(self.words(handle));
        self.release(handle, granules);
    }

    /// Bytes of a block, for tests.
    #[cfg(test)]
    pub fn bytes_of(&self, handle: BlockHandle) -> usize {
        size(self.words(handle)) * layout::GRANULE * 8
    }

    #[inline]
    pub fn count(&self, handle: BlockHandle, section: Section) -> usize {
        count(self.words(handle), section)
    }

    /// The words of a section.
    #[inline]
    pub fn section(&self, handle: BlockHandle, section: Section) -> &[u64] {
        layout::section(self.words(handle), section)
    }

    #[inline]
    pub fn section_mut(&mut self, handle: BlockHandle, section: Section) -> &mut [u64] {
        let words = self.words_mut(handle);
        let range = range(words, section);
        &mut words[range]
    }

    #[inline]
    pub fn records<T: Record>(&self, handle: BlockHandle, section: Section) -> &[T] {
        memory::records(self.section(handle, section))
    }

    #[inline]
    pub fn records_mut<T: Record>(&mut self, handle: BlockHandle, section: Section) -> &mut [T] {
        memory::records_mut(self.section_mut(handle, section))
    }

    /// The bytes of the hours.
    #[inline]
    pub fn hours(&self, handle: BlockHandle) -> &[u8] {
        layout::hours(self.words(handle))
    }

    pub fn hours_mut(&mut self, handle: BlockHandle) -> &mut [u8] {
        let words = self.words_mut(handle);
        let (start, count) = (hours_start(words), count(words, Section::Hours));
        &mut memory::bytes_mut(&mut words[start..])[..count]
    }

    /// Replaces `removed` records from the `at`-th on by `added` new ones, which the caller must write.
    pub fn splice(&mut self, handle: &mut BlockHandle, section: Section, at: usize, removed: usize, added: usize) {
        if is_rare(section) && added > 0 && !is_extended(self.words(*handle)) {
            self.extend_header(handle);
        }
        if added == removed {
            return;
        }
        let record = record_words(section);
        let words = self.words(*handle);
        let (old_used, old_count) = (used(words), count(words, section));
        let begin = start(words, section) + at * record;
        let new_used = old_used + added * record - removed * record;
        self.refit(handle, old_used, old_used.max(new_used));
        let words = self.words_mut(*handle);
        words.copy_within(begin + removed * record..old_used, begin + added * record);
        set_count(words, section, old_count + added - removed);
        self.refit(handle, old_used.max(new_used), new_used);
        if is_rare(section) && added < removed && self.words(*handle)[HEADER] == 0 {
            self.shorten_header(handle);
        }
    }

    /// Adds the third word of the header, which counts the rare sections.
    #[cold]
    fn extend_header(&mut self, handle: &mut BlockHandle) {
        let used = used(self.words(*handle));
        self.refit(handle, used, used + 1);
        let words = self.words_mut(*handle);
        words.copy_within(HEADER..used, HEADER + 1);
        words[1] |= EXTENDED;
        words[HEADER] = 0;
    }

    /// Removes the third word, after the last record of a rare section.
    #[cold]
    fn shorten_header(&mut self, handle: &mut BlockHandle) {
        let words = self.words_mut(*handle);
        let used = used(words);
        words.copy_within(HEADER + 1..used, HEADER);
        words[1] &= !EXTENDED;
        self.refit(handle, used, used - 1);
    }

    /// Where the bytes of the hours begin, in words, and their number.
    #[inline]
    pub fn hours_place(&self, handle: BlockHandle) -> (usize, usize) {
        let words = self.words(handle);
        (hours_start(words), count(words, Section::Hours))
    }

    /// The bytes of the hours, of which the place is known.
    #[inline]
    pub fn hours_at(&self, handle: BlockHandle, (begin, count): (usize, usize)) -> &[u8] {
        &memory::bytes(&self.words(handle)[begin..])[..count]
    }

    /// Appends bytes to the hours, of which the place is known.
    #[inline]
    pub fn append_hours<const BYTES: usize>(
        &mut self,
        handle: &mut BlockHandle,
        (begin, count): (usize, usize),
        bytes: &[u8; BYTES],
    ) {
        let end = begin + (count + BYTES).div_ceil(8);
        self.refit(handle, begin + count.div_ceil(8), end);
        let words = self.words_mut(*handle);
        memory::bytes_mut(&mut words[begin..end])[count..count + BYTES].copy_from_slice(bytes);
        set_count(words, Section::Hours, count + BYTES);
    }

    /// Replaces the bytes of the hours in `range`.
    pub fn splice_hours(&mut self, handle: &mut BlockHandle, range: Range<usize>, bytes: &[u8]) {
        let words = self.words(*handle);
        let (begin, old_count) = (hours_start(words), count(words, Section::Hours));
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

    /// Moves the block if `to` words need another size than `from` words.
    #[inline]
    fn refit(&mut self, handle: &mut BlockHandle, from: usize, to: usize) {
        let (before, after) = (granules(from), granules(to));
        if before != after {
            *handle = self.reallocate(*handle, before, after, from.min(to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::count_max;
    use super::*;
    use crate::random::Random;

    /// The naive form of one block: the records of each section, and the bytes of the hours.
    struct Naive {
        handle: BlockHandle,
        sections: [Vec<Vec<u64>>; SECTIONS_OF_RECORDS],
        hours: Vec<u8>,
    }

    fn change(random: &mut Random, blocks: &mut Blocks, naive: &mut Naive, owner: u32) {
        let section = SECTIONS[random.below(SECTIONS.len() as u64) as usize];
        let large = random.below(200) == 0;
        if section == Section::Hours {
            let at = random.below(naive.hours.len() as u64 + 1) as usize;
            let removed = random.below(20).min((naive.hours.len() - at) as u64) as usize;
            let added: Vec<u8> =
                (0..random.below(if large { 9_000 } else { 30 })).map(|_| random.draw() as u8).collect();
            blocks.splice_hours(&mut naive.handle, at..at + removed, &added);
            naive.hours.splice(at..at + removed, added);
        } else {
            let width = record_words(section);
            let records = &mut naive.sections[section as usize];
            let at = random.below(records.len() as u64 + 1) as usize;
            let removed = random.below(4).min((records.len() - at) as u64) as usize;
            let room = count_max(section) - (records.len() - removed);
            let added = (random.below(if large { 900 } else { 4 }) as usize).min(room);
            blocks.splice(&mut naive.handle, section, at, removed, added);
            let new: Vec<Vec<u64>> = (0..added).map(|_| (0..width).map(|_| random.draw()).collect()).collect();
            let words: Vec<u64> = new.concat();
            blocks.section_mut(naive.handle, section)[at * width..at * width + words.len()].copy_from_slice(&words);
            records.splice(at..at + removed, new);
        }
        assert_eq!(layout::owner(blocks.words(naive.handle)[0]), Some(owner));
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
                for section in &SECTIONS[..SECTIONS_OF_RECORDS] {
                    assert_eq!(blocks.section(naive.handle, *section), naive.sections[*section as usize].concat());
                }
                assert_eq!(blocks.hours(naive.handle), naive.hours);
                let has_rare = naive.sections[RARE..].iter().any(|records| !records.is_empty());
                assert_eq!(is_extended(blocks.words(naive.handle)), has_rare);
            }
        }
        for naive in all.into_iter().flatten() {
            blocks.destroy(naive.handle);
        }
        let (bytes, free) = blocks.bytes();
        assert_eq!(bytes, free, "all is free again");
    }
}
