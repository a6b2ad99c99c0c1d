//! The outputs of one shard in one transaction, encoded as they come and kept in one buffer until they are published.
//!
//! Changes and rejected records are encoded at once. The membership of a customer is encoded once per transaction, at
//! its end (R12), from the state that the transaction leaves.

use super::census;
use super::encode::{self, Membership};
use super::traceparent::{self, Traceparent};
use crate::engine::calendar::rfc3339_text;
use crate::engine::effects::report::Report;
use crate::engine::effects::{Change, Effects};
use crate::engine::event::{Millis, Record};
use crate::engine::shard::Shard;
use hashbrown::HashTable;
use std::ops::Range;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Sampled traces of one shard that a transaction is linked to.
const LINKS_MAX: usize = 32;

/// The topic of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    Changes,
    Membership,
    Rejected,
    Census,
}

impl Topic {
    pub const ALL: [Self; 4] = [Self::Changes, Self::Membership, Self::Rejected, Self::Census];
}

/// What changes carry as `detected_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectedAt {
    /// The journalled wall clock.
    WallClock,
    /// The change's `effective_at`, for `replay`, which has no wall clock (R8).
    Effective,
}

/// One encoded output.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    pub topic: Topic,
    pub key: &'a [u8],
    /// `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    headers: &'a [OutputHeader],
    bytes: &'a [u8],
}

impl<'a> Output<'a> {
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        let bytes = self.bytes;
        self.headers.iter().map(move |header| (header.name, &bytes[header.value.clone()]))
    }
}

#[derive(Clone, Debug)]
struct OutputHeader {
    name: &'static str,
    value: Range<usize>,
}

#[derive(Clone, Debug)]
struct OutputEntry {
    topic: Topic,
    key: Range<usize>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

/// A customer whose membership is encoded at the end of the transaction.
struct PendingMembership {
    id: Range<usize>,
    effective_at: Millis,
    /// The customer is gone; a new customer with the same id has not changed yet.
    is_gone: bool,
    features: Range<usize>,
}

/// The value of the header `traceparent` of an input record, by topic and offset.
pub type HeaderOf<'a> = dyn Fn(u16, i64) -> Option<&'a [u8]> + 'a;

/// For inputs without records, or without headers.
pub fn no_header<'a>(_topic: u16, _offset: i64) -> Option<&'a [u8]> {
    None
}

/// The outputs of one shard in one transaction.
pub struct Outbox {
    /// Names of the input topics, by index.
    topics: Vec<String>,
    /// `ce_source` of changes.
    source: String,
    detection: DetectedAt,
    bytes: Vec<u8>,
    entries: Vec<OutputEntry>,
    headers: Vec<OutputHeader>,
    pending: Vec<PendingMembership>,
    pending_by_id: HashTable<u32>,
    /// The first sampled traces that led to changes.
    links: Vec<Traceparent>,
}

impl Outbox {
    /// Names of the input topics, by index.
    pub fn inputs(&self) -> &[String] {
        &self.topics
    }

    pub fn new(topics: Vec<String>, source: String, detection: DetectedAt) -> Self {
        Self {
            topics,
            source,
            detection,
            bytes: Vec::new(),
            entries: Vec::new(),
            headers: Vec::new(),
            pending: Vec::new(),
            pending_by_id: HashTable::new(),
            links: Vec::new(),
        }
    }

    /// Encodes the effects of an input. `records` are the input's records; empty if it has none.
    pub fn encode(&mut self, effects: &Effects, records: &[Record<'_>]) {
        self.encode_traced(effects, records, &no_header);
    }

    /// Encodes the effects of an input whose records may have the header `traceparent`.
    #[inline(never)]
    pub fn encode_traced(&mut self, effects: &Effects, records: &[Record<'_>], traceparent: &HeaderOf<'_>) {
        for rejected in &effects.rejected {
            let record = &records[rejected.record as usize];
            let key = self.append(|out| out.extend_from_slice(record.key.unwrap_or_default()));
            let message = effects.text(rejected.message);
            let start = self.bytes.len();
            encode::rejected(&mut self.bytes, rejected, message, record, &self.topics);
            self.push_output(Topic::Rejected, key, Some(start..self.bytes.len()), self.headers.len());
        }
        for change in &effects.changes {
            let value = change.trigger.and_then(|trigger| traceparent(trigger.topic, trigger.offset));
            let read = value.and_then(Traceparent::read);
            self.encode_change(change, effects, value.filter(|_| read.is_some()));
            let sampled = read.filter(|read| read.is_sampled && self.links.len() < LINKS_MAX);
            self.links.extend(sampled.filter(|read| !self.links.contains(read)));
        }
        for touched in &effects.touched {
            let id = self.append(|out| out.extend_from_slice(effects.text(touched.customer_id).as_bytes()));
            let features = self.append(|out| encode::features(out, touched.features.of(&effects.features), effects));
            self.add_pending(PendingMembership {
                id,
                effective_at: touched.effective_at,
                is_gone: touched.is_gone,
                features,
            });
        }
    }

    /// Encodes the census reports of a shard.
    pub fn encode_reports(&mut self, shard: u32, reports: &[Report]) {
        for record in reports.iter().flat_map(|report| census::records(shard, report)) {
            let key = self.append(|out| out.extend_from_slice(record.key.as_bytes()));
            let value = self.append(|out| out.extend_from_slice(&record.value));
            self.push_output(Topic::Census, key, Some(value), self.headers.len());
        }
    }

    /// Encodes the memberships of all customers that changed, as the transaction leaves them.
    #[inline(never)]
    pub fn encode_memberships(&mut self, shard: &Shard) {
        let mut held = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            let id = std::str::from_utf8(&self.bytes[pending.id.clone()]).expect("ids are text").to_owned();
            let row = shard.find(&id).filter(|_| !pending.is_gone);
            let value = row.map(|row| {
                let profile = shard.profiles().row(row);
                shard.profiles().held(row, &mut held);
                let features = self.bytes[pending.features.clone()].to_vec();
                let customer = Membership {
                    customer_id: &id,
                    life: profile.life,
                    sequence: profile.sequence,
                    effective_at: pending.effective_at,
                    features: &features,
                };
                self.append(|out| encode::membership(out, &customer, &held, shard.rules()))
            });
            self.push_output(Topic::Membership, pending.id, value, self.headers.len());
        }
        self.pending_by_id.clear();
    }

    /// The outputs in the order in which they were encoded.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = Output<'_>> {
        self.entries.iter().map(|entry| Output {
            topic: entry.topic,
            key: &self.bytes[entry.key.clone()],
            value: entry.value.clone().map(|value| &self.bytes[value]),
            headers: &self.headers[entry.headers.clone()],
            bytes: &self.bytes,
        })
    }

    /// Whether there is nothing to publish, neither now nor at the end of the transaction.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.pending.is_empty()
    }

    /// Bytes in the buffer, to bound a transaction.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The first sampled traces that led to changes, each once.
    pub fn links(&self) -> &[Traceparent] {
        &self.links
    }

    /// Drops all outputs and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.headers.clear();
        self.pending.clear();
        self.pending_by_id.clear();
        self.links.clear();
    }

    fn encode_change(&mut self, change: &Change, effects: &Effects, traceparent: Option<&[u8]>) {
        let detected_at = match self.detection {
            DetectedAt::WallClock => change.detected_at,
            DetectedAt::Effective => change.effective_at,
        };
        let key = self.append(|out| out.extend_from_slice(effects.text(change.customer_id).as_bytes()));
        let start = self.bytes.len();
        encode::change(&mut self.bytes, change, detected_at, effects, &self.topics);
        let value = start..self.bytes.len();
        let first_header = self.headers.len();
        self.add_headers(change, key.clone(), effects);
        if let Some(value) = traceparent {
            self.add_header(traceparent::HEADER, |out| out.extend_from_slice(value));
        }
        self.push_output(Topic::Changes, key, Some(value), first_header);
    }

    /// CloudEvents 1.0 attributes in Kafka's binary mode, and attributes that let a consumer filter without parsing.
    fn add_headers(&mut self, change: &Change, subject: Range<usize>, effects: &Effects) {
        let id = change_id(change, effects);
        self.add_header("ce_specversion", |out| out.extend_from_slice(b"1.0"));
        self.add_header("ce_id", |out| out.extend_from_slice(format!("{id:032x}").as_bytes()));
        self.add_header("ce_type", |out| out.extend_from_slice(b"shoal.segment.changed.v1"));
        let source = self.source.clone();
        self.add_header("ce_source", |out| out.extend_from_slice(source.as_bytes()));
        self.headers.push(OutputHeader { name: "ce_subject", value: subject });
        self.add_header("ce_time", |out| out.extend_from_slice(&rfc3339_text(change.effective_at)));
        self.add_header("content-type", |out| out.extend_from_slice(b"application/json"));
        self.add_header("ce_segmentation", |out| out.extend_from_slice(effects.text(change.segmentation).as_bytes()));
        for (name, value) in [("ce_from", change.from), ("ce_to", change.to)] {
            if let Some(value) = value {
                self.add_header(name, |out| out.extend_from_slice(effects.text(value).as_bytes()));
            }
        }
        self.add_header("ce_cause", |out| out.extend_from_slice(change.cause.name().as_bytes()));
    }

    fn add_header(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let value = self.append(write);
        self.headers.push(OutputHeader { name, value });
    }

    fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        start..self.bytes.len()
    }

    fn push_output(&mut self, topic: Topic, key: Range<usize>, value: Option<Range<usize>>, first_header: usize) {
        self.entries.push(OutputEntry { topic, key, value, headers: first_header..self.headers.len() });
    }

    fn add_pending(&mut self, touched: PendingMembership) {
        let Self { bytes, pending, pending_by_id, .. } = self;
        let id_hash = |index: &u32| xxh3_64(&bytes[pending[*index as usize].id.clone()]);
        let id = &bytes[touched.id.clone()];
        let same_id = |index: &u32| &bytes[pending[*index as usize].id.clone()] == id;
        if let Some(&index) = pending_by_id.find(xxh3_64(id), same_id) {
            pending[index as usize] = touched;
            return;
        }
        pending_by_id.insert_unique(xxh3_64(id), pending.len() as u32, id_hash);
        pending.push(touched);
    }
}

/// `ce_id`: the same for the same change, however often it is published.
fn change_id(change: &Change, effects: &Effects) -> u128 {
    let mut bytes = Vec::with_capacity(64);
    for text in [change.customer_id, change.segmentation] {
        bytes.extend_from_slice(effects.text(text).as_bytes());
        bytes.push(0);
    }
    bytes.extend_from_slice(&change.life.to_be_bytes());
    bytes.extend_from_slice(&change.sequence.to_be_bytes());
    xxh3_128(&bytes)
}
