//! What must hold before anything runs: contact with the brokers, topics, rights; and the report of all of it for
//! `shoal check --connect`.

mod connect;
mod inspect;
mod members;
mod report;
mod retention;
mod sample;
mod topics;

pub use connect::connect;
pub use inspect::{Finding, PRODUCE_RIGHTS, Verdict, missing_rights, refuse};
pub use members::wait_until_alone;
pub use report::report;
pub use retention::{RETENTION_ADVICE, ReadAgain};
pub use sample::Placement;
pub use topics::{Admin, create_or_check_topics, input_partitions, input_retention};
