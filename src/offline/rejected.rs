//! The file of rejected lines, as JSON lines: position, reason, message, and the beginning of the line.
//!
//! All commands that read files write the same format, and count the lines for [`Unusable`].

use super::unusable::Unusable;
use crate::engine::effects::Effects;
use crate::engine::event::Record;
use anyhow::Context;
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Maximum number of bytes of a rejected line that are written.
const VALUE_BYTES_MAX: usize = 1_024;

/// The file given with `--rejected`, if one was given.
pub struct RejectedLines {
    file: Option<BufWriter<File>>,
    unusable: Unusable,
}

#[derive(Serialize)]
struct Rejected<'a> {
    line: u64,
    file: &'a str,
    reason: &'a str,
    error: &'a str,
    value: &'a str,
}

impl RejectedLines {
    pub fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let create = |path: &Path| {
            File::create(path).map(BufWriter::new).with_context(|| format!("cannot write {}", path.display()))
        };
        Ok(Self { file: path.map(create).transpose()?, unusable: Unusable::default() })
    }

    /// Writes the rejected records of an input; `files` are the names of their topics.
    pub fn write_all(&mut self, effects: &Effects, records: &[Record<'_>], files: &[String]) -> anyhow::Result<()> {
        for rejected in &effects.rejected {
            let file = &files[usize::from(rejected.topic)];
            let value = records[rejected.record as usize].value;
            let message = effects.text(rejected.message);
            self.write(rejected.offset as u64 + 1, file, rejected.reason.name(), message, value)?;
        }
        Ok(())
    }

    /// Writes one line; `line` counts from 1.
    pub fn write(&mut self, line: u64, file: &str, reason: &str, error: &str, value: &[u8]) -> anyhow::Result<()> {
        self.unusable.add((file, line), reason, error, value);
        let Some(out) = &mut self.file else { return Ok(()) };
        let value = String::from_utf8_lossy(&value[..value.len().min(VALUE_BYTES_MAX)]);
        serde_json::to_writer(&mut *out, &Rejected { line, file, reason, error, value: &value })?;
        out.write_all(b"\n").context("cannot write the rejected lines")
    }

    /// Completes the file; the lines that were rejected.
    pub fn finish(self) -> anyhow::Result<Unusable> {
        self.file.map_or(Ok(()), |mut out| out.flush()).context("cannot write the rejected lines")?;
        Ok(self.unusable)
    }
}
