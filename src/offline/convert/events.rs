//! Writes orders as native events, in order of time.

use super::line::{AttributeValue, Invalid};
use super::mapping::{Mapping, StatusMeaning};
use super::order::{Order, Refund};
use crate::engine::event::Millis;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Maximum number of decimals of an event's amount.
const DECIMALS_MAX: u32 = 6;
const EVENT_ID_BYTES_MAX: usize = 256;
/// Maximum number of orders kept for the table of a dry run.
const SAMPLE_ORDERS: usize = 10;

/// The fields of native events in the order in which they are written.
#[derive(Default, Serialize)]
struct NativeEvent<'a> {
    event_id: String,
    customer_id: &'a str,
    #[serde(rename = "type")]
    event_type: &'static str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coupon: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<BTreeMap<&'static str, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<BTreeMap<&'a str, Option<&'a AttributeValue>>>,
    /// The order has invalid lines, whose amounts are missing. The service ignores this field.
    #[serde(skip_serializing_if = "is_false")]
    partial: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// The numbers of written events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub purchases: u64,
    pub refunds: u64,
    pub cancels: u64,
    pub profiles: u64,
    /// Returns with an amount of 0, for which there is no event.
    pub empty_returns: u64,
    /// Orders that were written without their invalid lines.
    pub partial: u64,
    /// Orders that were not written because of their status.
    pub ignored: BTreeMap<Box<str>, u64>,
}

impl Written {
    pub fn events(&self) -> u64 {
        self.purchases + self.refunds + self.cancels + self.profiles
    }
}

/// One order for the table of a dry run.
pub type SampleRow = [String; 7];

/// The money of an order as events have it; all of it is checked before anything is written.
struct Money<'o> {
    bought: Option<String>,
    discount: Option<String>,
    refunds: Vec<(&'o Refund, Option<String>)>,
    /// What was given back of the order itself.
    returned: Option<String>,
}

/// Writes orders as events, one JSON object per line.
pub struct EventWriter<'m, W> {
    mapping: &'m Mapping,
    out: W,
    /// The last written attributes, by customer.
    profiles: HashMap<Box<str>, Vec<Option<AttributeValue>>>,
    /// Lines that are later than the order they belong to: other orders come before them.
    later: BinaryHeap<Reverse<(Millis, u64, Vec<u8>)>>,
    lines_later: u64,
    /// The first orders.
    pub sample: Vec<SampleRow>,
    pub written: Written,
}

impl<'m, W: Write> EventWriter<'m, W> {
    pub fn new(mapping: &'m Mapping, out: W) -> Self {
        Self {
            mapping,
            out,
            profiles: HashMap::new(),
            later: BinaryHeap::new(),
            lines_later: 0,
            sample: Vec::new(),
            written: Written::default(),
        }
    }

    /// Writes the events of an order; `partial` if one of its lines is invalid.
    ///
    /// # Errors
    /// The inner error if the order has an amount that an event cannot have: nothing of the order is written.
    pub fn write(&mut self, order: &Order, customer_id: &str, partial: bool) -> anyhow::Result<Result<(), Invalid>> {
        if let Some((StatusMeaning::Ignores, status)) = &order.status {
            *self.written.ignored.entry(status.clone()).or_default() += 1;
            return Ok(Ok(()));
        }
        let money = match self.money(order) {
            Ok(money) => money,
            Err(invalid) => return Ok(Err(invalid)),
        };
        self.write_later(order.time)?;
        self.profile(order, customer_id)?;
        if let (Some(bought_at), Some(amount)) = (order.bought_at, &money.bought) {
            self.purchase(order, customer_id, bought_at, amount.clone(), money.discount.clone(), partial)?;
        }
        self.refunds(order, customer_id, &money, partial)?;
        self.changes_of_order(order, customer_id, &money)?;
        self.written.partial += u64::from(partial);
        if self.sample.len() < SAMPLE_ORDERS {
            self.sample.push(sample_row(order, customer_id, &money, self.currency(order)));
        }
        Ok(Ok(()))
    }

    pub fn finish(mut self) -> io::Result<(Written, Vec<SampleRow>)> {
        self.write_later(Millis::MAX)?;
        self.out.flush()?;
        Ok((self.written, self.sample))
    }

    fn money<'o>(&self, order: &'o Order) -> Result<Money<'o>, Invalid> {
        let amount = |value| amount(value).map_err(|message| ("amount", message));
        let bought = order.bought_at.map(|_| order.bought().and_then(amount)).transpose()?;
        let discount = Some(order.discount()?).filter(|discount| !discount.is_zero()).map(amount).transpose()?;
        let mut refunds = Vec::new();
        for (refund, value) in order.refunds()? {
            refunds.push((refund, Some(amount(value)?).filter(|_| !value.is_zero())));
        }
        let returned = order.returned.map(|value| value.abs()).filter(|value| !value.is_zero());
        if returned.is_some() && self.mapping.returns.amount_column.is_some() && order.bought_at.is_none() {
            return Err(("amount", "a return has a returned amount of its own".to_owned()));
        }
        Ok(Money { bought, discount, refunds, returned: returned.map(amount).transpose()? })
    }

    fn purchase(
        &mut self,
        order: &Order,
        customer_id: &str,
        bought_at: Millis,
        amount: String,
        discount: Option<String>,
        partial: bool,
    ) -> io::Result<()> {
        let mut categories = order.categories.iter().map(|category| &**category);
        let event = NativeEvent {
            order_id: Some(&order.order_id),
            amount: Some(amount),
            discount,
            coupon: order.coupon.as_deref(),
            category: categories.next(),
            items: categories.map(|category| BTreeMap::from([("category", category)])).collect(),
            channel: order.channel.as_deref().or(self.mapping.constants.channel.as_deref()),
            currency: self.currency(order),
            partial,
            ..self.event("order", "purchase", order, customer_id, bought_at)
        };
        self.line(order.time, bought_at, &event)?;
        self.written.purchases += 1;
        Ok(())
    }

    /// Writes one refund for each order that lines of this order give back.
    fn refunds(&mut self, order: &Order, customer_id: &str, money: &Money<'_>, partial: bool) -> io::Result<()> {
        for (refund, amount) in &money.refunds {
            if amount.is_none() {
                self.written.empty_returns += 1;
                continue;
            }
            let channels = [refund.channel.as_deref(), order.channel.as_deref()];
            let mut event = NativeEvent {
                order_id: refund.of.as_deref(),
                amount: amount.clone(),
                channel: channels.into_iter().flatten().next().or(self.mapping.constants.channel.as_deref()),
                currency: self.currency(order),
                partial,
                ..self.event("refund", "refund", order, customer_id, refund.time)
            };
            if money.refunds.len() > 1 {
                let id = format!("refund-{}-of-{}", order.order_id, refund.of.as_deref().unwrap_or("none"));
                event.event_id = event_id(id);
            }
            self.line(order.time, refund.time, &event)?;
            self.written.refunds += 1;
        }
        Ok(())
    }

    /// Writes what became of the order by its status and its columns: cancelled, given back whole or in part.
    fn changes_of_order(&mut self, order: &Order, customer_id: &str, money: &Money<'_>) -> io::Result<()> {
        let Some(bought_at) = order.bought_at else { return Ok(()) };
        let status = order.status.as_ref().map(|(meaning, _)| *meaning);
        if order.cancelled_at.is_some() || status == Some(StatusMeaning::Cancels) {
            let time = order.cancelled_at.unwrap_or(bought_at);
            let event = NativeEvent {
                order_id: Some(&order.order_id),
                ..self.event("cancel", "cancel", order, customer_id, time)
            };
            self.line(order.time, time, &event)?;
            self.written.cancels += 1;
            return Ok(());
        }
        let is_whole = status == Some(StatusMeaning::Refunds);
        if is_whole || money.returned.is_some() {
            let time = order.returned_at.unwrap_or(bought_at);
            // Without an amount, a refund gives back all that is left.
            let amount = if is_whole { None } else { money.returned.clone() };
            let event = NativeEvent {
                order_id: Some(&order.order_id),
                currency: amount.is_some().then(|| self.currency(order)).flatten(),
                amount,
                channel: order.channel.as_deref().or(self.mapping.constants.channel.as_deref()),
                ..self.event("refunded", "refund", order, customer_id, time)
            };
            self.line(order.time, time, &event)?;
            self.written.refunds += 1;
        }
        Ok(())
    }

    fn event<'a>(
        &self,
        id: &str,
        event_type: &'static str,
        order: &'a Order,
        customer_id: &'a str,
        time: Millis,
    ) -> NativeEvent<'a>
    where
        'm: 'a,
    {
        NativeEvent {
            event_id: event_id(format!("{id}-{}", order.order_id)),
            customer_id,
            event_type,
            time: moment(time),
            campaign: self.mapping.constants.campaign.as_deref().filter(|_| event_type != "cancel"),
            ..NativeEvent::default()
        }
    }

    fn currency(&self, order: &Order) -> Option<String> {
        let constant = || self.mapping.amount.currency.as_ref().map(|code| code.to_ascii_uppercase());
        order.currency.as_deref().map(str::to_owned).or_else(constant)
    }

    /// Writes a profile event if the customer's attributes differ from the last written ones; empty ones are null.
    fn profile(&mut self, order: &Order, customer_id: &str) -> io::Result<()> {
        if order.attributes.is_empty() || self.profiles.get(customer_id) == Some(&order.attributes) {
            return Ok(());
        }
        let names = self.mapping.attributes.keys().map(String::as_str);
        let event = NativeEvent {
            event_id: event_id(format!("profile-{}", order.order_id)),
            customer_id,
            event_type: "profile",
            time: moment(order.time),
            attributes: Some(names.zip(order.attributes.iter().map(Option::as_ref)).collect()),
            ..NativeEvent::default()
        };
        self.line(order.time, order.time, &event)?;
        self.profiles.insert(customer_id.into(), order.attributes.clone());
        self.written.profiles += 1;
        Ok(())
    }

    /// Writes an event now, or when the orders before it are written.
    fn line(&mut self, now: Millis, time: Millis, event: &NativeEvent<'_>) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        if time <= now {
            return self.out.write_all(&line);
        }
        self.lines_later += 1;
        self.later.push(Reverse((time, self.lines_later, line)));
        Ok(())
    }

    fn write_later(&mut self, until: Millis) -> io::Result<()> {
        while let Some(Reverse((time, ..))) = self.later.peek()
            && *time <= until
        {
            let Some(Reverse((.., line))) = self.later.pop() else { break };
            self.out.write_all(&line)?;
        }
        Ok(())
    }
}

/// An id that fits: a longer one becomes its hash.
fn event_id(id: String) -> String {
    if id.len() <= EVENT_ID_BYTES_MAX {
        return id;
    }
    let kind = id.split('-').next().unwrap_or_default();
    let mut short = format!("{kind}-sha256-");
    for byte in Sha256::digest(id.as_bytes()) {
        let _ = write!(short, "{byte:02x}");
    }
    short
}

fn sample_row(order: &Order, customer_id: &str, money: &Money<'_>, currency: Option<String>) -> SampleRow {
    let given_back: Vec<&str> =
        money.refunds.iter().filter_map(|(_, amount)| amount.as_deref()).chain(money.returned.as_deref()).collect();
    let meaning = match &order.status {
        _ if order.cancelled_at.is_some() => "cancelled",
        Some((StatusMeaning::Cancels, _)) => "cancelled",
        Some((StatusMeaning::Refunds, _)) => "refunded",
        _ if order.bought_at.is_none() => "return",
        _ => "order",
    };
    [
        order.order_id.to_string(),
        customer_id.to_owned(),
        moment(order.time),
        money.bought.clone().unwrap_or_default() + &currency.map_or_else(String::new, |code| format!(" {code}")),
        money.discount.clone().unwrap_or_default(),
        given_back.join(" + "),
        meaning.to_owned(),
    ]
}

fn amount(value: Decimal) -> Result<String, String> {
    let value = value.normalize();
    if value.scale() > DECIMALS_MAX {
        return Err(format!("expected an amount with at most {DECIMALS_MAX} decimals, found {value}"));
    }
    if value.is_sign_negative() && !value.is_zero() {
        return Err(format!("expected an amount of at least 0, found {value}"));
    }
    let scale = value.scale().max(2);
    Ok(format!("{value:.places$}", places = scale as usize))
}

fn moment(time: Millis) -> String {
    Timestamp::from_millisecond(time).map_or_else(|_| time.to_string(), |moment| moment.to_string())
}
