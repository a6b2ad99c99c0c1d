//! SQL's three truth values, and those of all comparisons of a rules file for one customer at one instant.

/// Three-valued truth.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truth {
    False,
    True,
    #[default]
    Null,
}

/// The truth of each comparison of the rules, by its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truths(Vec<Truth>);
