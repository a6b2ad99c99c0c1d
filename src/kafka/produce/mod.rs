//! Writing to Kafka: a worker's transactions, and events into input topics.

mod events;
mod transaction;

pub use events::{EventProducer, ProducedEvent};
pub use transaction::{Publisher, Refusal, Step};
