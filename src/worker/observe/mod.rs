//! What a worker reports: its status for metrics and health checks, warnings of rejected records, and a span of each
//! transaction for traces.

pub mod rejects;
pub mod reporting;
pub mod spans;
pub mod status;
