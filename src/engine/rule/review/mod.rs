//! Warnings about rules that are valid and hardly what was meant: conditions that never or always hold, or only for a
//! millisecond; segments that no customer reaches; units that do not fit; declarations that nothing uses.
//!
//! A warning about a condition is proved, not guessed: [`search`] finds no values of the features, as [`domain`] knows
//! them, for which the condition is otherwise. What cannot be proved is not warned of.

mod conditions;

pub mod domain;

mod instants;

pub mod search;

pub mod subject;

mod units;

mod unused;

pub use unused::unused_declarations;

use super::check::DeclaredTarget;
use super::compile::CheckedTarget;
use super::compiled::comparison::Comparison;
use crate::document::MistakeCollector;
use conditions::Reviewer;

/// Adds the warnings about the conditions of all targets.
pub fn conditions(
    targets: &[CheckedTarget],
    declared: &[DeclaredTarget],
    comparisons: &[Comparison],
    warnings: &mut MistakeCollector<'_>,
) {
    let mut reviewer = Reviewer { comparisons, declared, warnings };
    targets.iter().for_each(|target| reviewer.target(target));
}
