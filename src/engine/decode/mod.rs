//! From the bytes of a record to an event, or to the reason why it is rejected (E1).
//!
//! [`Decoder::decode`] follows E1: one step per reason, in the order of the checks, so that the first fault is
//! reported. The text is scanned once ([`json`], [`fields`]); after that nothing is checked twice and, in the common
//! case, nothing is allocated.

mod amounts;
mod ascii;
mod attributes;
mod customer;
mod escape;
mod fields;
mod ids;
mod json;
mod key_shape;
mod money;
mod names;
mod partition;
mod properties;
mod scan;
mod shapes;
mod string;
mod time;
mod value;
mod vector;

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub use partition::{Partitioner, partition_of};
pub use string::special_bytes;

use super::calendar::Rfc3339Parser;
use super::event::{DescriptiveField, Event, EventType, Millis, Reason, Record, Rejection};
use super::event_settings::{Attribute, EventSettings};
use crate::document::nearest::nearest;
use ascii::utf8;
use customer::check_partition;
use fields::{Field, Fields, TEXT_BYTES_MAX, schema_rejection};
use ids::{Placeholders, read_id};
use money::Rates;
use properties::Properties;
use shapes::Shapes;
use std::borrow::Cow;
use value::{JsonKind, JsonValue};

/// Bytes of a record at most.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// Where records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Lines of a file, which need no key and have no partition.
    File,
    /// A topic, where each record has a key and is in the partition of its key.
    Kafka { partitioner: Partitioner, partitions: u32 },
}

impl Source {
    /// The number of partitions of the topic; 1 for a file.
    pub fn partitions(&self) -> u32 {
        match self {
            Self::File => 1,
            Self::Kafka { partitions, .. } => *partitions,
        }
    }
}

/// Decodes records by the event settings from which it was made.
pub struct Decoder {
    types: Vec<(Box<str>, EventType)>,
    attributes: Vec<Attribute>,
    properties: Properties,
    rates: Rates,
    placeholders: Placeholders,
    max_future: Millis,
    shapes: Shapes,
    rfc3339: Rfc3339Parser,
}

impl Decoder {
    pub fn new(event_settings: &EventSettings) -> Self {
        let built_in = EventType::BUILT_IN.iter().map(|(name, event_type)| ((*name).into(), *event_type));
        let declared = event_settings.declared_types().map(|(name, event_type)| (name.into(), event_type));
        Self {
            types: built_in.chain(declared).collect(),
            attributes: event_settings.attributes.clone(),
            properties: Properties::new(event_settings),
            rates: Rates::new(&event_settings.currency),
            placeholders: Placeholders::new(&event_settings.placeholders),
            max_future: event_settings.max_future,
            shapes: Shapes::default(),
            rfc3339: Rfc3339Parser::default(),
        }
    }

    /// The event of a record, or why it is rejected, for tests.
    #[cfg(test)]
    pub fn decode<'a>(&mut self, record: &Record<'a>, source: &Source, now: Millis) -> Result<Event<'a>, Rejection> {
        let mut event = Event::EMPTY;
        self.decode_into(record, source, now, &mut event).map(|()| event)
    }

    /// Decodes a record into an empty event, or returns the first reason in the order of E1 to reject it; then the
    /// event has some of its fields. `now` caps the arrival. The event is not returned, since it is large to be moved.
    #[inline(never)]
    pub fn decode_into<'a>(
        &mut self,
        record: &Record<'a>,
        source: &Source,
        now: Millis,
        event: &mut Event<'a>,
    ) -> Result<(), Rejection> {
        let mut fields = Fields::unscanned(text(record.value)?);
        self.find_fields(&mut fields)?;
        event.customer_id = customer::customer_id(record.key, source, &fields, &self.placeholders)?;
        check_partition(record, source)?;
        event.event_type = self.event_type(&fields)?;
        let amount = self.described(&fields, event)?;
        event.time = self.time(&fields, record.arrival.map_or(now, |arrival| arrival.min(now)))?;
        if amounts::has_money(event.event_type) {
            self.money(&fields, amount, event)?;
        }
        if properties::has_coupon(event.event_type) {
            fields.describe(Field::Coupon, DescriptiveField::Coupon, &mut event.unfit, &mut event.coupon);
        }
        if self.properties.are_read_in(event.event_type) {
            event.properties = self.properties.read(event.event_type, &fields, &mut event.unfit);
        }
        Ok(())
    }

    /// The rest of `decode`, and the fields of the record.
    #[inline(always)]
    fn find_fields(&mut self, fields: &mut Fields<'_>) -> Result<(), Rejection> {
        if self.shapes.read(fields) { Ok(()) } else { self.scan_fields(fields) }
    }

    /// The same of a record of no known shape, whose shape it learns.
    #[inline(never)]
    fn scan_fields(&mut self, fields: &mut Fields<'_>) -> Result<(), Rejection> {
        *fields = Fields::unscanned(fields.text);
        scan(fields)?;
        self.shapes.learn(fields.text, |name| type_named(&self.types, name));
        Ok(())
    }

    #[inline]
    fn event_type(&self, fields: &Fields<'_>) -> Result<EventType, Rejection> {
        if let Some(event_type) = fields.event_type {
            return Ok(event_type);
        }
        let value = fields.value(Field::Type);
        if !value.is_text() {
            let found = value.description();
            return Err(reject(Reason::Type, format!("`type`: expected the name of a type, found {found}")));
        }
        let name = value.text(fields.text);
        type_named(&self.types, &name).ok_or_else(|| self.unknown_type(&name))
    }

    #[cold]
    fn unknown_type(&self, name: &str) -> Rejection {
        let name = shortened(name);
        let hint = nearest(&name, self.types.iter().map(|(known, _)| &**known));
        let hint = hint.map_or_else(String::new, |hint| format!(": {hint}"));
        let message = "expected a built-in type or one declared under [events] in rules.toml, found";
        reject(Reason::Type, format!("`type`: {message} {name:?}{hint}"))
    }

    /// `schema`: reads the fields that have a meaning for the type, all but optional amounts and the currency. Returns
    /// the required amount as it is written; its digits are checked in [`Self::money`].
    #[inline(always)]
    fn described<'a>(&self, fields: &Fields<'a>, event: &mut Event<'a>) -> Result<JsonValue, Rejection> {
        check_time_schema(fields)?;
        let unfit = &mut event.unfit;
        read_id(fields, Field::EventId, &self.placeholders, &mut event.event_id)?;
        fields.describe(Field::Channel, DescriptiveField::Channel, unfit, &mut event.channel);
        fields.describe(Field::Campaign, DescriptiveField::Campaign, unfit, &mut event.campaign);
        match event.event_type {
            EventType::PURCHASE | EventType::REFUND | EventType::AMEND => {
                read_id(fields, Field::OrderId, &self.placeholders, &mut event.order_id)?;
                let amount = amounts::decimal(fields)?;
                let is_optional = event.event_type == EventType::REFUND && event.order_id.is_some();
                if amount.is_absent() && !is_optional {
                    return Err(schema_rejection(
                        "amount",
                        "a decimal (optional in a refund with `order_id`)",
                        "nothing",
                    ));
                }
                if event.event_type == EventType::AMEND && event.order_id.is_none() {
                    return Err(schema_rejection("order_id", "the order to amend", "nothing"));
                }
                if event.event_type == EventType::PURCHASE {
                    fields.categories(&mut event.categories, unfit);
                }
                return Ok(amount);
            }
            EventType::CANCEL => {
                read_id(fields, Field::OrderId, &self.placeholders, &mut event.order_id)?;
                if event.order_id.is_none() {
                    return Err(schema_rejection("order_id", "the order to cancel", "nothing"));
                }
            }
            EventType::VIEW | EventType::CART_ADD | EventType::CART_REMOVE => {
                fields.categories(&mut event.categories, unfit);
            }
            EventType::PROFILE => event.attributes = attributes::read(&self.attributes, fields, unfit),
            _ => {}
        }
        Ok(JsonValue::ABSENT)
    }

    /// `time`, `time_unit`, `time_future`.
    #[inline]
    fn time(&mut self, fields: &Fields<'_>, arrival: Millis) -> Result<Millis, Rejection> {
        let time = written_time(fields, &mut self.rfc3339)?;
        let latest = arrival.saturating_add(self.max_future);
        if time > latest {
            let message = "expected at most max_future after the record's arrival (check the source's clock, or --now)";
            return Err(reject(Reason::TimeFuture, format!("`time`: {message}: {latest} ms, found {time} ms")));
        }
        Ok(time)
    }
}

fn type_named(types: &[(Box<str>, EventType)], name: &str) -> Option<EventType> {
    types.iter().find(|(known, _)| **known == *name).map(|(_, event_type)| *event_type)
}

/// The customer id of a line, if the line can be decoded that far. It determines the shard in a replay.
pub fn customer_id(line: &[u8]) -> Option<String> {
    let mut fields = Fields::unscanned(text(line).ok()?);
    scan(&mut fields).ok()?;
    customer::customer_id(None, &Source::File, &fields, &Placeholders::NONE).ok().map(Cow::into_owned)
}

/// The time of a line, if the line can be decoded that far and the time is within the bounds. Files are merged by it
/// (T7).
pub fn time_of(line: &[u8]) -> Option<Millis> {
    let mut fields = Fields::unscanned(text(line).ok()?);
    scan(&mut fields).ok()?;
    check_time_schema(&fields).ok()?;
    written_time(&fields, &mut Rfc3339Parser::default()).ok()
}

/// `too_large`, and the part of `decode` that the record is UTF-8.
#[inline]
fn text(value: &[u8]) -> Result<&str, Rejection> {
    if value.len() > RECORD_BYTES_MAX {
        let message = format!("expected a record of at most {RECORD_BYTES_MAX} bytes, found {}", value.len());
        return Err(reject(Reason::TooLarge, message));
    }
    utf8(value).map_err(|error| {
        reject(Reason::Decode, format!("expected UTF-8, found an invalid byte at {}", error.valid_up_to()))
    })
}

/// The rest of `decode`.
#[inline]
fn scan(fields: &mut Fields<'_>) -> Result<(), Rejection> {
    fields.scan().map_err(|error| {
        let found = match fields.text.get(error.at..).and_then(|rest| rest.chars().next()) {
            Some(character) => format!("{character:?}"),
            None => "the end".into(),
        };
        reject(Reason::Decode, format!("expected {} at byte {}, found {found}", error.expected, error.at))
    })
}

#[inline]
fn check_time_schema(fields: &Fields<'_>) -> Result<(), Rejection> {
    const EXPECTED: &str = "RFC 3339 text with zone or integer milliseconds since 1970";
    let value = fields.value(Field::Time);
    if value.is_text() && (1..=TEXT_BYTES_MAX).contains(&value.length()) {
        return Ok(());
    }
    match value.kind() {
        JsonKind::Text | JsonKind::EscapedText => check_time_length(&value.text(fields.text)),
        JsonKind::Number if time::milliseconds(value.raw(fields.text)).is_ok() => Ok(()),
        JsonKind::Number => Err(schema_rejection("time", EXPECTED, "a number with a fraction or an exponent")),
        _ => Err(schema_rejection("time", EXPECTED, value.description())),
    }
}

/// `time`, `time_unit`.
#[inline]
fn written_time(fields: &Fields<'_>, rfc3339: &mut Rfc3339Parser) -> Result<Millis, Rejection> {
    let value = fields.value(Field::Time);
    if value.is(JsonKind::Text)
        && let Some(time) = rfc3339.parse(value.bytes(fields.text))
        && (time::EVENT_MIN..time::END).contains(&time)
    {
        return Ok(time);
    }
    unusual_time(fields.text, value, rfc3339)
}

/// The same of any value.
#[inline(never)]
fn unusual_time(record: &str, value: JsonValue, rfc3339: &mut Rfc3339Parser) -> Result<Millis, Rejection> {
    let text = value.text(record);
    let (time, reason) = if value.is(JsonKind::Number) {
        (time::milliseconds(&text).unwrap_or(Millis::MAX), Reason::TimeUnit)
    } else {
        (rfc3339.parse(text.as_bytes()).ok_or_else(|| not_rfc3339(&text))?, Reason::Time)
    };
    if !(time::EVENT_MIN..time::END).contains(&time) {
        let message = "expected a moment from 1990 to before 2100 (an integer is in milliseconds since 1970)";
        return Err(reject(reason, format!("`time`: {message}, found {:?}", shortened(&text))));
    }
    Ok(time)
}

#[cold]
fn check_time_length(text: &str) -> Result<(), Rejection> {
    if (1..=TEXT_BYTES_MAX).contains(&text.len()) {
        return Ok(());
    }
    Err(schema_rejection("time", "a text of 1 to 128 bytes", &format!("{} bytes", text.len())))
}

#[cold]
fn not_rfc3339(text: &str) -> Rejection {
    let message = "expected RFC 3339 with zone such as 2026-11-22T10:04:11Z";
    reject(Reason::Time, format!("`time`: {message}, found {:?}", shortened(text)))
}

#[cold]
fn reject(reason: Reason, message: String) -> Rejection {
    Rejection { reason, message }
}

/// The beginning of a text, for messages.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
