//! What a worker reports: its status for metrics and health checks, and a span of each transaction for traces.

pub mod reporting;
pub mod spans;
pub mod status;
