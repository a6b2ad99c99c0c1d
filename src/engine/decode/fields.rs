//! The fields of a native event: found in one pass over the record, then read as the event's type requires.
//!
//! The fields are those of the table under "Events" in the semantics. A field without meaning for the type of the event
//! is never read, so it may have any value (E2).

use super::json::{Entries, UNIQUE_NAMES};
use super::names::NameSet;
use super::reject;
use super::scan::{Scan, expect_end, syntax_error};
use super::value::{JsonKind, JsonValue};
use crate::engine::event::{Categories, DescriptiveField, EventType, Reason, Rejection, Text, Unfit};

/// Bytes of a text that only describes at most; more are cut (E5).
pub const TEXT_BYTES_MAX: usize = 128;

/// The known fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    EventId,
    CustomerId,
    Type,
    Time,
    OrderId,
    Amount,
    Currency,
    Discount,
    CartTotal,
    Category,
    Items,
    Channel,
    Campaign,
    Cost,
    Attributes,
    Coupon,
    Properties,
}

impl Field {
    const COUNT: usize = 17;

    #[cfg(test)]
    pub const ALL: [Self; Self::COUNT] = [
        Self::EventId,
        Self::CustomerId,
        Self::Type,
        Self::Time,
        Self::OrderId,
        Self::Amount,
        Self::Currency,
        Self::Discount,
        Self::CartTotal,
        Self::Category,
        Self::Items,
        Self::Channel,
        Self::Campaign,
        Self::Cost,
        Self::Attributes,
        Self::Coupon,
        Self::Properties,
    ];

    #[inline]
    pub fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"event_id" => Self::EventId,
            b"customer_id" => Self::CustomerId,
            b"type" => Self::Type,
            b"time" => Self::Time,
            b"order_id" => Self::OrderId,
            b"amount" => Self::Amount,
            b"currency" => Self::Currency,
            b"discount" => Self::Discount,
            b"cart_total" => Self::CartTotal,
            b"category" => Self::Category,
            b"items" => Self::Items,
            b"channel" => Self::Channel,
            b"campaign" => Self::Campaign,
            b"cost" => Self::Cost,
            b"attributes" => Self::Attributes,
            b"coupon" => Self::Coupon,
            b"properties" => Self::Properties,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::EventId => "event_id",
            Self::CustomerId => "customer_id",
            Self::Type => "type",
            Self::Time => "time",
            Self::OrderId => "order_id",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Discount => "discount",
            Self::CartTotal => "cart_total",
            Self::Category => "category",
            Self::Items => "items",
            Self::Channel => "channel",
            Self::Campaign => "campaign",
            Self::Cost => "cost",
            Self::Attributes => "attributes",
            Self::Coupon => "coupon",
            Self::Properties => "properties",
        }
    }
}

/// A record's text with the values of the known fields.
pub struct Fields<'a> {
    pub text: &'a str,
    /// The type of the event, if the record's shape has told it; [`Field::Type`] then has no value.
    pub event_type: Option<EventType>,
    values: [JsonValue; Field::COUNT],
}

impl<'a> Fields<'a> {
    /// A record's text before its scan.
    #[inline]
    pub fn unscanned(text: &'a str) -> Self {
        Self { text, event_type: None, values: [JsonValue::ABSENT; Field::COUNT] }
    }

    /// Checks that the text is one JSON object as E1 requires (`decode`), and finds the known fields.
    pub fn scan(&mut self) -> Scan<()> {
        let text = self.text;
        let mut unknown = None;
        let mut entries = Entries::of_object(text, 0, 0)?;
        while let Some(member) = entries.next_member()? {
            let field = if member.name.is(JsonKind::Text) {
                Field::of(member.name.bytes(text))
            } else {
                Field::of(member.name.text(text).as_bytes())
            };
            let is_new = match field {
                Some(field) => {
                    let before = std::mem::replace(&mut self.values[field as usize], member.value);
                    before.is(JsonKind::Absent)
                }
                None => unknown.get_or_insert_with(NameSet::default).insert(text, member.name),
            };
            if !is_new {
                return Err(syntax_error(member.name.start(), UNIQUE_NAMES));
            }
        }
        expect_end(text, entries.end())
    }

    #[inline]
    pub fn set(&mut self, field: Field, value: JsonValue) {
        self.values[field as usize] = value;
    }

    #[inline]
    pub fn value(&self, field: Field) -> JsonValue {
        self.values[field as usize]
    }

    /// A string without escapes of 1 to `bytes_max` bytes: what most texts are.
    #[inline(always)]
    pub fn plain(&self, field: Field, bytes_max: usize) -> Option<&'a str> {
        let value = self.value(field);
        let is_plain = value.is(JsonKind::Text) && (1..=bytes_max).contains(&value.length());
        is_plain.then(|| value.raw(self.text))
    }

    /// Reads a text that only describes, if there is one (E5).
    #[inline(always)]
    pub fn describe(&self, field: Field, name: DescriptiveField, unfit: &mut Unfit, into: &mut Option<Text<'a>>) {
        if let Some(text) = self.plain(field, TEXT_BYTES_MAX) {
            *into = Some(Text::Borrowed(text));
        } else if !self.value(field).is_absent() {
            *into = unusual_description(self.text, self.value(field), name, unfit);
        }
    }

    /// The event's category, then those of its items.
    #[inline(always)]
    pub fn categories(&self, categories: &mut Categories<'a>, unfit: &mut Unfit) {
        self.describe(Field::Category, DescriptiveField::Category, unfit, &mut categories.first);
        let items = self.value(Field::Items);
        if !items.is_absent() {
            self.item_categories(items, categories, unfit);
        }
    }

    fn item_categories(&self, items: JsonValue, categories: &mut Categories<'a>, unfit: &mut Unfit) {
        if !items.is(JsonKind::Array) {
            return unfit.leave_out(DescriptiveField::Items);
        }
        let mut items = Entries::of_array(self.text, items.start(), 0).expect(CHECKED);
        while let Some(item) = items.next_object().expect(CHECKED) {
            let Ok(mut entries) = item else {
                unfit.leave_out(DescriptiveField::Items);
                continue;
            };
            while let Some(member) = entries.next_member().expect(CHECKED) {
                if member.name.text(self.text) == "category" {
                    let category = description(self.text, member.value, DescriptiveField::Category, unfit);
                    category.into_iter().for_each(|category| categories.add(category));
                }
            }
            items.resume_after(&entries);
        }
    }

    /// The members of an object that the scan has checked.
    pub fn members(&self, object: JsonValue) -> Entries<'a> {
        Entries::of_object(self.text, object.start(), 0).expect(CHECKED)
    }

    /// The elements of an array that the scan has checked.
    pub fn elements(&self, array: JsonValue) -> Entries<'a> {
        Entries::of_array(self.text, array.start(), 0).expect(CHECKED)
    }
}

/// Why reading a part again cannot fail.
pub const CHECKED: &str = "the whole record was scanned before";

/// A text that only describes: at most 128 bytes of it, or nothing (E5).
pub fn description<'a>(
    record: &'a str,
    value: JsonValue,
    field: DescriptiveField,
    unfit: &mut Unfit,
) -> Option<Text<'a>> {
    if value.is_absent() {
        return None;
    }
    if value.is(JsonKind::Text) {
        let raw = value.raw(record);
        if (1..=TEXT_BYTES_MAX).contains(&raw.len()) {
            return Some(Text::Borrowed(raw));
        }
    }
    unusual_description(record, value, field, unfit)
}

#[cold]
fn unusual_description<'a>(
    record: &'a str,
    value: JsonValue,
    field: DescriptiveField,
    unfit: &mut Unfit,
) -> Option<Text<'a>> {
    if value.is_text() {
        cut_text(value.text(record), field, unfit)
    } else {
        unfit.leave_out(field);
        None
    }
}

/// The text up to the last whole character within 128 bytes; nothing if it is empty.
pub fn cut_text<'a>(text: Text<'a>, field: DescriptiveField, unfit: &mut Unfit) -> Option<Text<'a>> {
    if text.is_empty() {
        unfit.leave_out(field);
        return None;
    }
    if text.len() <= TEXT_BYTES_MAX {
        return Some(text);
    }
    unfit.cut(field);
    let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    Some(match text {
        Text::Borrowed(text) => Text::Borrowed(&text[..end]),
        Text::Owned(mut text) => {
            text.truncate(end);
            Text::Owned(text)
        }
    })
}

/// A rejection with the reason `schema`.
#[cold]
pub fn schema_rejection(name: &str, expected: &str, found: &str) -> Rejection {
    reject(Reason::Schema, format!("`{name}`: expected {expected}, found {found}"))
}
