//! The year that the demo plays: real orders and returns of an excerpt, with generated browsing and newsletters around
//! them.

use super::super::convert::convert_bytes;
use super::super::convert::mapping::Mapping;
use super::browsing::{self, Bought};
use crate::engine::decode::time_of;
use crate::engine::event::Millis;
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// Chen, D. (2015), Online Retail, UCI Machine Learning Repository, CC BY 4.0: see the README in its folder.
const EXCERPT: &[u8] = include_bytes!("../../../config/demo/online-retail-excerpt.csv.gz");
/// The customer id as the converted and generated events have it; the ids have no escapes.
const CUSTOMER_ID: &[u8] = b"\"customer_id\":\"";
const MAPPING: &str = include_str!("../../../config/mappings/online-retail.toml");

/// Native events in order of time.
pub struct Shop {
    text: Vec<u8>,
    events: Vec<EventPosition>,
    pub customers: usize,
    pub orders: u64,
    pub returns: u64,
    pub generated: usize,
}

/// The time of an event and its position in the text.
#[derive(Clone, Debug, PartialEq)]
struct EventPosition {
    time: Millis,
    json: Range<usize>,
    customer_id: Range<usize>,
}

/// One event of the year.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub time: Millis,
    pub customer_id: &'a str,
    pub json: &'a [u8],
}

/// The fields of a real event that the generator uses.
#[derive(Deserialize)]
struct RealEvent<'a> {
    customer_id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    amount: Option<&'a str>,
}

impl Shop {
    /// Makes the year; the same seed makes the same year.
    pub fn open(seed: u64) -> anyhow::Result<Self> {
        let mapping = Mapping::parse("config/mappings/online-retail.toml", MAPPING)?;
        let mut text = Vec::new();
        let written = convert_bytes(&mapping, "online-retail-excerpt.csv.gz", EXCERPT, &mut text)?.written;
        let mut events = Vec::new();
        find_events(&text, 0, &mut events)?;
        let real = events.len();
        let customers = orders(&text, &events)?;
        let end = events.last().map_or(0, |event| event.time);
        for (customer_id, orders) in &customers {
            browsing::around(seed, customer_id, orders, end, &mut text);
        }
        let generated_from = events.last().map_or(0, |event| event.json.end + 1);
        find_events(&text[generated_from..], generated_from, &mut events)?;
        let generated = events.len() - real;
        // The sort is stable: at the same time, real events come first.
        events.sort_by_key(|event| event.time);
        Ok(Self {
            text,
            events,
            customers: customers.len(),
            orders: written.purchases,
            returns: written.refunds,
            generated,
        })
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The n-th event.
    pub fn event(&self, index: usize) -> Event<'_> {
        let event = &self.events[index];
        let customer_id = std::str::from_utf8(&self.text[event.customer_id.clone()]).unwrap_or_default();
        Event { time: event.time, customer_id, json: &self.text[event.json.clone()] }
    }

    pub fn first_time(&self) -> Millis {
        self.events.first().map_or(0, |event| event.time)
    }

    pub fn last_time(&self) -> Millis {
        self.events.last().map_or(0, |event| event.time)
    }
}

/// Finds the position of each line in the whole text.
fn find_events(lines: &[u8], start: usize, events: &mut Vec<EventPosition>) -> anyhow::Result<()> {
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', lines) {
        let line = &lines[from..end];
        let time = time_of(line).context("an event of the demo has no time")?;
        let id = memchr::memmem::find(line, CUSTOMER_ID).context("an event of the demo has no customer")?
            + CUSTOMER_ID.len();
        let id_end = id + memchr::memchr(b'"', &line[id..]).context("an event of the demo has no whole customer id")?;
        let customer_id = start + from + id..start + from + id_end;
        events.push(EventPosition { time, json: start + from..start + end, customer_id });
        from = end + 1;
    }
    Ok(())
}

/// Every customer's orders by time.
fn orders(text: &[u8], events: &[EventPosition]) -> anyhow::Result<BTreeMap<String, Vec<Bought>>> {
    let mut customers: BTreeMap<String, Vec<Bought>> = BTreeMap::new();
    for EventPosition { time, json, .. } in events {
        let event: RealEvent<'_> = serde_json::from_slice(&text[json.clone()])?;
        let orders = customers.entry(event.customer_id.to_owned()).or_default();
        if event.event_type == "purchase" {
            let amount = event.amount.and_then(|amount| amount.parse().ok()).unwrap_or(0.0);
            orders.push(Bought { time: *time, amount });
        }
    }
    Ok(customers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_year() {
        let (a, b, other) = (Shop::open(1).unwrap(), Shop::open(1).unwrap(), Shop::open(2).unwrap());
        assert_eq!((a.customers, a.orders, a.returns), (1_103, 4_333, 830));
        assert!(a.text == b.text && a.events == b.events && a.text != other.text);
        assert!(a.events.is_sorted_by_key(|event| event.time));
        assert!(a.generated > 20_000, "{}", a.generated);
    }
}
