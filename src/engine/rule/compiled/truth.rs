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

/// The truth of each comparison of the rules, by its index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truths(Vec<Truth>);

impl Truths {
    /// For `count` comparisons, all null.
    pub fn new(count: usize) -> Self {
        Self(vec![Truth::Null; count])
    }

    pub fn get(&self, comparison: u16) -> Truth {
        self.0[usize::from(comparison)]
    }

    pub fn set(&mut self, comparison: u16, truth: Truth) {
        self.0[usize::from(comparison)] = truth;
    }

    /// Makes room for `count` comparisons; truths that were read before are no longer valid.
    pub fn resize(&mut self, count: usize) {
        self.0.resize(count, Truth::Null);
    }

    /// Makes this a copy of another, without allocating once it has the size.
    pub fn copy_from(&mut self, other: &Self) {
        self.0.clone_from(&other.0);
    }

    /// Copies all truths from `other` except those of the given comparisons, whose indexes are in ascending order.
    pub fn fill_except(&mut self, other: &Self, except: &[u16]) {
        self.0.resize(other.0.len(), Truth::Null);
        let mut except = except.iter().map(|&index| usize::from(index)).peekable();
        for (index, (truth, other)) in self.0.iter_mut().zip(&other.0).enumerate() {
            if except.next_if_eq(&index).is_none() {
                *truth = *other;
            }
        }
    }
}
