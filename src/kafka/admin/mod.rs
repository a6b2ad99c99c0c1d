//! What must hold before anything runs: contact with the brokers, topics, rights; the report of all of it for
//! `shoal check --connect`; and whether the topics still exist while it runs.

mod connect;
mod existence;
mod inspect;
mod members;
mod report;
mod retention;
mod sample;
mod topics;

pub use connect::{connect, wait_for_contact};
pub use existence::Existence;
pub use inspect::{Finding, PRODUCE_RIGHTS, Verdict, missing_rights, refuse};
pub use members::{wait_until_alone, wait_until_free};
pub use report::report;
pub use retention::{RETENTION_ADVICE, ReadAgain};
pub use sample::Placement;
pub use topics::{Admin, create_or_check_topics, input_partitions, input_retention};
