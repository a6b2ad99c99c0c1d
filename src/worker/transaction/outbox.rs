//! The outputs of one shard in one transaction, encoded as they come and kept in one buffer until they are published.
//!
//! Changes and rejected records are encoded at once. The membership of a customer is encoded once per transaction, at
//! its end (R12), from the state that the transaction leaves.

use super::census;
use super::encode::{Content, EncodedChange, Encoder, Membership, Piece, append, hex};
use super::traceparent::{self, Traceparent};
use crate::engine::effects::report::Report;
use crate::engine::effects::{Change, Effects, Span, Touched};
use crate::engine::event::{Millis, Record};
use crate::engine::profile::{HeldValue, Profiles};
use crate::engine::shard::Shard;
use hashbrown::HashTable;
use serde::Deserialize;
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

/// Which headers changes have, besides those by which Shoal finds its own outputs again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputHeaders {
    /// The attributes of CloudEvents, and what the value has, to filter without parsing it.
    All,
    /// Those that CloudEvents requires in Kafka's binary mode, and `traceparent`.
    #[default]
    CloudEvents,
    None,
}

/// Which memberships are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memberships {
    #[default]
    All,
    /// Only the tombstones of customers that are removed, so that none stays in the topic from before.
    Tombstones,
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
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'static str, &'a [u8])> {
        let bytes = self.bytes;
        self.headers.iter().map(move |header| (header.name, header.value.of(bytes)))
    }
}

#[derive(Clone, Copy, Debug)]
struct OutputHeader {
    name: &'static str,
    value: Piece,
}

#[derive(Clone, Copy, Debug)]
struct OutputEntry {
    topic: Topic,
    key: Piece,
    value: Option<Piece>,
    /// Indexes into the list of headers.
    headers: (u32, u32),
}

/// A customer whose membership is encoded at the end of the transaction.
struct PendingMembership {
    /// In [`Outbox::ids`].
    id: Piece,
    /// The same among the bytes of the outputs.
    key: Piece,
    /// Of the id, as profiles are found by it.
    hash: u64,
    effective_at: Millis,
    /// The customer is gone; a new customer with the same id has not changed yet.
    is_gone: bool,
    /// A customer with this id is gone, and perhaps there is a new one.
    was_gone: bool,
    features: Piece,
    /// The customer's latest change in this transaction.
    latest: Option<LatestChange>,
}

/// A change whose bytes its customer's membership can share.
#[derive(Clone, Copy)]
struct LatestChange {
    life: Millis,
    sequence: u32,
    /// See [`EncodedChange`].
    identity: Piece,
}

/// What the changes of one evaluation share with its touched customer.
#[derive(Clone, Copy)]
struct EvaluationParts {
    customer_id: Span,
    key: Piece,
    features: Piece,
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
    headers_of_changes: OutputHeaders,
    memberships: Memberships,
    encoder: Encoder,
    /// Begins with the values of [`ConstantHeaders`].
    bytes: Vec<u8>,
    constants: ConstantHeaders,
    entries: Vec<OutputEntry>,
    headers: Vec<OutputHeader>,
    pending: Vec<PendingMembership>,
    /// Ids of the customers in `pending`.
    ids: String,
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
    specversion: Piece,
    event_type: Piece,
    source: Piece,
    content_type: Piece,
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
            headers_of_changes: OutputHeaders::default(),
            memberships: Memberships::default(),
            bytes,
            entries: Vec::new(),
            headers: Vec::new(),
            pending: Vec::new(),
            ids: String::new(),
            pending_by_id: HashTable::new(),
            links: Vec::new(),
            evaluations: Vec::new(),
            held: Vec::new(),
            hashed: Vec::new(),
        }
    }

    /// With these headers of changes.
    pub fn with_headers(mut self, headers: OutputHeaders) -> Self {
        self.headers_of_changes = headers;
        self
    }

    /// From now on these memberships are published, also of customers that changed in this transaction before.
    pub fn set_memberships(&mut self, memberships: Memberships) {
        self.memberships = memberships;
    }

    /// Publishes these memberships, or the others if only then the transaction has this number of outputs.
    pub fn fit_memberships(&mut self, memberships: Memberships, outputs: u64) {
        let count = |memberships| match memberships {
            Memberships::All => self.pending.len(),
            Memberships::Tombstones => self.pending.iter().filter(|pending| pending.was_gone).count(),
        };
        let other = match memberships {
            Memberships::All => Memberships::Tombstones,
            Memberships::Tombstones => Memberships::All,
        };
        let fits = |memberships: &Memberships| (self.entries.len() + count(*memberships)) as u64 == outputs;
        self.memberships = Some(other).filter(|other| !fits(&memberships) && fits(other)).unwrap_or(memberships);
    }

    /// Encodes the effects of an input. `records` are the input's records; empty if it has none.
    pub fn encode(&mut self, effects: &Effects, records: &[Record<'_>]) {
        self.encode_traced(effects, records, &no_header);
    }

    /// Encodes the effects of an input whose records may have the header `traceparent`.
    #[inline(never)]
    pub fn encode_traced(&mut self, effects: &Effects, records: &[Record<'_>], traceparent: &HeaderOf<'_>) {
        self.encoder.begin(effects);
        for rejected in &effects.rejected {
            let record = &records[rejected.record as usize];
            let key = append(&mut self.bytes, record.key.unwrap_or_default());
            let start = self.bytes.len();
            self.encoder.rejected(&mut self.bytes, rejected, effects.text(rejected.message), record);
            self.push_output(Topic::Rejected, key, Some(Piece::since(start, &self.bytes)), self.headers.len());
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
        self.entries.reserve(pending.len());
        for pending in pending.drain(..) {
            let Self { bytes, encoder, held, ids, memberships, .. } = self;
            let is_tombstone = match memberships {
                Memberships::All => pending.is_gone,
                Memberships::Tombstones if !pending.was_gone => continue,
                Memberships::Tombstones => true,
            };
            let customer_id = &ids[pending.id.range()];
            let row = shard.profiles().find(pending.hash, customer_id).filter(|_| !is_tombstone);
            let value = row.map(|row| {
                let profile = shard.profiles().row(row);
                shard.profiles().held(row, held);
                let is_latest =
                    |change: &LatestChange| (change.life, change.sequence) == (profile.life, profile.sequence);
                let customer = Membership {
                    customer_id,
                    life: profile.life,
                    sequence: profile.sequence,
                    effective_at: pending.effective_at,
                    identity: pending.latest.filter(is_latest).map(|change| change.identity),
                    features: pending.features,
                };
                let start = bytes.len();
                encoder.membership(bytes, &customer, held, shard.rules());
                Piece::since(start, bytes)
            });
            self.push_output(Topic::Membership, pending.key, value, self.headers.len());
        }
        self.pending = pending;
        self.ids.clear();
        self.pending_by_id.clear();
    }

    /// The outputs in the order in which they were encoded.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = Output<'_>> {
        self.entries.iter().map(|entry| Output {
            topic: entry.topic,
            key: entry.key.of(&self.bytes),
            value: entry.value.map(|value| value.of(&self.bytes)),
            headers: &self.headers[entry.headers.0 as usize..entry.headers.1 as usize],
            bytes: &self.bytes,
        })
    }

    /// How many headers all outputs have.
    pub fn headers(&self) -> usize {
        self.headers.len()
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
        self.ids.clear();
        self.pending_by_id.clear();
        self.links.clear();
    }

    fn encode_change(&mut self, change: &Change, effects: &Effects, traceparent: Option<&[u8]>) {
        let detected_at = match self.detection {
            DetectedAt::WallClock => change.detected_at,
            DetectedAt::Effective => change.effective_at,
        };
        let encoded = self.encoder.change(&mut self.bytes, change, detected_at, effects);
        let key = self.text_of(encoded.customer_id, effects);
        let first_header = self.headers.len();
        match self.headers_of_changes {
            OutputHeaders::All => self.add_all_headers(change, &encoded, key, effects),
            OutputHeaders::CloudEvents => self.add_required_headers(change, effects),
            OutputHeaders::None => {}
        }
        if let Some(value) = traceparent.filter(|_| self.headers_of_changes != OutputHeaders::None) {
            let value = append(&mut self.bytes, value);
            self.add_header(traceparent::HEADER, value);
        }
        self.push_output(Topic::Changes, key, Some(encoded.value), first_header);
        let EncodedChange { identity, features, .. } = encoded;
        let latest = LatestChange { life: change.life, sequence: change.sequence, identity };
        let parts = EvaluationParts { customer_id: change.customer_id, key, features, latest };
        match self.evaluations.last_mut() {
            Some(last) if last.customer_id == parts.customer_id => *last = parts,
            _ => self.evaluations.push(parts),
        }
    }

    /// Those that CloudEvents 1.0 requires in Kafka's binary mode.
    fn add_required_headers(&mut self, change: &Change, effects: &Effects) {
        let id = self.change_id(change, effects);
        let ConstantHeaders { specversion, event_type, source, content_type, .. } = self.constants;
        self.headers.extend([
            OutputHeader { name: "ce_specversion", value: specversion },
            OutputHeader { name: "ce_id", value: id },
            OutputHeader { name: "ce_type", value: event_type },
            OutputHeader { name: "ce_source", value: source },
            OutputHeader { name: "content-type", value: content_type },
        ]);
    }

    /// All of them, also attributes that let a consumer filter without parsing.
    fn add_all_headers(&mut self, change: &Change, encoded: &EncodedChange, subject: Piece, effects: &Effects) {
        self.add_required_headers(change, effects);
        self.add_header("ce_subject", subject);
        self.add_header("ce_time", encoded.effective_at);
        let segmentation = self.text_of(encoded.segmentation, effects);
        self.add_header("ce_segmentation", segmentation);
        for (name, content) in [("ce_from", encoded.from), ("ce_to", encoded.to)] {
            if let Some(content) = content {
                let value = self.text_of(content, effects);
                self.add_header(name, value);
            }
        }
        self.add_header("ce_cause", encoded.cause);
    }

    fn add_header(&mut self, name: &'static str, value: Piece) {
        self.headers.push(OutputHeader { name, value });
    }

    /// Where a text is in the buffer: in the encoded value, or appended if it has escapes there.
    fn text_of(&mut self, content: Content, effects: &Effects) -> Piece {
        let text = effects.text(content.text);
        if content.piece.range().len() == text.len() { content.piece } else { append(&mut self.bytes, text.as_bytes()) }
    }

    /// `ce_id`: the same for the same change, however often it is published.
    fn change_id(&mut self, change: &Change, effects: &Effects) -> Piece {
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
        Piece::since(start, bytes)
    }

    fn push_output(&mut self, topic: Topic, key: Piece, value: Option<Piece>, first_header: usize) {
        let headers = (first_header as u32, self.headers.len() as u32);
        self.entries.push(OutputEntry { topic, key, value, headers });
    }

    /// Notes a customer whose membership is due. `parts` is what the changes of the same evaluation have encoded.
    fn touch(&mut self, touched: &Touched, parts: Option<EvaluationParts>, effects: &Effects) {
        let Self { bytes, encoder, pending, ids, pending_by_id, .. } = self;
        let id = effects.text(touched.customer_id);
        let hash = Profiles::hash(id.as_bytes());
        let (key, features, latest) = match parts {
            Some(EvaluationParts { key, features, latest, .. }) => (key, features, Some(latest)),
            None => {
                let key = append(bytes, id.as_bytes());
                (key, encoder.features(bytes, touched.features.of(&effects.features), effects), None)
            }
        };
        let Touched { effective_at, is_gone, .. } = *touched;
        let same_id = |&index: &u32| ids[pending[index as usize].id.range()] == *id;
        if let Some(&index) = pending_by_id.find(hash, same_id) {
            let known = &mut pending[index as usize];
            let (id, was_gone) = (known.id, known.was_gone || is_gone);
            *known = PendingMembership { id, key, hash, effective_at, is_gone, was_gone, features, latest };
            return;
        }
        pending_by_id.insert_unique(hash, pending.len() as u32, |&index| pending[index as usize].hash);
        let start = ids.len();
        ids.push_str(id);
        let id = Piece::since(start, ids.as_bytes());
        let was_gone = is_gone;
        pending.push(PendingMembership { id, key, hash, effective_at, is_gone, was_gone, features, latest });
    }
}
