//! A Python with some packages, in a virtual environment under the target folder, for tests that let other programs
//! read what Shoal writes.
//!
//! Without Python or its package index there is none: the test prints that it was skipped, or fails if `CI=true`.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter, with these packages; made by the first test that asks.
///
/// # Panics
/// With `CI=true` if there is none.
pub fn python(packages: &[&str]) -> Option<PathBuf> {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{}", packages.join("-").replace("==", "-")));
    let interpreter = folder.join("bin/python");
    match made(&folder, &interpreter, packages) {
        Ok(()) => Some(interpreter),
        Err(message) => {
            let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!is_ci, "CI=true needs Python with {packages:?}, and {message}");
            let test = std::thread::current().name().unwrap_or("?").to_owned();
            // Printed past the capture of the test runner: a skipped test must be visible.
            let _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: it needs Python with {packages:?}: {message}");
            None
        }
    }
}

/// Creates the environment unless it is complete.
fn made(folder: &Path, interpreter: &Path, packages: &[&str]) -> Result<(), String> {
    let whole = folder.join("whole");
    if whole.exists() {
        return Ok(());
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    run(Command::new(interpreter)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages))?;
    std::fs::write(whole, "").map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let out = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let output = || format!("{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.status.success().then_some(()).ok_or_else(output)
}
