//! Dashboards, rules and alerts on the real programs: Prometheus, promtool and Alertmanager beside `shoal run` and a
//! real broker.
//!
//! Without Prometheus and Alertmanager (Debian: `prometheus`, `prometheus-alertmanager`) the tests that need them
//! print that they are skipped, or fail if `CI=true`. All programs listen on the loopback only.

mod dashboards;
mod expressions;
mod lively;
mod migration;
mod promtool;
mod quiet;
mod service;
mod stream;
mod watch;
mod webhook;

use std::path::{Path, PathBuf};

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The text of a file of the repository.
fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
