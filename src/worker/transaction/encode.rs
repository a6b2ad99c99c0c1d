//! The outputs as JSON, version 1: changes, memberships and rejected records (docs/change-event.md).
//!
//! The JSON is written by hand into a buffer, because an output costs as much as several inputs: structs that serialise
//! by serde to the same bytes take twice the instructions (10,516 against 5,331 for a change of 600 bytes, counted by
//! Callgrind in a release build). The bytes are a contract with consumers: these fields in this order.

use crate::engine::calendar::rfc3339_text;
use crate::engine::effects::{Change, Effects, Feature, Rejected, Scalar, Span, Trigger};
use crate::engine::event::{Millis, Record};
use crate::engine::profile::{HeldValue, split_set};
use crate::engine::rule::{Rules, Truth};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Write;

/// Raw bytes of a rejected record that are published.
const REJECTED_BYTES_MAX: usize = 64 * 1024;

/// The value of a change on the topic `changes`. `topics` are the input topics in their order.
pub fn change(out: &mut Vec<u8>, change: &Change, detected_at: Millis, effects: &Effects, topics: &[String]) {
    out.extend_from_slice(b"{\"schema\":1,\"customer_id\":");
    string(out, effects.text(change.customer_id));
    write!(out, ",\"life\":{},\"sequence\":{},\"segmentation\":", change.life, change.sequence).expect("memory");
    string(out, effects.text(change.segmentation));
    out.extend_from_slice(b",\"from\":");
    optional_span(out, change.from, effects);
    out.extend_from_slice(b",\"from_since\":");
    match change.from_since {
        Some(since) => moment(out, since),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"to\":");
    optional_span(out, change.to, effects);
    let fill = if change.is_fill { ",\"fill\":true" } else { "" };
    write!(out, ",\"cause\":\"{}\"{fill},\"effective_at\":", change.cause.name()).expect("memory");
    moment(out, change.effective_at);
    out.extend_from_slice(b",\"detected_at\":");
    moment(out, detected_at);
    out.extend_from_slice(b",\"trigger\":");
    trigger(out, change.trigger.as_ref(), effects, topics);
    out.extend_from_slice(b",\"because\":[");
    because(out, change, effects);
    out.extend_from_slice(b"],\"next\":");
    match change.next {
        Some(next) => {
            out.extend_from_slice(b"{\"to\":");
            string(out, effects.text(next.to));
            out.extend_from_slice(b",\"at\":");
            moment(out, next.at);
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"features\":");
    features(out, change.features.of(&effects.features), effects);
    out.extend_from_slice(b",\"rules_version\":");
    string(out, effects.text(change.rules_version));
    out.extend_from_slice(b",\"cuts_version\":null}");
}

/// The fields of a membership record besides the customer's values.
pub struct Membership<'a> {
    pub customer_id: &'a str,
    pub life: Millis,
    pub sequence: u32,
    pub effective_at: Millis,
    /// The encoded object of included features.
    pub features: &'a [u8],
}

/// The value of a membership record (R12).
pub fn membership(out: &mut Vec<u8>, customer: &Membership<'_>, held: &[HeldValue], rules: &Rules) {
    out.extend_from_slice(b"{\"customer_id\":");
    string(out, customer.customer_id);
    write!(out, ",\"life\":{},\"sequence\":{},\"effective_at\":", customer.life, customer.sequence).expect("memory");
    moment(out, customer.effective_at);
    out.extend_from_slice(b",\"rules_version\":");
    string(out, &rules.version);
    out.extend_from_slice(b",\"cuts_version\":null,\"segments\":{");
    let targets = || rules.targets.iter().zip(held);
    for (index, (target, held)) in targets().filter(|(target, _)| !target.is_audience()).enumerate() {
        name_in_object(out, index, &target.name);
        out.extend_from_slice(b"{\"value\":");
        if held.value == HeldValue::NULL {
            out.extend_from_slice(b"null");
        } else {
            string(out, target.value_name(held.value));
        }
        out.extend_from_slice(b",\"since\":");
        moment(out, held.since);
        out.push(b'}');
    }
    out.extend_from_slice(b"},\"audiences\":{");
    for (index, (target, held)) in targets().filter(|(target, _)| target.is_audience()).enumerate() {
        name_in_object(out, index, &target.name);
        write!(out, "{{\"in\":{},\"since\":", held.value == 1).expect("memory");
        moment(out, held.since);
        out.push(b'}');
    }
    out.extend_from_slice(b"},\"features\":");
    out.extend_from_slice(customer.features);
    out.push(b'}');
}

/// The value of a rejected record: the reason, where the record is, and its raw bytes.
pub fn rejected(out: &mut Vec<u8>, rejected: &Rejected, message: &str, record: &Record<'_>, topics: &[String]) {
    write!(out, "{{\"schema\":1,\"reason\":\"{}\",\"error\":", rejected.reason.name()).expect("memory");
    string(out, message);
    out.extend_from_slice(b",\"topic\":");
    string(out, &topics[usize::from(rejected.topic)]);
    write!(out, ",\"partition\":{},\"offset\":{},\"key\":", rejected.partition, rejected.offset).expect("memory");
    match record.key {
        Some(key) => base64(out, &key[..key.len().min(REJECTED_BYTES_MAX)]),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"value\":");
    base64(out, &record.value[..record.value.len().min(REJECTED_BYTES_MAX)]);
    write!(out, ",\"truncated\":{},\"detected_at\":", record.value.len() > REJECTED_BYTES_MAX).expect("memory");
    moment(out, rejected.detected_at);
    out.push(b'}');
}

/// The object of included features.
pub fn features(out: &mut Vec<u8>, features: &[Feature], effects: &Effects) {
    out.push(b'{');
    for (index, feature) in features.iter().enumerate() {
        name_in_object(out, index, effects.text(feature.name));
        scalar(out, feature.value, effects);
    }
    out.push(b'}');
}

fn trigger(out: &mut Vec<u8>, trigger: Option<&Trigger>, effects: &Effects, topics: &[String]) {
    let Some(trigger) = trigger else { return out.extend_from_slice(b"null") };
    out.extend_from_slice(b"{\"topic\":");
    string(out, &topics[usize::from(trigger.topic)]);
    write!(out, ",\"partition\":{},\"offset\":{},\"event_id\":", trigger.partition, trigger.offset).expect("memory");
    optional_span(out, trigger.event_id, effects);
    out.extend_from_slice(b",\"type\":");
    string(out, effects.text(trigger.event_type));
    out.extend_from_slice(b",\"time\":");
    moment(out, trigger.time);
    out.push(b'}');
}

fn because(out: &mut Vec<u8>, change: &Change, effects: &Effects) {
    for (index, because) in change.because.of(&effects.because).iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"rule\":");
        string(out, effects.text(because.rule));
        out.extend_from_slice(b",\"value\":");
        scalar(out, because.value, effects);
        out.extend_from_slice(b",\"was\":");
        out.extend_from_slice(truth(because.was));
        out.extend_from_slice(b",\"now\":");
        out.extend_from_slice(truth(because.now));
        out.push(b'}');
    }
}

fn truth(truth: Truth) -> &'static [u8] {
    match truth {
        Truth::True => b"true",
        Truth::False => b"false",
        Truth::Null => b"null",
    }
}

fn scalar(out: &mut Vec<u8>, value: Scalar, effects: &Effects) {
    match value {
        Scalar::Null => out.extend_from_slice(b"null"),
        Scalar::Integer(number) => write!(out, "{number}").expect("memory"),
        Scalar::Money(minor, decimals) => money(out, minor, decimals),
        Scalar::Double(number) => serde_json::to_writer(out, &number).expect("memory"),
        Scalar::Text(span) => string(out, effects.text(span)),
        Scalar::Boolean(boolean) => write!(out, "{boolean}").expect("memory"),
        Scalar::Time(time) => moment(out, time),
        Scalar::Texts(set) => {
            let texts: Vec<&str> = split_set(effects.text(set)).collect();
            serde_json::to_writer(out, &texts).expect("memory");
        }
    }
}

/// Money as text in major units with all digits of the minor unit.
fn money(out: &mut Vec<u8>, minor: i64, decimals: u32) {
    let sign = if minor < 0 { "-" } else { "" };
    let unit = 10_u64.pow(decimals);
    let (major, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    match decimals {
        0 => write!(out, "\"{sign}{major}\""),
        _ => write!(out, "\"{sign}{major}.{rest:0width$}\"", width = decimals as usize),
    }
    .expect("memory");
}

fn optional_span(out: &mut Vec<u8>, span: Option<Span>, effects: &Effects) {
    match span {
        Some(span) => string(out, effects.text(span)),
        None => out.extend_from_slice(b"null"),
    }
}

fn name_in_object(out: &mut Vec<u8>, index: usize, name: &str) {
    if index > 0 {
        out.push(b',');
    }
    string(out, name);
    out.push(b':');
}

fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text is written to memory");
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

/// A moment as quoted RFC 3339 text in UTC with milliseconds.
pub fn moment(out: &mut Vec<u8>, time: Millis) {
    out.push(b'"');
    out.extend_from_slice(&rfc3339_text(time));
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_keeps_all_digits() {
        let text = |minor, decimals| {
            let mut out = Vec::new();
            money(&mut out, minor, decimals);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(41_250, 2), "\"412.50\"");
        assert_eq!(text(-5, 2), "\"-0.05\"");
        assert_eq!(text(-300, 2), "\"-3.00\"");
        assert_eq!(text(7, 0), "\"7\"");
        assert_eq!(text(1_234, 3), "\"1.234\"");
    }
}
