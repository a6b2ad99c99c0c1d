//! The customer id of a record: the checks `key` and `partition` of E1.

use super::fields::{Field, Fields};
use super::partition::{Partitioner, partition_of};
use super::{Source, reject};
use crate::engine::event::{Reason, Record, Rejection, Text};
use std::borrow::Cow;

/// Bytes of a customer id at most.
pub const CUSTOMER_ID_BYTES_MAX: usize = 256;

/// `key`: the customer id from the record's key or from the field, which must be equal if both are there.
#[inline]
pub fn customer_id<'a>(key: Option<&'a [u8]>, source: &Source, fields: &Fields<'a>) -> Result<Text<'a>, Rejection> {
    let key = match key {
        Some(key) => {
            Some(std::str::from_utf8(key).map_err(|_| key_rejection("the record's key in UTF-8", "other bytes"))?)
        }
        None if matches!(source, Source::Kafka { .. }) => {
            return Err(key_rejection("the customer id as the record's key", "no key"));
        }
        None => None,
    };
    let field = fields.value(Field::CustomerId);
    if !field.is_absent() && !field.is_text() {
        return Err(key_rejection("`customer_id` as text", field.description()));
    }
    let field = (!field.is_absent()).then(|| field.text(fields.text));
    let id = match (key, field) {
        (Some(key), Some(field)) if key != field => {
            return Err(key_rejection("`customer_id` equal to the record's key", "another id"));
        }
        (Some(key), _) => Cow::Borrowed(key),
        (None, Some(field)) => field,
        (None, None) => return Err(key_rejection("`customer_id`", "nothing")),
    };
    if !(1..=CUSTOMER_ID_BYTES_MAX).contains(&id.len()) {
        return Err(key_rejection("a customer id of 1 to 256 bytes", &format!("{} bytes", id.len())));
    }
    Ok(id)
}

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
fn key_rejection(expected: &str, found: &str) -> Rejection {
    reject(Reason::Key, format!("expected {expected}, found {found}"))
}
