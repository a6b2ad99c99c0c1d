//! The customer id of a record: the checks `key` and `partition` of E1.

use super::fields::{Field, Fields};
use super::ids::{self, ID_BYTES_MAX, Placeholders};
use super::key_shape;
use super::partition::{Partitioner, partition_of};
use super::value::{JsonKind, JsonValue};
use super::{Source, reject};
use crate::engine::event::{Reason, Record, Rejection, Text};
use std::borrow::Cow;

/// `key`: the customer id from the record's key or from the field, which must be equal if both are there.
#[inline]
pub fn customer_id<'a>(
    key: Option<&'a [u8]>,
    source: &Source,
    fields: &Fields<'a>,
    placeholders: &Placeholders,
) -> Result<Text<'a>, Rejection> {
    let field = fields.value(Field::CustomerId);
    if field.is(JsonKind::Text) && key.map_or(matches!(source, Source::File), |key| key == field.bytes(fields.text)) {
        match fields.plain(Field::CustomerId, ID_BYTES_MAX) {
            Some(id) if !placeholders.contains(id) => return Ok(Cow::Borrowed(id)),
            _ => {}
        }
    }
    unusual_customer_id(key, source, fields, placeholders)
}

/// The same of any key and field.
#[inline(never)]
fn unusual_customer_id<'a>(
    key: Option<&'a [u8]>,
    source: &Source,
    fields: &Fields<'a>,
    placeholders: &Placeholders,
) -> Result<Text<'a>, Rejection> {
    let key = match key {
        Some(key) => Some(std::str::from_utf8(key).map_err(|_| no_text(key))?),
        None if matches!(source, Source::Kafka { .. }) => {
            return Err(key_rejection("the customer id as the record's key", "no key"));
        }
        None => None,
    };
    let field = fields.value(Field::CustomerId);
    let field = if field.is_absent() {
        None
    } else {
        Some(ids::id_text(fields.text, field).ok_or_else(|| no_id(fields, field))?)
    };
    let id = match (key, field) {
        (Some(key), Some(field)) if key != field => {
            return Err(key_rejection("`customer_id` equal to the record's key", "another id"));
        }
        (Some(key), None) if key_shape::is_suspect(key.as_bytes()) => {
            if let Some(shape) = key_shape::describe(key) {
                return Err(key_rejection(PLAIN_KEY, &shape));
            }
            Cow::Borrowed(key)
        }
        (Some(key), _) => Cow::Borrowed(key),
        (None, Some(field)) => field,
        (None, None) => return Err(key_rejection("`customer_id`", "nothing")),
    };
    if placeholders.contains(&id) {
        let found = format!("the placeholder {id:?} (`[ids] placeholders` in rules.toml lists them)");
        return Err(key_rejection("a customer id", &found));
    }
    if !(1..=ID_BYTES_MAX).contains(&id.len()) {
        return Err(key_rejection("a customer id of 1 to 256 bytes", &format!("{} bytes", id.len())));
    }
    Ok(id)
}

const PLAIN_KEY: &str = "the customer id as plain text in the record's key, or the same text in `customer_id`";

/// `partition`: the record is in the partition of its key.
#[inline]
pub fn check_partition(record: &Record<'_>, source: &Source) -> Result<(), Rejection> {
    let Source::Kafka { partitioner, partitions } = *source else { return Ok(()) };
    let (Partitioner::Murmur2 | Partitioner::Crc32, Some(key)) = (partitioner, record.key) else { return Ok(()) };
    let expected = partition_of(partitioner, key, partitions);
    if record.partition == expected {
        return Ok(());
    }
    let found = record.partition;
    let message =
        format!("expected the key in partition {expected} of {partitions} ({partitioner:?}), found it in {found}");
    Err(reject(Reason::Partition, format!("{message}: set the producer's partitioner, or ours, to the same")))
}

#[cold]
fn no_id(fields: &Fields<'_>, field: JsonValue) -> Rejection {
    key_rejection("`customer_id` as a text or an integer", ids::described(fields.text, field))
}

#[cold]
fn no_text(key: &[u8]) -> Rejection {
    key_rejection(PLAIN_KEY, &key_shape::describe_bytes(key))
}

#[cold]
fn key_rejection(expected: &str, found: &str) -> Rejection {
    reject(Reason::Key, format!("expected {expected}, found {found}"))
}
