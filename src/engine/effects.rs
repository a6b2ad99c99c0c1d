//! The results of the engine: changes of values, rejected records, reports for alerts, counts.
//!
//! Effects are plain values with all their text in one arena, so that an evaluation does not allocate once the buffers
//! have grown. They do not serialise: the worker owns the format of what is published.

pub mod report;

use super::event::{DescriptiveField, MINUTE, Millis, Reason, Unfit};
use super::rule::{Direction, Truth, Value};
use report::Report;

/// A change detected at most this long after its instant is fresh: it is about the present, not about history.
pub const FRESH: Millis = 5 * MINUTE;

/// A piece of text in [`Effects`], in the order in which they were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    start: u32,
    end: u32,
}

/// Consecutive entries of one of the lists in [`Effects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    start: u32,
    end: u32,
}

impl Run {
    /// No entries.
    pub const EMPTY: Self = Self { start: 0, end: 0 };

    /// The entries of `list` in this run.
    pub fn of<T>(self, list: &[T]) -> &[T] {
        &list[self.start as usize..self.end as usize]
    }
}

/// Why a value changed (R3 to R7, R11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    Event,
    Time,
    Late,
    Rules,
    Erase,
    OptOut,
    Forgotten,
    Bootstrap,
}

impl Cause {
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Event, "event"),
        (Self::Time, "time"),
        (Self::Late, "late"),
        (Self::Rules, "rules"),
        (Self::Erase, "erase"),
        (Self::OptOut, "opt_out"),
        (Self::Forgotten, "forgotten"),
        (Self::Bootstrap, "bootstrap"),
    ];

    /// The number in a shard's digest. It is fixed, because journals contain digests.
    pub fn code(self) -> u8 {
        match self {
            Self::Event => 0,
            Self::Time => 1,
            Self::Late => 2,
            Self::Rules => 4,
            Self::Erase => 6,
            Self::OptOut => 7,
            Self::Forgotten => 8,
            Self::Bootstrap => 9,
        }
    }

    /// The name in the change event.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// One change of one segmentation or audience of one customer.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub customer_id: Span,
    /// Effective time of the customer's first evaluation (R8).
    pub life: Millis,
    /// Counts the customer's changes from 1 (R4).
    pub sequence: u32,
    pub segmentation: Span,
    pub from: Option<Span>,
    pub from_since: Option<Millis>,
    pub to: Option<Span>,
    pub cause: Cause,
    /// Whether the value is the first one that new rules or a bootstrap give (R14).
    pub is_fill: bool,
    pub effective_at: Millis,
    /// The journalled wall clock.
    pub detected_at: Millis,
    pub trigger: Option<Trigger>,
    /// Entries of [`Effects::because`].
    pub because: Run,
    pub next: Option<Next>,
    /// Entries of [`Effects::features`].
    pub features: Run,
    pub rules_version: Span,
    /// Up or down the ladder; counted, not published.
    pub direction: Direction,
    /// Whether the value before comes back within a day; counted, not published.
    pub is_return: bool,
}

/// The event that caused a change.
#[derive(Clone, Copy, Debug)]
pub struct Trigger {
    pub topic: u16,
    pub partition: u32,
    pub offset: i64,
    pub event_id: Option<Span>,
    pub event_type: Span,
    pub time: Millis,
}

/// The next change of the same segmentation if nothing more happens (R9).
#[derive(Clone, Copy, Debug)]
pub struct Next {
    pub to: Span,
    pub at: Millis,
}

/// A comparison whose truth differs before and after the change (R9).
#[derive(Clone, Copy, Debug)]
pub struct Because {
    pub rule: Span,
    pub value: Scalar,
    pub was: Truth,
    pub now: Truth,
}

/// A feature listed under `include`, with its value.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    pub name: Span,
    pub value: Scalar,
}

/// A [`Value`] that owns its text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Integer(i64),
    /// Minor units, and how many of their digits come after the decimal point.
    Money(i64, u32),
    Double(f64),
    Text(Span),
    Boolean(bool),
    Time(Millis),
    /// A set of texts, as the profile has it.
    Texts(Span),
}

/// A customer whose values changed.
#[derive(Clone, Copy, Debug)]
pub struct Touched {
    pub customer_id: Span,
    pub effective_at: Millis,
    /// Whether the customer was removed: erased, opted out or forgotten.
    pub is_gone: bool,
    /// Entries of [`Effects::features`], as of that moment.
    pub features: Run,
}

/// A record that cannot be used.
#[derive(Clone, Copy, Debug)]
pub struct Rejected {
    pub topic: u16,
    pub partition: u32,
    pub offset: i64,
    pub reason: Reason,
    pub message: Span,
    /// Index of the record in the input that was applied.
    pub record: u32,
    pub detected_at: Millis,
}

/// How inputs were treated and what followed from them; the caller of the shard adds the counts up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: u64,
    pub accepted: u64,
    /// Accepted events that were before their customer's clock (T5).
    pub late: u64,
    /// Dropped: same event id (E3).
    pub duplicates: u64,
    /// Dropped: same order id (O2).
    pub duplicate_orders: u64,
    /// Dropped: not later than an erasure (R7).
    pub erased: u64,
    /// Dropped: the customer is opted out (R7).
    pub opted_out: u64,
    pub rejected: [u64; Reason::ALL.len()],
    pub changes: [u64; Cause::ALL.len()],
    /// Evaluations at deadlines, with or without a change.
    pub fired: u64,
    /// Customers forgotten at the bound of memory.
    pub forgotten: u64,
    pub overflow: super::profile::Overflow,
    /// Accepted events of which something in the field was left out, and cut (E5).
    pub left_out: [u64; DescriptiveField::ALL.len()],
    pub cut: [u64; DescriptiveField::ALL.len()],
}

impl Counts {
    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.accepted += other.accepted;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.duplicate_orders += other.duplicate_orders;
        self.erased += other.erased;
        self.opted_out += other.opted_out;
        for (sum, count) in self.rejected.iter_mut().zip(other.rejected) {
            *sum += count;
        }
        for (sum, count) in self.changes.iter_mut().zip(other.changes) {
            *sum += count;
        }
        self.fired += other.fired;
        self.forgotten += other.forgotten;
        self.overflow.add(&other.overflow);
        let sums = self.left_out.iter_mut().chain(&mut self.cut);
        for (sum, count) in sums.zip(other.left_out.iter().chain(&other.cut)) {
            *sum += count;
        }
    }

    /// Counts what of an accepted event did not fit (E5).
    #[cold]
    pub fn add_unfit(&mut self, unfit: Unfit) {
        for (field, _) in DescriptiveField::ALL {
            self.left_out[field as usize] += u64::from(unfit.has_left_out(field));
            self.cut[field as usize] += u64::from(unfit.has_cut(field));
        }
    }

    /// Dropped events of all kinds.
    pub fn dropped(&self) -> u64 {
        self.duplicates + self.duplicate_orders + self.erased + self.opted_out
    }
}

/// The effects of inputs since they were last cleared.
#[derive(Debug, Default)]
pub struct Effects {
    text: String,
    pub changes: Vec<Change>,
    pub because: Vec<Because>,
    pub features: Vec<Feature>,
    pub rejected: Vec<Rejected>,
    /// Customers whose membership is to be published (R12), possibly more than once.
    pub touched: Vec<Touched>,
    /// Reports of what was counted for alerts.
    pub reports: Vec<Report>,
    pub counts: Counts,
}

impl Effects {
    /// Empties all lists and counts; keeps their memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.changes.clear();
        self.because.clear();
        self.features.clear();
        self.rejected.clear();
        self.touched.clear();
        self.reports.clear();
        self.counts = Counts::default();
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.rejected.is_empty() && self.touched.is_empty() && self.reports.is_empty()
    }

    /// The text of a span.
    pub fn text(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }

    /// All texts that are kept, one after the other.
    pub fn all_text(&self) -> &str {
        &self.text
    }

    /// Keeps a text until the next [`Effects::clear`].
    pub fn keep(&mut self, text: &str) -> Span {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        Span { start, end: self.text.len() as u32 }
    }

    /// Keeps a value, with its text if it is one.
    pub fn keep_value(&mut self, value: Value<'_>) -> Scalar {
        match value {
            Value::Null => Scalar::Null,
            Value::Integer(number) => Scalar::Integer(number),
            Value::Money(minor, decimals) => Scalar::Money(minor, decimals),
            Value::Double(number) => Scalar::Double(number),
            Value::Text(text) => Scalar::Text(self.keep(text)),
            Value::Boolean(boolean) => Scalar::Boolean(boolean),
            Value::Time(time) => Scalar::Time(time),
            Value::Texts(set) => Scalar::Texts(self.keep(set)),
        }
    }

    /// The run of `because` from `start` to its end.
    pub fn because_since(&self, start: usize) -> Run {
        Run { start: start as u32, end: self.because.len() as u32 }
    }

    /// The run of `features` from `start` to its end.
    pub fn features_since(&self, start: usize) -> Run {
        Run { start: start as u32, end: self.features.len() as u32 }
    }
}
