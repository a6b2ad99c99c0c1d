//! The encodings of input files: detected from a byte order mark or the content, and decoded to UTF-8.
//!
//! Exports are decoded, in the mapping's encoding or the detected one. What cannot be decoded becomes U+FFFD, which no
//! mapped column may contain: it is never dropped. JSON lines are UTF-8; [`utf16`] names files that are not.

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::io::{self, BufRead, Read};

/// How much of a file is looked at to detect its encoding.
const PREFIX_BYTES: usize = 1 << 20;
const BUFFER_BYTES: usize = 1 << 16;

/// The encoding of a mapping: `None` for "auto".
///
/// # Errors
/// If there is no such encoding.
pub fn named(name: &str) -> Result<Option<&'static Encoding>, String> {
    if name == "auto" {
        return Ok(None);
    }
    Encoding::for_label(name.as_bytes()).map(Some).ok_or_else(|| {
        format!("expected \"auto\" or an encoding such as \"utf-8\", \"windows-1252\" or \"utf-16le\", found {name:?}")
    })
}

/// A file as UTF-8, without its byte order mark.
pub struct DecodedFile {
    inner: Box<dyn Read + Send>,
    /// `None`: the file is UTF-8 and is passed on as it is.
    decoder: Option<Decoder>,
    raw: Vec<u8>,
    raw_start: usize,
    text: Vec<u8>,
    text_start: usize,
    is_finished: bool,
}

impl DecodedFile {
    /// Opens the file; the encoding that was found comes with it if the mapping does not say it and it is not UTF-8.
    pub fn open(
        mut inner: Box<dyn Read + Send>,
        set: Option<&'static Encoding>,
    ) -> io::Result<(Self, Option<&'static Encoding>)> {
        let mut raw = Vec::new();
        inner.by_ref().take(PREFIX_BYTES as u64).read_to_end(&mut raw)?;
        let mark = Encoding::for_bom(&raw);
        let raw_start = mark.map_or(0, |(_, bytes)| bytes);
        let encoding = mark.map(|(encoding, _)| encoding).or(set).unwrap_or_else(|| detect(&raw));
        let decoder = (encoding != UTF_8).then(|| encoding.new_decoder_without_bom_handling());
        let found = (set.is_none() && encoding != UTF_8).then_some(encoding);
        let file = Self { inner, decoder, raw, raw_start, text: Vec::new(), text_start: 0, is_finished: false };
        Ok((file, found))
    }

    fn fill_raw(&mut self) -> io::Result<()> {
        if self.raw_start == self.raw.len() {
            self.raw.resize(BUFFER_BYTES, 0);
            let read = self.inner.read(&mut self.raw)?;
            self.raw.truncate(read);
            self.raw_start = 0;
        }
        Ok(())
    }
}

/// The encoding of a file without a byte order mark.
fn detect(prefix: &[u8]) -> &'static Encoding {
    if let Some(encoding) = utf16(prefix) {
        return encoding;
    }
    match std::str::from_utf8(prefix) {
        // The prefix may end within a character.
        Err(error) if error.error_len().is_some() => WINDOWS_1252,
        _ => UTF_8,
    }
}

/// Whether a file that begins with these bytes is UTF-16: by its byte order mark, or because one of the two bytes of
/// most characters is zero. Zero bytes in both places are no text, for example the end of a file that was cut off.
pub fn utf16(prefix: &[u8]) -> Option<&'static Encoding> {
    if let Some((encoding, _)) = Encoding::for_bom(prefix) {
        return Some(encoding).filter(|encoding| *encoding != UTF_8);
    }
    let zeros_at = |parity: usize| prefix.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros_at(0), zeros_at(1));
    let are_in_one_place = even.min(odd) * 8 < even.max(odd);
    ((even + odd) * 4 > prefix.len() && are_in_one_place).then_some(if odd > even { UTF_16LE } else { UTF_16BE })
}

impl Read for DecodedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for DecodedFile {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.decoder.is_none() {
            self.fill_raw()?;
            return Ok(&self.raw[self.raw_start..]);
        }
        while self.text_start == self.text.len() && !self.is_finished {
            self.fill_raw()?;
            let Some(decoder) = &mut self.decoder else { break };
            let is_last = self.raw.is_empty();
            self.text.resize(BUFFER_BYTES, 0);
            let (result, read, written, _) =
                decoder.decode_to_utf8(&self.raw[self.raw_start..], &mut self.text, is_last);
            self.text.truncate(written);
            (self.text_start, self.raw_start) = (0, self.raw_start + read);
            self.is_finished = is_last && result == CoderResult::InputEmpty;
        }
        Ok(&self.text[self.text_start..])
    }

    fn consume(&mut self, length: usize) {
        match self.decoder {
            None => self.raw_start += length,
            Some(_) => self.text_start += length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], set: &str) -> (String, Option<&'static str>) {
        let inner = Box::new(io::Cursor::new(bytes.to_vec()));
        let (mut file, found) = DecodedFile::open(inner, named(set).unwrap()).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        (text, found.map(Encoding::name))
    }

    #[test]
    fn encodings_are_detected() {
        let text = "ord,wer\n1,Zoë €\n".repeat(9_000);
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        let western = WINDOWS_1252.encode(&text).0.into_owned();
        for (bytes, expected) in [
            (text.as_bytes().to_vec(), None),
            (marked(b"\xef\xbb\xbf", text.as_bytes()), None),
            (le.clone(), Some("UTF-16LE")),
            (marked(b"\xff\xfe", &le), Some("UTF-16LE")),
            (be.clone(), Some("UTF-16BE")),
            (marked(b"\xfe\xff", &be), Some("UTF-16BE")),
            (western.clone(), Some("windows-1252")),
        ] {
            let (found, encoding) = decoded(&bytes, "auto");
            assert!(found == text, "{expected:?}: {:?}", &found[..40]);
            assert_eq!(encoding, expected);
        }
        assert_eq!(decoded(&western, "windows-1252"), (text.clone(), None));
        assert_eq!(decoded(b"a\xff", "iso-8859-15").0, "aÿ");
        assert_eq!(decoded(b"", "auto"), (String::new(), None));
        let cut_off = [text.as_bytes(), &vec![0; 3 * text.len()]].concat();
        assert_eq!(decoded(&cut_off, "auto").1, None, "zero bytes at the end are not UTF-16");
        assert!(named("klingon").unwrap_err().contains("\"klingon\""));
    }
}
