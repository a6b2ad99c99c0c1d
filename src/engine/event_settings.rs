//! The settings of `rules.toml` that give events their meaning besides the rules: time, currency, attributes, declared
//! types, deduplication and bounds.
//!
//! They are checked when the file is read, in [`crate::engine::rule`].

use super::event::{DAY, EventType, HOUR, MINUTE, Millis};
use rust_decimal::Decimal;

#[derive(Clone, Debug, PartialEq)]
pub struct EventSettings {
    pub clock: Clock,
    /// How far the watermark is behind arrivals (T3).
    pub grace: Millis,
    /// How far after its arrival the time of an event may be (T8).
    pub max_future: Millis,
    /// Local time less UTC: where the days of days_to_anniversary() begin.
    pub utc_offset: Millis,
    pub currency: Currency,
    /// Texts that are no ids, in any case (E6).
    pub placeholders: Vec<String>,
    /// Declared attributes (B6), `country` first; at most [`EventSettings::ATTRIBUTES_MAX`].
    pub attributes: Vec<Attribute>,
    /// Declared event types (B7), at most 32, in the order of the file.
    pub events: Vec<DeclaredType>,
    /// Declared properties (B8), at most [`EventSettings::PROPERTIES_MAX`], in the order of the file.
    pub properties: Vec<Property>,
    /// Counts of one's own (B8), at most [`EventType::OWN_COUNTS_MAX`], in the order of the file.
    pub counts: Vec<OwnCount>,
    /// Whole hours for which event ids are remembered (E3).
    pub dedup_horizon_hours: u32,
    /// Event ids remembered per shard at most (E3).
    pub dedup_max_ids: u32,
    /// Customers per shard at most (R7).
    pub max_customers: u32,
    /// What the rules count in absolute intervals, each once, in order. Taken from the conditions.
    pub intervals: Vec<Interval>,
}

/// An absolute interval in which the rules count orders, or events of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// [`EventType::PURCHASE`] for orders; of events a type that is counted per hour (B1).
    pub counted: EventType,
    pub from: Millis,
    /// The first instant after the interval.
    pub to: Millis,
}

impl Interval {
    pub fn contains(&self, time: Millis) -> bool {
        self.from <= time && time < self.to
    }
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
    /// Base units for one unit of each currency, without the base itself.
    pub rates: Vec<(String, Decimal)>,
}

impl Currency {
    /// Whether amounts of this currency are accepted.
    pub fn knows(&self, code: &str) -> bool {
        code == self.base || self.rates.iter().any(|(known, _)| known == code)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    pub name: String,
    pub kind: AttributeType,
    /// No longer declared; its index is reserved because customers may have values of it.
    pub retired: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeType {
    Text,
    Number,
    Boolean,
    Time,
    Texts,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredType {
    pub name: String,
    pub kind: DeclaredKind,
    /// No longer declared; its index is reserved because customers may have counts of it.
    pub retired: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredKind {
    Browsing,
    Activity,
    Other,
}

/// A property of events that conditions of counts can read (B8).
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    pub name: String,
    /// Text, number or boolean.
    pub kind: AttributeType,
}

/// A count of one's own: events of one type for which a condition is TRUE (B8). The condition is among the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnCount {
    pub name: String,
    /// The name of the type of events.
    pub of: String,
    /// All that decides what is counted, as one text. With another definition a count begins anew.
    pub definition: String,
    /// The declared properties that the condition reads, one bit each.
    pub properties: u32,
    /// The index in customers' state.
    pub index: u8,
}

impl OwnCount {
    /// Whether it goes on with what another has counted.
    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.definition) == (&other.name, &other.definition)
    }
}

impl EventSettings {
    /// Attributes over the life of the state at most.
    pub const ATTRIBUTES_MAX: usize = 64;
    pub const PROPERTIES_MAX: usize = 32;
    /// What stands for a missing id unless the rules say otherwise (E6).
    pub const PLACEHOLDERS: [&'static str; 10] =
        ["null", "undefined", "none", "nan", "(not set)", "[object object]", "anonymous", "guest", "0", ""];

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
            || event_type >= EventType::DECLARED && event_type != EventType::AMEND
            || matches!(event_type, EventType::OPEN | EventType::CLICK | EventType::EXPOSURE)
    }

    /// The types that are declared now, with their names.
    pub fn declared_types(&self) -> impl Iterator<Item = (&str, EventType)> {
        let all = self.events.iter().enumerate().filter(|(_, declared)| !declared.retired);
        all.map(|(n, declared)| (declared.name.as_str(), EventType::declared(n)))
    }

    /// The attributes that are declared now, with their indexes.
    pub fn declared_attributes(&self) -> impl Iterator<Item = (u8, &Attribute)> {
        let all = self.attributes.iter().enumerate().filter(|(_, attribute)| !attribute.retired);
        all.map(|(index, attribute)| (index as u8, attribute))
    }

    /// The counts of one's own with their types.
    pub fn own_counts(&self) -> impl Iterator<Item = (&str, EventType)> {
        self.counts.iter().map(|count| (count.name.as_str(), EventType::own_count(count.index)))
    }

    /// The type of this name that events can have now.
    pub fn type_named(&self, name: &str) -> Option<EventType> {
        let built_in = EventType::BUILT_IN.iter().map(|(name, event_type)| (*name, *event_type));
        built_in.chain(self.declared_types()).find(|(known, _)| *known == name).map(|(_, event_type)| event_type)
    }

    /// The type of the events that are counted as this type: for a count of one's own the one that it counts.
    pub fn counted_from(&self, event_type: EventType) -> Option<EventType> {
        match event_type.own_count_index() {
            Some(index) => {
                self.counts.iter().find(|count| count.index == index).and_then(|count| self.type_named(&count.of))
            }
            None => Some(event_type),
        }
    }

    /// The counts of the previous settings that end with these (B8), one bit each, by their indexes in customers'
    /// state.
    pub fn ended_counts(&self, previous: &Self) -> u32 {
        let goes_on = |old: &OwnCount| self.counts.iter().any(|new| new.index == old.index && new.is_same(old));
        let ended = previous.counts.iter().filter(|old| !goes_on(old));
        ended.fold(0, |bits, old| bits | 1 << old.index)
    }

    /// Gives attributes, types and counts the indexes that they have in the previous settings, because customers have
    /// values and counts by index. Attributes and types that are no longer declared keep their indexes, retired. A
    /// count with another definition gets a free index; what the ended one has counted is removed in the sweep of the
    /// rules.
    ///
    /// # Errors
    /// A message if the base currency differs, or there are no indexes left.
    pub fn follow(&mut self, previous: &Self) -> Result<(), String> {
        if (&self.currency.base, self.currency.decimals) != (&previous.currency.base, previous.currency.decimals) {
            let (base, before) = (&self.currency.base, &previous.currency.base);
            return Err(format!(
                "expected the base currency {before}, in which all amounts are stored, found {base}: it is fixed for the life of the state"
            ));
        }
        let events = std::mem::take(&mut self.events);
        self.events = previous.events.iter().map(|old| DeclaredType { retired: true, ..old.clone() }).collect();
        for declared in events {
            match self.events.iter_mut().find(|old| old.name == declared.name) {
                Some(old) => *old = declared,
                None => self.events.push(declared),
            }
        }
        let attributes = std::mem::take(&mut self.attributes);
        self.attributes = previous.attributes.iter().map(|old| Attribute { retired: true, ..old.clone() }).collect();
        for declared in attributes {
            match self.attributes.iter_mut().find(|old| (&old.name, old.kind) == (&declared.name, declared.kind)) {
                Some(old) => *old = declared,
                None => self.attributes.push(declared),
            }
        }
        let is_over_bound = self.events.len() > EventType::DECLARED_MAX || self.attributes.len() > Self::ATTRIBUTES_MAX;
        if is_over_bound {
            return Err(format!(
                "expected at most {} types and {} attributes over the life of the state, including those no longer declared, found {} and {}",
                EventType::DECLARED_MAX,
                Self::ATTRIBUTES_MAX,
                self.events.len(),
                self.attributes.len()
            ));
        }
        self.follow_counts(&previous.counts);
        Ok(())
    }

    fn follow_counts(&mut self, previous: &[OwnCount]) {
        let index = |new: &OwnCount| previous.iter().find(|old| new.is_same(old)).map(|old| old.index);
        let kept: Vec<Option<u8>> = self.counts.iter().map(index).collect();
        let mut free = (0..EventType::OWN_COUNTS_MAX as u8).filter(|index| !kept.contains(&Some(*index)));
        for (count, kept) in self.counts.iter_mut().zip(&kept) {
            count.index = kept.or_else(|| free.next()).expect("there are no more counts than indexes");
        }
    }

    /// The name of a type in events, or of a count of one's own.
    pub fn type_name(&self, event_type: EventType) -> &str {
        if let Some(index) = event_type.own_count_index() {
            return self.counts.iter().find(|count| count.index == index).map_or("", |count| &count.name);
        }
        match event_type.declared_index() {
            Some(n) => &self.events[n].name,
            None => event_type.built_in_name(),
        }
    }
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            clock: Clock::Wall,
            grace: 1_000,
            max_future: 5 * MINUTE,
            utc_offset: 0,
            currency: Currency { base: "EUR".into(), decimals: 2, rates: Vec::new() },
            placeholders: Self::PLACEHOLDERS.map(String::from).into(),
            attributes: vec![Attribute { name: "country".into(), kind: AttributeType::Text, retired: false }],
            events: Vec::new(),
            properties: Vec::new(),
            counts: Vec::new(),
            dedup_horizon_hours: (4 * DAY / HOUR) as u32,
            dedup_max_ids: 4_000_000,
            max_customers: 50_000_000,
            intervals: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_settings(events: &[(&str, DeclaredKind)], attributes: &[(&str, AttributeType)]) -> EventSettings {
        let events = events.iter().map(|&(name, kind)| DeclaredType { name: name.into(), kind, retired: false });
        let attributes = attributes.iter().map(|&(name, kind)| Attribute { name: name.into(), kind, retired: false });
        EventSettings { events: events.collect(), attributes: attributes.collect(), ..EventSettings::default() }
    }

    #[test]
    fn declarations_keep_their_indexes() {
        use AttributeType::{Number, Text};
        use DeclaredKind::{Activity, Browsing, Other};
        let first = event_settings(&[("ticket", Other), ("survey", Other)], &[("plan", Text), ("age", Number)]);
        let mut second = event_settings(&[("visit", Browsing), ("survey", Activity)], &[("age", Text), ("plan", Text)]);
        second.follow(&first).unwrap();
        let types: Vec<_> = second.declared_types().collect();
        assert_eq!(types, [("survey", EventType::declared(1)), ("visit", EventType::declared(2))]);
        assert_eq!(second.events[1].kind, Activity);
        let attributes: Vec<_> =
            second.declared_attributes().map(|(index, attribute)| (index, attribute.name.as_str())).collect();
        assert_eq!(attributes, [(0, "plan"), (2, "age")]);
        let mut third = first.clone();
        third.follow(&second).unwrap();
        let types: Vec<_> = third.declared_types().collect();
        assert_eq!(types, [("ticket", EventType::declared(0)), ("survey", EventType::declared(1))]);
    }

    #[test]
    fn counts_keep_their_indexes_while_their_definitions_stay() {
        let with = |counts: &[(&str, &str)]| {
            let count = |(index, &(name, definition)): (usize, &(&str, &str))| OwnCount {
                name: name.into(),
                of: "view".into(),
                definition: definition.into(),
                properties: 0,
                index: index as u8,
            };
            EventSettings { counts: counts.iter().enumerate().map(count).collect(), ..EventSettings::default() }
        };
        let indexes =
            |settings: &EventSettings| -> Vec<u8> { settings.counts.iter().map(|count| count.index).collect() };
        let first = with(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let mut second = with(&[("c", "3"), ("d", "4"), ("b", "other"), ("a", "1")]);
        second.follow(&first).unwrap();
        assert_eq!(indexes(&second), [2, 1, 3, 0]);
        assert_eq!(second.ended_counts(&first), 0b010, "what b had counted ends, also for d at its index");
        assert_eq!(second.type_name(EventType::own_count(1)), "d");
        assert_eq!(second.counted_from(EventType::own_count(3)), Some(EventType::VIEW));
        let mut third = with(&[("b", "2")]);
        third.follow(&second).unwrap();
        assert_eq!((indexes(&third), third.ended_counts(&second)), (vec![0], 0b1111), "the old definition begins anew");
        let full: Vec<String> = (0..32).map(|n| format!("n{n}")).collect();
        let mut fourth = with(&full.iter().map(|name| (name.as_str(), "x")).collect::<Vec<_>>());
        fourth.follow(&second).unwrap();
        assert_eq!(indexes(&fourth), (0..32).collect::<Vec<u8>>());
    }

    #[test]
    fn the_base_currency_is_fixed() {
        let mut other = EventSettings::default();
        other.currency.base = "GBP".into();
        assert!(other.follow(&EventSettings::default()).unwrap_err().contains("fixed for the life of the state"));
    }
}
