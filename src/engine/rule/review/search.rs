//! Whether conditions can have given truths at the same time.
//!
//! Comparisons of one feature are not independent: its value decides all of them. So a feature has a few cells of
//! values that all its comparisons treat alike, and the search tries the combinations of cells. What is not known
//! counts as possible, and so does everything once the search has taken too long: "impossible" is proved, "possible" is
//! not.

use crate::engine::rule::compiled::condition::Condition;
use crate::engine::rule::compiled::truth::Truth;

/// Evaluations of a search at most; after them everything counts as possible.
const STEPS_MAX: usize = 20_000;

/// Facts that several features share.
pub const FACTS: usize = 2;

/// A set of truths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Truthset(u8);

impl Truthset {
    pub const NONE: Self = Self(0);
    pub const TRUE: Self = Self(1);
    pub const NULL: Self = Self(4);
    pub const KNOWN: Self = Self(1 | 2);
    pub const NOT_TRUE: Self = Self(2 | 4);
    pub const ALL: Self = Self(1 | 2 | 4);

    pub fn of(truth: Truth) -> Self {
        match truth {
            Truth::True => Self(1),
            Truth::False => Self(2),
            Truth::Null => Self(4),
        }
    }

    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn is_disjoint(self, other: Self) -> bool {
        self.0 & other.0 == 0
    }

    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub fn truths(self) -> impl Iterator<Item = Truth> {
        [Truth::True, Truth::False, Truth::Null].into_iter().filter(move |truth| !self.is_disjoint(Self::of(*truth)))
    }

    /// What a function of one truth gives.
    pub fn map(self, f: impl Fn(Truth) -> Truth) -> Self {
        self.truths().fold(Self::NONE, |set, truth| set.or(Self::of(f(truth))))
    }

    /// What a function of two independent truths gives.
    pub fn with(self, other: Self, f: impl Fn(Truth, Truth) -> Truth) -> Self {
        self.truths().fold(Self::NONE, |set, one| set.or(other.map(|other| f(one, other))))
    }
}

/// Values of a feature that its comparisons treat alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The truths of the variable's comparisons, in their order.
    pub truths: Vec<Truthset>,
    /// What such a value says about the shared facts.
    pub facts: [Option<bool>; FACTS],
}

/// A feature, or a comparison of which nothing is known.
#[derive(Clone, Debug)]
pub struct Variable {
    pub comparisons: Vec<u16>,
    pub cells: Vec<Cell>,
}

/// Whether all conditions may have one of their wanted truths at the same time. The variables have all comparisons of
/// the conditions, each once.
pub fn is_possible(wanted: &[(&Condition, Truthset)], variables: &[Variable]) -> bool {
    let size = variables.iter().flat_map(|variable| &variable.comparisons).max().map_or(0, |last| *last + 1);
    let mut truths = vec![Truthset::ALL; usize::from(size)];
    for variable in variables {
        for (n, comparison) in variable.comparisons.iter().enumerate() {
            let all = variable.cells.iter().fold(Truthset::NONE, |set, cell| set.or(cell.truths[n]));
            truths[usize::from(*comparison)] = all;
        }
    }
    Search { wanted, variables, truths, steps: 0 }.is_possible(0, [None; FACTS])
}

struct Search<'a> {
    wanted: &'a [(&'a Condition, Truthset)],
    variables: &'a [Variable],
    /// By comparison.
    truths: Vec<Truthset>,
    steps: usize,
}

impl Search<'_> {
    /// `level` variables have a cell.
    fn is_possible(&mut self, level: usize, facts: [Option<bool>; FACTS]) -> bool {
        self.steps += self.wanted.len();
        if self.steps > STEPS_MAX {
            return true;
        }
        let mut is_certain = true;
        for (condition, wanted) in self.wanted {
            let truths = truths_of(condition, &self.truths);
            if truths.is_disjoint(*wanted) {
                return false;
            }
            is_certain &= truths.is_within(*wanted);
        }
        let Some(variable) = self.variables.get(level).filter(|_| !is_certain) else { return true };
        let before: Vec<_> = variable.comparisons.iter().map(|of| self.truths[usize::from(*of)]).collect();
        for cell in &variable.cells {
            let Some(facts) = joined(facts, cell.facts) else { continue };
            self.set(variable, &cell.truths);
            if self.is_possible(level + 1, facts) {
                return true;
            }
        }
        self.set(variable, &before);
        false
    }

    fn set(&mut self, variable: &Variable, truths: &[Truthset]) {
        for (comparison, truths) in variable.comparisons.iter().zip(truths) {
            self.truths[usize::from(*comparison)] = *truths;
        }
    }
}

/// Both, unless they contradict each other.
fn joined(one: [Option<bool>; FACTS], other: [Option<bool>; FACTS]) -> Option<[Option<bool>; FACTS]> {
    let contradict = one.iter().zip(other).any(|(one, other)| one.zip(other).is_some_and(|(one, other)| one != other));
    (!contradict).then(|| std::array::from_fn(|fact| one[fact].or(other[fact])))
}

/// The truths that a condition may have.
fn truths_of(condition: &Condition, truths: &[Truthset]) -> Truthset {
    let of = |condition: &Condition| truths_of(condition, truths);
    match condition {
        Condition::Constant(truth) => Truthset::of(*truth),
        Condition::Comparison(index) => truths[usize::from(*index)],
        Condition::And(all) => all.iter().fold(Truthset::TRUE, |set, one| set.with(of(one), Truth::and)),
        Condition::Or(any) => any.iter().fold(Truthset::of(Truth::False), |set, one| set.with(of(one), Truth::or)),
        Condition::Not(one) => of(one).map(|truth| !truth),
        Condition::Is { of: one, test, negated } => of(one).map(|truth| test.truth(truth, *negated)),
        Condition::Coalesce(all) => all.iter().fold(Truthset::NULL, |set, one| {
            set.with(of(one), |first, other| if first == Truth::Null { other } else { first })
        }),
        Condition::Equal { left, right, negated } => of(left).with(of(right), |one, other| one.equals(other, *negated)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(comparison: u16) -> Variable {
        let cells =
            Truthset::ALL.truths().map(|truth| Cell { truths: vec![Truthset::of(truth)], facts: [None; FACTS] });
        Variable { comparisons: vec![comparison], cells: cells.collect() }
    }

    #[test]
    fn what_contradicts_itself_is_impossible() {
        let a = || Condition::Comparison(0);
        let not = |of: Condition| Condition::Not(Box::new(of));
        let both = Condition::And(vec![a(), not(a())]);
        let either = Condition::Or(vec![a(), not(a())]);
        let variables = [free(0)];
        let possible = |condition: &Condition, wanted| is_possible(&[(condition, wanted)], &variables);
        assert!(!possible(&both, Truthset::TRUE));
        assert!(possible(&both, Truthset::NULL), "a may be null");
        assert!(possible(&either, Truthset::TRUE) && possible(&either, Truthset::NOT_TRUE));
        assert!(!possible(&either, Truthset::of(Truth::False)));
        let same = Condition::Equal { left: Box::new(a()), right: Box::new(a()), negated: true };
        assert!(!possible(&same, Truthset::TRUE));
        let first = Condition::Coalesce(vec![a(), Condition::Constant(Truth::True)]);
        assert!(!possible(&first, Truthset::NULL) && possible(&first, Truthset::of(Truth::False)));
    }

    #[test]
    fn facts_join_features() {
        let cell = |truth, fact| Cell { truths: vec![Truthset::of(truth)], facts: [fact, None] };
        let bought = Variable {
            comparisons: vec![0],
            cells: vec![cell(Truth::True, Some(true)), cell(Truth::False, Some(false))],
        };
        let recent = Variable {
            comparisons: vec![1],
            cells: vec![cell(Truth::True, Some(true)), cell(Truth::Null, Some(false))],
        };
        let never_bought = Condition::Not(Box::new(Condition::Comparison(0)));
        let wanted = [(&never_bought, Truthset::TRUE), (&Condition::Comparison(1), Truthset::TRUE)];
        assert!(!is_possible(&wanted, &[bought.clone(), recent.clone()]));
        let wanted = [(&Condition::Comparison(0), Truthset::TRUE), (&Condition::Comparison(1), Truthset::TRUE)];
        assert!(is_possible(&wanted, &[bought, recent]));
    }

    /// `=` of many comparisons and its opposite: nothing is known before the last comparison is.
    #[test]
    fn a_search_that_takes_too_long_proves_nothing() {
        let contradiction = |count: u16| {
            let equal = |left, right| Condition::Equal { left: Box::new(left), right: Box::new(right), negated: false };
            let chain = (1..count).map(Condition::Comparison).fold(Condition::Comparison(0), equal);
            Condition::And(vec![chain.clone(), Condition::Not(Box::new(chain))])
        };
        let possible = |count: u16| {
            let variables: Vec<_> = (0..count).map(free).collect();
            is_possible(&[(&contradiction(count), Truthset::TRUE)], &variables)
        };
        assert!(!possible(4), "few combinations are tried");
        assert!(possible(24), "2^24 combinations are not tried");
    }
}
