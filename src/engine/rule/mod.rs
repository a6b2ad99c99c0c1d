//! Rules: segmentations and audiences, their conditions compiled once, evaluated, explained and run forward.
//!
//! [`file`] reads rules.toml. A customer's truths are read comparison by comparison ([`Rules::read`]); when one differs from
//! before the event, [`Rules::decide`] says which values follow, [`Rules::because`] why, [`Rules::forecast`] what comes next.

pub mod alert;
pub mod because;
mod build;
mod call;
mod check;
pub mod columns;
mod compare;
mod condition;
pub mod decide;
pub mod document;
pub mod duration;
pub mod file;
pub mod forecast;
mod hold;
pub mod ladder;
mod like;
pub mod mistake;
mod movement;
mod names;
mod scalar;
mod settings;
mod shape;
mod sql;
mod target;
mod term;
#[cfg(test)]
mod tests;
pub mod truth;
mod turn;

pub use crate::engine::feature::Value;
pub use alert::Alert;
pub use because::Change;
pub use decide::Decided;
pub use file::{read, read_following};
pub use forecast::Scratch;
pub use ladder::Direction;
pub use mistake::Mistake;
pub use truth::{Truth, Truths};

use crate::engine::event::{EventType, Millis};
use crate::engine::meaning::Meaning;
use crate::engine::profile::{Customer, Held};
use compare::Comparison;
use condition::Condition;
use scalar::Scalar;

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
    /// Alerts in byte order of their names.
    pub alerts: Vec<Alert>,
    /// Features published with each change, by name.
    include: Vec<(String, Scalar)>,
    /// All distinct comparisons of the file, by text.
    comparisons: Vec<Comparison>,
    /// Comparisons on segment() and audience(); and all others.
    on_targets: Vec<u16>,
    on_customers: Vec<u16>,
    /// By event type: the comparisons whose truth it can change.
    affected: Vec<Vec<u16>>,
    /// By event type: the targets that those decide on, and all comparisons of these targets but those on targets.
    touched: Vec<Closure>,
    /// Places of the targets, each after those it refers to.
    order: Vec<u16>,
    /// By target: what its forecast runs.
    closures: Vec<Closure>,
}

/// Some targets, and comparisons.
#[derive(Debug)]
struct Closure {
    /// In order of dependence.
    targets: Vec<u16>,
    /// Their comparisons but those on targets.
    comparisons: Vec<u16>,
}

/// A segmentation or an audience.
#[derive(Debug)]
pub struct Target {
    pub name: String,
    pub kind: Kind,
    /// All its comparisons, each once.
    comparisons: Vec<u16>,
    /// Those of them on other targets.
    on_targets: Vec<u16>,
}

#[derive(Debug)]
pub enum Kind {
    /// `ladder`: places of all segments from the lowest to the highest, if the file gives it.
    Segmentation {
        segments: Vec<Segment>,
        min_dwell: Millis,
        ladder: Vec<u16>,
    },
    Audience(Audience),
}

#[derive(Debug)]
pub struct Segment {
    pub name: String,
    /// The last segment has none.
    condition: Option<Condition>,
    comparisons: Vec<u16>,
}

#[derive(Debug)]
pub struct Audience {
    when: Condition,
    exit: Option<Condition>,
    pub dwell_in: Millis,
    pub dwell_out: Millis,
}

impl Target {
    /// The name of a value: of a segment, or `in` or `out`.
    pub fn value_name(&self, value: u16) -> &str {
        match &self.kind {
            Kind::Segmentation { segments, .. } => &segments[usize::from(value)].name,
            Kind::Audience(_) if value == decide::OUT => "out",
            Kind::Audience(_) => "in",
        }
    }

    pub fn is_audience(&self) -> bool {
        matches!(self.kind, Kind::Audience(_))
    }

    /// All its values but null, by place.
    pub fn values(&self) -> std::ops::Range<u16> {
        match &self.kind {
            Kind::Segmentation { segments, .. } => 0..segments.len() as u16,
            Kind::Audience(_) => 0..2,
        }
    }

    /// Names of its segments in their order; an audience has none.
    pub fn segment_names(&self) -> impl Iterator<Item = &str> {
        let segments = match &self.kind {
            Kind::Segmentation { segments, .. } => segments.as_slice(),
            Kind::Audience(_) => &[],
        };
        segments.iter().map(|segment| segment.name.as_str())
    }

    /// What a customer holds before the first evaluation: a segmentation null, an audience out (R3).
    pub fn initial(&self, at: Millis) -> Held {
        Held::new(if self.is_audience() { decide::OUT } else { Held::NULL }, at, false)
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
        match &self.kind {
            Kind::Segmentation { min_dwell, .. } => *min_dwell,
            Kind::Audience(audience) if value == decide::OUT => audience.dwell_out,
            Kind::Audience(audience) => audience.dwell_in,
        }
    }

    /// The comparisons that explain a change between two values, in order of the file, each once (R9).
    fn reasons(&self, from: u16, to: u16) -> impl Iterator<Item = u16> {
        let (first, second) = match &self.kind {
            Kind::Audience(_) => (&self.comparisons[..], &[][..]),
            Kind::Segmentation { segments, .. } => {
                let of = |value: u16| segments.get(usize::from(value)).map_or(&[][..], |segment| &segment.comparisons);
                (of(from.min(to)), of(from.max(to)))
            }
        };
        first.iter().chain(second.iter().filter(|place| !first.contains(place))).copied()
    }
}

impl Rules {
    /// Truths of all comparisons, to be read into.
    pub fn truths(&self) -> Truths {
        Truths::new(self.comparisons.len())
    }

    /// The comparisons whose truth an event of this type can change; those on segment() and audience() excluded.
    pub fn affected(&self, event_type: EventType) -> &[u16] {
        &self.affected[event_type.index()]
    }

    /// All comparisons of the targets that an event of this type touches; those on segment() and audience() excluded.
    pub fn decisive(&self, event_type: EventType) -> &[u16] {
        &self.touched[event_type.index()].comparisons
    }

    /// All comparisons but those on segment() and audience().
    pub fn all(&self) -> &[u16] {
        &self.on_customers
    }

    /// The text of a comparison.
    pub fn text(&self, comparison: u16) -> &str {
        &self.comparisons[usize::from(comparison)].text
    }

    /// Reads the truth of the given comparisons at `now` into `truths`.
    pub fn read(&self, which: &[u16], customer: &Customer<'_>, now: Millis, truths: &mut Truths) {
        truths.resize(self.comparisons.len());
        for place in which {
            truths.set(*place, self.comparisons[usize::from(*place)].truth(customer, now));
        }
    }

    /// Whether the given comparisons have the same truth in both.
    pub fn same(&self, which: &[u16], a: &Truths, b: &Truths) -> bool {
        which.iter().all(|place| a.get(*place) == b.get(*place))
    }

    /// First instant > now at which one of the comparisons may change its truth if nothing else happens. Never too late;
    /// may be early; `NEVER` if none. `truths` as of `now`.
    #[cfg(test)]
    fn next_turn(&self, which: &[u16], customer: &Customer<'_>, now: Millis, truths: &Truths) -> Millis {
        let turns = which.iter().map(|place| {
            let comparison = &self.comparisons[usize::from(*place)];
            comparison.next_turn(customer, now, truths.get(*place))
        });
        turns.min().unwrap_or(crate::engine::event::NEVER)
    }
}
