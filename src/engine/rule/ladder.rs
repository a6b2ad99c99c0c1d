//! Which way a change goes: up or down the ladder of its segmentation, into an audience or out of it.

use super::{Kind, Target, decide};
use crate::engine::profile::Held;
use std::cmp::Ordering;

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To a segment that stands higher on the ladder; into an audience.
    Up,
    /// To a segment that stands lower on the ladder; out of an audience.
    Down,
    /// Between segments of a segmentation without `ladder`.
    Side,
    /// From null or to null: a customer who came or went.
    None,
}

impl Direction {
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Up, "up"), (Self::Down, "down"), (Self::Side, "side"), (Self::None, "none")];

    /// The name in rules, metrics and alerts.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl Target {
    /// Which way a change between two of its values goes; [`Held::NULL`] is no segment.
    pub fn direction(&self, from: u16, to: u16) -> Direction {
        let ladder = match &self.kind {
            Kind::Audience(_) if to == decide::OUT => return Direction::Down,
            Kind::Audience(_) => return Direction::Up,
            Kind::Segmentation { .. } if from == Held::NULL || to == Held::NULL => return Direction::None,
            Kind::Segmentation { ladder, .. } => ladder,
        };
        way(ladder, from, to)
    }
}

/// Which way it goes between two segments.
pub fn way(ladder: &[u16], from: u16, to: u16) -> Direction {
    let step = |value: u16| ladder.iter().position(|place| *place == value);
    match step(to).cmp(&step(from)) {
        Ordering::Greater => Direction::Up,
        Ordering::Less => Direction::Down,
        Ordering::Equal => Direction::Side,
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
            let value = |name: Option<&str>| name.map_or(Held::NULL, |name| target.value_named(name).unwrap());
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
