//! The program as a person runs it, beside the shared broker.

use crate::support::Broker;
use std::path::Path;
use std::process::{Command, Output};

/// A command in a folder, with the broker in its environment.
pub fn shoal(folder: &Path, broker: &Broker) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
    command.current_dir(folder).env("SHOAL__KAFKA__BROKERS", &broker.address);
    // Other processes run at the same time.
    command.env("SHOAL__ADMIN__ADDRESS", "127.0.0.1:0").env("SHOAL__LOG__FORMAT", "text");
    command
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Output {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out
}
