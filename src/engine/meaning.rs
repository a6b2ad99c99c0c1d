//! What gives events their meaning besides the rules: times, currency, attributes, declared types, bounds.
//!
//! Checked content of `rules.toml`; the file is read in [`crate::engine::rule`].

use super::event::{DAY, EventType, HOUR, MINUTE, Millis};
use rust_decimal::Decimal;

#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    pub clock: Clock,
    /// How far the watermark stays behind (T3).
    pub grace: Millis,
    /// How far before its arrival an event may stand (T8).
    pub max_future: Millis,
    pub currency: Currency,
    /// Declared attributes (B6), `country` first; at most [`Meaning::ATTRIBUTES_MAX`].
    pub attributes: Vec<Attribute>,
    /// Declared event types (B7), at most 32, in the order of the file.
    pub events: Vec<DeclaredType>,
    /// Whole hours for which event ids are remembered (E3).
    pub dedup_horizon_hours: u32,
    /// Event ids remembered per shard at most (E3).
    pub dedup_max_ids: u32,
    /// Customers per shard at most (R7).
    pub max_customers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Wall,
    Events,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Currency {
    /// ISO 4217 code of the base currency.
    pub base: String,
    /// Digits of its minor unit by ISO 4217: 2 for EUR, 0 for JPY, 3 for KWD.
    pub decimals: u32,
    /// Base units for one unit of the currency; the base itself is not in it.
    pub rates: Vec<(String, Decimal)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    pub name: String,
    pub kind: AttributeType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeType {
    Text,
    Number,
    Boolean,
    Time,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredType {
    pub name: String,
    pub kind: DeclaredKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredKind {
    Browsing,
    Activity,
    Other,
}

impl Meaning {
    pub const ATTRIBUTES_MAX: usize = 64;

    /// Whether events of this type are browsing (B1, B2).
    pub fn is_browsing(&self, event_type: EventType) -> bool {
        match event_type.declared_index() {
            Some(n) => self.events[n].kind == DeclaredKind::Browsing,
            None => (EventType::VIEW..=EventType::CHECKOUT).contains(&event_type),
        }
    }

    /// Whether events of this type are activity (B4).
    pub fn is_activity(&self, event_type: EventType) -> bool {
        match event_type.declared_index() {
            Some(n) => self.events[n].kind != DeclaredKind::Other,
            None => self.is_browsing(event_type) || matches!(event_type, EventType::PURCHASE | EventType::CLICK),
        }
    }

    /// Whether events of this type are counted per hour (B1, B7).
    pub fn is_counted(&self, event_type: EventType) -> bool {
        self.is_browsing(event_type)
            || event_type >= EventType::DECLARED
            || matches!(event_type, EventType::OPEN | EventType::CLICK | EventType::EXPOSURE)
    }

    /// The name of a type as events write it.
    pub fn type_name(&self, event_type: EventType) -> &str {
        match event_type.declared_index() {
            Some(n) => &self.events[n].name,
            None => EventType::BUILT_IN[event_type.index()].0,
        }
    }
}

impl Default for Meaning {
    fn default() -> Self {
        Self {
            clock: Clock::Wall,
            grace: 1_000,
            max_future: 5 * MINUTE,
            currency: Currency { base: "EUR".into(), decimals: 2, rates: Vec::new() },
            attributes: vec![Attribute { name: "country".into(), kind: AttributeType::Text }],
            events: Vec::new(),
            dedup_horizon_hours: (DAY / HOUR) as u32,
            dedup_max_ids: 4_000_000,
            max_customers: 50_000_000,
        }
    }
}
