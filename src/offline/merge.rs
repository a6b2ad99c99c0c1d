//! The lines of one or several files in one order (T7).
//!
//! The order of a single file is kept; several files are merged by time, ties by the order of the files.

use super::input::BytesRead;
use super::lines::Lines;
use crate::engine::decode::time_of;
use crate::engine::event::Millis;
use std::ops::Range;
use std::path::PathBuf;

/// Lines in the order in which they are to be applied.
pub struct Merge {
    files: Vec<FileLines>,
    /// Later times are ignored: such a line will be rejected, and must not delay the rest of its file.
    latest: Millis,
}

struct FileLines {
    lines: Lines,
    batch: Vec<Range<usize>>,
    /// The time of each line of the batch, or of the line before it; only if there are several files.
    times: Vec<Millis>,
    /// Number of lines of the batch that were returned.
    returned: usize,
    last_time: Millis,
    /// Number of lines before the batch.
    before: u64,
    ended: bool,
}

/// A line: the index of its file, its number in the file from 0, and the range of its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub file: usize,
    pub number: u64,
    text: Range<usize>,
}

impl Merge {
    pub fn open(paths: &[PathBuf], latest: Millis, read: &BytesRead) -> anyhow::Result<Self> {
        let files = paths.iter().map(|path| Lines::open(path, read)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { files: files.into_iter().map(FileLines::new).collect(), latest })
    }

    /// Replaces `batch` with at most `lines_max` next lines; their texts are valid until the next call. An empty batch:
    /// all files have ended.
    pub fn next_batch(&mut self, lines_max: usize, batch: &mut Vec<Line>) -> anyhow::Result<()> {
        batch.clear();
        let several = self.files.len() > 1;
        for file in &mut self.files {
            file.refill(lines_max, several.then_some(self.latest))?;
        }
        while batch.len() < lines_max {
            let Some(index) = self.next_file() else { return Ok(()) };
            let file = &mut self.files[index];
            batch.push(Line {
                file: index,
                number: file.before + file.returned as u64,
                text: file.batch[file.returned].clone(),
            });
            file.returned += 1;
            if file.returned == file.batch.len() {
                // The next batch of this file would overwrite the texts of this one.
                return Ok(());
            }
        }
        Ok(())
    }

    pub fn text(&self, line: &Line) -> &[u8] {
        self.files[line.file].lines.line(&line.text)
    }

    /// The file whose next line is the earliest.
    fn next_file(&self) -> Option<usize> {
        if let [only] = &self.files[..] {
            return (only.returned < only.batch.len()).then_some(0);
        }
        let waiting = self.files.iter().enumerate().filter(|(_, file)| file.returned < file.batch.len());
        waiting.min_by_key(|(index, file)| (file.times[file.returned], *index)).map(|(index, _)| index)
    }
}

impl FileLines {
    fn new(lines: Lines) -> Self {
        let (batch, times) = (Vec::new(), Vec::new());
        Self { lines, batch, times, returned: 0, last_time: Millis::MIN, before: 0, ended: false }
    }

    fn refill(&mut self, lines_max: usize, times_up_to: Option<Millis>) -> anyhow::Result<()> {
        if self.returned < self.batch.len() || self.ended {
            return Ok(());
        }
        self.before += self.batch.len() as u64;
        self.returned = 0;
        self.lines.next_batch(lines_max, &mut self.batch)?;
        self.ended = self.batch.is_empty();
        if let Some(latest) = times_up_to {
            self.times.clear();
            for range in &self.batch {
                if let Some(time) = time_of(self.lines.line(range)).filter(|time| *time <= latest) {
                    self.last_time = time;
                }
                self.times.push(self.last_time);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(files: &[&[&str]], lines_max: usize) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files
            .iter()
            .enumerate()
            .map(|(n, lines)| {
                let path = folder.path().join(n.to_string());
                std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
                path
            })
            .collect();
        let mut merge = Merge::open(&paths, 2_000_000_000_000, &BytesRead::default()).unwrap();
        let (mut batch, mut all) = (Vec::new(), Vec::new());
        loop {
            merge.next_batch(lines_max, &mut batch).unwrap();
            if batch.is_empty() {
                return all;
            }
            for line in &batch {
                assert_eq!(merge.text(line), files[line.file][line.number as usize].as_bytes());
            }
            all.extend(batch.iter().map(|line| format!("{}:{}", line.file, line.number)));
        }
    }

    #[test]
    fn one_file_keeps_its_order() {
        let file: &[&str] = &[r#"{"time":1700000000300}"#, "junk", r#"{"time":1700000000100}"#, ""];
        for lines_max in [1, 3, 256] {
            assert_eq!(merged(&[file], lines_max), ["0:0", "0:1", "0:2", "0:3"]);
        }
    }

    #[test]
    fn several_are_merged_by_time() {
        let a: &[&str] =
            &[r#"{"time":1700000000100}"#, "no time: that of the line before", r#"{"time":1700000000300}"#];
        let b: &[&str] = &["first", r#"{"time":1700000000100}"#, r#"{"time":1700000000200}"#];
        let c: &[&str] = &[r#"{"time":4000000000000}"#, r#"{"time":"2023-11-14T22:13:20.250Z"}"#, r#"{"time":"2023"}"#];
        let expected = ["1:0", "2:0", "0:0", "0:1", "1:1", "1:2", "2:1", "2:2", "0:2"];
        for lines_max in [1, 2, 3, 256] {
            assert_eq!(merged(&[a, b, c], lines_max), expected, "{lines_max}");
        }
    }
}
