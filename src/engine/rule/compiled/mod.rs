//! Rules in the form in which they are evaluated: comparisons with their truths, conditions over them, and targets
//! (segmentations and audiences).
//!
//! All of it was checked once when the file was read. Evaluating it allocates nothing and cannot fail.

pub mod truth;

pub mod condition;

pub mod direction;

pub mod target;

pub mod values;

pub mod event_column;

pub mod scalar;

pub mod like;

pub mod predicate;

pub mod range;

pub mod countdown;

pub mod comparison;

pub mod own_counts;

pub mod flip;
