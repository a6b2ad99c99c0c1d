//! The direction of a change: up or down the ladder of its segmentation, into an audience or out of it.

use std::cmp::Ordering;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To a segment that is higher on the ladder; into an audience.
    Up,
    /// To a segment that is lower on the ladder; out of an audience.
    Down,
    /// Between segments of a segmentation without `ladder`.
    Side,
    /// From null or to null: a customer is new, or is removed.
    None,
}

impl Direction {
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Up, "up"), (Self::Down, "down"), (Self::Side, "side"), (Self::None, "none")];

    /// The name in rules, metrics and alerts.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The direction of a change between two segments; `ladder` has the indexes of all segments, or none.
    pub fn on_ladder(ladder: &[u16], from: u16, to: u16) -> Self {
        let step = |value: u16| ladder.iter().position(|segment| *segment == value);
        match step(to).cmp(&step(from)) {
            Ordering::Greater => Self::Up,
            Ordering::Less => Self::Down,
            Ordering::Equal => Self::Side,
        }
    }
}
