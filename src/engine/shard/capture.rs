//! Captures a shard's state piece by piece, as it was when the capture began, while the shard goes on; for snapshots.
//!
//! A capture holds only what changed since the last capture that was stored, to be added to what is stored already.
//! The shard never walks over all customers: it copies a slice of rows at a time, and copies a row early if an input
//! is about to change it. No input can notice a capture, so captures are not journalled.

use super::{Bootstrap, Census, Shard, StoredMark};
use crate::engine::event::Millis;
use crate::engine::profile::dedup::{HourOfIds, IdsHead, Progress};
use crate::engine::profile::{CustomerImages, RowNumber, TextReference};
use std::sync::Arc;

/// Texts handed out at once.
const TEXTS_MAX: usize = 4_096;

/// The state of a shard without customers, ids and marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub watermark: Millis,
    pub now: Millis,
    /// [`Millis::MIN`] before the first accepted event.
    pub latest_event: Millis,
    pub customers_made: u32,
    pub generation: u8,
    pub digest: u64,
    pub publish_from: Option<Millis>,
    pub bootstrap: Bootstrap,
    /// The sweep that has not ended, if there is one.
    pub sweep: Option<SweepHead>,
    /// Row numbers below this were ever used.
    pub rows_used: RowNumber,
    pub customers: usize,
    pub ids: IdsHead,
    pub census: Census,
}

/// The progress of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepHead {
    /// The watermark when the new rules came.
    pub at: Millis,
    pub next_row: RowNumber,
    /// Whether the rules are new to the customers; not after a rebuild.
    pub moves_clocks: bool,
}

/// A piece of a capture.
#[derive(Clone, Debug)]
pub enum Part {
    /// All texts that existed when the capture began; they come before the customers that refer to them.
    Texts(Vec<(TextReference, Arc<str>)>),
    /// Rows in order of their numbers, including free ones.
    Customers(CustomerImages),
    /// Ids accepted since the last stored capture.
    Ids(Vec<HourOfIds>),
    /// Marks set since the last stored capture; the latest mark of a customer counts.
    Marks(Vec<StoredMark>),
}

/// A capture that has not ended.
pub(super) struct Capture {
    next_text: Option<TextReference>,
    ids: Option<Vec<HourOfIds>>,
    marks: Option<Vec<StoredMark>>,
    /// How far the memory of ids had come when the capture began.
    progress: Option<Progress>,
}

impl Shard {
    /// The current state without customers, ids and marks.
    pub fn head(&self) -> Head {
        Head {
            watermark: self.time.watermark,
            now: self.time.now,
            latest_event: self.time.latest_event,
            customers_made: self.customers.created,
            generation: self.customers.generation,
            digest: self.digest(),
            publish_from: self.settings.publish_from,
            bootstrap: self.settings.bootstrap,
            sweep: self.sweep.as_ref().map(|sweep| SweepHead {
                at: sweep.at,
                next_row: sweep.next_row,
                moves_clocks: sweep.moves_clocks,
            }),
            rows_used: self.customers.profiles.rows_used(),
            customers: self.customers.profiles.len(),
            ids: self.duplicates.head(),
            census: self.census.clone(),
        }
    }

    /// Begins a capture of what changed since the last capture that was stored.
    ///
    /// # Panics
    /// If a capture has not ended.
    pub fn begin_capture(&mut self) -> Head {
        self.customers.profiles.begin_capture();
        self.capture = Some(Capture {
            next_text: Some(0),
            ids: Some(self.duplicates.unstored()),
            marks: Some(self.marks.capture()),
            progress: self.duplicates.progress(),
        });
        self.head()
    }

    /// The next piece of the capture, with at most `customers_max` customers; `None` after the last one.
    pub fn capture(&mut self, customers_max: usize) -> Option<Part> {
        let capture = self.capture.as_mut()?;
        if let Some(from) = capture.next_text {
            let texts = self.customers.profiles.captured_texts(from, TEXTS_MAX);
            capture.next_text = texts.last().map(|(reference, _)| reference + 1);
            if capture.next_text.is_none() {
                self.customers.profiles.release_captured_texts();
            }
            if !texts.is_empty() {
                return Some(Part::Texts(texts));
            }
        }
        let images = self.customers.profiles.capture(customers_max);
        if !images.is_empty() {
            return Some(Part::Customers(images));
        }
        let ids = capture.ids.take().filter(|ids| !ids.is_empty()).map(Part::Ids);
        ids.or_else(|| capture.marks.take().filter(|marks| !marks.is_empty()).map(Part::Marks))
    }

    /// Treats everything that was stored as lost: the next capture holds the whole state.
    pub fn forget_stored(&mut self) {
        self.customers.profiles.mark_all_changed();
        self.marks.forget_stored();
        self.duplicates.set_stored(None);
    }

    /// Bytes of rows that were copied early: the memory that an unfinished capture costs.
    pub fn captured_early(&self) -> usize {
        self.customers.profiles.bytes_copied_early()
    }

    /// Ends a capture. If it was not stored, the next one holds its content too.
    pub fn end_capture(&mut self, is_stored: bool) {
        let capture = self.capture.take().expect("a capture was begun before it ends");
        if is_stored {
            self.duplicates.set_stored(capture.progress);
        }
        self.customers.profiles.release_captured_texts();
        self.customers.profiles.end_capture(is_stored);
        self.marks.end_capture(is_stored);
    }
}
