//! Opens input files or standard input: plain, gzip or Zstandard, detected from the first bytes.
//!
//! The bytes read from the files are counted for progress bars.

use anyhow::Context;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTANDARD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
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
    let mut first = Vec::with_capacity(ZSTANDARD.len());
    raw.by_ref().take(ZSTANDARD.len() as u64).read_to_end(&mut first)?;
    let magic = first.clone();
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(first).chain(raw));
    Ok(if magic.starts_with(&GZIP) {
        Box::new(flate2::bufread::MultiGzDecoder::new(whole))
    } else if magic == ZSTANDARD {
        Box::new(zstd::stream::read::Decoder::with_buffer(whole)?)
    } else {
        Box::new(whole)
    })
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
}
