//! The outputs as JSON, version 1: changes, memberships and rejected records (docs/change-event.md).
//!
//! The JSON is written by hand into a buffer, because an output costs as much as several inputs: structs that serialise
//! by serde to the same bytes take four times the instructions. What repeats is made once: the names of topics, the
//! constant parts of memberships, a moment that is in an output several times. What a membership shares with the change
//! before it is copied from there. The bytes are a contract with consumers: these fields in this order.

mod json;
mod membership;

#[cfg(test)]
mod tests;

use crate::engine::effects::{Because, Change, Effects, Feature, Rejected, Scalar, Span, Trigger};
use crate::engine::event::{Millis, Record};
use crate::engine::profile::{HeldValue, split_set};
use crate::engine::rule::{Rules, Truth};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json::{Moments, integer, is_plain, plain_string, string};
use membership::Template;

pub use json::{Piece, hex, unsigned};

/// Raw bytes of a rejected record that are published.
const REJECTED_BYTES_MAX: usize = 64 * 1024;

/// Encodes outputs.
pub struct Encoder {
    /// Names of the input topics as JSON strings, by index.
    topics: Vec<Vec<u8>>,
    /// No text of the effects at hand needs an escape, so that not each one has to be looked at.
    is_plain: bool,
    moments: Moments,
    /// The constant parts of memberships.
    template: Template,
}

/// An encoded change: where its parts are in the buffer.
pub struct EncodedChange {
    pub value: Piece,
    /// The fields `customer_id`, `life` and `sequence`, without brackets.
    pub identity: Piece,
    /// The object of included features.
    pub features: Piece,
    /// RFC 3339 text without quotes.
    pub effective_at: Piece,
    pub cause: Piece,
    pub customer_id: Content,
    pub segmentation: Content,
    pub from: Option<Content>,
    pub to: Option<Content>,
}

/// The content of a JSON string in the buffer, without its quotes.
#[derive(Clone, Copy)]
pub struct Content {
    pub text: Span,
    /// It has escapes if it is longer than the text.
    pub piece: Piece,
}

/// What a membership record says besides the customer's values. Pieces are those of the buffer that it is written to.
pub struct Membership<'a> {
    pub customer_id: &'a str,
    pub life: Millis,
    pub sequence: u32,
    pub effective_at: Millis,
    /// Where a change has id, life and sequence as the membership has them.
    pub identity: Option<Piece>,
    /// Where the object of included features is.
    pub features: Piece,
}

impl Encoder {
    /// `topics` are the input topics in their order.
    pub fn new(topics: &[String]) -> Self {
        let quoted = |topic: &String| {
            let mut quoted = Vec::new();
            string(&mut quoted, topic);
            quoted
        };
        Self {
            topics: topics.iter().map(quoted).collect(),
            is_plain: false,
            moments: Moments::new(),
            template: Template::default(),
        }
    }

    /// Begins with the effects of another input: what is encoded from now on has its texts from them.
    pub fn begin(&mut self, effects: &Effects) {
        self.is_plain = is_plain(effects.all_text().as_bytes());
    }

    /// The value of a change on the topic `changes`.
    pub fn change(
        &mut self,
        out: &mut Vec<u8>,
        change: &Change,
        detected_at: Millis,
        effects: &Effects,
    ) -> EncodedChange {
        let start = out.len();
        out.extend_from_slice(b"{\"schema\":1,");
        let identity_at = out.len();
        out.extend_from_slice(b"\"customer_id\":");
        let customer_id = self.content(out, change.customer_id, effects);
        life_and_sequence(out, change.life, change.sequence);
        let identity = Piece::since(identity_at, out);
        out.extend_from_slice(b",\"segmentation\":");
        let segmentation = self.content(out, change.segmentation, effects);
        out.extend_from_slice(b",\"from\":");
        let from = self.optional_text(out, change.from, effects);
        out.extend_from_slice(b",\"from_since\":");
        match change.from_since {
            Some(since) => drop(self.moments.write(out, since)),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"to\":");
        let to = self.optional_text(out, change.to, effects);
        out.extend_from_slice(b",\"cause\":\"");
        let cause = append(out, change.cause.name().as_bytes());
        let fill = b"\",\"fill\":true,\"effective_at\":";
        out.extend_from_slice(if change.is_fill { fill.as_slice() } else { b"\",\"effective_at\":" });
        let effective_at = self.moments.write(out, change.effective_at);
        out.extend_from_slice(b",\"detected_at\":");
        self.moments.write(out, detected_at);
        out.extend_from_slice(b",\"trigger\":");
        self.trigger(out, change.trigger.as_ref(), effects);
        out.extend_from_slice(b",\"because\":[");
        self.because(out, change.because.of(&effects.because), effects);
        out.extend_from_slice(b"],\"next\":");
        match change.next {
            Some(next) => {
                out.extend_from_slice(b"{\"to\":");
                self.text(out, next.to, effects);
                out.extend_from_slice(b",\"at\":");
                self.moments.write(out, next.at);
                out.push(b'}');
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"features\":");
        let features = self.features(out, change.features.of(&effects.features), effects);
        out.extend_from_slice(b",\"rules_version\":");
        self.text(out, change.rules_version, effects);
        out.extend_from_slice(b",\"cuts_version\":null}");
        let value = Piece::since(start, out);
        EncodedChange { value, identity, features, effective_at, cause, customer_id, segmentation, from, to }
    }

    /// The value of a membership record (R12).
    pub fn membership(&mut self, out: &mut Vec<u8>, customer: &Membership<'_>, held: &[HeldValue], rules: &Rules) {
        self.template.follow(rules);
        out.push(b'{');
        match customer.identity {
            Some(identity) => out.extend_from_within(identity.range()),
            None => {
                out.extend_from_slice(b"\"customer_id\":");
                string(out, customer.customer_id);
                life_and_sequence(out, customer.life, customer.sequence);
            }
        }
        out.extend_from_slice(b",\"effective_at\":");
        self.moments.write(out, customer.effective_at);
        self.template.write(out, held, &mut self.moments);
        out.extend_from_within(customer.features.range());
        out.push(b'}');
    }

    /// The value of a rejected record: the reason, where the record is, and its raw bytes.
    pub fn rejected(&mut self, out: &mut Vec<u8>, rejected: &Rejected, message: &str, record: &Record<'_>) {
        out.extend_from_slice(b"{\"schema\":1,\"reason\":\"");
        out.extend_from_slice(rejected.reason.name().as_bytes());
        out.extend_from_slice(b"\",\"error\":");
        string(out, message);
        out.extend_from_slice(b",\"topic\":");
        self.place(out, rejected.topic, rejected.partition, rejected.offset);
        out.extend_from_slice(b",\"key\":");
        match record.key {
            Some(key) => base64(out, &key[..key.len().min(REJECTED_BYTES_MAX)]),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"value\":");
        base64(out, &record.value[..record.value.len().min(REJECTED_BYTES_MAX)]);
        out.extend_from_slice(b",\"truncated\":");
        json::boolean(out, record.value.len() > REJECTED_BYTES_MAX);
        out.extend_from_slice(b",\"detected_at\":");
        self.moments.write(out, rejected.detected_at);
        out.push(b'}');
    }

    /// A text of the effects that were begun with, as a string.
    #[inline]
    fn text(&self, out: &mut Vec<u8>, text: Span, effects: &Effects) -> Piece {
        let text = effects.text(text);
        if self.is_plain { plain_string(out, text) } else { string(out, text) }
    }

    #[inline]
    fn content(&self, out: &mut Vec<u8>, text: Span, effects: &Effects) -> Content {
        Content { text, piece: self.text(out, text, effects) }
    }

    #[inline]
    fn optional_text(&self, out: &mut Vec<u8>, text: Option<Span>, effects: &Effects) -> Option<Content> {
        if text.is_none() {
            out.extend_from_slice(b"null");
        }
        text.map(|text| self.content(out, text, effects))
    }

    /// The object of included features.
    pub fn features(&mut self, out: &mut Vec<u8>, features: &[Feature], effects: &Effects) -> Piece {
        let start = out.len();
        out.push(b'{');
        for (index, feature) in features.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.text(out, feature.name, effects);
            out.push(b':');
            self.scalar(out, feature.value, effects);
        }
        out.push(b'}');
        Piece::since(start, out)
    }

    fn trigger(&mut self, out: &mut Vec<u8>, trigger: Option<&Trigger>, effects: &Effects) {
        let Some(trigger) = trigger else { return out.extend_from_slice(b"null") };
        out.extend_from_slice(b"{\"topic\":");
        self.place(out, trigger.topic, trigger.partition, trigger.offset);
        out.extend_from_slice(b",\"event_id\":");
        self.optional_text(out, trigger.event_id, effects);
        out.extend_from_slice(b",\"type\":");
        self.text(out, trigger.event_type, effects);
        out.extend_from_slice(b",\"time\":");
        self.moments.write(out, trigger.time);
        out.push(b'}');
    }

    /// The name of an input topic, and the fields `partition` and `offset`.
    fn place(&self, out: &mut Vec<u8>, topic: u16, partition: u32, offset: i64) {
        out.extend_from_slice(&self.topics[usize::from(topic)]);
        out.extend_from_slice(b",\"partition\":");
        unsigned(out, partition.into());
        out.extend_from_slice(b",\"offset\":");
        integer(out, offset);
    }

    fn because(&mut self, out: &mut Vec<u8>, because: &[Because], effects: &Effects) {
        for (index, because) in because.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"{\"rule\":".as_slice() } else { b",{\"rule\":" });
            self.text(out, because.rule, effects);
            out.extend_from_slice(b",\"value\":");
            self.scalar(out, because.value, effects);
            out.extend_from_slice(b",\"was\":");
            out.extend_from_slice(truth(because.was));
            out.extend_from_slice(b",\"now\":");
            out.extend_from_slice(truth(because.now));
            out.push(b'}');
        }
    }

    fn scalar(&mut self, out: &mut Vec<u8>, value: Scalar, effects: &Effects) {
        match value {
            Scalar::Null => out.extend_from_slice(b"null"),
            Scalar::Integer(number) => integer(out, number),
            Scalar::Money(minor, decimals) => json::money(out, minor, decimals),
            Scalar::Double(number) => json::double(out, number),
            Scalar::Text(span) => drop(self.text(out, span, effects)),
            Scalar::Boolean(boolean) => json::boolean(out, boolean),
            Scalar::Time(time) => drop(self.moments.write(out, time)),
            Scalar::Texts(set) => {
                out.push(b'[');
                for (index, text) in split_set(effects.text(set)).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    string(out, text);
                }
                out.push(b']');
            }
        }
    }
}

/// The fields that, after the customer's id, say which state of the customer is meant.
fn life_and_sequence(out: &mut Vec<u8>, life: Millis, sequence: u32) {
    out.extend_from_slice(b",\"life\":");
    integer(out, life);
    out.extend_from_slice(b",\"sequence\":");
    unsigned(out, sequence.into());
}

fn truth(truth: Truth) -> &'static [u8] {
    match truth {
        Truth::True => b"true",
        Truth::False => b"false",
        Truth::Null => b"null",
    }
}

/// Appends bytes. Returns where they are.
pub fn append(out: &mut Vec<u8>, bytes: &[u8]) -> Piece {
    let start = out.len();
    out.extend_from_slice(bytes);
    Piece::since(start, out)
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}
