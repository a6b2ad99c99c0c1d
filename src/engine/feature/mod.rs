//! Features: the values of a customer that rules compare.
//!
//! Each feature is declared in [`table`]: its name and parameters, type and unit, description, which events affect it,
//! how it is read, when it next steps by the passing of time, and how it moves between steps. Everything else follows
//! from the table: checks, deadlines, `because`, the documentation and `shoal check --features`.

mod browsing;
pub mod find;
mod orders;
mod person;
pub mod print;
pub mod table;

use super::event::{DAY, EventType, HOUR, MINUTE, Millis, NEVER};
use super::event_settings::{AttributeType, EventSettings, Interval};
use super::profile::Customer;

/// The value of a feature, or of the left side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Integer(i64),
    /// Minor units, and the decimals of the currency.
    Money(i64, u32),
    Double(f64),
    Text(&'a str),
    Boolean(bool),
    Time(Millis),
    /// The texts of an attribute, as a set (`profile::split_set`).
    Texts(&'a str),
}

/// One row of the table.
#[derive(Debug)]
pub struct Feature {
    /// The name in rules, without window and arguments.
    pub name: &'static str,
    pub parameters: Parameters,
    pub unit: Unit,
    /// For the documentation.
    pub description: &'static str,
    pub affected_by: AffectedBy,
    pub read: Read,
    pub steps: Steps,
}

/// What follows the name in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameters {
    None,
    /// `orders` or `orders_30d`.
    OptionalWindow,
    /// `views_7d`.
    Window,
    /// `events('survey', 30)`.
    CountedTypeAndDays,
    /// `orders_in('shoes', 90)`: a text, a text feature or segment(), and days.
    TextAndDays,
    /// `orders_between('2026-11-27', '2026-12-01')`.
    Interval,
    /// `events_between('view', '2026-11-27', '2026-12-01')`.
    CountedTypeAndInterval,
    /// `since('checkout')`.
    AnyType,
    /// `days_since(signed_up)`.
    TimeAttribute,
    /// `has(tags, 'gold')`.
    TextsAttributeAndText,
    /// `segment('lifecycle')`.
    Segmentation,
    /// `audience('vip')`.
    Audience,
    /// `bucket('summer', 100)`.
    SaltAndCount,
    /// Nothing: the name is that of a declared attribute.
    Attribute,
}

/// Type and unit of a feature's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A whole number.
    Count,
    /// Minor units; in rules major units.
    Money,
    /// Milliseconds; in rules days, as a double. Moves with time.
    Days,
    /// Milliseconds; in rules minutes, as a double. Moves with time.
    Minutes,
    /// A double that is constant between steps.
    Number,
    /// A double that grows with time, at a rate that differs between customers.
    Ratio,
    Text,
    Boolean,
    /// A moment (F4).
    Time,
    /// A set of texts: only `IS NULL` and has() accept it.
    Texts,
}

impl Unit {
    /// Whether values can be compared with numbers.
    pub fn is_number(self) -> bool {
        !matches!(self, Self::Text | Self::Boolean | Self::Time | Self::Texts)
    }

    /// Whether values move by time alone between steps. They only grow.
    pub fn moves(self) -> bool {
        matches!(self, Self::Days | Self::Minutes | Self::Ratio)
    }

    /// Milliseconds of one unit, if it is a duration.
    pub fn millis(self) -> Option<Millis> {
        match self {
            Self::Days => Some(DAY),
            Self::Minutes => Some(MINUTE),
            _ => None,
        }
    }
}

/// The events that can change a feature's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AffectedBy {
    Nothing,
    /// Purchases, refunds, cancellations and amendments.
    Orders,
    /// The type in the arguments.
    ItsType,
    /// Browsing (B1), declared types included.
    Browsing,
    /// Activity (B4), declared types included.
    Activity,
    /// Cart events and orders (B3).
    Cart,
    Profile,
    /// All events.
    Any,
    /// Other segmentations and audiences.
    Targets,
}

/// How a feature is read.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    /// The number of events of the arguments' type in the hours of a window (B1).
    Events,
    /// Another whole number: a count or minor units.
    Whole(fn(&Arguments, &Customer<'_>, Millis) -> Option<i64>),
    /// A whole number of a category or channel.
    WholeOf(fn(&Arguments, &Customer<'_>, Millis, &str) -> i64),
    /// The moment from which time is counted, in the feature's unit.
    Since(fn(&Arguments, &Customer<'_>, Millis) -> Option<Millis>),
    /// Anything else.
    Value(for<'a> fn(&'a Arguments, &Customer<'a>, Millis) -> Value<'a>),
    /// The value of another segmentation or audience.
    Target,
}

/// When time alone changes a feature, apart from its movement.
#[derive(Clone, Copy, Debug)]
pub enum Steps {
    Never,
    /// A count that only falls, as counted events leave the window: the first instant after `now` at which fewer than n
    /// are left (n from 1 to the count).
    Falls(fn(&Arguments, &Customer<'_>, Millis, u64) -> Millis),
    /// The same of a category or channel.
    FallsOf(fn(&Arguments, &Customer<'_>, Millis, &str, u64) -> Millis),
    /// The first instant after `now` at which the value may differ.
    At(fn(&Arguments, &Customer<'_>, Millis) -> Millis),
    /// The same of a category or channel.
    AtOf(fn(&Arguments, &Customer<'_>, Millis, &str) -> Millis),
    /// A number of days to something that comes every year: it falls at midnight, and after 0 it begins anew. Compared
    /// with literals only, which has its own way to the next flip.
    CountsDown,
}

/// Where a category or channel comes from that is not written in the rule.
#[derive(Clone, Debug, PartialEq)]
pub enum TextSource {
    /// A text feature of the customer, and how the rule writes it.
    Feature(Box<Call>, Box<str>),
    /// The segment in another segmentation, by its index among the targets.
    Segment(u16),
}

/// The arguments of a feature in a rule, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// `None` for the lifetime.
    pub window: Option<Millis>,
    pub event_type: EventType,
    /// Begin and end of an absolute interval.
    pub between: [Millis; 2],
    /// Category, channel, salt, or what an attribute has; of an absolute interval the arguments as they are written.
    pub text: Box<str>,
    /// Instead of a text that is written.
    pub source: Option<TextSource>,
    /// Index in the list of declared attributes.
    pub attribute: u8,
    /// The number of buckets of bucket().
    pub modulus: u32,
    /// The decimals of the base currency.
    pub decimals: u32,
    /// Local time less UTC, of features of days.
    pub utc_offset: Millis,
}

impl Arguments {
    /// Before any argument is given.
    pub fn none(event_settings: &EventSettings) -> Self {
        Self {
            window: None,
            event_type: EventType::PURCHASE,
            between: [0; 2],
            text: "".into(),
            source: None,
            attribute: 0,
            modulus: 1,
            decimals: event_settings.currency.decimals,
            utc_offset: event_settings.utc_offset,
        }
    }

    /// The time before the window: later events are in it.
    fn after(&self, now: Millis) -> Millis {
        self.window.map_or(Millis::MIN, |window| now - window)
    }

    /// Number of events of the type in the window.
    #[inline]
    pub fn events(&self, customer: &Customer<'_>, now: Millis) -> i64 {
        customer.count_after(self.event_type, self.after(now)) as i64
    }

    /// The same, if there are no more than `enough`; otherwise any number from `enough` on.
    #[inline]
    pub fn events_up_to(&self, customer: &Customer<'_>, now: Millis, enough: u64) -> i64 {
        customer.count_up_to(self.event_type, self.after(now), enough) as i64
    }

    /// The absolute interval with what is counted in it.
    pub fn interval(&self) -> Interval {
        let [from, to] = self.between;
        Interval { counted: self.event_type, from, to }
    }

    /// The day of an instant where local time is `utc_offset` later than UTC, in days since 1970.
    pub fn day(&self, now: Millis) -> i64 {
        (now + self.utc_offset).div_euclid(DAY)
    }

    /// When such a day begins.
    pub fn day_begins(&self, day: i64) -> Millis {
        day * DAY - self.utc_offset
    }

    /// When an event at `time` leaves the window.
    fn leaves(&self, time: Millis) -> Millis {
        self.window.map_or(NEVER, |window| time + window)
    }
}

/// A feature with its arguments, as a rule uses it.
#[derive(Clone, Debug)]
pub struct Call {
    pub feature: &'static Feature,
    /// The feature's unit; for an attribute the unit of its declared type.
    pub unit: Unit,
    /// The feature's steps; a lifetime value never steps.
    pub steps: Steps,
    pub arguments: Arguments,
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        (self.feature.name, self.unit, &self.arguments) == (other.feature.name, other.unit, &other.arguments)
    }
}

impl Call {
    pub fn new(feature: &'static Feature, unit: Unit, arguments: Arguments) -> Self {
        let lifetime = feature.parameters == Parameters::OptionalWindow && arguments.window.is_none();
        Self { feature, unit, steps: if lifetime { Steps::Never } else { feature.steps }, arguments }
    }

    /// Whether a text feature or segment() stands where a category or channel could be written.
    pub fn has_source(&self) -> bool {
        self.arguments.source.is_some()
    }

    /// The segmentation that stands where a category or channel could be written.
    pub fn source_segment(&self) -> Option<u16> {
        match self.arguments.source {
            Some(TextSource::Segment(index)) => Some(index),
            _ => None,
        }
    }

    /// The category or channel; `segment` is the value of the segmentation that it comes from, if it does.
    fn text<'a>(&'a self, customer: &Customer<'a>, now: Millis, segment: Option<&'a str>) -> Option<&'a str> {
        match &self.arguments.source {
            None => Some(&self.arguments.text),
            Some(TextSource::Segment(_)) => segment,
            Some(TextSource::Feature(of, _)) => match of.read(customer, now) {
                Value::Text(text) => Some(text),
                _ => None,
            },
        }
    }

    /// The value of a feature that is a whole number.
    #[inline]
    pub fn whole(&self, customer: &Customer<'_>, now: Millis, segment: Option<&str>) -> Option<i64> {
        match self.feature.read {
            Read::Events => Some(self.arguments.events(customer, now)),
            Read::Whole(read) => read(&self.arguments, customer, now),
            Read::WholeOf(read) => {
                let text = self.text(customer, now, segment)?;
                Some(read(&self.arguments, customer, now, text))
            }
            Read::Since(_) | Read::Value(_) | Read::Target => None,
        }
    }

    /// The value for a customer at an instant; null for segment() and audience(), which the customer does not have.
    pub fn read<'a>(&'a self, customer: &Customer<'a>, now: Millis) -> Value<'a> {
        self.read_with(customer, now, None)
    }

    /// The same; `segment` is the value of the segmentation that the category or channel comes from, if it does.
    pub fn read_with<'a>(&'a self, customer: &Customer<'a>, now: Millis, segment: Option<&'a str>) -> Value<'a> {
        let arguments = &self.arguments;
        match self.feature.read {
            Read::Events | Read::Whole(_) | Read::WholeOf(_) => match self.whole(customer, now, segment) {
                None => Value::Null,
                Some(minor) if self.unit == Unit::Money => Value::Money(minor, arguments.decimals),
                Some(count) => Value::Integer(count),
            },
            Read::Since(read) => match read(arguments, customer, now) {
                None => Value::Null,
                Some(moment) => Value::Double((now - moment) as f64 / self.unit.millis().unwrap_or(1) as f64),
            },
            Read::Value(read) => read(arguments, customer, now),
            Read::Target => Value::Null,
        }
    }

    /// The first instant after `now` at which time alone may change the value, apart from its movement.
    pub fn step(&self, customer: &Customer<'_>, now: Millis) -> Millis {
        self.step_with(customer, now, None)
    }

    /// The same; `segment` as in [`Self::read_with`], for as long as it stays.
    pub fn step_with(&self, customer: &Customer<'_>, now: Millis, segment: Option<&str>) -> Millis {
        let step = match self.steps {
            Steps::Never => NEVER,
            Steps::At(step) => step(&self.arguments, customer, now),
            Steps::CountsDown => self.arguments.day_begins(self.arguments.day(now) + 1),
            Steps::AtOf(step) => {
                let text = self.text(customer, now, segment);
                text.map_or(NEVER, |text| step(&self.arguments, customer, now, text))
            }
            Steps::Falls(_) | Steps::FallsOf(_) => match self.whole(customer, now, segment) {
                Some(count) if count > 0 => self.fewer(customer, now, segment, count as u64),
                _ => NEVER,
            },
        };
        match &self.arguments.source {
            Some(TextSource::Feature(of, _)) => step.min(of.step(customer, now)),
            _ => step,
        }
    }

    /// How often the value can step, at most, if nothing else happens; `usize::MAX` if it is not known.
    pub fn steps_max(&self, customer: &Customer<'_>) -> usize {
        match (self.steps, self.feature.affected_by) {
            _ if self.has_source() => usize::MAX,
            (Steps::Never, _) => 0,
            // Each order and each refund leaves a window once.
            (_, AffectedBy::Orders) => customer.orders().len() + customer.refunds().len(),
            // The cart closes.
            (_, AffectedBy::Cart) => 1,
            _ => usize::MAX,
        }
    }

    /// The first instant after `now` at which a count that only falls is below n (from 1 to the count).
    #[inline]
    pub fn fewer(&self, customer: &Customer<'_>, now: Millis, segment: Option<&str>, n: u64) -> Millis {
        match self.steps {
            Steps::Falls(fewer) => fewer(&self.arguments, customer, now, n),
            Steps::FallsOf(fewer) => {
                let text = self.text(customer, now, segment);
                text.map_or(NEVER, |text| fewer(&self.arguments, customer, now, text, n))
            }
            _ => NEVER,
        }
    }

    /// The event types that can change the value, as one bit each.
    pub fn affected_by(&self, event_settings: &EventSettings) -> u64 {
        match &self.arguments.source {
            None => self.feature_affected_by(event_settings),
            Some(TextSource::Feature(of, _)) => {
                self.feature_affected_by(event_settings) | of.affected_by(event_settings)
            }
            // All that can change the segmentation.
            Some(TextSource::Segment(_)) => u64::MAX,
        }
    }

    fn feature_affected_by(&self, event_settings: &EventSettings) -> u64 {
        let declared = (0..event_settings.events.len()).map(EventType::declared);
        let types = EventType::BUILT_IN.iter().map(|(_, built_in)| *built_in).chain(declared);
        types.filter(|event_type| self.is_affected_by(*event_type, event_settings)).fold(0, |bits, t| bits | 1 << t.0)
    }

    fn is_affected_by(&self, event_type: EventType, event_settings: &EventSettings) -> bool {
        match self.feature.affected_by {
            AffectedBy::Nothing | AffectedBy::Targets => false,
            AffectedBy::Orders => event_type.is_about_orders(),
            AffectedBy::ItsType => event_settings.counted_from(self.arguments.event_type) == Some(event_type),
            AffectedBy::Browsing => event_settings.is_browsing(event_type),
            AffectedBy::Activity => event_settings.is_activity(event_type),
            AffectedBy::Cart => {
                event_type.is_about_orders() || (EventType::CART_ADD..=EventType::CHECKOUT).contains(&event_type)
            }
            AffectedBy::Profile => event_type == EventType::PROFILE,
            AffectedBy::Any => true,
        }
    }
}

/// The unit of the values of a declared attribute.
pub fn attribute_unit(attribute_type: AttributeType) -> Unit {
    match attribute_type {
        AttributeType::Text => Unit::Text,
        AttributeType::Number => Unit::Number,
        AttributeType::Boolean => Unit::Boolean,
        AttributeType::Time => Unit::Time,
        AttributeType::Texts => Unit::Texts,
    }
}

/// Shortest and longest window.
pub const WINDOW_MIN: Millis = HOUR;
pub const WINDOW_MAX: Millis = 400 * DAY;
pub const WINDOW_DAYS_MAX: i64 = 400;
