//! What surrounds the engine: encoding its effects and, on a log, the loop of reading, applying and publishing.

pub mod encode;
pub mod outbox;
