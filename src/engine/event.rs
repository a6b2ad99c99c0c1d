//! Records as the log returns them, the events that decoding makes of them, and the reasons to reject a record.
//!
//! Times, the types of events and their attributes are named here, because every part of the engine uses them.

use std::borrow::Cow;

/// Milliseconds since 1970-01-01T00:00:00Z (T1).
pub type Millis = i64;

pub const MINUTE: Millis = 60_000;
pub const HOUR: Millis = 3_600_000;
pub const DAY: Millis = 86_400_000;
/// How long orders, hours, waiting refunds and marks are remembered.
pub const REMEMBERED: Millis = 400 * DAY;
/// A time that is never reached.
pub const NEVER: Millis = Millis::MAX;

/// One record of an input topic, borrowed from the log's buffers.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Index of the topic in the list of input topics.
    pub topic: u16,
    pub partition: u32,
    pub offset: i64,
    /// The record's Kafka timestamp, which the shard caps at `now` (T3). `None` in files, where the event's time is
    /// used.
    pub arrival: Option<Millis>,
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
}

/// The type of an event: built in, or the n-th declared one (B7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventType(pub u8);

impl EventType {
    pub const PURCHASE: Self = Self(0);
    pub const REFUND: Self = Self(1);
    pub const CANCEL: Self = Self(2);
    pub const VIEW: Self = Self(3);
    pub const SEARCH: Self = Self(4);
    pub const CART_ADD: Self = Self(5);
    pub const CART_REMOVE: Self = Self(6);
    pub const CHECKOUT: Self = Self(7);
    pub const OPEN: Self = Self(8);
    pub const CLICK: Self = Self(9);
    pub const EXPOSURE: Self = Self(10);
    pub const PROFILE: Self = Self(11);
    pub const ERASE: Self = Self(12);
    pub const OPT_OUT: Self = Self(13);
    pub const OPT_IN: Self = Self(14);
    /// Not the type of any event: sessions (B2) are counted by it.
    pub const SESSION: Self = Self(15);
    /// The first declared type; the n-th is `DECLARED + n`, n below [`EventType::DECLARED_MAX`].
    pub const DECLARED: Self = Self(16);
    pub const DECLARED_MAX: usize = 32;
    /// Behind the declared types, whose numbers are stored with their counts.
    pub const AMEND: Self = Self(48);
    /// One more than the largest value that an event can have.
    pub const COUNT: usize = 49;
    /// The first count of one's own (B8); no event has such a type. The n-th is `OWN_COUNT + n`, n below
    /// [`EventType::OWN_COUNTS_MAX`].
    pub const OWN_COUNT: Self = Self(128);
    pub const OWN_COUNTS_MAX: usize = 32;

    /// The built-in types by their names in events.
    pub const BUILT_IN: [(&'static str, Self); 16] = [
        ("purchase", Self::PURCHASE),
        ("refund", Self::REFUND),
        ("cancel", Self::CANCEL),
        ("amend", Self::AMEND),
        ("view", Self::VIEW),
        ("search", Self::SEARCH),
        ("cart_add", Self::CART_ADD),
        ("cart_remove", Self::CART_REMOVE),
        ("checkout", Self::CHECKOUT),
        ("open", Self::OPEN),
        ("click", Self::CLICK),
        ("exposure", Self::EXPOSURE),
        ("profile", Self::PROFILE),
        ("erase", Self::ERASE),
        ("opt_out", Self::OPT_OUT),
        ("opt_in", Self::OPT_IN),
    ];

    pub fn declared(n: usize) -> Self {
        debug_assert!(n < Self::DECLARED_MAX);
        Self(Self::DECLARED.0 + n as u8)
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The index in the list of declared types, if it is one.
    pub fn declared_index(self) -> Option<usize> {
        self.index().checked_sub(Self::DECLARED.index()).filter(|index| *index < Self::DECLARED_MAX)
    }

    /// The name of a built-in type in events.
    pub fn built_in_name(self) -> &'static str {
        let known = Self::BUILT_IN.iter().find(|(_, built_in)| *built_in == self);
        known.expect("a type is built in or declared").0
    }

    /// Whether events of this type change orders (O2-O9).
    pub fn is_about_orders(self) -> bool {
        matches!(self, Self::PURCHASE) || self.is_about_known_orders()
    }

    /// Whether events of this type change orders that exist: refunds, cancellations and amendments.
    pub fn is_about_known_orders(self) -> bool {
        matches!(self, Self::REFUND | Self::CANCEL | Self::AMEND)
    }

    pub fn own_count(index: u8) -> Self {
        debug_assert!(usize::from(index) < Self::OWN_COUNTS_MAX);
        Self(Self::OWN_COUNT.0 + index)
    }

    /// The index in customers' state, if it is a count of one's own.
    #[inline]
    pub fn own_count_index(self) -> Option<u8> {
        self.0.checked_sub(Self::OWN_COUNT.0)
    }
}

/// Text of an event: borrowed from the record unless it has escapes.
pub type Text<'a> = Cow<'a, str>;

/// A decoded event. Fields without meaning for its type are empty, whatever the record contains (E2).
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    pub event_type: EventType,
    pub time: Millis,
    /// 1 to 256 bytes.
    pub customer_id: Text<'a>,
    pub event_id: Option<Text<'a>>,
    pub order_id: Option<Text<'a>>,
    /// Minor units of the base currency (O1).
    pub amount: Option<i64>,
    /// Whether `amount` was in another currency than the base (O4).
    pub foreign: bool,
    /// Minor units of the base currency; purchases only.
    pub discount: Option<i64>,
    /// Minor units of the base currency.
    pub cart_total: Option<i64>,
    /// Minor units of the base currency; exposures only.
    pub cost: Option<i64>,
    pub categories: Categories<'a>,
    pub channel: Option<Text<'a>>,
    pub campaign: Option<Text<'a>>,
    /// Purchases, cart events and checkouts only.
    pub coupon: Option<Text<'a>>,
    /// Those declared properties (B8) that a count of this type of event reads: index in the list of properties and
    /// value.
    pub properties: Vec<(u8, AttributeValue<'a>)>,
    /// Declared attributes of a profile event: index in the list of declared attributes and new value, in order of
    /// index.
    pub attributes: Vec<(u8, AttributeValue<'a>)>,
    /// What the record had in fields that only describe, and could not be used.
    pub unfit: Unfit,
}

impl Event<'_> {
    /// An event without anything, to be filled.
    pub const EMPTY: Self = Self {
        event_type: EventType(0),
        time: 0,
        customer_id: Text::Borrowed(""),
        event_id: None,
        order_id: None,
        amount: None,
        foreign: false,
        discount: None,
        cart_total: None,
        cost: None,
        categories: Categories { first: None, others: Vec::new() },
        channel: None,
        campaign: None,
        coupon: None,
        properties: Vec::new(),
        attributes: Vec::new(),
        unfit: Unfit::NONE,
    };
}

#[cfg(test)]
impl Event<'static> {
    /// An event of customer `c` without any optional field, for tests.
    pub fn bare(event_type: EventType, time: Millis) -> Self {
        Self { event_type, time, customer_id: "c".into(), ..Self::EMPTY }
    }
}

impl Event<'_> {
    /// Whether it is a purchase with a discount above 0.
    pub fn discounted(&self) -> bool {
        self.discount.is_some_and(|discount| discount > 0)
    }
}

/// The first eight distinct categories of an event: its own, then those of its items, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Categories<'a> {
    /// Stored inline, so that the common case needs no allocation.
    pub first: Option<Text<'a>>,
    pub others: Vec<Text<'a>>,
}

impl<'a> Categories<'a> {
    /// Categories of an event at most.
    pub const MAX: usize = 8;

    /// Adds a category unless it is in the list or the list has eight.
    pub fn add(&mut self, category: Text<'a>) {
        if self.first.is_none() {
            self.first = Some(category);
        } else if self.len() < Self::MAX && !self.iter().any(|known| known == category) {
            self.others.push(category);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.first.iter().chain(&self.others).map(|category| &**category)
    }

    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue<'a> {
    /// JSON null: the attribute is removed.
    Removed,
    Text(Text<'a>),
    Number(f64),
    Boolean(bool),
    Time(Millis),
    /// Distinct texts, at most [`TEXTS_MAX`], in the order of the event.
    Texts(Vec<Text<'a>>),
}

/// Distinct texts of an attribute of type `texts` at most (B6).
pub const TEXTS_MAX: usize = 32;

/// The fields that never cost the event (E5): those that only describe, and optional amounts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DescriptiveField {
    /// The event's or an item's.
    Category,
    /// All items, or one that is no object.
    Items,
    Channel,
    Campaign,
    Coupon,
    /// All attributes, or one of them.
    Attributes,
    /// All properties, or one of them.
    Properties,
    Currency,
    Discount,
    CartTotal,
    Cost,
}

impl DescriptiveField {
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Category, "category"),
        (Self::Items, "items"),
        (Self::Channel, "channel"),
        (Self::Campaign, "campaign"),
        (Self::Coupon, "coupon"),
        (Self::Attributes, "attributes"),
        (Self::Properties, "properties"),
        (Self::Currency, "currency"),
        (Self::Discount, "discount"),
        (Self::CartTotal, "cart_total"),
        (Self::Cost, "cost"),
    ];
}

/// Of which fields of an event something was left out or cut (E5), one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfit {
    left_out: u16,
    cut: u16,
}

impl Unfit {
    pub const NONE: Self = Self { left_out: 0, cut: 0 };

    pub fn is_empty(self) -> bool {
        self.left_out == 0 && self.cut == 0
    }

    /// Something in the field is empty or of another type or form: it is as if it were absent.
    pub fn leave_out(&mut self, field: DescriptiveField) {
        self.left_out |= 1 << field as u16;
    }

    /// A text in the field is too long: only its beginning is used.
    pub fn cut(&mut self, field: DescriptiveField) {
        self.cut |= 1 << field as u16;
    }

    pub fn has_left_out(self, field: DescriptiveField) -> bool {
        self.left_out >> field as u16 & 1 != 0
    }

    pub fn has_cut(self, field: DescriptiveField) -> bool {
        self.cut >> field as u16 & 1 != 0
    }
}

/// Why a record was rejected (E1), in the order of the checks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    TooLarge,
    Decode,
    Key,
    Partition,
    Type,
    Schema,
    Time,
    TimeUnit,
    TimeFuture,
    Amount,
    Currency,
    /// The record ended the process each time it was applied, and was skipped.
    Crash,
}

impl Reason {
    pub const ALL: [(Self, &'static str); 12] = [
        (Self::TooLarge, "too_large"),
        (Self::Decode, "decode"),
        (Self::Key, "key"),
        (Self::Partition, "partition"),
        (Self::Type, "type"),
        (Self::Schema, "schema"),
        (Self::Time, "time"),
        (Self::TimeUnit, "time_unit"),
        (Self::TimeFuture, "time_future"),
        (Self::Amount, "amount"),
        (Self::Currency, "currency"),
        (Self::Crash, "crash"),
    ];

    /// The stable name, as in the topic `rejected`.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Why a record cannot be used: the reason, and a message that says what was expected and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    pub reason: Reason,
    pub message: String,
}
