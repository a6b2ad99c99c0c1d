//! The progress bar of commands that read files.
//!
//! Separate from the commands, which all show the same bar.

use super::input;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;

/// A bar on standard error if that is a terminal; a count of bytes if the files have no sizes.
pub fn progress(files: &[PathBuf]) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (length, template) = match input::total_bytes(files) {
        Some(length) => (Some(length), "{bar:40} {percent:>3} %  {bytes} of {total_bytes}  {eta} left"),
        None => (None, "{spinner} {bytes} read"),
    };
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(10)).with_style(style)
}
