//! Opens input files or standard input: plain, gzip or Zstandard, detected from the first bytes. Other packed formats
//! are named in the error.
//!
//! The bytes read from the files are counted for progress bars.

use anyhow::Context;
use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTANDARD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The bytes after the first one of a skippable Zstandard frame, with which a file may begin.
const ZSTANDARD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// What cannot be read: first bytes, what it is, what to do.
const UNREADABLE: [(&[u8], &str, &str); 8] = [
    (b"\xfd7zXZ\0", "an xz file", "unpack it with `xz -dc FILE`"),
    (b"BZh", "a bzip2 file", "unpack it with `bzip2 -dc FILE`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file", "unpack it"),
    (b"\x04\x22\x4d\x18", "an lz4 file", "unpack it with `lz4 -dc FILE`"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of the old format (.xls)", "save the sheet as CSV UTF-8"),
    (b"PAR1", "a Parquet file", "write it as text, for example with DuckDB"),
    (b"%PDF", "a PDF", "export the data as text"),
    (b"Rar!", "a RAR file", "unpack it"),
];
const ZIP: [u8; 4] = *b"PK\x03\x04";
/// How far the names in a zip file are looked at, to know a workbook.
const ZIP_PREFIX_BYTES: u64 = 4096;
const MAGIC_BYTES: u64 = 6;
const BUFFER_BYTES: usize = 1 << 18;

/// The number of bytes read from the files, before decompression.
#[derive(Clone, Debug, Default)]
pub struct BytesRead(Arc<AtomicU64>);

impl BytesRead {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counting<R> {
    inner: R,
    read: BytesRead,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Opens a file, or standard input for `-`, and decompresses it if it is compressed.
pub fn open(path: &Path, read: &BytesRead) -> anyhow::Result<Box<dyn Read + Send>> {
    let raw: Box<dyn Read + Send> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?)
    };
    decompress(Counting { inner: raw, read: read.clone() }).with_context(|| format!("cannot read {}", path.display()))
}

/// The file's name without folders, `stdin` for standard input.
pub fn short_name(path: &Path) -> String {
    match path.file_name() {
        _ if path.as_os_str() == "-" => "stdin".to_owned(),
        Some(name) => name.to_string_lossy().into_owned(),
        None => path.display().to_string(),
    }
}

/// The sum of the files' sizes; `None` if one of them has no size, such as standard input or a pipe.
pub fn total_bytes(paths: &[std::path::PathBuf]) -> Option<u64> {
    paths
        .iter()
        .map(|path| std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|file| file.len()))
        .sum()
}

/// The bytes, decompressed if they are compressed.
pub fn decompress(mut raw: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut first = Vec::new();
    raw.by_ref().take(MAGIC_BYTES).read_to_end(&mut first)?;
    if first.starts_with(&ZIP) {
        raw.by_ref().take(ZIP_PREFIX_BYTES).read_to_end(&mut first)?;
    }
    if let Some(message) = unreadable(&first) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let is_zstandard = first.starts_with(&ZSTANDARD)
        || matches!(first[..], [0x50..=0x5f, a, b, c, ..] if [a, b, c] == ZSTANDARD_SKIPPABLE);
    let is_gzip = first.starts_with(&GZIP);
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(first).chain(raw));
    Ok(if is_gzip {
        Box::new(Packed(GzipMembers { member: Some(GzDecoder::new(Box::new(whole))) }))
    } else if is_zstandard {
        Box::new(Packed(zstd::stream::read::Decoder::with_buffer(whole)?))
    } else {
        Box::new(whole)
    })
}

/// The members of a gzip file, one after the other. Zero bytes after the last one are ignored, as `gzip` does: tapes
/// and block devices pad files with them.
struct GzipMembers {
    member: Option<GzDecoder<Box<dyn BufRead + Send>>>,
}

impl Read for GzipMembers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let mut rest = self.member.take().expect("matched above").into_inner();
            if skip_zeros(&mut rest)? {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Skips zero bytes; whether anything follows them.
fn skip_zeros(rest: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = rest.fill_buf()?;
        let (length, zeros) = (bytes.len(), bytes.iter().take_while(|byte| **byte == 0).count());
        rest.consume(zeros);
        if zeros < length || length == 0 {
            return Ok(length > 0);
        }
    }
}

/// A packed file; says so if its end is missing.
struct Packed<R>(R);

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), "the packed file is cut off, its end is missing: copy it again")
            }
            _ => error,
        })
    }
}

/// What a file is that cannot be read, by its first bytes.
fn unreadable(first: &[u8]) -> Option<String> {
    let (what, advice) = if first.starts_with(&ZIP) {
        let has = |name: &str| first.windows(name.len()).any(|bytes| bytes == name.as_bytes());
        if has("[Content_Types].xml") || has("xl/") {
            ("an Excel workbook (.xlsx)", "save the sheet as CSV UTF-8")
        } else {
            ("a zip file", "unpack it with `unzip -p FILE`")
        }
    } else {
        let known = UNREADABLE.iter().find(|(magic, ..)| first.starts_with(magic));
        known.map(|(_, what, advice)| (*what, *advice))?
    };
    Some(format!("expected text, plain or packed by gzip or Zstandard, found {what}: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn decompressed(bytes: Vec<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        decompress(Cursor::new(bytes)).unwrap().read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn compression_is_detected_from_the_first_bytes() {
        let text = b"one\ntwo\n".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        assert_eq!(decompressed(gzip.finish().unwrap()), text);
        assert_eq!(decompressed(zstd::encode_all(&text[..], 1).unwrap()), text);
        assert_eq!(decompressed(text.clone()), text);
        for short in [&b""[..], b"a", b"ab\n"] {
            assert_eq!(decompressed(short.to_vec()), short);
        }
    }

    #[test]
    fn gzip_may_have_several_members_and_end_with_zeros() {
        let member = |text: &[u8]| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(text).unwrap();
            gzip.finish().unwrap()
        };
        let two = [member(b"one\n"), member(b"two\n")].concat();
        assert_eq!(decompressed(two.clone()), b"one\ntwo\n");
        assert_eq!(decompressed([&two[..], &[0; 1_000]].concat()), b"one\ntwo\n");
        assert_eq!(decompressed([&two[..], &[0; 9], &member(b"three\n")].concat()), b"one\ntwo\nthree\n");
        let fails = |bytes: Vec<u8>| {
            let mut text = Vec::new();
            let error = decompress(Cursor::new(bytes)).unwrap().read_to_end(&mut text).unwrap_err();
            (text, error.to_string())
        };
        let (text, error) = fails(two[..two.len() - 10].to_vec());
        assert!(text.starts_with(b"one\n") && error.contains("its end is missing"), "{error}");
        assert!(fails([&two[..], b"junk"].concat()).0 == b"one\ntwo\n", "what follows is not ignored");
    }

    #[test]
    fn zstandard_may_begin_with_a_skippable_frame() {
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let frame = zstd::encode_all(&b"one\n"[..], 1).unwrap();
        assert_eq!(decompressed([&skippable[..], &frame].concat()), b"one\n");
        assert_eq!(decompressed([&skippable[..], &frame, &skippable, &frame].concat()), b"one\none\n");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let message = |bytes: &[u8]| match decompress(Cursor::new(bytes.to_vec())) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        for (bytes, expected) in [
            (&b"PK\x03\x04\x14\0\0\0\x08\0[Content_Types].xml"[..], "an Excel workbook (.xlsx): save the sheet as CSV"),
            (b"PK\x03\x04\x14\0orders.csv", "a zip file: unpack it"),
            (b"\xfd7zXZ\0\0\x04", "an xz file"),
            (b"BZh91AY&SY", "a bzip2 file"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook of the old format"),
        ] {
            assert!(message(bytes).contains(expected), "{expected}: {}", message(bytes));
        }
    }
}
