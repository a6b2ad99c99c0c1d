//! The amounts of an event: the checks `amount` and `currency` of E1. An `amount` counts, so any fault in it rejects
//! the record; the other amounts are optional, and one that does not fit is left out (E5).

use super::fields::{Field, Fields, schema_rejection};
use super::money::{Amount, MINOR_UNITS_MAX, Rate};
use super::value::{JsonKind, JsonValue};
use super::{Decoder, reject, shortened};
use crate::engine::event::{DescriptiveField, Event, EventType, Reason, Rejection, Unfit};

/// Whether events of a type have an amount.
#[inline]
pub fn has_money(event_type: EventType) -> bool {
    matches!(
        event_type,
        EventType::PURCHASE
            | EventType::REFUND
            | EventType::AMEND
            | EventType::CART_ADD
            | EventType::CART_REMOVE
            | EventType::EXPOSURE
    )
}

impl Decoder {
    /// `amount`, `currency`, and `amount` again. An optional amount that does not fit is left out (E5); the currency
    /// is looked at only if an amount is there.
    #[inline(never)]
    pub fn money(&self, fields: &Fields<'_>, written: JsonValue, event: &mut Event<'_>) -> Result<(), Rejection> {
        let unfit = &mut event.unfit;
        match event.event_type {
            EventType::PURCHASE | EventType::REFUND | EventType::AMEND => {
                let amount = required_amount(event.event_type, fields, written)?;
                let discount = match event.event_type {
                    EventType::PURCHASE => optional_amount(fields, Field::Discount, DescriptiveField::Discount, unfit),
                    _ => None,
                };
                if amount.is_some() || discount.is_some() {
                    let rate = self.rate(fields, unfit)?;
                    event.foreign = amount.is_some() && self.is_foreign(fields);
                    event.amount = amount.map(|amount| minor_units(amount, rate)).transpose()?;
                    event.discount = optional_units(discount, rate, DescriptiveField::Discount, unfit);
                }
            }
            EventType::CART_ADD | EventType::CART_REMOVE => {
                event.cart_total = self.optional_money(fields, Field::CartTotal, DescriptiveField::CartTotal, unfit)?;
            }
            EventType::EXPOSURE => {
                event.cost = self.optional_money(fields, Field::Cost, DescriptiveField::Cost, unfit)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The only amount of a type, which is optional.
    #[inline]
    fn optional_money(
        &self,
        fields: &Fields<'_>,
        field: Field,
        name: DescriptiveField,
        unfit: &mut Unfit,
    ) -> Result<Option<i64>, Rejection> {
        let amount = optional_amount(fields, field, name, unfit);
        if amount.is_none() {
            return Ok(None);
        }
        let rate = self.rate(fields, unfit)?;
        Ok(optional_units(amount, rate, name, unfit))
    }

    /// Whether the currency, which has a rate, is another than the base.
    #[inline]
    fn is_foreign(&self, fields: &Fields<'_>) -> bool {
        let currency = fields.value(Field::Currency);
        if currency.is_absent() {
            return false;
        }
        let code = currency.text(fields.text);
        !code.is_empty() && !self.rates.is_base(&code)
    }

    /// `currency`: the rate of the event's currency. An empty text is as good as none.
    #[inline]
    fn rate(&self, fields: &Fields<'_>, unfit: &mut Unfit) -> Result<Rate, Rejection> {
        let currency = fields.value(Field::Currency);
        if currency.is_absent() {
            return Ok(self.rates.base());
        }
        if !currency.is_text() {
            let message = format!("expected the code of one with a rate ({})", self.rates.codes());
            return Err(reject(Reason::Currency, format!("`currency`: {message}, found {}", currency.description())));
        }
        let code = currency.text(fields.text);
        if code.is_empty() {
            unfit.leave_out(DescriptiveField::Currency);
            return Ok(self.rates.base());
        }
        self.rates.rate(&code).ok_or_else(|| {
            let message = format!("expected one with a rate ({})", self.rates.codes());
            reject(Reason::Currency, format!("`currency`: {message}, found {:?}", shortened(&code)))
        })
    }
}

/// The `amount` that counts, as it is written.
#[inline]
pub fn decimal(fields: &Fields<'_>) -> Result<JsonValue, Rejection> {
    let value = fields.value(Field::Amount);
    match value.kind() {
        JsonKind::Absent | JsonKind::Null | JsonKind::Number => Ok(value),
        JsonKind::Text | JsonKind::EscapedText if !value.raw(fields.text).is_empty() => Ok(value),
        JsonKind::Text | JsonKind::EscapedText => Err(schema_rejection("amount", "a decimal", "an empty text")),
        _ => Err(schema_rejection("amount", "a decimal in a text or as a number", value.description())),
    }
}

/// The `amount` that counts: any fault in it rejects the record.
#[inline]
fn required_amount(
    event_type: EventType,
    fields: &Fields<'_>,
    written: JsonValue,
) -> Result<Option<Amount>, Rejection> {
    if written.is_absent() {
        return Ok(None);
    }
    let text = written.text(fields.text);
    let amount = Amount::parse(&text).map_err(|expected| {
        reject(Reason::Amount, format!("`amount`: expected {expected}, found {:?}", shortened(&text)))
    })?;
    if event_type == EventType::REFUND && amount.is_zero() {
        return Err(reject(Reason::Amount, "`amount` of a refund: expected more than 0, found 0".into()));
    }
    Ok(Some(amount))
}

/// An amount that may be missing: one that does not fit is left out (E5).
#[inline]
fn optional_amount(fields: &Fields<'_>, field: Field, name: DescriptiveField, unfit: &mut Unfit) -> Option<Amount> {
    let value = fields.value(field);
    if value.is_absent() {
        return None;
    }
    let is_decimal = value.is(JsonKind::Number) || value.is_text();
    let amount = is_decimal.then(|| Amount::parse(&value.text(fields.text)).ok()).flatten();
    if amount.is_none() {
        unfit.leave_out(name);
    }
    amount
}

#[inline]
fn minor_units(amount: Amount, rate: Rate) -> Result<i64, Rejection> {
    rate.minor_units(amount).ok_or_else(|| {
        let message = format!("expected at most {} minor units of the base currency, found more", MINOR_UNITS_MAX);
        reject(Reason::Amount, format!("`amount`: {message}"))
    })
}

/// Minor units of an optional amount: one that is over the bound is left out (E5).
#[inline]
fn optional_units(amount: Option<Amount>, rate: Rate, name: DescriptiveField, unfit: &mut Unfit) -> Option<i64> {
    let units = rate.minor_units(amount?);
    if units.is_none() {
        unfit.leave_out(name);
    }
    units
}
