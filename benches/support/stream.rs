//! A stream of events for benches: customers drawn uniformly, mostly browsing, two purchases in a hundred events.

use shoal::engine::event::{DAY, HOUR, MINUTE, Millis};
use shoal::random::Random;
use std::fmt::Write;
use std::ops::Range;

/// 2025-01-01T00:00:00Z.
const START: Millis = 1_735_689_600_000;
/// Visits per customer of [`Stream::visit`].
#[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
pub const VISITS: u64 = 11;
const CATEGORIES: [&str; 8] = ["shoes", "books", "garden", "toys", "audio", "kitchen", "sport", "travel"];

/// Makes lines; the same sequence for the same number of customers.
pub struct Stream {
    customers: u64,
    random: Random,
    /// The moment of the next event in microseconds.
    time_us: i64,
    events: u64,
    bytes: u64,
    introducing: Option<u64>,
    lines: Vec<Vec<u8>>,
}

impl Stream {
    pub fn new(customers: u64) -> Self {
        Self {
            customers,
            random: Random(0x5eed),
            time_us: START * 1_000,
            events: 0,
            bytes: 0,
            introducing: None,
            lines: Vec::new(),
        }
    }

    /// From now on each customer comes once, in turn.
    pub fn introduce_all(&mut self) {
        self.introducing = Some(0);
    }

    /// From now on customers are drawn.
    pub fn mix(&mut self) {
        self.introducing = None;
        (self.events, self.bytes) = (0, 0);
    }

    /// Makes the next lines.
    pub fn prepare(&mut self, count: usize) -> &[Vec<u8>] {
        let mut lines = std::mem::take(&mut self.lines);
        lines.resize_with(count.max(lines.len()), Vec::new);
        for line in &mut lines[..count] {
            line.clear();
            self.write_line(line);
        }
        self.lines = lines;
        &self.lines[..count]
    }

    /// What these customers do at their `visit`-th visit: ten times a search, a view and a cart_add within the hour, at
    /// the last an order on each of two days. Visits are eleven days apart, and customers come one after the other over
    /// ten days, so that the memory of event ids holds a day's share of them.
    #[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
    pub fn visit(&mut self, visit: u64, customers: Range<u64>) -> &[Vec<u8>] {
        let types: &[&str] =
            if visit == VISITS - 1 { &["purchase", "purchase"] } else { &["search", "view", "cart_add"] };
        let count = (customers.end - customers.start) as usize * types.len();
        let mut lines = std::mem::take(&mut self.lines);
        lines.resize_with(count.max(lines.len()), Vec::new);
        let mut written = lines.iter_mut();
        for customer in customers {
            let came = START + visit as i64 * 11 * DAY + (customer * (10 * DAY) as u64 / self.customers) as i64;
            for (nth, event_type) in types.iter().enumerate() {
                let line = written.next().expect("one line per event");
                line.clear();
                let minutes = if types.len() == 2 { 24 * 60 } else { 11 } * nth as i64;
                let jitter = (self.random.draw() % 600_000) as i64;
                self.write_event(
                    line,
                    customer,
                    event_type,
                    came.div_euclid(HOUR) * HOUR + minutes * MINUTE + jitter,
                    nth,
                );
            }
        }
        self.lines = lines;
        &self.lines[..count]
    }

    #[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
    pub fn mean_line_bytes(&self) -> f64 {
        self.bytes as f64 / self.events.max(1) as f64
    }

    fn write_line(&mut self, line: &mut Vec<u8>) {
        let customer = match &mut self.introducing {
            Some(next) => {
                *next += 1;
                *next - 1
            }
            None => self.random.draw() % self.customers,
        };
        // A customer has an event in two days, whatever their number: windows hold as much among many as among few.
        let mean_gap_us = (48 * HOUR * 1_000) as u64 / self.customers;
        self.time_us += (self.random.draw() % (2 * mean_gap_us + 1)) as i64;
        let event_type = match self.random.draw() % 100 {
            0..2 => "purchase",
            2..63 => "view",
            63..78 => "search",
            78..88 => "cart_add",
            88..91 => "cart_remove",
            91..95 => "checkout",
            95..98 => "open",
            98 => "click",
            _ => "profile",
        };
        let category = self.random.draw() as usize;
        self.write_event(line, customer, event_type, self.time_us / 1_000, category);
        self.events += 1;
        self.bytes += line.len() as u64;
    }

    fn write_event(&mut self, line: &mut Vec<u8>, customer: u64, event_type: &str, time: Millis, category: usize) {
        let mut text = String::from_utf8(std::mem::take(line)).expect("lines are text");
        let event_id = self.random.draw();
        let moment = jiff::Timestamp::from_millisecond(time).expect("a moment of our time");
        write!(text, r#"{{"event_id":"{event_id:016x}","customer_id":"customer-{customer:07}","type":"{event_type}","time":"{moment:.3}""#)
            .expect("memory");
        match event_type {
            "purchase" => {
                let (order, category) = (event_id >> 20, CATEGORIES[category % CATEGORIES.len()]);
                let cents = 500 + event_id % 20_000;
                write!(
                    text,
                    r#","order_id":"o-{order}","amount":"{}.{:02}","currency":"EUR","category":"{category}","channel":"web""#,
                    cents / 100,
                    cents % 100
                )
            }
            "profile" => write!(text, r#","attributes":{{"country":"PT"}}"#),
            _ => write!(text, r#","channel":"app","page":"/products/{}","device":"phone","app_version":"7.12.0""#, event_id % 100_000),
        }
        .expect("memory");
        text.push('}');
        *line = text.into_bytes();
    }
}

/// Where the customer id stands in a line.
#[allow(dead_code, reason = "each bench includes this file and uses what it needs")]
pub fn key_of(line: &[u8]) -> Range<usize> {
    const FIELD: &[u8] = b"\"customer_id\":\"";
    let start = line.windows(FIELD.len()).position(|window| window == FIELD).expect("an id") + FIELD.len();
    let length = line[start..].iter().position(|&byte| byte == b'"').expect("a closing quote");
    start..start + length
}
