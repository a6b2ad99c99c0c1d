//! Segmentations and audiences with their compiled conditions.

use super::condition::Condition;
use super::direction::Direction;
use crate::engine::event::Millis;
use crate::engine::profile::HeldValue;

/// An audience's values.
pub const OUT: u16 = 0;
pub const IN: u16 = 1;

/// The names of an audience's values, by value.
pub const AUDIENCE_VALUES: [&str; 2] = ["out", "in"];

/// A segmentation or an audience.
#[derive(Debug)]
pub struct Target {
    pub name: String,
    pub kind: TargetKind,
    /// Indexes of all its comparisons, each once.
    pub comparisons: Vec<u16>,
    /// Those of them on other targets.
    pub on_targets: Vec<u16>,
    /// Instants at most that its forecast looks at.
    pub instants_max: usize,
}

#[derive(Debug)]
pub enum TargetKind {
    Segmentation {
        segments: Vec<Segment>,
        min_dwell: Millis,
        /// Indexes of all segments from the lowest to the highest; empty if the file has no ladder.
        ladder: Vec<u16>,
    },
    Audience(Audience),
}

#[derive(Debug)]
pub struct Segment {
    pub name: String,
    /// The last segment has none.
    pub condition: Option<Condition>,
    pub comparisons: Vec<u16>,
}

#[derive(Debug)]
pub struct Audience {
    pub when: Condition,
    pub exit: Option<Condition>,
    pub dwell_in: Millis,
    pub dwell_out: Millis,
}

impl Target {
    /// The name of a value: of a segment, or `in` or `out`.
    pub fn value_name(&self, value: u16) -> &str {
        match &self.kind {
            TargetKind::Segmentation { segments, .. } => &segments[usize::from(value)].name,
            TargetKind::Audience(_) if value == OUT => AUDIENCE_VALUES[usize::from(OUT)],
            TargetKind::Audience(_) => AUDIENCE_VALUES[usize::from(IN)],
        }
    }

    pub fn is_audience(&self) -> bool {
        matches!(self.kind, TargetKind::Audience(_))
    }

    /// All its values but null.
    pub fn values(&self) -> std::ops::Range<u16> {
        match &self.kind {
            TargetKind::Segmentation { segments, .. } => 0..segments.len() as u16,
            TargetKind::Audience(_) => 0..2,
        }
    }

    /// Names of its segments in their order; an audience has none.
    pub fn segment_names(&self) -> impl Iterator<Item = &str> {
        let segments = match &self.kind {
            TargetKind::Segmentation { segments, .. } => segments.as_slice(),
            TargetKind::Audience(_) => &[],
        };
        segments.iter().map(|segment| segment.name.as_str())
    }

    /// The value before the first evaluation: null for a segmentation, `out` for an audience (R3).
    pub fn initial(&self, at: Millis) -> HeldValue {
        HeldValue::new(if self.is_audience() { OUT } else { HeldValue::NULL }, at, false)
    }

    /// The value of this name.
    pub fn value_named(&self, name: &str) -> Option<u16> {
        let index = match &self.kind {
            TargetKind::Segmentation { segments, .. } => segments.iter().position(|segment| segment.name == name),
            TargetKind::Audience(_) => AUDIENCE_VALUES.iter().position(|value| *value == name),
        };
        index.map(|index| index as u16)
    }

    /// How long a value is held at least (R5).
    pub fn dwell(&self, value: u16) -> Millis {
        match &self.kind {
            TargetKind::Segmentation { min_dwell, .. } => *min_dwell,
            TargetKind::Audience(audience) if value == OUT => audience.dwell_out,
            TargetKind::Audience(audience) => audience.dwell_in,
        }
    }

    /// The direction of a change between two of its values; [`HeldValue::NULL`] is no segment.
    pub fn direction(&self, from: u16, to: u16) -> Direction {
        match &self.kind {
            TargetKind::Audience(_) if to == OUT => Direction::Down,
            TargetKind::Audience(_) => Direction::Up,
            TargetKind::Segmentation { .. } if from == HeldValue::NULL || to == HeldValue::NULL => Direction::None,
            TargetKind::Segmentation { ladder, .. } => Direction::on_ladder(ladder, from, to),
        }
    }

    /// The comparisons of a value's own condition, in order of the file, each once: of `in` those of `when`, of `out`
    /// those of `exit` too (R9).
    pub fn reasons_of_value(&self, value: u16) -> Vec<u16> {
        match &self.kind {
            TargetKind::Audience(audience) if value == IN => audience.when.comparisons(),
            TargetKind::Audience(_) => self.comparisons.clone(),
            TargetKind::Segmentation { segments, .. } => {
                segments.get(usize::from(value)).map(|segment| segment.comparisons.clone()).unwrap_or_default()
            }
        }
    }

    /// The comparisons that explain a change between two values, in order of the file, each once (R9).
    pub fn reasons(&self, from: u16, to: u16) -> impl Iterator<Item = u16> {
        let (first, second) = match &self.kind {
            TargetKind::Audience(_) => (&self.comparisons[..], &[][..]),
            TargetKind::Segmentation { segments, .. } => {
                let of = |value: u16| segments.get(usize::from(value)).map_or(&[][..], |segment| &segment.comparisons);
                (of(from.min(to)), of(from.max(to)))
            }
        };
        first.iter().chain(second.iter().filter(|index| !first.contains(index))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rule::read;

    #[test]
    fn a_ladder_gives_directions() {
        let rules = read(
            "[segmentation.life]\nladder = [\"lost\", \"new\", \"loyal\"]\nsegments = [{ name = \"loyal\", when = \"orders > 3\" }, \
             { name = \"new\", when = \"recency_days < 9\" }, { name = \"lost\" }]\n\
             [segmentation.flat]\nsegments = [{ name = \"a\", when = \"orders > 3\" }, { name = \"b\" }]\n\
             [audience.vip]\nwhen = \"orders > 9\"\n",
        )
        .unwrap();
        let direction = |name: &str, from: Option<&str>, to: Option<&str>| {
            let target = rules.targets.iter().find(|target| target.name == name).unwrap();
            let value = |name: Option<&str>| name.map_or(HeldValue::NULL, |name| target.value_named(name).unwrap());
            target.direction(value(from), value(to)).name()
        };
        assert_eq!(direction("life", Some("lost"), Some("loyal")), "up");
        assert_eq!(direction("life", Some("new"), Some("lost")), "down");
        assert_eq!(direction("life", None, Some("lost")), "none");
        assert_eq!(direction("life", Some("loyal"), None), "none");
        assert_eq!(direction("flat", Some("a"), Some("b")), "side");
        assert_eq!(direction("vip", Some("out"), Some("in")), "up");
        assert_eq!(direction("vip", Some("in"), Some("out")), "down");
    }
}
