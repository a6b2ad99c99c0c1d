//! Random scenarios: a rules file, a stream of records, ticks and changes of rules.
//!
//! Many events are one millisecond before, at, or after the end of a window, a dwell or another length of time that the
//! rules of the scenario measure from an earlier event; many are late.

use crate::broken;
use crate::fields::{object, text};
use crate::model::decode::Record;
use crate::model::feature::REMEMBERED;
use crate::model::partition::{Partitioner, Source};
use crate::model::rules::Rules;
use crate::model::shard::{Input, PublishFrom, Scenario};
use crate::model::value::{DAY, HOUR, MINUTE};
use crate::random::Random;
use crate::rules_text::{self, CATEGORIES, Header, Lengths};

/// 2020-01-01T00:00:00Z
const START: i64 = 1_577_836_800_000;
/// A wall clock after all ordinary events of a file: 2033-01-01T00:00:00Z
const FAR: i64 = 1_988_150_400_000;

/// How the events of a scenario were placed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Placed {
    pub events: u64,
    pub at_boundary: u64,
}

pub fn scenario(seed: u64) -> (Scenario, Placed) {
    let mut random = Random::new(seed);
    let lengths = Lengths::new(&mut random);
    let header = rules_text::header(&mut random);
    let rules = rules_text::rules(&mut random, &header, &lengths);
    let (customers, length) = match random.below(50) {
        0 => (40, random.between(60, 120)),
        1 => (1, random.between(150, 250)),
        _ => (1 + random.below(4), random.between(5, 60)),
    };
    let mut stream = Stream {
        pace: random.pick(&[20 * MINUTE, 8 * HOUR, 4 * DAY, 20 * DAY]),
        source: source(&mut random),
        cursor: START + random.between(0, 3 * DAY),
        now: START,
        dwells: dwells(&Rules::parse(&rules)),
        rhythms: rhythms(&Rules::parse(&rules)),
        moments: Vec::new(),
        event_ids: Vec::new(),
        returns: Vec::new(),
        purchases: Vec::new(),
        inputs: Vec::new(),
        placed: Placed::default(),
        random,
        lengths,
        header,
        customers: (0..customers).map(customer_id).collect(),
        length,
    };
    stream.fill();
    let publish_from = stream.publish_from();
    let until = stream.until();
    (Scenario { rules, source: stream.source, inputs: stream.inputs, until, publish_from }, stream.placed)
}

/// How long values are held by these rules; without 0.
fn dwells(rules: &Rules) -> Vec<i64> {
    let targets = rules.targets.values();
    targets.flat_map(|target| [target.dwell_in, target.dwell_out]).filter(|dwell| *dwell > 0).collect()
}

/// A value that changes when no event of a kind has come for a length of time, and is then held.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    kind: &'static str,
    length: i64,
    dwell: i64,
}

/// The rhythms in these rules that are plainly written, such as `inactive_days >= 7`.
fn rhythms(rules: &Rules) -> Vec<Rhythm> {
    let mut rhythms = Vec::new();
    for target in rules.targets.values().filter(|target| target.dwell_in > 0) {
        let conditions = target.conditions();
        for comparison in conditions.iter().flat_map(|(_, condition)| condition.comparisons()) {
            let words: Vec<&str> = comparison.text.split(' ').collect();
            let kind = match words[0] {
                "inactive_days" => "view",
                "recency_days" => "purchase",
                _ => continue,
            };
            let days = words.get(2).and_then(|days| days.parse::<f64>().ok()).filter(|days| *days > 0.0);
            let length = days.map(|days| (days * DAY as f64) as i64).filter(|length| *length < 100 * DAY);
            rhythms.extend(length.map(|length| Rhythm { kind, length, dwell: target.dwell_in }));
        }
    }
    rhythms
}

fn customer_id(n: usize) -> String {
    match n {
        0 => "ann".into(),
        1 => "bob".into(),
        2 => "Zoë \"z\"".into(),
        n => format!("customer {n}"),
    }
}

fn source(random: &mut Random) -> Source {
    match random.below(8) {
        0..=3 => Source::Files,
        4 | 5 => Source::Log { partitioner: Partitioner::Murmur2, partitions: 3 },
        6 => Source::Log { partitioner: Partitioner::Crc32, partitions: 3 },
        _ => Source::Log { partitioner: Partitioner::Any, partitions: 3 },
    }
}

/// A moment of a customer, and the type of its event.
#[derive(Clone)]
pub struct Moment {
    pub time: i64,
    pub customer: String,
    pub kind: &'static str,
}

/// An order that refunds can give back almost wholly.
#[derive(Clone)]
pub struct Purchase {
    pub customer: String,
    pub order_id: String,
    /// Hundredths of its currency.
    pub cents: i64,
    pub currency: Option<String>,
}

pub struct Stream {
    pub random: Random,
    lengths: Lengths,
    header: Header,
    customers: Vec<String>,
    /// How long values are held by the rules in force.
    dwells: Vec<i64>,
    rhythms: Vec<Rhythm>,
    /// The number of inputs; a burst counts as one.
    length: i64,
    /// The typical time between two events.
    pace: i64,
    source: Source,
    /// The latest time of an event so far.
    cursor: i64,
    /// The wall clock, unless the events are from files.
    now: i64,
    /// Moments from which windows and other lengths are measured: times of events and attributes.
    pub moments: Vec<Moment>,
    pub event_ids: Vec<String>,
    /// Refunds, cancellations and amendments with ids: customer, order and event.
    pub returns: Vec<(String, String, String)>,
    /// Orders with ids.
    pub purchases: Vec<Purchase>,
    inputs: Vec<Input>,
    placed: Placed,
}

impl Stream {
    pub fn is_from_files(&self) -> bool {
        self.source == Source::Files
    }

    fn fill(&mut self) {
        let changes_rules = self.random.chance(25);
        for _ in 0..self.length {
            match self.random.below(100) {
                0..=8 => self.broken(),
                9..=14 if !self.is_from_files() => self.tick(),
                15..=17 if changes_rules => self.new_rules(),
                18 if self.random.chance(10) => self.burst(),
                19 | 20 if self.random.chance(50) => self.echo(),
                21..=26 => self.held_back(),
                27 | 28 => self.life_of_an_order(),
                _ => self.event(),
            }
        }
        if self.is_from_files() && self.random.chance(10) {
            let time = FAR + self.header.max_future + self.random.between(-1, 1);
            self.placed.at_boundary += 1;
            self.event_at(time, None, None);
        }
    }

    fn publish_from(&mut self) -> Option<PublishFrom> {
        if self.moments.is_empty() {
            return None;
        }
        let at = self.random.pick(&self.moments).time + self.random.between(-1, 1);
        let changes = self.random.chance(60);
        self.random.chance(12).then_some(PublishFrom { at, changes })
    }

    fn until(&mut self) -> Option<i64> {
        match self.random.below(3) {
            0 => None,
            1 => Some(self.boundary().map_or(self.cursor, |(time, _)| time)),
            _ => Some(self.cursor + self.random.between(0, 500 * DAY)),
        }
    }

    /// An instant at the end of a length of time that began at an earlier moment, and that moment.
    fn boundary(&mut self) -> Option<(i64, Moment)> {
        let lengths = self.lengths.milliseconds();
        let aside = self.random.between(-1, 1);
        for _ in 0..6 {
            let recent = self.moments.len().saturating_sub(if self.random.chance(50) { 6 } else { usize::MAX });
            let moment =
                self.moments.get(recent..).filter(|some| !some.is_empty()).map(|some| self.random.pick(some))?;
            let instant = match self.random.below(8) {
                0 => (self.cursor / HOUR + self.random.between(1, 3)) * HOUR + self.header.grace,
                _ => moment.time + self.random.pick(&lengths),
            } + aside;
            if instant >= self.cursor && instant < self.cursor + 450 * DAY {
                return Some((instant, moment));
            }
        }
        None
    }

    fn event(&mut self) {
        if self.random.chance(32)
            && let Some((time, moment)) = self.boundary()
        {
            self.placed.at_boundary += 1;
            let customer = self.random.chance(80).then_some(moment.customer);
            let kind = self.random.chance(40).then(|| self.similar(moment.kind));
            return self.event_at(time, customer, kind);
        }
        let time = match self.random.below(76) {
            0..=20 => {
                let back = self.random.pick(&[1, 10, 1_000, HOUR, DAY, 30 * DAY, 430 * DAY]);
                (self.cursor - self.random.between(0, back)).max(START - 600 * DAY)
            }
            21..=28 => self.cursor,
            29..=32 => self.cursor + self.random.between(1, 120 * DAY),
            _ => self.cursor + self.random.between(1, self.pace),
        };
        self.event_at(time, None, None);
    }

    /// An event of another customer raises the watermark to the end of a length of time that began long ago, mostly to
    /// the moment at which marks and orders are forgotten; an event from the time when it began follows.
    fn echo(&mut self) {
        let lengths = self.lengths.milliseconds();
        let length = if self.random.chance(60) { REMEMBERED } else { self.random.pick(&lengths) };
        let ends = self.moments.iter().filter(|moment| ["erase", "opt_out", "opt_in"].contains(&moment.kind));
        let ends: Vec<Moment> = ends.cloned().collect();
        let all = if ends.is_empty() || self.random.chance(30) { self.moments.clone() } else { ends };
        if all.is_empty() {
            return self.event();
        }
        let moment = self.random.pick(&all);
        let (aside, back) = (self.random.between(-1, 1), self.random.between(-1, 1));
        self.placed.at_boundary += 1;
        self.event_at(moment.time + length + self.header.grace + aside, Some("other".into()), Some("open"));
        self.event_at(moment.time + back, Some(moment.customer), None);
    }

    fn new_rules(&mut self) {
        let text = rules_text::rules(&mut self.random, &self.header, &self.lengths);
        let rules = Rules::parse(&text);
        (self.dwells, self.rhythms) = (dwells(&rules), rhythms(&rules));
        self.inputs.push(Input::Rules(text));
    }

    /// An event, after which a rhythm lets a value change by time; time passes beyond that, by an event of another
    /// customer, and mostly beyond a dwell after it. Then two more events of the first customer come, both late. After
    /// the first one the rules want the old value until within the dwell, which holds the new one back; the second one
    /// changes nothing but what the rules want at the end of the dwell.
    fn held_back(&mut self) {
        let Some(Rhythm { kind, length, dwell }) = self.rhythm() else { return self.event() };
        let customer = self.random.pick(&self.customers);
        let start = self.cursor + self.random.between(0, self.pace.min(DAY));
        self.event_at(start, Some(customer.clone()), Some(kind));
        let is_over = self.random.chance(35);
        let dwells = if is_over { self.random.between(1, 3) } else { 0 };
        let passed = dwell * dwells + self.random.pick(&[-1, 0, 1, HOUR]);
        self.event_at(start + length + self.header.grace + passed, Some("other".into()), Some("open"));
        let first = start + self.random.between(1, dwell.min(length));
        let second = match length - dwell {
            rest if rest > 0 => start + dwell + self.random.between(1, rest),
            _ => first + self.random.between(0, length / 2),
        };
        for time in [first, second] {
            let kind = if self.random.chance(90) { kind } else { self.similar(kind) };
            self.event_at(time, Some(customer.clone()), Some(kind));
        }
        if is_over {
            return;
        }
        // Something else comes while the dwell lasts, or it ends with a tick.
        match self.random.below(10) {
            0..=3 => self.event_at(second + 1, Some(customer), Some("erase")),
            4 => self.new_rules(),
            _ if !self.is_from_files() => {
                self.now = self.now.max(start + length + 2 * dwell + self.header.grace);
                self.inputs.push(Input::Tick(self.now));
            }
            _ => self.new_rules(),
        }
    }

    /// A rhythm of the rules; if they have none, perhaps one that does not decide anything.
    fn rhythm(&mut self) -> Option<Rhythm> {
        if !self.rhythms.is_empty() && self.random.chance(90) {
            return Some(self.random.pick(&self.rhythms));
        }
        let lengths: Vec<i64> =
            self.lengths.milliseconds().into_iter().filter(|length| (1..=40 * DAY).contains(length)).collect();
        let dwell = if self.dwells.is_empty() { return None } else { self.random.pick(&self.dwells) };
        Some(Rhythm { kind: self.kind(), length: self.random.pick(&lengths), dwell })
    }

    fn event_at(&mut self, time: i64, customer: Option<String>, kind: Option<&'static str>) {
        let customer = customer.unwrap_or_else(|| self.random.pick(&self.customers));
        let kind = kind.unwrap_or_else(|| self.kind());
        let fields = self.fields(&customer, time, kind);
        self.happened(Moment { time, customer, kind }, fields);
    }

    pub fn happened(&mut self, moment: Moment, fields: Vec<(&'static str, String)>) {
        self.placed.events += 1;
        self.cursor = self.cursor.max(moment.time);
        self.record(&moment.customer, moment.time, object(fields).into_bytes());
        self.moments.push(moment);
    }

    pub fn any_customer(&mut self) -> String {
        self.random.pick(&self.customers)
    }

    /// A moment soon after the latest event.
    pub fn soon(&mut self) -> i64 {
        self.cursor + self.random.between(0, self.pace)
    }

    fn broken(&mut self) {
        let customer = self.random.pick(&self.customers);
        let time = self.cursor + self.random.between(0, self.pace);
        if customer.contains('"') {
            return;
        }
        if !self.is_from_files() && self.random.chance(10) {
            let key = self.random.pick(&broken::KEYS);
            let value = format!(r#"{{"type":"view","time":{time}}}"#);
            return self.record(key, time, value.into_bytes());
        }
        let value = broken::value(&mut self.random, &customer, time);
        self.record(&customer, time, value);
    }

    fn record(&mut self, customer: &str, time: i64, value: Vec<u8>) {
        let offset = self.inputs.len() as i64;
        let (topic, arrival, key, now) = if self.is_from_files() {
            ("events.jsonl".to_string(), None, None, FAR)
        } else {
            self.now = self.now.max(time + self.random.pick(&[0, 0, 5, 2_000, 50_000]));
            let arrival = self.arrival(time);
            let key = if self.random.chance(2) { None } else { Some(customer.as_bytes().to_vec()) };
            ("orders".to_string(), Some(arrival), key, self.now)
        };
        let partition = self.partition(customer);
        self.inputs.push(Input::Record(Record { topic, partition, offset, arrival, key, value, now }));
    }

    /// The right partition, except for one record in thirty.
    fn partition(&mut self, customer: &str) -> u32 {
        let right =
            (0..3).find(|partition| self.source.accepts(customer.as_bytes(), *partition)).expect("one of three");
        if self.is_from_files() || !self.random.chance(3) { right } else { (right + 1) % 3 }
    }

    /// The arrival of a record: mostly soon after its event, sometimes so early that the event is in the future.
    fn arrival(&mut self, time: i64) -> i64 {
        match self.random.below(20) {
            0 => time - self.header.max_future + self.random.between(-1, 1),
            1 => self.now + 10_000,
            2 => time - 700,
            3..=8 => self.now,
            _ => time + self.random.between(0, 100).min(self.now - time),
        }
    }

    fn tick(&mut self) {
        let tick = self.boundary().map_or(self.cursor, |(time, _)| time) + self.header.grace;
        self.now = self.now.max(tick);
        self.cursor = self.cursor.max(self.now - self.pace.min(HOUR));
        self.inputs.push(Input::Tick(self.now));
    }

    /// Events that reach small bounds: views of many categories in many hours, refunds without their orders, or refunds
    /// of one order with an id each.
    fn burst(&mut self) {
        let customer = self.random.pick(&self.customers);
        if self.random.chance(30) {
            return self.burst_of_returns(&customer);
        }
        let refunds = self.random.chance(50);
        for n in 0..20 {
            self.cursor += HOUR / 2;
            let time = self.cursor - self.random.between(0, 3) * HOUR;
            self.moments.push(Moment { time, customer: customer.clone(), kind: "view" });
            self.placed.events += 1;
            let categories: Vec<String> = (0..8)
                .map(|k| format!("{{\"category\":{}}}", text(CATEGORIES.get(k).unwrap_or(&["c5", "c6", "z7"][k % 3]))))
                .collect();
            let mut fields = self.head(&customer, time);
            if refunds {
                fields.push(("type", text("refund")));
                fields.push(("order_id", text(&format!("o{}", 1 + n % 9))));
                fields.push(("amount", "1".into()));
            } else {
                fields.push(("type", text("view")));
                fields.push(("category", text(CATEGORIES[n % 5])));
                fields.push(("items", format!("[{}]", categories.join(","))));
            }
            self.record(&customer, time, object(fields).into_bytes());
        }
    }

    fn burst_of_returns(&mut self, customer: &str) {
        let order_id = format!("o{}", self.random.between(1, 6));
        for n in 0..self.random.between(66, 72) {
            self.cursor += MINUTE;
            let time = self.cursor;
            self.placed.events += 1;
            let mut fields = self.head(customer, time);
            fields.push(("order_id", text(&order_id)));
            if n == 0 {
                fields.push(("type", text("purchase")));
                fields.push(("amount", "100".into()));
            } else {
                let event_id = format!("r{}", self.returns.len());
                self.returns.push((customer.into(), order_id.clone(), event_id.clone()));
                fields.push(("type", text("refund")));
                fields.push(("event_id", text(&event_id)));
                fields.push(("amount", "1".into()));
            }
            self.record(customer, time, object(fields).into_bytes());
        }
    }
}
