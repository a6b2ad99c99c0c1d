//! Reading from Kafka: the member of the group (`group`, `membership`), live records (`fetch`, `watch`, `statistics`),
//! questions about the inputs (`survey`, `metadata`), and records that are read again (`reader`, `readable`).
//!
//! Member and fetch are two clients, so that a rebalance and the fetch do not disturb each other.

mod batch;
mod fetch;
mod group;
mod limits;
mod membership;
mod metadata;
mod readable;
mod reader;
mod statistics;
mod survey;
mod watch;

pub use batch::KafkaBatch;
pub use fetch::Fetcher;
pub use group::GroupMember;
pub use metadata::{partition_count, watermarks};
pub use readable::read_readable;
pub use reader::{IdleConsumers, KafkaReader};
pub use survey::Survey;
