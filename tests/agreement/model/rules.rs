//! `rules.toml` as the model needs it. The file is assumed to be valid: the model rejects none.

use super::counts::{OwnCount, counts};
use super::expression::{Condition, Scalar};
use super::money::Rate;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttributeType {
    Text,
    Number,
    Boolean,
    Time,
    Texts,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DeclaredKind {
    Browsing,
    Activity,
    Other,
}

#[derive(Clone, Debug)]
pub struct Rules {
    /// The first 16 hex digits of the file's SHA-256.
    pub version: String,
    /// Whether the wall clock raises the watermark too.
    pub has_wall_clock: bool,
    pub grace: i64,
    pub max_future: i64,
    pub utc_offset: i64,
    pub base: String,
    pub decimals: u32,
    rates: BTreeMap<String, Rate>,
    placeholders: Vec<String>,
    pub attributes: BTreeMap<String, AttributeType>,
    pub events: BTreeMap<String, DeclaredKind>,
    /// B8.
    pub properties: BTreeMap<String, AttributeType>,
    pub counts: BTreeMap<String, OwnCount>,
    pub horizon_hours: i64,
    pub ids_max: usize,
    pub customers_max: usize,
    /// Names and scalars that changes contain under `features`.
    pub include: Vec<(String, Scalar)>,
    /// Segmentations and audiences by name.
    pub targets: BTreeMap<String, Target>,
    /// Names of those that are not evaluated any more (R13).
    pub retired: BTreeSet<String>,
    /// The names, each after those that it refers to.
    pub order: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub kind: Kind,
    /// How long a value is held at least: `in` and every segment, `out`.
    pub dwell_in: i64,
    pub dwell_out: i64,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// Names and conditions in the order of the file; the last has none.
    Segmentation(Vec<(String, Option<Condition>)>),
    Audience {
        when: Condition,
        exit: Option<Condition>,
    },
}

impl Rules {
    pub fn parse(text: &str) -> Rules {
        let file: Table = text.parse().expect("rules are TOML");
        let section = |name: &str| file.get(name).and_then(Value::as_table).cloned().unwrap_or_default();
        let (time, currency, dedup, limits) =
            (section("time"), section("currency"), section("dedup"), section("limits"));
        let duration = |table: &Table, name: &str, default: i64| table.get(name).map_or(default, milliseconds);
        let bound = |table: &Table, name: &str, default: i64| {
            table.get(name).map_or(default, |value| value.as_integer().expect("a number")) as usize
        };
        let base = currency.get("base").map_or("EUR", |base| string(base)).to_string();
        let is_retired = |table: &Value| table.get("retired").and_then(Value::as_bool) == Some(true);
        let (mut targets, mut retired) = (BTreeMap::new(), BTreeSet::new());
        for (kind, read) in [("segmentation", segmentation as fn(&Value) -> Target), ("audience", audience)] {
            for (name, table) in section(kind) {
                match is_retired(&table) {
                    true => drop(retired.insert(name)),
                    false => drop(targets.insert(name, read(&table))),
                }
            }
        }
        let properties = kinds(&section("properties"));
        Rules {
            version: Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
            has_wall_clock: time.get("clock").is_none_or(|clock| string(clock) == "wall"),
            grace: duration(&time, "grace", 1_000),
            max_future: duration(&time, "max_future", 300_000),
            utc_offset: time.get("utc_offset").map_or(0, |offset| utc_offset(string(offset))),
            decimals: decimals(&base),
            base,
            rates: rates(&currency),
            placeholders: placeholders(&section("ids")),
            attributes: attributes(&section("attributes")),
            events: section("events").iter().map(|(name, kind)| (name.clone(), declared_kind(string(kind)))).collect(),
            counts: counts(&section("count"), &properties),
            properties,
            horizon_hours: duration(&dedup, "horizon", 86_400_000) / 3_600_000,
            ids_max: bound(&dedup, "max_ids", 4_000_000),
            customers_max: bound(&limits, "max_customers", i64::MAX),
            include: include(&file),
            order: order(&targets),
            targets,
            retired,
        }
    }

    /// The rate of a currency, its code in any case; `None` if it is unknown here.
    pub fn rate(&self, code: &str) -> Option<Rate> {
        let code = code.to_ascii_uppercase();
        if code == self.base { Some(Rate::ONE) } else { self.rates.get(&code).copied() }
    }

    /// E6.
    pub fn is_placeholder(&self, id: &str) -> bool {
        self.placeholders.contains(&id.to_ascii_lowercase())
    }
}

impl Rules {
    /// What is counted in absolute intervals.
    pub fn intervals(&self) -> Vec<(String, [i64; 2])> {
        let conditions = self.targets.values().flat_map(Target::conditions);
        let comparisons = conditions.flat_map(|(_, condition)| condition.comparisons());
        let scalars = comparisons.flat_map(|comparison| comparison.scalars());
        let included = self.include.iter().map(|(_, scalar)| scalar);
        let interval = |leaf: &Scalar| match leaf {
            Scalar::Feature(feature) => feature.interval(),
            _ => None,
        };
        scalars.chain(included).flat_map(Scalar::leaves).filter_map(interval).collect()
    }
}

impl Target {
    /// The conditions of a value, in the order of the file.
    pub fn conditions(&self) -> Vec<(Option<&str>, &Condition)> {
        match &self.kind {
            Kind::Segmentation(segments) => segments
                .iter()
                .filter_map(|(name, when)| when.as_ref().map(|when| (Some(name.as_str()), when)))
                .collect(),
            Kind::Audience { when, exit } => {
                [Some(when), exit.as_ref()].into_iter().flatten().map(|c| (None, c)).collect()
            }
        }
    }

    pub fn is_audience(&self) -> bool {
        matches!(self.kind, Kind::Audience { .. })
    }

    /// The names that its conditions refer to by segment() and audience().
    pub fn refers_to(&self) -> Vec<String> {
        let comparisons = self.conditions().into_iter().flat_map(|(_, condition)| condition.comparisons());
        let scalars = comparisons.flat_map(|comparison| comparison.scalars());
        let leaf_name = |leaf: &Scalar| match leaf {
            Scalar::Segment(name) | Scalar::Audience(name) => Some(name.clone()),
            _ => None,
        };
        scalars.flat_map(Scalar::leaves).filter_map(leaf_name).collect()
    }
}

fn string(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// `+05:30` in milliseconds.
fn utc_offset(text: &str) -> i64 {
    let (hours, minutes) = text[1..].split_once(':').expect("hours and minutes");
    let minutes = hours.parse::<i64>().expect("hours") * 60 + minutes.parse::<i64>().expect("minutes");
    minutes * if text.starts_with('-') { -60_000 } else { 60_000 }
}

/// A duration such as `1d12h`.
fn milliseconds(value: &Value) -> i64 {
    let mut total = 0;
    let mut rest = string(value);
    while !rest.is_empty() {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        rest = &rest[digits.len()..];
        let unit: String = rest.chars().take_while(|letter| !letter.is_ascii_digit()).collect();
        rest = &rest[unit.len()..];
        total += digits.parse::<i64>().expect("a number")
            * match unit.as_str() {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                other => panic!("no unit: {other}"),
            };
    }
    total
}

/// Digits of the minor unit by ISO 4217, for the currencies that the tests use as base.
fn decimals(base: &str) -> u32 {
    match base {
        "JPY" | "KRW" => 0,
        "KWD" | "BHD" => 3,
        _ => 2,
    }
}

fn rates(currency: &Table) -> BTreeMap<String, Rate> {
    let Some(rates) = currency.get("rates").and_then(Value::as_table) else { return BTreeMap::new() };
    rates.iter().map(|(code, rate)| (code.clone(), Rate::of(string(rate)))).collect()
}

/// In lower case.
fn placeholders(ids: &Table) -> Vec<String> {
    let default = ["null", "undefined", "none", "nan", "(not set)", "[object object]", "anonymous", "guest", "0", ""];
    match ids.get("placeholders").and_then(Value::as_array) {
        None => default.map(String::from).to_vec(),
        Some(own) => own.iter().map(|text| string(text).to_ascii_lowercase()).collect(),
    }
}

fn kinds(section: &Table) -> BTreeMap<String, AttributeType> {
    let kind = |name: &str| match name {
        "text" => AttributeType::Text,
        "number" => AttributeType::Number,
        "boolean" => AttributeType::Boolean,
        "time" => AttributeType::Time,
        "texts" => AttributeType::Texts,
        other => panic!("no type of attributes: {other}"),
    };
    section.iter().map(|(name, value)| (name.clone(), kind(string(value)))).collect()
}

fn attributes(section: &Table) -> BTreeMap<String, AttributeType> {
    let mut attributes = BTreeMap::from([("country".to_string(), AttributeType::Text)]);
    attributes.extend(kinds(section));
    attributes
}

fn declared_kind(name: &str) -> DeclaredKind {
    match name {
        "browsing" => DeclaredKind::Browsing,
        "activity" => DeclaredKind::Activity,
        "other" => DeclaredKind::Other,
        other => panic!("no kind of events: {other}"),
    }
}

fn include(file: &Table) -> Vec<(String, Scalar)> {
    let names = file.get("include").and_then(Value::as_array).cloned().unwrap_or_default();
    names.iter().map(|name| (string(name).to_string(), Scalar::parse(string(name)))).collect()
}

fn segmentation(table: &Value) -> Target {
    let segment = |segment: &Value| {
        let when = segment.get("when").map(|when| Condition::parse(string(when)));
        (string(&segment["name"]).to_string(), when)
    };
    let segments = table["segments"].as_array().expect("a list").iter().map(segment).collect();
    let dwell = table.get("min_dwell").map_or(0, milliseconds);
    Target { kind: Kind::Segmentation(segments), dwell_in: dwell, dwell_out: dwell }
}

fn audience(table: &Value) -> Target {
    let condition = |name: &str| table.get(name).map(|text| Condition::parse(string(text)));
    let (dwell_in, dwell_out) = match table.get("min_dwell") {
        None => (0, 0),
        Some(Value::Table(dwell)) => {
            (dwell.get("in").map_or(0, milliseconds), dwell.get("out").map_or(0, milliseconds))
        }
        Some(dwell) => (milliseconds(dwell), milliseconds(dwell)),
    };
    let when = condition("when").expect("an audience has a condition");
    Target { kind: Kind::Audience { when, exit: condition("exit") }, dwell_in, dwell_out }
}

fn order(targets: &BTreeMap<String, Target>) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    while order.len() < targets.len() {
        let ready = |name: &&String| {
            !order.contains(name) && targets[*name].refers_to().iter().all(|other| order.contains(other))
        };
        let next = targets.keys().find(ready).expect("no circles").clone();
        order.push(next);
    }
    order
}
