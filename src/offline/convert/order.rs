//! Collects the lines of an order. A line that contradicts the order changes nothing of it.

use super::csv_reader::Record;
use super::line::{AttributeValue, Invalid, Line, add};
use super::mapping::{DiscountPer, Mapping, NegativePrice, StatusMeaning};
use crate::engine::event::{Categories, Millis};
use rust_decimal::Decimal;
use std::fmt::Display;

/// An order that is being collected. About 900 bytes with its texts and indices.
#[derive(Debug)]
pub struct Order {
    pub order_id: Box<str>,
    /// `None`: no line so far has a customer.
    pub customer_id: Option<Box<str>>,
    /// The earliest time of its lines.
    pub time: Millis,
    /// The earliest time of the lines that are bought.
    pub bought_at: Option<Millis>,
    /// The position of its first line: the index of the file and the line number.
    pub first_line: (usize, u64),
    pub lines: FileLines,
    /// The same order in a later file.
    repetition: Option<FileLines>,
    /// The whole order is a return.
    pub is_return: bool,
    sum: Decimal,
    lines_with_sum: u32,
    lines_without_sum: u32,
    total: Option<Decimal>,
    discount: Option<Decimal>,
    /// The sum of the lines that are discounts.
    discount_lines: Decimal,
    pub refunds: Vec<Refund>,
    pub categories: Vec<Box<str>>,
    pub channel: Option<Box<str>>,
    pub coupon: Option<Box<str>>,
    pub currency: Option<Box<str>>,
    pub status: Option<(StatusMeaning, Box<str>)>,
    pub cancelled_at: Option<Millis>,
    /// What was given back of it, from a column of its own.
    pub returned: Option<Decimal>,
    pub returned_at: Option<Millis>,
    pub attributes: Vec<Option<AttributeValue>>,
    /// Lines that contradict the order and have no customer: they are invalid only if the order turns out to have one.
    pub held_back: Vec<HeldBack>,
}

/// An invalid line of an order whose customer is not known yet.
#[derive(Debug)]
pub struct HeldBack {
    pub position: (usize, u64),
    pub reason: &'static str,
    pub message: String,
    pub record: Record,
}

/// What lines of an order give back of one order.
#[derive(Debug)]
pub struct Refund {
    pub of: Option<Box<str>>,
    pub amount: Decimal,
    /// The earliest time of these lines.
    pub time: Millis,
    pub channel: Option<Box<str>>,
}

/// The lines of an order in one file: equal ones have the same number and fingerprint, in whatever order they stand.
#[derive(Clone, Copy, Debug)]
pub struct FileLines {
    pub file: usize,
    pub first_line: u64,
    pub count: u32,
    fingerprint: u64,
}

impl FileLines {
    fn new(position: (usize, u64)) -> Self {
        Self { file: position.0, first_line: position.1, count: 0, fingerprint: 0 }
    }

    fn add(&mut self, fingerprint: u64) {
        self.count += 1;
        self.fingerprint = self.fingerprint.wrapping_add(fingerprint);
    }

    pub fn repeats(&self, other: &Self) -> bool {
        (self.count, self.fingerprint) == (other.count, other.fingerprint)
    }
}

impl Order {
    /// An order without lines, for its first line.
    pub fn new(mapping: &Mapping, line: &Line<'_>, position: (usize, u64)) -> Self {
        let prefix = mapping.returns.order_prefix.as_deref();
        Self {
            order_id: line.order_id.into(),
            customer_id: None,
            time: line.time,
            bought_at: None,
            first_line: position,
            lines: FileLines::new(position),
            repetition: None,
            is_return: prefix.is_some_and(|prefix| line.order_id.starts_with(prefix)),
            sum: Decimal::ZERO,
            lines_with_sum: 0,
            lines_without_sum: 0,
            total: None,
            discount: None,
            discount_lines: Decimal::ZERO,
            refunds: Vec::new(),
            categories: Vec::new(),
            channel: None,
            coupon: None,
            currency: None,
            status: None,
            cancelled_at: None,
            returned: None,
            returned_at: None,
            attributes: Vec::new(),
            held_back: Vec::new(),
        }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If the line contradicts the order: nothing is changed.
    pub fn add(
        &mut self,
        mapping: &Mapping,
        line: &Line<'_>,
        fingerprint: u64,
        attributes: Vec<Option<AttributeValue>>,
    ) -> Result<(), Invalid> {
        self.agree("customer", "the customer", self.customer_id.as_deref(), line.customer_id.as_deref())?;
        self.agree("currency", "the currency", self.currency.as_deref(), line.currency.as_deref())?;
        let status = |(_, text): &(StatusMeaning, Box<str>)| text.to_ascii_lowercase();
        let line_status = line.status.map(|(_, text)| text.to_ascii_lowercase());
        self.agree("status", "the status", self.status.as_ref().map(status), line_status)?;
        self.agree("amount", "the total", self.total, line.total)?;
        self.agree("amount", "the returned amount", self.returned, line.returned)?;
        let gives_back = self.is_return || line.quantity.is_sign_negative() && mapping.returns.negative_quantity;
        let discount = match (self.discount, line.discount) {
            (known, Some(discount)) if mapping.order.discount_per == DiscountPer::Order => {
                self.agree("amount", "the discount", known, Some(discount))?;
                Some(discount)
            }
            (known, Some(discount)) if !gives_back => Some(add(known.unwrap_or_default(), discount)?),
            (known, _) => known,
        };
        if gives_back {
            self.give_back(line)?;
        } else {
            self.buy(mapping, line)?;
        }
        self.discount = discount;
        self.lines_with_sum += u32::from(line.sum.is_some());
        self.lines_without_sum += u32::from(line.sum.is_none());
        self.lines.add(fingerprint);
        self.describe(line, attributes);
        Ok(())
    }

    /// Notes a line of this order in another file than the order's. What it repeats is known when the file is read:
    /// the earlier file's lines are returned if another file begins.
    pub fn repeat(&mut self, position: (usize, u64), fingerprint: u64) -> Option<FileLines> {
        let earlier = self.repetition.take_if(|lines| lines.file != position.0);
        self.repetition.get_or_insert_with(|| FileLines::new(position)).add(fingerprint);
        earlier
    }

    pub fn take_repetition(&mut self) -> Option<FileLines> {
        self.repetition.take()
    }

    /// The amount of what was bought.
    ///
    /// # Errors
    /// If it is not known.
    pub fn bought(&self) -> Result<Decimal, Invalid> {
        if let Some(total) = self.total {
            return Ok(total);
        }
        self.check_sums()?;
        Ok(self.sum)
    }

    /// Whether the sums of the lines are the order's amount.
    fn check_sums(&self) -> Result<(), Invalid> {
        if self.lines_with_sum == 0 {
            return Err(("amount", "expected an amount on one of the order's lines, found none".to_owned()));
        }
        // One amount may be that of the whole order. With several, a missing one would be missing in the sum.
        if self.lines_with_sum > 1 && self.lines_without_sum > 0 {
            let message = format!("{} of the order's lines have no amount, others do", self.lines_without_sum);
            return Err(("amount", message));
        }
        Ok(())
    }

    /// What was taken off, in all.
    pub fn discount(&self) -> Result<Decimal, Invalid> {
        add(self.discount.unwrap_or_default().abs(), self.discount_lines)
    }

    /// What each refund gives back: for a return, its sum with either sign, since exports differ.
    pub fn refunds(&self) -> Result<Vec<(&Refund, Decimal)>, Invalid> {
        match (self.total, &self.refunds[..]) {
            (Some(total), [only]) if self.is_return => Ok(vec![(only, total.abs())]),
            (Some(_), [_, _, ..]) if self.is_return => {
                Err(("amount", "the total belongs to returns of several orders".to_owned()))
            }
            _ => {
                if self.total.is_none() {
                    self.check_sums()?;
                }
                let amount = |amount: Decimal| if self.is_return { amount.abs() } else { amount };
                Ok(self.refunds.iter().map(|refund| (refund, amount(refund.amount))).collect())
            }
        }
    }

    /// All lines of an order have the same value, as far as they have one.
    fn agree<T: PartialEq + Display>(
        &self,
        reason: &'static str,
        what: &str,
        known: Option<T>,
        found: Option<T>,
    ) -> Result<(), Invalid> {
        match (known, found) {
            (Some(known), Some(found)) if known != found => {
                let message = format!("{what} of order {} is {known} on an earlier line, found {found}", self.order_id);
                Err((reason, message))
            }
            _ => Ok(()),
        }
    }

    fn buy(&mut self, mapping: &Mapping, line: &Line<'_>) -> Result<(), Invalid> {
        let line_sum = line.sum.unwrap_or_default();
        let is_negative = line_sum.is_sign_negative() && !line_sum.is_zero() || line.quantity.is_sign_negative();
        let is_discount = mapping.amount.negative_price == NegativePrice::Discount && !line.quantity.is_sign_negative();
        if is_negative && !is_discount {
            let found = match line.quantity.is_sign_negative() {
                true => format!("a quantity of {}", line.quantity),
                false => format!("a sum of {line_sum}"),
            };
            let message = format!(
                "expected a quantity and a price of at least 0, found {found}; see `negative_price` of [amount] and \
                 `negative_quantity` of [returns]"
            );
            return Err(("amount", message));
        }
        let discount_lines = if is_negative { add(self.discount_lines, -line_sum)? } else { self.discount_lines };
        self.sum = add(self.sum, line_sum)?;
        self.discount_lines = discount_lines;
        self.bought_at = Some(self.bought_at.map_or(line.time, |time| time.min(line.time)));
        if let Some(category) = line.category {
            let known = self.categories.iter().any(|known| **known == *category);
            if !known && self.categories.len() < Categories::MAX {
                self.categories.push(category.into());
            }
        }
        if self.channel.is_none() {
            self.channel = line.channel.map(Into::into);
        }
        Ok(())
    }

    fn give_back(&mut self, line: &Line<'_>) -> Result<(), Invalid> {
        let amount = -line.sum.unwrap_or_default();
        let of = line.returned_order;
        match self.refunds.iter_mut().find(|refund| refund.of.as_deref() == of) {
            Some(refund) => {
                refund.amount = add(refund.amount, amount)?;
                refund.time = refund.time.min(line.time);
                if refund.channel.is_none() {
                    refund.channel = line.channel.map(Into::into);
                }
            }
            None => self.refunds.push(Refund {
                of: of.map(Into::into),
                amount,
                time: line.time,
                channel: line.channel.map(Into::into),
            }),
        }
        Ok(())
    }

    /// Takes over what the order has once, from the first line that has it.
    fn describe(&mut self, line: &Line<'_>, attributes: Vec<Option<AttributeValue>>) {
        self.time = self.time.min(line.time);
        self.total = self.total.or(line.total);
        self.returned = self.returned.or(line.returned);
        self.returned_at = self.returned_at.or(line.returned_at);
        self.cancelled_at = self.cancelled_at.or(line.cancelled_at);
        if self.customer_id.is_none() {
            self.customer_id = line.customer_id.as_deref().map(Into::into);
        }
        if self.currency.is_none() {
            self.currency = line.currency.as_deref().map(Into::into);
        }
        if self.coupon.is_none() {
            self.coupon = line.coupon.map(Into::into);
        }
        if self.status.is_none() {
            self.status = line.status.map(|(meaning, text)| (meaning, text.into()));
        }
        if self.attributes.is_empty() {
            self.attributes = attributes;
        } else {
            for (known, value) in self.attributes.iter_mut().zip(attributes) {
                if known.is_none() {
                    *known = value;
                }
            }
        }
    }
}
