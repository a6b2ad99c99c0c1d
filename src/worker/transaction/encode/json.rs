//! Pieces of JSON, appended to a buffer: strings, numbers, money, moments. Their bytes are those of `serde_json`.
//!
//! They are written here because an output has thirty of them, and the general ways take several times the
//! instructions: a string is copied as it stands unless it needs an escape, digits are written in pairs, and a moment
//! that an output repeats is formatted once, as is the date of a day.

use crate::engine::calendar::{DIGIT_PAIRS, put_time_of_day, rfc3339_text};
use crate::engine::decode::special_bytes;
use crate::engine::event::{DAY, Millis};

/// Moments that are kept, a power of two.
const MOMENTS: usize = 16;
/// Days whose dates are kept, a power of two: those of a change are within a year, as a rule.
const DATES: usize = 256;

/// A piece of a buffer. Buffers stay far below 4 GiB: a transaction ends long before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    start: u32,
    end: u32,
}

impl Piece {
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(u32::try_from(end).is_ok(), "a buffer of {end} bytes");
        Self { start: start as u32, end: end as u32 }
    }

    /// From `start` to the end of the buffer.
    pub fn since(start: usize, buffer: &[u8]) -> Self {
        Self::new(start, buffer.len())
    }

    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The bytes of this piece.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.range()]
    }
}

/// A string with its quotes. Returns where its content is, which is the text itself if it has the length of the text.
pub fn string(out: &mut Vec<u8>, text: &str) -> Piece {
    if is_plain(text.as_bytes()) { plain_string(out, text) } else { escaped_string(out, text) }
}

/// The same for a text that is known to be plain.
#[inline]
pub fn plain_string(out: &mut Vec<u8>, text: &str) -> Piece {
    out.push(b'"');
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    let content = Piece::since(start, out);
    out.push(b'"');
    content
}

fn escaped_string(out: &mut Vec<u8>, text: &str) -> Piece {
    let start = out.len() + 1;
    serde_json::to_writer(&mut *out, text).expect("writing JSON into memory does not fail");
    Piece::new(start, out.len() - 1)
}

/// Whether a text is the content of a string as it stands: no quote, no backslash, no control character.
pub fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let special = words.iter().fold(0, |special, &word| special | special_bytes(u64::from_le_bytes(word)));
    let last = match (text.last_chunk::<8>(), rest) {
        (_, []) => 0,
        (Some(&last), _) => special_bytes(u64::from_le_bytes(last)),
        (None, _) => {
            let is_special = |&byte: &u8| byte < b' ' || byte == b'"' || byte == b'\\';
            u64::from(rest.iter().any(is_special))
        }
    };
    special | last == 0
}

/// A number without a sign.
#[inline]
pub fn unsigned(out: &mut Vec<u8>, number: u64) {
    match number {
        0..10 => out.push(b'0' + number as u8),
        10..100 => out.extend_from_slice(&DIGIT_PAIRS[number as usize]),
        _ => long_unsigned(out, number),
    }
}

fn long_unsigned(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    while number >= 100 {
        start -= 2;
        digits[start..start + 2].copy_from_slice(&DIGIT_PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    if number < 10 {
        start -= 1;
        digits[start] = b'0' + number as u8;
    } else {
        start -= 2;
        digits[start..start + 2].copy_from_slice(&DIGIT_PAIRS[number as usize]);
    }
    out.extend_from_slice(&digits[start..]);
}

pub fn integer(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    unsigned(out, number.unsigned_abs());
}

/// A double as `serde_json` writes it: the shortest text that reads back the same; null if it is not finite.
pub fn double(out: &mut Vec<u8>, number: f64) {
    /// Whole numbers below it are written without an exponent.
    const WHOLE_MAX: f64 = 1e15;
    let is_whole = number.abs() < WHOLE_MAX && number.trunc() == number;
    if is_whole && (number != 0.0 || number.is_sign_positive()) {
        integer(out, number as i64);
        out.extend_from_slice(b".0");
    } else {
        serde_json::to_writer(out, &number).expect("a number is written to memory");
    }
}

pub fn boolean(out: &mut Vec<u8>, boolean: bool) {
    out.extend_from_slice(if boolean { b"true" } else { b"false" });
}

/// Money as text in major units with all digits of the minor unit.
pub fn money(out: &mut Vec<u8>, minor: i64, decimals: u32) {
    let unit = 10_u64.pow(decimals);
    let (major, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    out.extend_from_slice(if minor < 0 { b"\"-".as_slice() } else { b"\"" });
    unsigned(out, major);
    if decimals > 0 {
        // The digit before those of the rest keeps its zeros, and gives its place to the point.
        let point = out.len();
        unsigned(out, unit + rest);
        out[point] = b'.';
    }
    out.push(b'"');
}

/// 32 hex digits.
pub fn hex(out: &mut Vec<u8>, number: u128) {
    let mut digits = [0; 32];
    for (digits, part) in digits.as_chunks_mut::<8>().0.iter_mut().zip((0..4).rev()) {
        *digits = hex_digits((number >> (32 * part)) as u32);
    }
    out.extend_from_slice(&digits);
}

/// Eight hex digits, all at once: the bits are spread over the bytes of a word.
fn hex_digits(number: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    /// From the character after `9` to `a`.
    const GAP: u64 = (b'a' - b'9' - 1) as u64;
    let pairs = u64::from(number >> 16) << 32 | u64::from(number & 0xFFFF);
    let bytes = (pairs & 0x0000_FF00_0000_FF00) << 8 | pairs & 0x0000_00FF_0000_00FF;
    let nibbles = (bytes & 0x00F0_00F0_00F0_00F0) << 4 | bytes & 0x000F_000F_000F_000F;
    let is_letter = (nibbles + ONES * 6) >> 4 & ONES;
    (nibbles + ONES * u64::from(b'0') + is_letter * GAP).to_be_bytes()
}

/// Writes moments as quoted RFC 3339 text in UTC with milliseconds, and keeps the texts of the last ones: the instant
/// of a change is in it several times, and in the membership after it; the clock is that of many changes.
pub struct Moments {
    kept: [(Millis, [u8; 26]); MOMENTS],
    /// Dates by day since 1970-01-01.
    dates: Box<[(i64, [u8; 10]); DATES]>,
}

impl Moments {
    pub fn new() -> Self {
        let epoch = *b"\"1970-01-01T00:00:00.000Z\"";
        Self { kept: [(0, epoch); MOMENTS], dates: Box::new([(0, *b"1970-01-01"); DATES]) }
    }

    /// Appends a moment. Returns where it is, without its quotes.
    #[inline]
    pub fn write(&mut self, out: &mut Vec<u8>, time: Millis) -> Piece {
        let place = place_of(time);
        if self.kept[place].0 != time {
            self.kept[place] = (time, self.quoted(time));
        }
        out.extend_from_slice(&self.kept[place].1);
        Piece::new(out.len() - 25, out.len() - 1)
    }

    #[inline(never)]
    fn quoted(&mut self, time: Millis) -> [u8; 26] {
        let (day, in_day) = (time.div_euclid(DAY), time.rem_euclid(DAY) as u32);
        let date = &mut self.dates[day as usize % DATES];
        if date.0 != day {
            let text = rfc3339_text(day * DAY);
            *date = (day, *text.first_chunk().expect("an RFC 3339 text begins with ten bytes of date"));
        }
        let mut text = *b"\"0000-00-00T00:00:00.000Z\"";
        text[1..11].copy_from_slice(&date.1);
        put_time_of_day(&mut text, 12, in_day);
        text
    }
}

fn place_of(time: Millis) -> usize {
    /// The golden ratio's fraction: the highest bits of a product depend on all bits of a time.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    ((time as u64).wrapping_mul(SPREAD) >> (u64::BITS - MOMENTS.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn money_keeps_all_digits() {
        let text = |minor, decimals| written(|out| money(out, minor, decimals));
        assert_eq!(text(41_250, 2), "\"412.50\"");
        assert_eq!(text(-5, 2), "\"-0.05\"");
        assert_eq!(text(-300, 2), "\"-3.00\"");
        assert_eq!(text(7, 0), "\"7\"");
        assert_eq!(text(1_234, 3), "\"1.234\"");
        assert_eq!(text(i64::MIN, 4), "\"-922337203685477.5808\"");
    }

    #[test]
    fn numbers_are_those_of_serde_json() {
        let mut random = Random::of_test();
        let edges = (0..64).flat_map(|bits| [1_i64 << bits, (1_i64 << bits).wrapping_sub(1)]);
        let tens = (0..19).flat_map(|zeros| [10_i64.pow(zeros), 10_i64.pow(zeros) - 1, -10_i64.pow(zeros)]);
        let drawn: Vec<i64> = (0..2_000).map(|_| (random.draw() as i64) >> random.below(64)).collect();
        for number in edges.chain(tens).chain(drawn) {
            assert_eq!(written(|out| integer(out, number)), serde_json::to_string(&number).unwrap());
            assert_eq!(written(|out| unsigned(out, number as u64)), serde_json::to_string(&(number as u64)).unwrap());
            let share = number as f64 / 1_024.0;
            for double in [number as f64, share, f64::from_bits(number as u64), -0.0, 0.0, 1e15, 1e16, 60.0] {
                let text = written(|out| super::double(out, double));
                assert_eq!(text, serde_json::to_string(&double).unwrap(), "{double:?}");
            }
            let number = u128::from(number as u64) << 64 | u128::from(random.draw());
            assert_eq!(written(|out| hex(out, number)), format!("{number:032x}"));
        }
    }

    #[test]
    fn strings_are_those_of_serde_json() {
        for length in 0..20 {
            for place in 0..length {
                for special in
                    ['"', '\\', '\0', '\u{1f}', '\n', ' ', '\u{7f}', '\u{80}', '\u{a2}', 'ß', '\u{fffd}', '😀']
                {
                    let text: String = (0..length).map(|index| if index == place { special } else { 'a' }).collect();
                    let quoted = written(|out| assert_eq!(string(out, &text).range().start, 1));
                    assert_eq!(quoted, serde_json::to_string(&text).unwrap());
                    assert_eq!(
                        is_plain(text.as_bytes()),
                        serde_json::to_string(&text).unwrap().len() == text.len() + 2
                    );
                }
            }
        }
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        let mut random = Random::of_test();
        let (mut moments, mut out) = (Moments::new(), Vec::new());
        for index in 0..20_000 {
            let time = match index % 3 {
                0 => random.between(0, 40) * 86_399_999 * random.between(1, 500),
                1 => random.between(0, DATES as i64 + 40) * DAY + random.between(-1, 2),
                _ => random.between(-62_000_000_000_000, 250_000_000_000_000),
            };
            out.clear();
            let piece = moments.write(&mut out, time);
            assert_eq!(*piece.of(&out), rfc3339_text(time));
            assert_eq!((piece.range(), out[0], out[25], out.len()), (1..25, b'"', b'"', 26));
        }
    }
}
