//! Which customers changed since the last snapshot, and the capture of those customers for the next one.
//!
//! Every change of a row first calls [`Profiles::touch`], which compares one number in the row unless it is the row's
//! first change since a capture began. A capture contains the rows that had changed when it began. It is read in
//! slices, in order of row numbers; a row that changes before its turn is copied before the change.

use super::image::CustomerImages;
use crate::engine::profile::intervals::FoldedIntervals;
use crate::engine::profile::row::{Row, RowNumber};
use crate::engine::profile::storage::{Blocks, Slab, TextReference};
use crate::engine::profile::{FingerprintScope, Profiles};
use std::collections::BTreeMap;
use std::sync::Arc;

pub struct Changes {
    /// Number of captures begun, from 1. A row with another number has not changed since the last one began.
    epoch: u32,
    changed: RowSet,
    capture: Option<Capture>,
}

/// The rows of the snapshot that is being written.
struct Capture {
    rows: RowSet,
    /// RowSet below this were read.
    next: RowNumber,
    /// RowSet that changed before their turn, with the indexes of their copies.
    early: BTreeMap<RowNumber, usize>,
    copies: CustomerImages,
}

/// A set of rows.
#[derive(Default)]
struct RowSet {
    words: Vec<u64>,
}

impl Changes {
    pub fn new() -> Self {
        Self { epoch: 1, changed: RowSet::default(), capture: None }
    }
}

impl Capture {
    /// Copies a row before it changes, if its turn is still to come.
    fn save(&mut self, slab: &Slab, blocks: &Blocks, folded: &FoldedIntervals, number: RowNumber) {
        if number >= self.next && self.rows.contains(number) {
            self.early.insert(number, self.copies.len());
            push(&mut self.copies, slab.get(number), blocks, folded, number);
        }
    }
}

impl Profiles {
    /// Must be called before any change of a row or its block.
    #[inline]
    pub(in crate::engine::profile) fn touch(&mut self, number: RowNumber) {
        if self.slab.get(number).epoch != self.changes.epoch {
            self.touch_first(number);
        }
    }

    #[cold]
    fn touch_first(&mut self, number: RowNumber) {
        let Self { changes, slab, blocks, folded_intervals, .. } = self;
        if let Some(capture) = &mut changes.capture {
            capture.save(slab, blocks, folded_intervals, number);
        }
        changes.changed.insert(number);
        slab.get_mut(number).epoch = changes.epoch;
    }

    /// Begins a capture of all rows that changed since the last one that was stored.
    pub fn begin_capture(&mut self) {
        assert!(self.changes.capture.is_none(), "one capture at a time");
        self.texts.retain_all();
        let rows = std::mem::take(&mut self.changes.changed);
        self.changes.epoch += 1;
        self.changes.capture =
            Some(Capture { rows, next: 0, early: BTreeMap::new(), copies: CustomerImages::default() });
    }

    /// At most `rows_max` further rows of the capture as they were when it began; none after the last one.
    pub fn capture(&mut self, rows_max: usize) -> CustomerImages {
        let mut images = CustomerImages::default();
        let Self { changes: Changes { epoch, capture, .. }, slab, blocks, folded_intervals, .. } = self;
        let Some(capture) = capture else { return images };
        while images.len() < rows_max
            && let Some(number) = capture.rows.next(capture.next)
        {
            capture.next = number + 1;
            if slab.get(number).epoch == *epoch {
                let copy = capture.early.remove(&number).expect("a row is copied before it changes");
                images.push_image(&capture.copies.get(copy));
            } else {
                push(&mut images, slab.get(number), blocks, folded_intervals, number);
            }
        }
        if images.is_empty() {
            capture.next = RowNumber::MAX;
            capture.copies = CustomerImages::default();
        }
        images
    }

    /// At most `count` texts of the capture from a reference on. All texts of the capture stay until
    /// [`Self::release_captured_texts`].
    pub fn captured_texts(&self, from: TextReference, count: usize) -> Vec<(TextReference, Arc<str>)> {
        self.texts.list(from, count)
    }

    /// Ends the retention of the capture's texts, after all of them were read.
    pub fn release_captured_texts(&mut self) {
        self.texts.end_retaining();
    }

    /// Marks all rows as changed, because no snapshot is stored any more: the next capture contains all rows.
    pub fn mark_all_changed(&mut self) {
        (0..self.slab.used()).for_each(|row| self.changes.changed.insert(row));
    }

    /// Bytes of the copies of rows whose turn is still to come.
    pub fn bytes_copied_early(&self) -> usize {
        self.changes.capture.as_ref().map_or(0, |capture| capture.copies.bytes())
    }

    /// Ends the capture. If it was not stored, its rows belong to the next one.
    pub fn end_capture(&mut self, is_stored: bool) {
        let capture = self.changes.capture.take().expect("a capture was begun");
        if !is_stored {
            self.changes.changed.insert_all(&capture.rows);
        }
    }

    /// A hash of all customers.
    pub fn fingerprint(&self, scope: FingerprintScope) -> u64 {
        let mut bytes = Vec::new();
        let mut of_row = |number: RowNumber| {
            let mut images = CustomerImages::default();
            push(&mut images, self.slab.get(number), &self.blocks, &self.folded_intervals, number);
            bytes.clear();
            images.get(0).canonical(&self.texts, scope, &mut bytes);
            xxhash_rust::xxh3::xxh3_64(&bytes)
        };
        self.rows().map(&mut of_row).fold(self.len() as u64, u64::wrapping_add)
    }

    /// RowSet that changed since the last capture began.
    pub fn changed(&self) -> usize {
        self.changes.changed.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

fn push(images: &mut CustomerImages, row: &Row, blocks: &Blocks, folded: &FoldedIntervals, number: RowNumber) {
    let words = if row.alive { blocks.contents(row.block) } else { &[] };
    images.push(number, row, words, folded.of(number).iter());
}

impl RowSet {
    fn insert(&mut self, row: RowNumber) {
        let word = row as usize / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (row % 64);
    }

    fn insert_all(&mut self, other: &Self) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, others) in self.words.iter_mut().zip(&other.words) {
            *word |= others;
        }
    }

    fn contains(&self, row: RowNumber) -> bool {
        self.words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 != 0)
    }

    /// The first row of the set at or after `from`.
    fn next(&self, from: RowNumber) -> Option<RowNumber> {
        let mut word = from as usize / 64;
        let mut bits = self.words.get(word)? & u64::MAX << (from % 64);
        while bits == 0 {
            word += 1;
            bits = *self.words.get(word)?;
        }
        Some((word * 64) as RowNumber + bits.trailing_zeros())
    }
}
