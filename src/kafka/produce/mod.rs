//! Writing to Kafka: a worker's transactions, events into input topics, and single records of Shoal's own topics.

mod events;
mod offsets;
mod single;
mod transaction;
mod turns;

pub use events::{EventProducer, ProducedEvent};
pub use single::publish_single;
use transaction::Publisher;
pub use transaction::{Refusal, Step};
pub use turns::Publishers;
