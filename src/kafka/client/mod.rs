//! What all Kafka clients have in common: the one function that makes them, their settings, their tokens, what they
//! log, which process they belong to, and how long a request waits for its answer.

mod config;
mod logging;
mod make;
mod process;
mod request;
mod token;

pub use config::{config, consumer_config};
pub use logging::Logging;
pub use make::{init_transactions, make};
pub use process::{Process, member_rack, members_seen};
pub use request::{REQUEST_WAIT, RETRY_INTERVAL, block_on, retry, stop};
