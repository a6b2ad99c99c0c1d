//! A shard's state handed out piece by piece, as it was when the capture began, while the shard goes on; to be stored
//! outside.
//!
//! Only what changed since the last capture that was stored is in it: whoever stores it adds it to what is there. The
//! shard never walks over all customers; a slice of rows at a time is copied, and a row that is to change before its
//! turn just before it does. A capture changes nothing that an input could notice, so it is not journalled.

use super::{Bootstrap, Census, Shard, StoredMark};
use crate::engine::event::Millis;
use crate::engine::profile::dedup::{HourOfIds, IdsHead, Progress};
use crate::engine::profile::{CustomerImages, RowNumber, TextReference};
use std::sync::Arc;

/// Texts handed out at once.
const TEXTS_MAX: usize = 4_096;

/// All of a shard but for customers, ids and marks.
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
    /// A sweep that has yet to end.
    pub sweep: Option<SweepHead>,
    /// Row numbers below this were ever used.
    pub rows_used: RowNumber,
    pub customers: usize,
    pub ids: IdsHead,
    pub census: Census,
}

/// Where a sweep stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepHead {
    /// The watermark as it stood when the new rules came.
    pub at: Millis,
    pub next_row: RowNumber,
}

/// A piece of a capture.
#[derive(Clone, Debug)]
pub enum Part {
    /// All texts there were when the capture began; they come before the customers that refer to them.
    Texts(Vec<(TextReference, Arc<str>)>),
    /// Rows in order of their numbers, free ones too.
    Customers(CustomerImages),
    /// Ids that came since the last stored capture.
    Ids(Vec<HourOfIds>),
    /// Marks set since the last stored capture; of one customer the latest counts.
    Marks(Vec<StoredMark>),
}

/// A capture that goes on.
pub(super) struct Capture {
    next_text: Option<TextReference>,
    ids: Option<Vec<HourOfIds>>,
    marks: Option<Vec<StoredMark>>,
    /// How far the memory of ids had come when it began.
    progress: Option<Progress>,
}

impl Shard {
    /// Where the shard stands.
    pub fn head(&self) -> Head {
        Head {
            watermark: self.watermark,
            now: self.now,
            latest_event: self.latest_event,
            customers_made: self.customers_made,
            generation: self.generation,
            digest: self.digest(),
            publish_from: self.settings.publish_from,
            bootstrap: self.settings.bootstrap,
            sweep: self.sweep.as_ref().map(|sweep| SweepHead { at: sweep.at, next_row: sweep.next_row }),
            rows_used: self.profiles.rows_used(),
            customers: self.profiles.len(),
            ids: self.duplicates.head(),
            census: self.census.clone(),
        }
    }

    /// Begins a capture of what changed since the last one that was stored.
    ///
    /// # Panics
    /// If one goes on already.
    pub fn begin_capture(&mut self) -> Head {
        self.profiles.begin_capture();
        self.capture = Some(Capture {
            next_text: Some(0),
            ids: Some(self.duplicates.unstored()),
            marks: Some(self.marks.capture()),
            progress: self.duplicates.progress(),
        });
        self.head()
    }

    /// The next piece of the capture, with at most so many customers; `None` when all were given.
    pub fn capture(&mut self, customers_max: usize) -> Option<Part> {
        let capture = self.capture.as_mut()?;
        if let Some(from) = capture.next_text {
            let texts = self.profiles.captured_texts(from, TEXTS_MAX);
            capture.next_text = texts.last().map(|(reference, _)| reference + 1);
            if capture.next_text.is_none() {
                self.profiles.release_captured_texts();
            }
            if !texts.is_empty() {
                return Some(Part::Texts(texts));
            }
        }
        let images = self.profiles.capture(customers_max);
        if !images.is_empty() {
            return Some(Part::Customers(images));
        }
        let ids = capture.ids.take().filter(|ids| !ids.is_empty()).map(Part::Ids);
        ids.or_else(|| capture.marks.take().filter(|marks| !marks.is_empty()).map(Part::Marks))
    }

    /// What was stored is lost: the next capture is of everything.
    pub fn forget_stored(&mut self) {
        self.profiles.mark_all_changed();
        self.marks.forget_stored();
        self.duplicates.set_stored(None);
    }

    /// Bytes of rows that were copied before their turn: what waiting with a capture costs.
    pub fn captured_early(&self) -> usize {
        self.profiles.bytes_copied_early()
    }

    /// Ends a capture. What was not stored is in the next one.
    pub fn end_capture(&mut self, is_stored: bool) {
        let capture = self.capture.take().expect("a capture was begun");
        if is_stored {
            self.duplicates.set_stored(capture.progress);
        }
        self.profiles.release_captured_texts();
        self.profiles.end_capture(is_stored);
        self.marks.end_capture(is_stored);
    }
}
