//! Reads the lines of a file in batches, as ranges in a reused buffer, without copying or allocating per line.
//!
//! A line longer than a record may be is cut, so that its memory is bounded. A byte order mark before a line is
//! skipped: files begin with it, and joined files have one in the middle.

use super::encoding;
use super::input::{self, BytesRead};
use crate::engine::decode::RECORD_BYTES_MAX;
use anyhow::{Context, bail};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 1 << 20;
/// Bytes that are kept of a longer line: enough to see that it is too large.
const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX + 1;
/// How much of a file is looked at to detect UTF-16.
const PREFIX_BYTES: usize = 256;
/// The byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of one file from first to last. An empty line is a line.
pub struct Lines {
    path: PathBuf,
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// Bytes that were read and not returned yet.
    unread: Range<usize>,
    ended: bool,
    /// The rest of a line is skipped; its beginning was returned.
    skipping: bool,
}

impl Lines {
    /// # Errors
    /// If the file cannot be opened, or is not text in UTF-8.
    pub fn open(path: &Path, read: &BytesRead) -> anyhow::Result<Self> {
        let mut lines = Self::new(path, input::open(path, read)?);
        lines.refuse_utf16()?;
        Ok(lines)
    }

    fn refuse_utf16(&mut self) -> anyhow::Result<()> {
        while self.unread.len() < PREFIX_BYTES && !self.ended {
            self.fill(&mut []).with_context(|| format!("cannot read {}", self.path.display()))?;
        }
        let prefix = &self.buffer[..self.unread.len().min(PREFIX_BYTES)];
        if let Some(encoding) = encoding::utf16(prefix) {
            let (path, name) = (self.path.display(), encoding.name());
            bail!(
                "cannot read {path}: expected JSON lines in UTF-8, found {name}: convert it, for example with `iconv -f \
                 {name} -t UTF-8`"
            );
        }
        Ok(())
    }

    fn new(path: &Path, source: Box<dyn Read + Send>) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { path: path.to_owned(), source, buffer, unread: 0..0, ended: false, skipping: false }
    }

    /// Replaces `batch` with the next lines, which [`Lines::line`] returns until the next call. A batch has `lines_max`
    /// lines unless the file ends, however its bytes arrive, for example through a pipe. An empty batch: the file has
    /// ended.
    pub fn next_batch(&mut self, lines_max: usize, batch: &mut Vec<Range<usize>>) -> anyhow::Result<()> {
        batch.clear();
        loop {
            self.split(lines_max, batch);
            if batch.len() == lines_max || self.ended {
                return Ok(());
            }
            self.fill(batch).with_context(|| format!("cannot read {}", self.path.display()))?;
        }
    }

    pub fn line(&self, range: &Range<usize>) -> &[u8] {
        &self.buffer[range.clone()]
    }

    /// Splits the complete lines off the buffer; at the end of the file also a last line without a newline.
    fn split(&mut self, lines_max: usize, batch: &mut Vec<Range<usize>>) {
        while batch.len() < lines_max && !self.unread.is_empty() {
            let newline = memchr::memchr(b'\n', &self.buffer[self.unread.clone()]);
            let (length, next) = match newline {
                Some(length) => (length, self.unread.start + length + 1),
                None if self.skipping || self.ended || self.unread.len() >= LINE_BYTES_MAX => {
                    (self.unread.len(), self.unread.end)
                }
                None => return,
            };
            if !self.skipping {
                let line = self.unread.start..self.unread.start + length.min(LINE_BYTES_MAX);
                let mark = if self.buffer[line.clone()].starts_with(MARK) { MARK.len() } else { 0 };
                batch.push(line.start + mark..line.end);
            }
            self.skipping = newline.is_none();
            self.unread.start = next;
        }
    }

    /// Reads more bytes into the buffer; first makes room by moving the batch and the unread bytes to the front.
    fn fill(&mut self, batch: &mut [Range<usize>]) -> io::Result<()> {
        if self.buffer.len() - self.unread.end < LINE_BYTES_MAX {
            let moved = batch.first().map_or(self.unread.start, |first| first.start);
            self.buffer.copy_within(moved..self.unread.end, 0);
            for range in batch.iter_mut().chain([&mut self.unread]) {
                *range = range.start - moved..range.end - moved;
            }
        }
        if self.unread.is_empty() {
            // The skipped part of a long line is not needed any more.
            let end = batch.last().map_or(0, |last| last.end);
            self.unread = end..end;
        }
        if self.buffer.len() - self.unread.end < LINE_BYTES_MAX {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        let read = loop {
            match self.source.read(&mut self.buffer[self.unread.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.unread.end += read;
        self.ended = read == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `step` bytes at a time.
    struct Slow(Vec<u8>, usize);

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(into.len());
            into[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            Ok(length)
        }
    }

    fn lines(text: &[u8], step: usize, lines_max: usize, count: usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(Path::new("test"), Box::new(Slow(text.to_vec(), step)));
        let (mut batch, mut all) = (Vec::new(), Vec::new());
        loop {
            lines.next_batch(lines_max, &mut batch).unwrap();
            if batch.is_empty() {
                return all;
            }
            assert!(batch.len() == lines_max || all.len() + batch.len() == count, "only the last batch may be short");
            all.extend(batch.iter().map(|range| lines.line(range).to_vec()));
        }
    }

    #[test]
    fn lines_do_not_depend_on_how_bytes_arrive() {
        let texts: [(&[u8], &[&str]); 6] = [
            (b"", &[]),
            (b"\n", &[""]),
            (b"a", &["a"]),
            (b"a\n", &["a"]),
            (b"a\n\nb", &["a", "", "b"]),
            (b"one\ntwo\nthree\n\n", &["one", "two", "three", ""]),
        ];
        for (text, expected) in texts {
            for step in [1, 2, 3, 100] {
                for lines_max in [1, 2, 256] {
                    let found = lines(text, step, lines_max, expected.len());
                    assert_eq!(
                        found,
                        expected.iter().map(|line| line.as_bytes()).collect::<Vec<_>>(),
                        "{text:?} {step} {lines_max}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let text = b"\xef\xbb\xbfone\n\xef\xbb\xbf\n\xef\xbb\xbftwo\nth\xef\xbb\xbfree\xef\xbb";
        let expected = ["one", "", "two", "th\u{feff}ree\u{fffd}"];
        for step in [1, 2, 100] {
            let found = lines(text, step, 256, 4);
            let found: Vec<_> = found.iter().map(|line| String::from_utf8_lossy(line)).collect();
            assert_eq!(found, expected, "{step}");
        }
    }

    #[test]
    fn utf_16_is_named() {
        let text = "{\"customer_id\":\"Zoë\"}\n".repeat(9);
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let refused = |bytes: &[u8], step| {
            let mut lines = Lines::new(Path::new("a.jsonl"), Box::new(Slow(bytes.to_vec(), step)));
            lines.refuse_utf16().err().map(|error| error.to_string())
        };
        for step in [1, 7, 1 << 20] {
            for (bytes, name) in [(&le, "UTF-16LE"), (&be, "UTF-16BE"), (&[b"\xff\xfe", &le[..]].concat(), "UTF-16LE")]
            {
                let message = refused(bytes, step).unwrap();
                assert!(message.starts_with("cannot read a.jsonl") && message.contains(&format!("found {name}")));
            }
            let zeros = [text.as_bytes(), &[0; 2_000]].concat();
            for bytes in [text.as_bytes(), &zeros, &[0; 2_000], b"", b"\xef\xbb\xbf{}", b"{"] {
                assert_eq!(refused(bytes, step), None, "{bytes:?}");
            }
        }
    }

    #[test]
    fn only_the_beginning_of_a_long_line_is_kept() {
        for long in [LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1, 3 * BUFFER_BYTES + 7] {
            let text = [vec![b'x'; long], b"\nshort\n".to_vec(), vec![b'y'; long]].concat();
            for step in [997, 1 << 20] {
                let found = lines(&text, step, 256, 3);
                let lengths: Vec<usize> = found.iter().map(Vec::len).collect();
                let kept = long.min(LINE_BYTES_MAX);
                assert_eq!(lengths, [kept, 5, kept], "{long} {step}");
            }
        }
    }
}
