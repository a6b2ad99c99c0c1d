//! Lines that are printed once all of them are known: in memory, and beyond a bound in a file without a name.

use anyhow::Context;
use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes in memory.
const MEMORY_MAX: usize = 16 << 20;

/// See the module.
pub struct HeldBack<'a> {
    /// Where the file is made if it is needed.
    folder: &'a Path,
    memory_max: usize,
    memory: Vec<u8>,
    file: Option<File>,
}

impl<'a> HeldBack<'a> {
    pub fn new(folder: &'a Path) -> Self {
        Self { folder, memory_max: MEMORY_MAX, memory: Vec::new(), file: None }
    }

    pub fn add_line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.memory.extend_from_slice(line);
        self.memory.push(b'\n');
        if self.memory.len() > self.memory_max {
            self.move_to_file().with_context(|| {
                let (bytes, folder) = (self.memory_max, self.folder.display());
                format!(
                    "changes beyond {bytes} bytes are held back in a file until the summary is printed, and it cannot be \
                     written in {folder}: set TMPDIR to a folder with room"
                )
            })?;
        }
        Ok(())
    }

    fn move_to_file(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(nameless(self.folder)?),
        };
        file.write_all(&self.memory)?;
        self.memory.clear();
        Ok(())
    }

    /// Writes all lines in their order.
    pub fn write_to(self, mut out: impl Write) -> io::Result<()> {
        if let Some(mut file) = self.file {
            file.rewind()?;
            io::copy(&mut file, &mut out)?;
        }
        out.write_all(&self.memory)?;
        out.flush()
    }
}

/// A file that only this process can reach: its name is removed at once.
fn nameless(folder: &Path) -> io::Result<File> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let path = folder.join(format!("shoal-dry-run-{}-{}", std::process::id(), since.as_nanos()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_in_memory_and_in_a_file_without_a_name() {
        let folder = std::env::temp_dir().join(format!("shoal-held-back-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for memory_max in [0, 10, 1_000] {
            let mut held = HeldBack { memory_max, ..HeldBack::new(&folder) };
            let lines: Vec<String> = (0..20).map(|line| format!("line {line}")).collect();
            lines.iter().for_each(|line| held.add_line(line.as_bytes()).unwrap());
            assert_eq!(held.file.is_some(), memory_max < 1_000);
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "the file has no name");
            let mut out = Vec::new();
            held.write_to(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), lines.join("\n") + "\n");
        }
        std::fs::remove_dir(&folder).unwrap();
        let mut nowhere = HeldBack { memory_max: 0, ..HeldBack::new(&folder) };
        let message = nowhere.add_line(b"x").unwrap_err().to_string();
        assert!(message.contains("set TMPDIR") && message.contains("shoal-held-back"), "{message}");
    }
}
