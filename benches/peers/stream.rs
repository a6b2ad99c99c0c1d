//! The events of the reference job: customers drawn uniformly, in the order of time, over 90 days.
//!
//! How many of the events are orders, views and refunds, and how many mean nothing for the rules (`open`), is chosen so
//! that the wanted share of events causes a change.

use crate::model::Model;
use jiff::Timestamp;
use shoal::random::Random;
use std::fmt::Write;

pub const DAY: i64 = 86_400_000;
/// 2024-03-01T00:00:00Z.
const START: i64 = 1_709_251_200_000;
const SPAN: i64 = 90 * DAY;

/// Customers of the stream in which the share of changes is tried out.
const SAMPLE: u64 = 4_000;
const TRIES: u32 = 14;

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub customers: u64,
    pub events: u64,
    /// Changes in a hundred events.
    pub changes_percent: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Purchase,
    View,
    Refund,
    Open,
}

#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub customer: u32,
    pub kind: Kind,
    pub time: i64,
    /// Cents, of orders and refunds.
    pub cents: u32,
}

/// An iterator over the events; the same for the same shape and share.
pub struct Stream {
    shape: Shape,
    /// The share of events that mean something for the rules.
    active: f64,
    random: Random,
    made: u64,
}

impl Stream {
    /// The stream of this shape with the wanted share of changes, or with the nearest that it can have.
    pub fn of(shape: Shape) -> Self {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..TRIES {
            let middle = (low + high) / 2.0;
            if changes_percent(shape, middle) < shape.changes_percent { low = middle } else { high = middle }
        }
        Self::with(shape, (low + high) / 2.0)
    }

    fn with(shape: Shape, active: f64) -> Self {
        Self { shape, active, random: Random(shape.customers), made: 0 }
    }

    fn kind(&mut self) -> Kind {
        if self.random.share() >= self.active {
            return Kind::Open;
        }
        match self.random.below(75) {
            0..25 => Kind::Purchase,
            25..70 => Kind::View,
            _ => Kind::Refund,
        }
    }
}

impl Iterator for Stream {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.made == self.shape.events {
            return None;
        }
        let time = START + (SPAN as f64 * self.made as f64 / self.shape.events as f64) as i64;
        self.made += 1;
        let kind = self.kind();
        let customer = self.random.below(self.shape.customers) as u32;
        let cents = 500 + self.random.below(9_500) as u32;
        Some(Event { customer, kind, time, cents })
    }
}

/// Changes in a hundred events, tried out among few customers who have as many events each.
fn changes_percent(shape: Shape, active: f64) -> f64 {
    let customers = shape.customers.min(SAMPLE);
    let events = shape.events * customers / shape.customers;
    let mut model = Model::new(customers);
    Stream::with(Shape { customers, events, ..shape }, active).for_each(|event| model.push(event));
    100.0 * model.play().changes as f64 / events as f64
}

/// The id of a customer, and back.
pub fn id_of(customer: u32) -> String {
    format!("c-{customer:08}")
}

pub fn customer_of(id: &str) -> Option<usize> {
    id.strip_prefix("c-")?.parse().ok()
}

impl Event {
    /// The record's value; `number` makes ids of event and order.
    pub fn write_json(&self, number: u64, text: &mut String) {
        let Self { kind, time, cents, .. } = *self;
        let name = match kind {
            Kind::Purchase => "purchase",
            Kind::View => "view",
            Kind::Refund => "refund",
            Kind::Open => "open",
        };
        let moment = Timestamp::from_millisecond(time).expect("a moment of our time");
        let [high, low] = [number, !number].map(|seed| Random(seed).draw());
        text.clear();
        write!(
            text,
            r#"{{"event_id":"{high:016x}{low:016x}","customer_id":"{}","type":"{name}","time":"{moment:.3}""#,
            id_of(self.customer)
        )
        .expect("memory");
        let (whole, hundredths) = (cents / 100, cents % 100);
        match kind {
            Kind::Purchase => write!(
                text,
                r#","order_id":"o-{number:08}","amount":"{whole}.{hundredths:02}","currency":"EUR","channel":"web"}}"#
            ),
            Kind::Refund => {
                write!(
                    text,
                    r#","amount":"{whole}.{hundredths:02}","currency":"EUR","channel":"web","reason":"size"}}"#
                )
            }
            Kind::View | Kind::Open => {
                write!(text, r#","channel":"web","page":"/products/{number:08}","device":"phone"}}"#)
            }
        }
        .expect("memory");
    }
}
