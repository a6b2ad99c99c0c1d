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

impl Truths {
    /// Takes over from `other` all but the given comparisons.
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
