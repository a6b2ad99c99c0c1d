//! Features: what rules can say about a customer.
//!
//! Each is declared in one place, [`table`]: its name and parameters, type and unit, meaning in words, which events affect
//! it, how it reads, when it next steps by the passing of time, and how it moves between steps. Everything else follows
//! from that: checking, deadlines, `because`, the documentation and `shoal check --features`.

mod browsing;
pub mod find;
mod orders;
mod person;
pub mod print;
pub mod table;

use super::event::{DAY, EventType, HOUR, MINUTE, Millis, NEVER};
use super::event_settings::{AttributeType, EventSettings};
use super::profile::Customer;

/// The value of a feature, or of the left side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Integer(i64),
    /// Minor units, and how many decimals the currency has.
    Money(i64, u32),
    Double(f64),
    Text(&'a str),
    Boolean(bool),
    Time(Millis),
}

/// One row of the table.
#[derive(Debug)]
pub struct Feature {
    /// As rules write it, without window and arguments.
    pub name: &'static str,
    pub parameters: Parameters,
    pub unit: Unit,
    /// In words, for the documentation.
    pub description: &'static str,
    pub affected_by: AffectedBy,
    pub read: Read,
    pub steps: Steps,
}

/// What is written behind the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameters {
    None,
    /// `orders` or `orders_30d`.
    OptionalWindow,
    /// `views_7d`.
    Window,
    /// `events('survey', 30)`.
    CountedTypeAndDays,
    /// `orders_in('shoes', 90)`: a text and days.
    TextAndDays,
    /// `since('checkout')`.
    AnyType,
    /// `days_since(signed_up)`.
    TimeAttribute,
    /// `segment('lifecycle')`.
    Segmentation,
    /// `audience('vip')`.
    Audience,
    /// `bucket('summer', 100)`.
    SaltAndCount,
    /// The name is that of a declared attribute.
    Attribute,
}

/// Type and unit of a feature's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A whole number.
    Count,
    /// Minor units; rules see major ones.
    Money,
    /// Milliseconds; rules see days as a double. Moves with time.
    Days,
    /// Milliseconds; rules see minutes as a double. Moves with time.
    Minutes,
    /// A double that stays between steps.
    Number,
    /// A double that grows with time, at a rate of the customer's own.
    Ratio,
    Text,
    Boolean,
    /// A moment: only `IS NULL` and days_since() take it.
    Time,
}

impl Unit {
    /// Whether values compare with numbers.
    pub fn is_number(self) -> bool {
        !matches!(self, Self::Text | Self::Boolean | Self::Time)
    }

    /// Whether time alone moves it between steps; all that move grow.
    pub fn moves(self) -> bool {
        matches!(self, Self::Days | Self::Minutes | Self::Ratio)
    }

    /// Milliseconds of one unit of a duration.
    pub fn millis(self) -> Option<Millis> {
        match self {
            Self::Days => Some(DAY),
            Self::Minutes => Some(MINUTE),
            _ => None,
        }
    }
}

/// Which events can change a feature's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AffectedBy {
    Nothing,
    /// Purchases, refunds and cancellations.
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
    /// All of them.
    Any,
    /// Other segmentations and audiences.
    Targets,
}

/// How a feature reads.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    /// A whole number: a count or minor units.
    Whole(fn(&Arguments, &Customer<'_>, Millis) -> Option<i64>),
    /// The moment since which time is counted, in the feature's unit.
    Since(fn(&Arguments, &Customer<'_>, Millis) -> Option<Millis>),
    /// Anything else.
    Value(for<'a> fn(&'a Arguments, &Customer<'a>, Millis) -> Value<'a>),
    /// The value held by another segmentation or audience.
    Target,
}

/// When time alone changes a feature, its movement apart.
#[derive(Clone, Copy, Debug)]
pub enum Steps {
    Never,
    /// A count that only falls, as what it counts leaves the window: the first instant after `now` at which fewer than n
    /// are left (n from 1 to the count).
    Falls(fn(&Arguments, &Customer<'_>, Millis, u64) -> Millis),
    /// The first instant after `now` at which the value may be another.
    At(fn(&Arguments, &Customer<'_>, Millis) -> Millis),
}

/// What a call of a feature gives: checked once.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// `None`: lifetime.
    pub window: Option<Millis>,
    pub event_type: EventType,
    /// Category, channel or salt.
    pub text: Box<str>,
    /// Place in the list of declared attributes.
    pub attribute: u8,
    /// Of bucket().
    pub modulus: u32,
    /// Of the base currency.
    pub decimals: u32,
}

impl Arguments {
    /// Where the window begins: what is later is in it.
    fn after(&self, now: Millis) -> Millis {
        self.window.map_or(Millis::MIN, |window| now - window)
    }

    /// When what happened at `time` leaves the window.
    fn leaves(&self, time: Millis) -> Millis {
        self.window.map_or(NEVER, |window| time + window)
    }
}

/// A feature with its arguments, as a rule uses it.
#[derive(Clone, Debug)]
pub struct Call {
    pub feature: &'static Feature,
    /// The feature's unit; of an attribute that of its declared type.
    pub unit: Unit,
    /// The feature's steps; a lifetime value has none.
    pub steps: Steps,
    pub arguments: Arguments,
}

impl Call {
    pub fn new(feature: &'static Feature, unit: Unit, arguments: Arguments) -> Self {
        let lifetime = feature.parameters == Parameters::OptionalWindow && arguments.window.is_none();
        Self { feature, unit, steps: if lifetime { Steps::Never } else { feature.steps }, arguments }
    }

    /// The value for a customer at an instant; null for segment() and audience(), which are not the customer's.
    pub fn read<'a>(&'a self, customer: &Customer<'a>, now: Millis) -> Value<'a> {
        let arguments = &self.arguments;
        match self.feature.read {
            Read::Whole(read) => match read(arguments, customer, now) {
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

    /// The first instant after `now` at which time alone may change the value otherwise than by its movement.
    pub fn step(&self, customer: &Customer<'_>, now: Millis) -> Millis {
        match (self.steps, self.feature.read) {
            (Steps::Never, _) => NEVER,
            (Steps::At(step), _) => step(&self.arguments, customer, now),
            (Steps::Falls(fewer), Read::Whole(read)) => match read(&self.arguments, customer, now) {
                Some(count) if count > 0 => fewer(&self.arguments, customer, now, count as u64),
                _ => NEVER,
            },
            (Steps::Falls(_), _) => unreachable!("only counts fall"),
        }
    }

    /// The event types that can change the value, one bit each.
    pub fn affected_by(&self, event_settings: &EventSettings) -> u64 {
        let types = (0..EventType::DECLARED.index() + event_settings.events.len()).map(|place| EventType(place as u8));
        types.filter(|event_type| self.is_affected_by(*event_type, event_settings)).fold(0, |bits, t| bits | 1 << t.0)
    }

    fn is_affected_by(&self, event_type: EventType, event_settings: &EventSettings) -> bool {
        const ORDERS: [EventType; 3] = [EventType::PURCHASE, EventType::REFUND, EventType::CANCEL];
        match self.feature.affected_by {
            AffectedBy::Nothing | AffectedBy::Targets => false,
            AffectedBy::Orders => ORDERS.contains(&event_type),
            AffectedBy::ItsType => event_type == self.arguments.event_type,
            AffectedBy::Browsing => event_settings.is_browsing(event_type),
            AffectedBy::Activity => event_settings.is_activity(event_type),
            AffectedBy::Cart => {
                ORDERS.contains(&event_type) || (EventType::CART_ADD..=EventType::CHECKOUT).contains(&event_type)
            }
            AffectedBy::Profile => event_type == EventType::PROFILE,
            AffectedBy::Any => true,
        }
    }
}

/// The unit in which values of a declared attribute compare.
pub fn attribute_unit(kind: AttributeType) -> Unit {
    match kind {
        AttributeType::Text => Unit::Text,
        AttributeType::Number => Unit::Number,
        AttributeType::Boolean => Unit::Boolean,
        AttributeType::Time => Unit::Time,
    }
}

/// Shortest and longest window.
pub const WINDOW_MIN: Millis = HOUR;
pub const WINDOW_MAX: Millis = 400 * DAY;
pub const WINDOW_DAYS_MAX: i64 = 400;
