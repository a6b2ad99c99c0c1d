//! Work on files, without a broker: order exports become events, events are replayed, rules are checked.

pub mod convert;
pub mod input;
pub mod lines;
pub mod merge;
pub mod rejected;
