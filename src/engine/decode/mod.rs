//! From the bytes of a record to an event, or the reason why it is none (E1).
//!
//! [`Decoder::decode`] reads like E1: one step per reason, in the order of the checks, so the first fault counts. The
//! text is scanned once ([`json`], [`fields`]); after that nothing is checked twice and, in the common case, nothing
//! is allocated.

mod attributes;
mod fields;
mod json;
mod money;
mod names;
mod partition;
mod time;

#[cfg(test)]
mod tests;

pub use partition::{Partitioner, partition_of};

use super::event::{Event, EventType, Millis, Reason, Record, Rejection, Text};
use super::meaning::{Attribute, Meaning};
use fields::Fields;
use json::Value;
use money::{Amount, Rate, Rates};
use std::borrow::Cow;

/// A larger record is refused.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a customer id at most.
pub const CUSTOMER_ID_BYTES_MAX: usize = 256;

/// Where records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Lines of a file: no key is needed and the partition means nothing.
    File,
    /// A topic: each record has a key and stands in the partition of its key.
    Kafka { partitioner: Partitioner, partitions: u32 },
}

/// What it takes to decode, made once from the meaning.
pub struct Decoder {
    types: Vec<(Box<str>, EventType)>,
    attributes: Vec<Attribute>,
    rates: Rates,
    max_future: Millis,
}

impl Decoder {
    pub fn new(meaning: &Meaning) -> Self {
        let built_in = EventType::BUILT_IN.iter().map(|(name, event_type)| ((*name).into(), *event_type));
        let declared = meaning.events.iter().enumerate();
        let declared = declared.map(|(n, declared)| (declared.name.as_str().into(), EventType::declared(n)));
        Self {
            types: built_in.chain(declared).collect(),
            attributes: meaning.attributes.clone(),
            rates: Rates::new(&meaning.currency),
            max_future: meaning.max_future,
        }
    }

    /// The event of a record, or the first reason in the order of E1 why there is none. `now` caps the arrival.
    pub fn decode<'a>(&self, record: &Record<'a>, source: &Source, now: Millis) -> Result<Event<'a>, Rejection> {
        let fields = scan(record.value)?;
        let customer_id = customer(record.key, source, fields.customer_id)?;
        check_partition(record, source)?;
        let event_type = self.event_type(fields.event_type)?;
        let (mut event, written) = self.by_schema(event_type, customer_id, &fields)?;
        event.time = self.time(&written.time, record.arrival.map_or(now, |arrival| arrival.min(now)))?;
        self.money(&mut event, &written)?;
        Ok(event)
    }

    fn event_type(&self, value: Value<'_>) -> Result<EventType, Rejection> {
        let Value::Text(quoted) = value else {
            return Err(reject(Reason::Type, format!("`type`: expected the name of a type, found {}", value.kind())));
        };
        let name = quoted.text();
        let known = self.types.iter().find(|(known, _)| **known == *name);
        known.map(|(_, event_type)| *event_type).ok_or_else(|| {
            let words = "expected a built-in type or one declared under [events] in rules.toml, found";
            reject(Reason::Type, format!("`type`: {words} {:?}", shortened(&name)))
        })
    }

    /// `schema`: takes the fields that mean something for the type; times and decimals stay as written for now.
    #[inline]
    fn by_schema<'a>(
        &self,
        event_type: EventType,
        customer_id: Text<'a>,
        fields: &Fields<'a>,
    ) -> Result<(Event<'a>, Written<'a>), Rejection> {
        use fields::{categories, decimal, text, unfit};
        let mut written = Written { time: written_time(fields.time)?, ..Written::default() };
        let mut event = Event {
            event_type,
            time: 0,
            customer_id,
            event_id: text("event_id", fields.event_id)?,
            order_id: None,
            amount: None,
            discounted: false,
            cart_total: None,
            cost: None,
            categories: Default::default(),
            channel: text("channel", fields.channel)?,
            campaign: text("campaign", fields.campaign)?,
            attributes: Vec::new(),
        };
        match event_type {
            EventType::PURCHASE | EventType::REFUND => {
                event.order_id = text("order_id", fields.order_id)?;
                written.amount = decimal("amount", fields.amount)?;
                written.currency = text("currency", fields.currency)?;
                let purchase = event_type == EventType::PURCHASE;
                if written.amount.is_none() && (purchase || event.order_id.is_none()) {
                    let expected = "a decimal (only a refund with `order_id` can do without)";
                    return Err(unfit("amount", expected, "nothing"));
                }
                if purchase {
                    written.discount = decimal("discount", fields.discount)?;
                    event.categories = categories(fields.category, fields.items)?;
                }
            }
            EventType::CANCEL => {
                event.order_id = text("order_id", fields.order_id)?;
                if event.order_id.is_none() {
                    return Err(unfit("order_id", "the order to cancel", "nothing"));
                }
            }
            EventType::VIEW => event.categories = categories(fields.category, fields.items)?,
            EventType::CART_ADD | EventType::CART_REMOVE => {
                written.cart_total = decimal("cart_total", fields.cart_total)?;
                event.categories = categories(fields.category, fields.items)?;
            }
            EventType::EXPOSURE => written.cost = decimal("cost", fields.cost)?,
            EventType::PROFILE => event.attributes = attributes::read(&self.attributes, fields.attributes)?,
            _ => {}
        }
        Ok((event, written))
    }

    /// `time`, `time_unit`, `time_future`.
    #[inline]
    fn time(&self, written: &WrittenTime<'_>, arrival: Millis) -> Result<Millis, Rejection> {
        let (time, reason) = match written {
            WrittenTime::Text(text) => (time::rfc3339(text).ok_or_else(|| no_rfc3339(text))?, Reason::Time),
            WrittenTime::Millis(millis) => (*millis, Reason::TimeUnit),
        };
        if !(time::EVENT_MIN..time::END).contains(&time) {
            let words = "expected a moment from 1990 to before 2100 (an integer is in milliseconds since 1970)";
            return Err(reject(reason, format!("`time`: {words}, found {time} ms")));
        }
        let latest = arrival.saturating_add(self.max_future);
        if time > latest {
            let words = "is after the record's arrival by more than max_future: check the source's clock, or --now";
            return Err(reject(Reason::TimeFuture, format!("`time`: {time} ms {words} (at most {latest} ms)")));
        }
        Ok(time)
    }

    /// `amount`, `currency`, and `amount` again.
    #[inline]
    fn money(&self, event: &mut Event<'_>, written: &Written<'_>) -> Result<(), Rejection> {
        let amount = parse_amount("amount", &written.amount)?;
        if event.event_type == EventType::REFUND && amount.is_some_and(Amount::is_zero) {
            return Err(reject(Reason::Amount, "`amount` of a refund: expected more than 0, found 0".into()));
        }
        let discount = parse_amount("discount", &written.discount)?;
        let cart_total = parse_amount("cart_total", &written.cart_total)?;
        let cost = parse_amount("cost", &written.cost)?;
        let rate = match &written.currency {
            None => self.rates.base(),
            Some(code) => self.rates.rate(code).ok_or_else(|| {
                let words = format!("expected one with a rate ({})", self.rates.codes());
                reject(Reason::Currency, format!("`currency`: {words}, found {:?}", shortened(code)))
            })?,
        };
        event.amount = minor_units("amount", amount, rate)?;
        event.discounted = minor_units("discount", discount, rate)?.is_some_and(|discount| discount > 0);
        event.cart_total = minor_units("cart_total", cart_total, self.rates.base())?;
        event.cost = minor_units("cost", cost, self.rates.base())?;
        Ok(())
    }
}

/// The customer id of a line, if it decodes that far: to which shard of a replay it goes.
pub fn customer_id(line: &[u8]) -> Option<String> {
    let fields = scan(line).ok()?;
    customer(None, &Source::File, fields.customer_id).ok().map(Cow::into_owned)
}

/// Fields that passed `schema`, but whose text is judged later.
#[derive(Default)]
struct Written<'a> {
    time: WrittenTime<'a>,
    amount: Option<Text<'a>>,
    currency: Option<Text<'a>>,
    discount: Option<Text<'a>>,
    cart_total: Option<Text<'a>>,
    cost: Option<Text<'a>>,
}

enum WrittenTime<'a> {
    Text(Text<'a>),
    Millis(Millis),
}

impl Default for WrittenTime<'_> {
    fn default() -> Self {
        Self::Millis(0)
    }
}

/// `too_large` and `decode`.
#[inline]
fn scan(value: &[u8]) -> Result<Fields<'_>, Rejection> {
    if value.len() > RECORD_BYTES_MAX {
        let words = format!("expected a record of at most {RECORD_BYTES_MAX} bytes, found {}", value.len());
        return Err(reject(Reason::TooLarge, words));
    }
    let text = std::str::from_utf8(value).map_err(|error| {
        reject(Reason::Decode, format!("expected UTF-8, found another byte at {}", error.valid_up_to()))
    })?;
    Fields::scan(text).map_err(|fault| {
        let found = match text.get(fault.at..).and_then(|rest| rest.chars().next()) {
            Some(character) => format!("{character:?}"),
            None => "the end".into(),
        };
        reject(Reason::Decode, format!("expected {} at byte {}, found {found}", fault.expected, fault.at))
    })
}

/// `key`: the customer id, from the record's key or the field; both must say the same.
#[inline]
fn customer<'a>(key: Option<&'a [u8]>, source: &Source, field: Value<'a>) -> Result<Text<'a>, Rejection> {
    let key = match key {
        Some(key) => match std::str::from_utf8(key) {
            Ok(key) => Some(Cow::Borrowed(key)),
            Err(_) => return Err(no_id("the record's key as text in UTF-8", "other bytes")),
        },
        None if matches!(source, Source::Kafka { .. }) => {
            return Err(no_id("the customer id as the record's key", "no key"));
        }
        None => None,
    };
    let field = match field {
        Value::Absent | Value::Null => None,
        Value::Text(quoted) => Some(quoted.text()),
        other => return Err(no_id("`customer_id` as text", other.kind())),
    };
    let id = match (key, field) {
        (Some(key), Some(field)) if key != field => {
            return Err(no_id("`customer_id` equal to the record's key", "another one"));
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => return Err(no_id("`customer_id`", "nothing")),
    };
    if !(1..=CUSTOMER_ID_BYTES_MAX).contains(&id.len()) {
        return Err(no_id("a customer id of 1 to 256 bytes", &format!("{} bytes", id.len())));
    }
    Ok(id)
}

fn check_partition(record: &Record<'_>, source: &Source) -> Result<(), Rejection> {
    let Source::Kafka { partitioner, partitions } = *source else { return Ok(()) };
    let (Partitioner::Murmur2 | Partitioner::Crc32, Some(key)) = (partitioner, record.key) else { return Ok(()) };
    let expected = partition_of(partitioner, key, partitions);
    if record.partition == expected {
        return Ok(());
    }
    let found = record.partition;
    let words =
        format!("expected the key in partition {expected} of {partitions} ({partitioner:?}), found it in {found}");
    Err(reject(Reason::Partition, format!("{words}: set the producer's partitioner, or ours, to the same")))
}

#[inline]
fn written_time(value: Value<'_>) -> Result<WrittenTime<'_>, Rejection> {
    const EXPECTED: &str = "RFC 3339 text with zone or integer milliseconds since 1970";
    match value {
        Value::Number(number) => match time::integer(number) {
            Ok(millis) => Ok(WrittenTime::Millis(millis)),
            Err(()) => Err(fields::unfit("time", EXPECTED, "a number with a fraction or an exponent")),
        },
        Value::Text(_) => Ok(WrittenTime::Text(fields::text("time", value)?.unwrap_or_default())),
        other => Err(fields::unfit("time", EXPECTED, other.kind())),
    }
}

#[inline]
fn parse_amount(field: &str, written: &Option<Text<'_>>) -> Result<Option<Amount>, Rejection> {
    let Some(text) = written else { return Ok(None) };
    Amount::parse(text).map(Some).map_err(|expected| {
        reject(Reason::Amount, format!("`{field}`: expected {expected}, found {:?}", shortened(text)))
    })
}

#[inline]
fn minor_units(field: &str, amount: Option<Amount>, rate: Rate) -> Result<Option<i64>, Rejection> {
    let Some(amount) = amount else { return Ok(None) };
    rate.minor_units(amount).map(Some).ok_or_else(|| {
        let words = format!("expected at most {} minor units of the base currency, found more", money::MINOR_UNITS_MAX);
        reject(Reason::Amount, format!("`{field}`: {words}"))
    })
}

#[cold]
fn no_id(expected: &str, found: &str) -> Rejection {
    reject(Reason::Key, format!("expected {expected}, found {found}"))
}

#[cold]
fn no_rfc3339(text: &str) -> Rejection {
    let words = "expected RFC 3339 with zone such as 2026-11-22T10:04:11Z";
    reject(Reason::Time, format!("`time`: {words}, found {:?}", shortened(text)))
}

#[cold]
fn reject(reason: Reason, words: String) -> Rejection {
    Rejection { reason, words }
}

/// The beginning of a text, for messages.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
