//! Configuration files, read so that every mistake is found in one go.

pub mod document;
pub mod layers;
pub mod rules;
