//! SQL's three truth values, and those of all comparisons of a rules file for one customer at one instant.

use std::cell::Cell;
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

    /// `=` of two conditions, or `<>`: null if one of them is.
    pub fn equals(self, other: Self, negated: bool) -> Self {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => Self::Null,
            _ => ((self == other) != negated).into(),
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

/// What `IS` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsTest {
    Null,
    True,
    False,
}

impl IsTest {
    /// The truth of `… IS [NOT] NULL`, `TRUE` or `FALSE`.
    pub fn truth(self, of: Truth, negated: bool) -> Truth {
        let asked = match self {
            Self::Null => Truth::Null,
            Self::True => Truth::True,
            Self::False => Truth::False,
        };
        ((of == asked) != negated).into()
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

/// The truths of the comparisons of a rules file for one customer at one instant, by index, as far as they are known:
/// a truth is read when it is first asked for ([`crate::engine::rule::reading`]).
#[derive(Clone, Debug, Default)]
pub struct Truths {
    /// Each truth above the number of the reading that it belongs to. Those of earlier readings count as unknown, so
    /// that nothing is cleared for a new one.
    entries: Vec<Cell<u32>>,
    reading: u32,
}

const TRUTH_BITS: u32 = 2;
const READING_MAX: u32 = u32::MAX >> TRUTH_BITS;

impl Truths {
    /// For `count` comparisons, all unknown.
    pub fn new(count: usize) -> Self {
        let mut truths = Self::default();
        truths.begin(count);
        truths
    }

    /// Begins a reading of `count` comparisons, of which nothing is known.
    #[inline]
    pub fn begin(&mut self, count: usize) {
        if self.reading == READING_MAX {
            self.entries.clear();
            self.reading = 0;
        }
        self.reading += 1;
        if self.entries.len() < count {
            self.entries.resize(count, Cell::new(0));
        }
    }

    /// The truth if it is known.
    #[inline]
    pub fn known(&self, comparison: u16) -> Option<Truth> {
        let entry = self.entries[usize::from(comparison)].get();
        if entry >> TRUTH_BITS != self.reading {
            return None;
        }
        Some(match entry & 3 {
            0 => Truth::False,
            1 => Truth::True,
            _ => Truth::Null,
        })
    }

    /// A truth that is known.
    #[cfg(test)]
    pub fn get(&self, comparison: u16) -> Truth {
        self.known(comparison).expect("the truth was read")
    }

    /// Remembers a truth.
    #[inline]
    pub fn set(&self, comparison: u16, truth: Truth) {
        self.entries[usize::from(comparison)].set(self.reading << TRUTH_BITS | truth as u32);
    }
}

#[cfg(test)]
impl PartialEq for Truths {
    fn eq(&self, other: &Self) -> bool {
        let all = |of: &Self| (0..of.entries.len() as u16).map(|index| of.known(index)).collect::<Vec<_>>();
        all(self) == all(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_knows_nothing_of_the_one_before() {
        let mut truths = Truths::new(2);
        truths.set(1, Truth::True);
        assert_eq!((truths.known(0), truths.known(1)), (None, Some(Truth::True)));
        truths.begin(2);
        assert_eq!(truths.known(1), None);
        truths.reading = READING_MAX;
        truths.set(0, Truth::Null);
        assert_eq!(truths.known(0), Some(Truth::Null));
        truths.begin(3);
        assert_eq!([0, 1, 2].map(|index| truths.known(index)), [None; 3]);
    }
}
