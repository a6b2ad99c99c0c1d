//! The outputs of one shard in one transaction, encoded as they come and kept in one buffer until they are published.
//!
//! Changes and rejected records are encoded at once. The membership of a customer is encoded once per transaction, at
//! its end (R12), from the state that the transaction leaves.

use super::census;
use super::encode::{Content, EncodedChange, Encoder, Membership, append, hex};
use super::traceparent::{self, Traceparent};
use crate::engine::effects::report::Report;
use crate::engine::effects::{Change, Effects, Span, Touched};
use crate::engine::event::{Millis, Record};
use crate::engine::profile::{HeldValue, Profiles};
use crate::engine::shard::Shard;
use hashbrown::HashTable;
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_128;

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
    /// Of the id, as profiles are found by it.
    hash: u64,
    effective_at: Millis,
    /// The customer is gone; a new customer with the same id has not changed yet.
    is_gone: bool,
    features: Range<usize>,
    /// The customer's latest change in this transaction.
    latest: Option<LatestChange>,
}

/// A change whose bytes its customer's membership can share.
#[derive(Clone)]
struct LatestChange {
    life: Millis,
    sequence: u32,
    /// See [`EncodedChange`].
    identity: Range<usize>,
}

/// What the changes of one evaluation share with its touched customer.
struct EvaluationParts {
    customer_id: Span,
    key: Range<usize>,
    features: Range<usize>,
    latest: LatestChange,
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
    detection: DetectedAt,
    encoder: Encoder,
    /// Begins with the values of [`ConstantHeaders`].
    bytes: Vec<u8>,
    constants: ConstantHeaders,
    entries: Vec<OutputEntry>,
    headers: Vec<OutputHeader>,
    pending: Vec<PendingMembership>,
    pending_by_id: HashTable<u32>,
    /// The first sampled traces that led to changes.
    links: Vec<Traceparent>,
    // Memory that is used again.
    evaluations: Vec<EvaluationParts>,
    held: Vec<HeldValue>,
    hashed: Vec<u8>,
}

/// Where the values of headers are that all changes have.
struct ConstantHeaders {
    specversion: Range<usize>,
    event_type: Range<usize>,
    source: Range<usize>,
    content_type: Range<usize>,
    /// Of all of them.
    length: usize,
}

impl ConstantHeaders {
    fn new(source: &str, bytes: &mut Vec<u8>) -> Self {
        let specversion = append(bytes, b"1.0");
        let event_type = append(bytes, b"shoal.segment.changed.v1");
        let source = append(bytes, source.as_bytes());
        let content_type = append(bytes, b"application/json");
        Self { specversion, event_type, source, content_type, length: bytes.len() }
    }
}

impl Outbox {
    /// Names of the input topics, by index.
    pub fn inputs(&self) -> &[String] {
        &self.topics
    }

    /// `source` is `ce_source` of changes.
    pub fn new(topics: Vec<String>, source: &str, detection: DetectedAt) -> Self {
        let mut bytes = Vec::new();
        Self {
            encoder: Encoder::new(&topics),
            constants: ConstantHeaders::new(source, &mut bytes),
            topics,
            detection,
            bytes,
            entries: Vec::new(),
            headers: Vec::new(),
            pending: Vec::new(),
            pending_by_id: HashTable::new(),
            links: Vec::new(),
            evaluations: Vec::new(),
            held: Vec::new(),
            hashed: Vec::new(),
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
            let key = append(&mut self.bytes, record.key.unwrap_or_default());
            let start = self.bytes.len();
            self.encoder.rejected(&mut self.bytes, rejected, effects.text(rejected.message), record);
            self.push_output(Topic::Rejected, key, Some(start..self.bytes.len()), self.headers.len());
        }
        self.evaluations.clear();
        for change in &effects.changes {
            let value = change.trigger.and_then(|trigger| traceparent(trigger.topic, trigger.offset));
            let read = value.and_then(Traceparent::read);
            self.encode_change(change, effects, value.filter(|_| read.is_some()));
            let sampled = read.filter(|read| read.is_sampled && self.links.len() < LINKS_MAX);
            self.links.extend(sampled.filter(|read| !self.links.contains(read)));
        }
        // Both lists are in the order of evaluations, and each evaluation keeps the id of its customer once.
        let mut evaluations = std::mem::take(&mut self.evaluations);
        let mut parts = evaluations.drain(..).peekable();
        for touched in &effects.touched {
            while parts.next_if(|parts| parts.customer_id < touched.customer_id).is_some() {}
            let parts = parts.next_if(|parts| parts.customer_id == touched.customer_id);
            self.touch(touched, parts, effects);
        }
        drop(parts);
        self.evaluations = evaluations;
    }

    /// Encodes the census reports of a shard.
    pub fn encode_reports(&mut self, shard: u32, reports: &[Report]) {
        for record in reports.iter().flat_map(|report| census::records(shard, report)) {
            let key = append(&mut self.bytes, record.key.as_bytes());
            let value = append(&mut self.bytes, &record.value);
            self.push_output(Topic::Census, key, Some(value), self.headers.len());
        }
    }

    /// Encodes the memberships of all customers that changed, as the transaction leaves them.
    #[inline(never)]
    pub fn encode_memberships(&mut self, shard: &Shard) {
        let mut pending = std::mem::take(&mut self.pending);
        for pending in pending.drain(..) {
            let Self { bytes, encoder, held, .. } = self;
            let customer_id = std::str::from_utf8(&bytes[pending.id.clone()]).expect("ids are text");
            let row = shard.profiles().find(pending.hash, customer_id).filter(|_| !pending.is_gone);
            let value = row.map(|row| {
                let profile = shard.profiles().row(row);
                shard.profiles().held(row, held);
                let is_latest =
                    |change: &LatestChange| (change.life, change.sequence) == (profile.life, profile.sequence);
                let customer = Membership {
                    id: pending.id.clone(),
                    life: profile.life,
                    sequence: profile.sequence,
                    effective_at: pending.effective_at,
                    identity: pending.latest.filter(is_latest).map(|change| change.identity),
                    features: pending.features,
                };
                let start = bytes.len();
                encoder.membership(bytes, customer, held, shard.rules());
                start..bytes.len()
            });
            self.push_output(Topic::Membership, pending.id, value, self.headers.len());
        }
        self.pending = pending;
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
        self.bytes.len() - self.constants.length
    }

    /// The first sampled traces that led to changes, each once.
    pub fn links(&self) -> &[Traceparent] {
        &self.links
    }

    /// Drops all outputs and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(self.constants.length);
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
        let encoded = self.encoder.change(&mut self.bytes, change, detected_at, effects);
        let key = self.text_of(&encoded.customer_id, effects);
        let first_header = self.headers.len();
        self.add_headers(change, &encoded, key.clone(), effects);
        if let Some(value) = traceparent {
            let value = append(&mut self.bytes, value);
            self.add_header(traceparent::HEADER, value);
        }
        self.push_output(Topic::Changes, key.clone(), Some(encoded.value), first_header);
        let EncodedChange { identity, features, .. } = encoded;
        let latest = LatestChange { life: change.life, sequence: change.sequence, identity };
        let parts = EvaluationParts { customer_id: change.customer_id, key, features, latest };
        match self.evaluations.last_mut() {
            Some(last) if last.customer_id == parts.customer_id => *last = parts,
            _ => self.evaluations.push(parts),
        }
    }

    /// CloudEvents 1.0 attributes in Kafka's binary mode, and attributes that let a consumer filter without parsing.
    fn add_headers(&mut self, change: &Change, encoded: &EncodedChange, subject: Range<usize>, effects: &Effects) {
        self.add_header("ce_specversion", self.constants.specversion.clone());
        let id = self.change_id(change, effects);
        self.add_header("ce_id", id);
        self.add_header("ce_type", self.constants.event_type.clone());
        self.add_header("ce_source", self.constants.source.clone());
        self.add_header("ce_subject", subject);
        self.add_header("ce_time", encoded.effective_at.clone());
        self.add_header("content-type", self.constants.content_type.clone());
        let segmentation = self.text_of(&encoded.segmentation, effects);
        self.add_header("ce_segmentation", segmentation);
        for (name, content) in [("ce_from", &encoded.from), ("ce_to", &encoded.to)] {
            if let Some(content) = content {
                let value = self.text_of(content, effects);
                self.add_header(name, value);
            }
        }
        self.add_header("ce_cause", encoded.cause.clone());
    }

    fn add_header(&mut self, name: &'static str, value: Range<usize>) {
        self.headers.push(OutputHeader { name, value });
    }

    /// Where a text is in the buffer: in the encoded value, or appended if it has escapes there.
    fn text_of(&mut self, content: &Content, effects: &Effects) -> Range<usize> {
        let text = effects.text(content.text);
        if content.range.len() == text.len() { content.range.clone() } else { append(&mut self.bytes, text.as_bytes()) }
    }

    /// `ce_id`: the same for the same change, however often it is published.
    fn change_id(&mut self, change: &Change, effects: &Effects) -> Range<usize> {
        let Self { hashed, bytes, .. } = self;
        hashed.clear();
        for text in [change.customer_id, change.segmentation] {
            hashed.extend_from_slice(effects.text(text).as_bytes());
            hashed.push(0);
        }
        hashed.extend_from_slice(&change.life.to_be_bytes());
        hashed.extend_from_slice(&change.sequence.to_be_bytes());
        let start = bytes.len();
        hex(bytes, xxh3_128(hashed));
        start..bytes.len()
    }

    fn push_output(&mut self, topic: Topic, key: Range<usize>, value: Option<Range<usize>>, first_header: usize) {
        self.entries.push(OutputEntry { topic, key, value, headers: first_header..self.headers.len() });
    }

    /// Notes a customer whose membership is due. `parts` is what the changes of the same evaluation have encoded.
    fn touch(&mut self, touched: &Touched, parts: Option<EvaluationParts>, effects: &Effects) {
        let Self { bytes, encoder, pending, pending_by_id, .. } = self;
        let id = effects.text(touched.customer_id).as_bytes();
        let hash = Profiles::hash(id);
        let touched = match parts {
            Some(EvaluationParts { key, features, latest, .. }) => PendingMembership {
                id: key,
                hash,
                effective_at: touched.effective_at,
                is_gone: touched.is_gone,
                features,
                latest: Some(latest),
            },
            None => PendingMembership {
                id: append(bytes, id),
                hash,
                effective_at: touched.effective_at,
                is_gone: touched.is_gone,
                features: encoder.features(bytes, touched.features.of(&effects.features), effects),
                latest: None,
            },
        };
        let same_id = |&index: &u32| bytes[pending[index as usize].id.clone()] == *id;
        if let Some(&index) = pending_by_id.find(hash, same_id) {
            pending[index as usize] = touched;
            return;
        }
        pending_by_id.insert_unique(hash, pending.len() as u32, |&index| pending[index as usize].hash);
        pending.push(touched);
    }
}
