//! Confirmation before a command that cannot be undone.

use crate::kafka::Failure;
use std::io::{self, BufRead, IsTerminal, Write};

/// Asks on standard error whether to begin.
///
/// # Errors
/// If the answer is not yes, or nobody can be asked.
pub fn confirm() -> anyhow::Result<()> {
    if !io::stdin().is_terminal() {
        let message = "nothing was done: confirmation is needed, and standard input is no terminal; use --yes";
        return Err(Failure::Stop(message.into()).into());
    }
    let mut out = io::stderr().lock();
    write!(out, "Begin? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::Stop("nothing was done".into()).into()),
    }
}
