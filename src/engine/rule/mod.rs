//! Rules: segmentations and audiences, their conditions compiled once, evaluated, explained and run forward.
//!
//! [`file`] reads rules.toml. A customer's truths are read comparison by comparison ([`Rules::read`]); when one differs from
//! before the event, [`Rules::decide`] says which values follow.

pub mod truth;

pub use crate::engine::feature::Value;
pub use truth::{Truth, Truths};

use crate::engine::event::{EventType, Millis};
use crate::engine::meaning::Meaning;
use crate::engine::profile::{Customer, Held};
use std::sync::Arc;

/// A checked and compiled rules.toml.
#[derive(Debug)]
pub struct Rules {
    /// The first 16 hex digits of the SHA-256 of the file.
    pub version: String,
    /// The file as it was read.
    pub bytes: Vec<u8>,
    pub meaning: Meaning,
    /// Segmentations and audiences in byte order of their names; `Held` slots follow this order.
    pub targets: Vec<Target>,
}

/// A segmentation or an audience.
#[derive(Debug)]
pub struct Target {
    pub name: String,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Segmentation { segments: Vec<Segment>, min_dwell: Millis },
    Audience { dwell_in: Millis, dwell_out: Millis },
}

#[derive(Debug)]
pub struct Segment {
    pub name: String,
}

impl Target {
    /// The name of a value: of a segment, or `in` or `out`.
    pub fn value_name(&self, value: u16) -> &str {
        match &self.kind {
            Kind::Segmentation { segments, .. } => &segments[usize::from(value)].name,
            Kind::Audience { .. } if value == 0 => "out",
            Kind::Audience { .. } => "in",
        }
    }

    pub fn is_audience(&self) -> bool {
        matches!(self.kind, Kind::Audience { .. })
    }

    /// What a customer holds before the first evaluation: a segmentation null, an audience out (R3).
    pub fn initial(&self, at: Millis) -> Held {
        Held { value: if self.is_audience() { 0 } else { Held::NULL }, since: at, dwells: false }
    }

    /// The value of this name.
    pub fn value_named(&self, name: &str) -> Option<u16> {
        match &self.kind {
            Kind::Segmentation { segments, .. } => {
                segments.iter().position(|segment| segment.name == name).map(|place| place as u16)
            }
            Kind::Audience { .. } => ["out", "in"].iter().position(|&value| value == name).map(|place| place as u16),
        }
    }

    /// How long a value is held at least (R5).
    pub fn dwell(&self, value: u16) -> Millis {
        match self.kind {
            Kind::Segmentation { min_dwell, .. } => min_dwell,
            Kind::Audience { dwell_out, .. } if value == 0 => dwell_out,
            Kind::Audience { dwell_in, .. } => dwell_in,
        }
    }
}

/// The value of a target after an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    pub value: u16,
    /// `since + min_dwell` when the rules want another value but dwell holds this one: a deadline. Else `NEVER`.
    pub waits_until: Millis,
}

/// A change of one target, to be explained.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    pub target: usize,
    /// `Held::NONE.value` for null.
    pub from: u16,
    pub to: u16,
    /// The cause is `time`: only then can an expired dwell be among the reasons.
    pub by_time: bool,
    /// Truths just before: at `effective_at` - 1 ms if the cause is `time`, else at the same instant before the input;
    /// comparisons on targets filled from `held` ([`Rules::read_held`]).
    pub before: &'a Truths,
    /// Truths after, as [`Rules::decide`] left them.
    pub after: &'a Truths,
    /// All targets' values before the change.
    pub held: &'a [Held],
    /// All targets' values after it.
    pub decided: &'a [Decided],
}

/// Room for [`Rules::forecast`], kept by the caller so that nothing is allocated per change.
#[derive(Debug, Default)]
pub struct Scratch {}

/// Something wrong in rules.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What was expected, what was found.
    pub what: String,
    /// What to do: the nearest known name, another way to write it.
    pub hint: Option<String>,
}

/// Reads, checks and compiles a rules.toml: all mistakes in one go, in order of the text.
pub fn read(text: &str) -> Result<Arc<Rules>, Vec<Mistake>> {
    let _ = text;
    Err(Vec::new())
}

impl Rules {
    /// Truths of all comparisons, to be read into.
    pub fn truths(&self) -> Truths {
        Truths::default()
    }

    /// The comparisons whose truth an event of this type can change; those on segment() and audience() excluded.
    pub fn affected(&self, event_type: EventType) -> &[u16] {
        let _ = event_type;
        &[]
    }

    /// All comparisons but those on segment() and audience().
    pub fn all(&self) -> &[u16] {
        &[]
    }

    /// Reads the truth of the given comparisons at `now` into `truths`.
    pub fn read(&self, which: &[u16], customer: &Customer<'_>, now: Millis, truths: &mut Truths) {
        let _ = (which, customer, now, truths);
    }

    /// Whether the given comparisons have the same truth in both.
    pub fn same(&self, which: &[u16], a: &Truths, b: &Truths) -> bool {
        let _ = (which, a, b);
        true
    }

    /// First instant > now at which one of the comparisons may change its truth if nothing else happens. Never too late;
    /// may be early; `NEVER` if none. `truths` as of `now`.
    pub fn next_turn(&self, which: &[u16], customer: &Customer<'_>, now: Millis, truths: &Truths) -> Millis {
        let _ = (which, customer, now, truths);
        crate::engine::event::NEVER
    }

    /// Fills the comparisons on segment() and audience() from held values.
    pub fn read_held(&self, held: &[Held], truths: &mut Truths) {
        let _ = (held, truths);
    }

    /// The values of all targets after an evaluation at `now`; fills the comparisons on targets in `truths` on the way.
    pub fn decide(
        &self,
        truths: &mut Truths,
        held: &[Held],
        now: Millis,
        obey_dwell: bool,
        decided: &mut Vec<Decided>,
    ) {
        let _ = (truths, held, now, obey_dwell, decided);
    }

    /// R9 `because`: calls `f` with text, value of the left side after the change, truth before and after; at most 8 times.
    pub fn because(
        &self,
        change: &Change<'_>,
        customer: &Customer<'_>,
        now: Millis,
        f: impl FnMut(&str, Value<'_>, Truth, Truth),
    ) {
        let _ = (change, customer, now, f);
    }

    /// R9 `next`: the value this target will change to first if nothing else happens, and when. `held` after the change.
    pub fn forecast(
        &self,
        target: usize,
        customer: &Customer<'_>,
        held: &[Held],
        now: Millis,
        scratch: &mut Scratch,
    ) -> Option<(u16, Millis)> {
        let _ = (target, customer, held, now, scratch);
        None
    }

    /// The features under `include`, by name.
    pub fn include_values(&self, customer: &Customer<'_>, held: &[Held], now: Millis, f: impl FnMut(&str, Value<'_>)) {
        let _ = (customer, held, now, f);
    }
}
