//! The fields of a native event: found in one pass over the record, then taken by what they mean for its type.
//!
//! The table is the one under "Events" in the semantics. A field that means nothing for the type of the event is never
//! looked at, so it may hold anything (E2).

use super::json::{Fault, Member, ONCE, Scanner, Value};
use super::names::NameSet;
use super::reject;
use crate::engine::event::{Categories, Reason, Rejection, Text};
use std::borrow::Cow;

/// Bytes of a text that has no other limit.
pub const TEXT_BYTES_MAX: usize = 128;

/// The known fields of a record as they stand there; null is kept apart from absence only to find names that come twice.
pub struct Fields<'a> {
    pub event_id: Value<'a>,
    pub customer_id: Value<'a>,
    pub event_type: Value<'a>,
    pub time: Value<'a>,
    pub order_id: Value<'a>,
    pub amount: Value<'a>,
    pub currency: Value<'a>,
    pub discount: Value<'a>,
    pub cart_total: Value<'a>,
    pub category: Value<'a>,
    pub items: Value<'a>,
    pub channel: Value<'a>,
    pub campaign: Value<'a>,
    pub cost: Value<'a>,
    pub attributes: Value<'a>,
}

impl<'a> Fields<'a> {
    const NONE: Self = Self {
        event_id: Value::Absent,
        customer_id: Value::Absent,
        event_type: Value::Absent,
        time: Value::Absent,
        order_id: Value::Absent,
        amount: Value::Absent,
        currency: Value::Absent,
        discount: Value::Absent,
        cart_total: Value::Absent,
        category: Value::Absent,
        items: Value::Absent,
        channel: Value::Absent,
        campaign: Value::Absent,
        cost: Value::Absent,
        attributes: Value::Absent,
    };

    /// Checks that the text is one JSON object as E1 asks for (`decode`) and keeps what is known in it.
    pub fn scan(text: &'a str) -> Result<Self, Fault> {
        let mut fields = Self::NONE;
        let mut unknown = NameSet::default();
        let mut scanner = Scanner::new(text);
        scanner.open(b'{', "one JSON object")?;
        let mut first = true;
        while let Some(member) = scanner.next_member(&mut first)? {
            if !fields.keep(&member, &mut unknown) {
                return Err(Fault { at: member.at, expected: ONCE });
            }
        }
        scanner.finish()?;
        Ok(fields)
    }

    /// False if the name was there before.
    #[inline]
    fn keep(&mut self, member: &Member<'a>, unknown: &mut NameSet<'a>) -> bool {
        let slot = if member.name.escaped { self.slot(&member.name.text()) } else { self.slot(member.name.raw) };
        match slot {
            Some(slot) if *slot == Value::Absent => {
                *slot = member.value;
                true
            }
            Some(_) => false,
            None => unknown.insert(member.name),
        }
    }

    #[inline]
    fn slot(&mut self, name: &str) -> Option<&mut Value<'a>> {
        Some(match name.as_bytes() {
            b"event_id" => &mut self.event_id,
            b"customer_id" => &mut self.customer_id,
            b"type" => &mut self.event_type,
            b"time" => &mut self.time,
            b"order_id" => &mut self.order_id,
            b"amount" => &mut self.amount,
            b"currency" => &mut self.currency,
            b"discount" => &mut self.discount,
            b"cart_total" => &mut self.cart_total,
            b"category" => &mut self.category,
            b"items" => &mut self.items,
            b"channel" => &mut self.channel,
            b"campaign" => &mut self.campaign,
            b"cost" => &mut self.cost,
            b"attributes" => &mut self.attributes,
            _ => return None,
        })
    }
}

/// A text of 1 to 128 bytes, or nothing.
#[inline]
pub fn text<'a>(field: &str, value: Value<'a>) -> Result<Option<Text<'a>>, Rejection> {
    match value {
        Value::Absent | Value::Null => Ok(None),
        Value::Text(quoted) => {
            let text = quoted.text();
            if (1..=TEXT_BYTES_MAX).contains(&text.len()) {
                Ok(Some(text))
            } else {
                Err(unfit(field, "a text of 1 to 128 bytes", &format!("{} bytes", text.len())))
            }
        }
        other => Err(unfit(field, "a text of 1 to 128 bytes", other.kind())),
    }
}

/// A decimal as it was written, in a text or as a number; whether it is one is not decided here.
#[inline]
pub fn decimal<'a>(field: &str, value: Value<'a>) -> Result<Option<Text<'a>>, Rejection> {
    match value {
        Value::Number(number) => Ok(Some(Cow::Borrowed(number))),
        Value::Absent | Value::Null | Value::Text(_) => text(field, value),
        other => Err(unfit(field, "a decimal in a text or as a number", other.kind())),
    }
}

/// The event's category, then those of its items.
#[inline]
pub fn categories<'a>(category: Value<'a>, items: Value<'a>) -> Result<Categories<'a>, Rejection> {
    let mut categories = Categories::default();
    if let Some(category) = text("category", category)? {
        categories.add(category);
    }
    match items {
        Value::Absent | Value::Null => {}
        Value::Array(array) => item_categories(array, &mut categories)?,
        other => return Err(unfit("items", "an array of objects", other.kind())),
    }
    Ok(categories)
}

fn item_categories<'a>(array: &'a str, categories: &mut Categories<'a>) -> Result<(), Rejection> {
    let mut scanner = Scanner::new(array);
    let mut first = true;
    scanner.open(b'[', "`[`").expect(CHECKED);
    while let Some(item) = scanner.next_element(&mut first).expect(CHECKED) {
        let Value::Object(object) = item else {
            return Err(unfit("items", "only objects in the array", item.kind()));
        };
        for member in members(object).filter(|member| member.name.text() == "category") {
            if let Some(category) = text("category of an item", member.value)? {
                categories.add(category);
            }
        }
    }
    Ok(())
}

/// The members of an object that a scan has checked already.
pub fn members<'a>(object: &'a str) -> impl Iterator<Item = Member<'a>> {
    let mut scanner = Scanner::new(object);
    let mut first = true;
    scanner.open(b'{', "`{`").expect(CHECKED);
    std::iter::from_fn(move || scanner.next_member(&mut first).expect(CHECKED))
}

const CHECKED: &str = "the record was scanned as a whole before";

/// A `schema` rejection.
#[cold]
pub fn unfit(field: &str, expected: &str, found: &str) -> Rejection {
    reject(Reason::Schema, format!("`{field}`: expected {expected}, found {found}"))
}
