//! Walks over the conditions of segments and audiences and says which of their parts never or always hold.
//!
//! The smallest part is named: a comparison rather than the condition around it, and of an AND the operand that
//! contradicts another one.

use super::search::{Truthset, is_possible};
use super::subject::variables;
use super::{instants, units};
use crate::document::MistakeCollector;
use crate::engine::rule::check::DeclaredTarget;
use crate::engine::rule::check::place::Place;
use crate::engine::rule::compile::CheckedTarget;
use crate::engine::rule::compiled::comparison::Comparison;
use crate::engine::rule::compiled::condition::Condition;
use crate::engine::rule::compiled::predicate::{Comparator, Predicate};
use crate::engine::rule::compiled::range::Range;
use crate::engine::rule::compiled::scalar::Scalar;

/// Comparisons of several segments that are searched together at most.
const TOGETHER_MAX: usize = 64;
/// Operands of an AND or OR that are compared with each other at most.
const PAIRS_MAX: usize = 32;
/// Characters of a condition that a warning shows at most.
const SHOWN_MAX: usize = 100;

pub struct Reviewer<'a, 't> {
    pub comparisons: &'a [Comparison],
    pub declared: &'a [DeclaredTarget],
    pub warnings: &'a mut MistakeCollector<'t>,
}

/// A condition without mistakes.
struct Reviewed<'a> {
    condition: &'a Condition,
    place: &'a Place,
    /// Index among the target's conditions.
    index: usize,
    is_never: bool,
    is_always: bool,
}

impl Reviewer<'_, '_> {
    pub fn target(&mut self, target: &CheckedTarget) {
        let mut reviewed = Vec::new();
        for (index, (condition, place)) in target.conditions.iter().zip(&target.places).enumerate() {
            let (Some(condition), Some(place)) = (condition, place) else { continue };
            match condition {
                // As a part a literal may be meant, as in COALESCE(…, FALSE); the whole of a condition says little.
                Condition::Constant(_) => self.whole(condition, place),
                _ => self.part(condition, place),
            };
            let (is_never, is_always) = (self.is_never(condition), self.is_always(condition));
            reviewed.push(Reviewed { condition, place, index, is_never, is_always });
        }
        match &target.declared.segments {
            Some(names) => self.segments(target, names, &reviewed),
            None => self.audience(&reviewed),
        }
    }

    fn is_possible(&self, wanted: &[(&Condition, Truthset)]) -> bool {
        let mut indexes: Vec<u16> = Vec::new();
        for index in wanted.iter().flat_map(|(condition, _)| condition.comparisons()) {
            if !indexes.contains(&index) {
                indexes.push(index);
            }
        }
        is_possible(wanted, &variables(&indexes, self.comparisons, self.declared))
    }

    pub fn is_never(&self, condition: &Condition) -> bool {
        !self.is_possible(&[(condition, Truthset::TRUE)])
    }

    pub fn is_always(&self, condition: &Condition) -> bool {
        !self.is_possible(&[(condition, Truthset::NOT_TRUE)])
    }

    /// Whether the first condition is true only where the second is.
    pub fn implies(&self, condition: &Condition, other: &Condition) -> bool {
        !self.is_possible(&[(condition, Truthset::TRUE), (other, Truthset::NOT_TRUE)])
    }

    fn warn(&mut self, place: &Place, message: String, hint: Option<String>) {
        self.warnings.add(place.start, message, hint);
    }

    /// Warns of the smallest parts of a condition that never or always hold. Returns whether there was one.
    fn part(&mut self, condition: &Condition, place: &Place) -> bool {
        let operands = match condition {
            // A literal was meant.
            Condition::Constant(_) => return false,
            Condition::Comparison(index) => return self.comparison(*index, condition, place),
            Condition::And(all) | Condition::Or(all) | Condition::Coalesce(all) => all.iter().collect(),
            Condition::Not(of) | Condition::Is { of, .. } => vec![&**of],
            Condition::Equal { left, right, .. } => vec![&**left, &**right],
        };
        let mut found = false;
        for (operand, place) in operands.iter().zip(&place.parts) {
            found |= self.part(operand, place);
        }
        if found {
            return true;
        }
        let found = match condition {
            _ if operands.len() > PAIRS_MAX => false,
            Condition::And(_) => self.and(&operands, place),
            Condition::Or(_) => self.or(&operands, place),
            _ => false,
        };
        found || self.whole(condition, place)
    }

    /// A condition whose parts are all right.
    fn whole(&mut self, condition: &Condition, place: &Place) -> bool {
        let always = if self.is_never(condition) {
            "never"
        } else if self.is_always(condition) {
            "always"
        } else {
            return false;
        };
        self.warn(place, format!("`{}` is {always} true", short(&place.text)), None);
        true
    }

    /// An AND of two operands that are never true together, or only for a millisecond.
    fn and(&mut self, operands: &[&Condition], place: &Place) -> bool {
        for (k, operand) in operands.iter().enumerate() {
            for (j, before) in operands[..k].iter().enumerate() {
                let (one, other) = (&place.parts[j], &place.parts[k]);
                if !self.is_possible(&[(before, Truthset::TRUE), (operand, Truthset::TRUE)]) {
                    let message = format!("`{}` is never true where `{}` is", short(&other.text), short(&one.text));
                    self.warn(other, message, Some("an AND of both never holds".into()));
                    return true;
                }
                if let (Condition::Comparison(before), Condition::Comparison(operand)) = (before, operand)
                    && instants::is_instant(&self.ranges(&[*before, *operand]))
                {
                    let (one, two) = (short(&one.text), short(&other.text));
                    let message = format!("`{one} AND {two}` is true for one millisecond only");
                    self.warn(
                        other,
                        message,
                        Some("durations grow with each millisecond: leave room between the bounds".into()),
                    );
                    return true;
                }
            }
        }
        false
    }

    /// An OR of two operands of which always one is true.
    fn or(&mut self, operands: &[&Condition], place: &Place) -> bool {
        for (k, operand) in operands.iter().enumerate() {
            for (j, before) in operands[..k].iter().enumerate() {
                if !self.is_possible(&[(before, Truthset::NOT_TRUE), (operand, Truthset::NOT_TRUE)]) {
                    let (one, other) = (&place.parts[j], &place.parts[k]);
                    let message = format!("`{}` is true wherever `{}` is not", short(&other.text), short(&one.text));
                    self.warn(other, message, Some("an OR of both always holds".into()));
                    return true;
                }
            }
        }
        false
    }

    /// The ranges of comparisons of one duration; empty if they are not.
    fn ranges(&self, indexes: &[u16]) -> Vec<&Range> {
        let ranges = indexes.iter().map(|index| self.comparisons[usize::from(*index)].range.as_ref());
        ranges.collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    fn comparison(&mut self, index: u16, condition: &Condition, place: &Place) -> bool {
        let comparisons = self.comparisons;
        let comparison = &comparisons[usize::from(index)];
        let text = short(&place.text);
        if let Some(hint) = null_literal(&comparison.predicate, place) {
            let message = format!("`{text}` is never true: a comparison with NULL is NULL");
            self.warn(place, message, Some(hint));
        } else if let Some(hint) = empty_range(&comparison.predicate) {
            self.warn(place, format!("`{text}` has an empty range: its first bound is above its second"), Some(hint));
        } else if let Some((message, hint)) = instants::of_comparison(comparison) {
            self.warn(place, format!("`{text}` {message}"), Some(hint));
        } else if let Some(hint) = units::mixed(&comparison.predicate) {
            self.warn(place, format!("`{text}` puts days and minutes together"), Some(hint));
        } else {
            return self.whole(condition, place);
        }
        true
    }

    /// Segments that no customer reaches, since earlier ones take all of theirs.
    fn segments(&mut self, target: &CheckedTarget, names: &[String], reviewed: &[Reviewed<'_>]) {
        let mut before: Vec<&Reviewed<'_>> = Vec::new();
        for segment in reviewed {
            if segment.is_never {
                continue;
            }
            let taken_by = before.iter().find(|earlier| self.implies(segment.condition, earlier.condition));
            if let Some(earlier) = taken_by {
                let (name, earlier) = (&names[segment.index], &names[earlier.index]);
                let message = format!(
                    "segment `{name}` is never reached: wherever its condition is true, that of `{earlier}` is, which stands before it"
                );
                self.warn(
                    segment.place,
                    message,
                    Some(format!("put `{name}` before `{earlier}`, or change one of the conditions")),
                );
            } else if before.len() > 1 && self.are_taken(&before, Some(segment.condition)) {
                let message = format!(
                    "segment `{}` is never reached: wherever its condition is true, one of those before it is",
                    names[segment.index]
                );
                self.warn(segment.place, message, None);
            }
            if segment.is_always {
                // It has been told; everything behind it is out of reach.
                return;
            }
            before.push(segment);
        }
        // With a mistake in one of the conditions nothing is known of the last segment.
        let all_known = reviewed.len() + 1 == names.len();
        if let (Some(name), Some(offset)) = (names.last(), target.segment_offsets.last())
            && all_known
            && !before.is_empty()
            && self.are_taken(&before, None)
        {
            let message = format!("segment `{name}` is never reached: for every customer an earlier condition is true");
            let hint = "the segment before it can be the last, without a condition";
            self.warnings.add(*offset, message, Some(hint.into()));
        }
    }

    /// Whether one of the conditions is true wherever another one is, or everywhere.
    fn are_taken(&self, before: &[&Reviewed<'_>], of: Option<&Condition>) -> bool {
        let mut wanted: Vec<_> = of.map(|of| (of, Truthset::TRUE)).into_iter().collect();
        wanted.extend(before.iter().map(|earlier| (earlier.condition, Truthset::NOT_TRUE)));
        let count: usize = wanted.iter().map(|(condition, _)| condition.comparisons().len()).sum();
        count <= TOGETHER_MAX && !self.is_possible(&wanted)
    }

    /// An audience that nobody enters, since `exit` is true wherever `when` is.
    fn audience(&mut self, reviewed: &[Reviewed<'_>]) {
        let [when, exit] = reviewed else { return };
        // What is always or never true has been told.
        if when.is_never || exit.is_never || exit.is_always || !self.implies(when.condition, exit.condition) {
            return;
        }
        let message = match when.place.text == exit.place.text {
            true => "`exit` is the same as `when`: nobody ever enters",
            false => "`exit` is true wherever `when` is: nobody ever enters",
        };
        let hint = "`exit` says when a customer leaves; without it a customer leaves when `when` is no longer true";
        self.warn(exit.place, message.into(), Some(hint.into()));
    }
}

/// What to write instead of a comparison with NULL that is never true.
fn null_literal(predicate: &Predicate, place: &Place) -> Option<String> {
    let is_null = |scalar: &Scalar| matches!(scalar, Scalar::Null);
    let instead = |null: &str| format!("write IS {null}, such as `plan IS {null}`");
    match predicate {
        Predicate::Compare { left, right, .. } if !is_null(left) && !is_null(right) => None,
        Predicate::Compare { operator: Comparator::Unequal, .. } => Some(instead("NOT NULL")),
        Predicate::Compare { .. } => Some(instead("NULL")),
        Predicate::In { list, negated: true, .. } if list.iter().any(is_null) => {
            Some("leave NULL out of the list; NOT IN is not true for a NULL anyway".into())
        }
        Predicate::In { list, negated: false, .. } if list.iter().all(is_null) => Some(instead("NULL")),
        Predicate::Like { pattern: None, .. } => Some(instead("NULL")),
        Predicate::Between { low, high, negated: false, .. } if is_null(low) || is_null(high) => {
            Some(format!("write two comparisons instead of `{}`, or one", short(&place.text)))
        }
        _ => None,
    }
}

/// What to write instead of a BETWEEN whose bounds are exchanged.
fn empty_range(predicate: &Predicate) -> Option<String> {
    let Predicate::Between { low, high, .. } = predicate else { return None };
    let (low, high) = (low.constant()?, high.constant()?);
    (low > high).then(|| format!("write BETWEEN {high} AND {low}"))
}

/// A text that fits a message.
pub fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
