//! SQL's three truth values, and those of all comparisons of a rules file for one customer at one instant.

use std::ops::Not;

/// Three-valued truth.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truth {
    False,
    True,
    #[default]
    Null,
}

impl Truth {
    pub fn is_true(self) -> bool {
        self == Self::True
    }

    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, Self::True) => Self::True,
            _ => Self::Null,
        }
    }

    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::False, Self::False) => Self::False,
            _ => Self::Null,
        }
    }
}

impl Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::True => Self::False,
            Self::Null => Self::Null,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl From<Option<bool>> for Truth {
    fn from(value: Option<bool>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

/// The truth of each comparison of the rules, by its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truths(Vec<Truth>);

impl Truths {
    /// Room for `count` comparisons, all null.
    pub fn new(count: usize) -> Self {
        Self(vec![Truth::Null; count])
    }

    pub fn get(&self, comparison: u16) -> Truth {
        self.0[usize::from(comparison)]
    }

    pub fn set(&mut self, comparison: u16, truth: Truth) {
        self.0[usize::from(comparison)] = truth;
    }

    /// Makes room for `count` comparisons; what was read before means nothing any more.
    pub(super) fn resize(&mut self, count: usize) {
        self.0.resize(count, Truth::Null);
    }

    /// Makes this a copy of another, without allocating once it has the size.
    pub fn copy_from(&mut self, other: &Self) {
        self.0.clone_from(&other.0);
    }

    /// Takes over from `other` all but the given comparisons, which are in ascending order.
    pub fn complete(&mut self, other: &Self, but: &[u16]) {
        self.0.resize(other.0.len(), Truth::Null);
        let mut but = but.iter().map(|&place| usize::from(place)).peekable();
        for (place, (truth, other)) in self.0.iter_mut().zip(&other.0).enumerate() {
            if but.next_if_eq(&place).is_none() {
                *truth = *other;
            }
        }
    }
}
