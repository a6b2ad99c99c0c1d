//! Keys that are no plain text: what they look like, for the message of a rejection with the reason `key`.
//!
//! A producer whose key serializer is not the one for texts writes keys that no other source of the same customer has.
//! Only keys without a `customer_id` beside them are checked: an id that stands in the record is meant as it is.

use super::json::Entries;
use super::scan::{Scan, expect_end};
use super::string;

/// Whether a key may be JSON or has control characters; [`describe`] decides.
#[inline]
pub fn is_suspect(key: &[u8]) -> bool {
    matches!(key.first(), Some(b'"' | b'{' | b'[')) || has_controls(key)
}

/// What a suspect key looks like; `None` if it is a plain id after all.
#[cold]
pub fn describe(key: &str) -> Option<String> {
    if has_controls(key.as_bytes()) {
        return Some(describe_bytes(key.as_bytes()));
    }
    let kind = match key.as_bytes().first()? {
        b'"' if is_quoted_text(key).is_ok() => "a JSON text in quotes",
        b'{' if is_object(key).is_ok() => "a JSON object",
        b'[' if is_array(key).is_ok() => "a JSON array",
        _ => return None,
    };
    Some(format!("{kind}: set the producer's key serializer to the one for texts"))
}

/// What a key of other bytes than plain text looks like.
#[cold]
pub fn describe_bytes(key: &[u8]) -> String {
    let likely = match key {
        // A zero byte and the number of the schema in four bytes.
        [0, _, _, _, _, _, ..] if key.len() != 8 && key.len() != 16 => {
            "as a serializer with a schema registry writes (Avro, Protobuf, JSON Schema)"
        }
        _ if key.len() == 4 || key.len() == 8 => "most likely a binary integer",
        _ if key.len() == 16 => "most likely a binary UUID",
        [0xAC, 0xED, ..] => "as Java's serialization writes",
        [0x1F, 0x8B, ..] => "compressed with gzip",
        _ if std::str::from_utf8(key).is_ok() => "a text with control characters",
        _ => "no UTF-8",
    };
    let bytes = if key.len() == 1 { "1 byte".to_owned() } else { format!("{} bytes", key.len()) };
    format!("{bytes}, {likely}: set the producer's key serializer to the one for texts")
}

/// Whether a byte is a control character of ASCII, eight bytes at a time.
#[inline]
fn has_controls(key: &[u8]) -> bool {
    let Some(last) = key.last_chunk::<8>() else { return key.iter().any(u8::is_ascii_control) };
    let (words, _) = key.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | control_bytes(u64::from_le_bytes(*word)));
    found | control_bytes(u64::from_le_bytes(*last)) != 0
}

/// Not zero if a byte is below 0x20, or 0x7F.
#[inline]
fn control_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = word ^ (ONES * 0x7F);
    (low | delete.wrapping_sub(ONES) & !delete) & (ONES * 0x80)
}

fn is_quoted_text(key: &str) -> Scan<()> {
    expect_end(key, string::quoted(key, 1)?.after())
}

fn is_object(key: &str) -> Scan<()> {
    let mut entries = Entries::of_object(key, 0, 0)?;
    while entries.next_member()?.is_some() {}
    expect_end(key, entries.end())
}

fn is_array(key: &str) -> Scan<()> {
    let mut entries = Entries::of_array(key, 0, 0)?;
    while entries.next_element()?.is_some() {}
    expect_end(key, entries.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_found_at_every_offset() {
        for length in 0..20 {
            for at in 0..length {
                for (byte, expected) in [(0, true), (9, true), (0x1F, true), (0x7F, true), (b' ', false), (0x80, false)]
                {
                    let mut key = vec![b'~'; length];
                    key[at] = byte;
                    assert_eq!(has_controls(&key), expected, "{byte} at {at} of {length}");
                }
            }
        }
        assert!(!has_controls("Zoë \u{20ac}\u{1f600}".as_bytes()));
    }

    #[test]
    fn a_key_is_described_by_what_it_looks_like() {
        for (key, expected) in [
            ("\"c1\"", Some("a JSON text in quotes: ")),
            ("{\"id\":5}", Some("a JSON object: ")),
            ("[\"c1\"]", Some("a JSON array: ")),
            ("c\t1", Some("3 bytes, a text with control characters: ")),
            ("\0\0\0\u{1}", Some("4 bytes, most likely a binary integer: ")),
            ("\0\0\0\0\0\0\u{1}a", Some("8 bytes, most likely a binary integer: ")),
            ("\0\0\0\0\u{5}\u{2}c1", Some("8 bytes, most likely a binary integer: ")),
            ("\0\0\0\0\u{5}\u{4}c12", Some("9 bytes, as a serializer with a schema registry writes")),
            ("\"c1", None),
            ("\"c1\"x", None),
            ("{c1}", None),
            ("[object Object]", None),
            ("17", None),
            ("c1", None),
            ("", None),
        ] {
            let found = is_suspect(key.as_bytes()).then(|| describe(key)).flatten();
            let agrees = match (&found, expected) {
                (Some(found), Some(expected)) => found.starts_with(expected),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(agrees, "{key:?}: {found:?}");
        }
        assert!(describe_bytes(&[0xAC, 0xED, 0, 5, 0x74]).starts_with("5 bytes, as Java's serialization writes: "));
        assert!(describe_bytes(&[0xFF]).starts_with("1 byte, no UTF-8: "));
        assert!(describe_bytes(&[0x9C; 16]).starts_with("16 bytes, most likely a binary UUID: "));
    }
}
