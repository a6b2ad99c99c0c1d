//! Escapes in strings of JSON that the scanner has checked: the text that they mean.

/// The value of hexadecimal digits; `None` if one is not.
pub fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// The text of a checked string with escapes.
#[cold]
pub fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (character, length) = escaped_character(&rest[at + 1..]);
        text.push(character);
        rest = &rest[at + 1 + length..];
    }
    text.push_str(rest);
    text
}

/// The character of a checked escape, and the escape's length after the backslash.
fn escaped_character(escape: &str) -> (char, usize) {
    let bytes = escape.as_bytes();
    let character = match bytes[0] {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(bytes),
        other => char::from(other),
    };
    (character, 1)
}

fn unicode_escape(bytes: &[u8]) -> (char, usize) {
    let unit = |from: usize| hexadecimal(&bytes[from..from + 4]).expect("the scanner checked the digits");
    let high = unit(1);
    if (0xD800..0xDC00).contains(&high) {
        let point = 0x1_0000 + ((high - 0xD800) << 10) + (unit(7) - 0xDC00);
        (char::from_u32(point).expect("a surrogate pair is a character"), 11)
    } else {
        (char::from_u32(high).expect("the scanner refused lone surrogates"), 5)
    }
}
