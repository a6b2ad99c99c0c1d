//! The W3C's `traceparent`: the trace that a record belongs to. A change carries the one of the record that triggered
//! it.
//!
//! A valid value is copied unchanged, so that a change published again from the journal has the same bytes; an invalid
//! one is dropped. The header is read only of records that trigger a change.

/// The header's name, in records and in changes.
pub const HEADER: &str = "traceparent";

/// Version, trace, parent and flags, with the dashes between them.
const LENGTH: usize = 55;
/// Later versions may append more.
const LENGTH_MAX: usize = 256;
const SAMPLED: u8 = 1;

/// A trace, and the span that wrote the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    pub trace: [u8; 16],
    pub parent: [u8; 8],
    /// The trace is recorded by the system that began it.
    pub is_sampled: bool,
}

impl Traceparent {
    /// Parses a header's value; `None` if it is not valid by the rules of version 00 or of later versions.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(LENGTH)?;
        let [version] = hex(&head[..2])?;
        let is_whole = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
        let has_dashes = [2, 35, 52].iter().all(|&index| head[index] == b'-');
        let [flags] = hex(&head[53..])?;
        let read = Self { trace: hex(&head[3..35])?, parent: hex(&head[36..52])?, is_sampled: flags & SAMPLED != 0 };
        let is_set = read.trace != [0; 16] && read.parent != [0; 8];
        (version != 0xff && is_whole && has_dashes && is_set && value.len() <= LENGTH_MAX && value.is_ascii())
            .then_some(read)
    }
}

/// Bytes from lower-case hex digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_by_the_rules_of_its_version() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = Traceparent::read(good.as_bytes()).unwrap();
        assert_eq!((read.trace[0], read.trace[15], read.parent[0], read.is_sampled), (0x0a, 0x9c, 0xb7, true));
        let unsampled = good.replace("-01", "-00");
        assert!(Traceparent::read(unsampled.as_bytes()).is_some_and(|read| !read.is_sampled));
        for later in [
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings",
        ] {
            assert!(Traceparent::read(later.as_bytes()).is_some(), "{later}");
        }
    }

    #[test]
    fn an_invalid_traceparent_is_dropped() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
        ] {
            assert_eq!(Traceparent::read(bad.as_bytes()), None, "{bad}");
        }
        let long = format!("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-{}", "x".repeat(300));
        assert_eq!(Traceparent::read(long.as_bytes()), None);
        let strange = [b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-".as_slice(), &[0xff]].concat();
        assert_eq!(Traceparent::read(&strange), None);
    }
}
