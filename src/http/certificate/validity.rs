//! When a certificate ends, out of its DER bytes: the one fact of it that we are to tell.
//!
//! The path is `Certificate.tbsCertificate.validity.notAfter` (RFC 5280, 4.1); everything on the way is passed over.

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Seconds since 1970; `None` if the bytes are no certificate.
pub fn ends_at(certificate: &[u8]) -> Option<i64> {
    let mut rest = take(&mut take(&mut &*certificate, SEQUENCE)?, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        take(&mut rest, VERSION)?;
    }
    take(&mut rest, INTEGER)?;
    // How it is signed, and by whom.
    take(&mut rest, SEQUENCE)?;
    take(&mut rest, SEQUENCE)?;
    let mut validity = take(&mut rest, SEQUENCE)?;
    take_time(&mut validity)?;
    take_time(&mut validity)
}

/// The content of the next element, which must have this tag.
fn take<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (digits, after) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    *bytes = after;
    (*found == tag).then_some(content)
}

fn take_time(bytes: &mut &[u8]) -> Option<i64> {
    let tag = *bytes.first()?;
    let text = std::str::from_utf8(take(bytes, tag)?).ok()?;
    let full = match tag {
        // Two digits of the year: 1950 to 2049.
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let moment = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", full).ok()?;
    Some(moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let head =
            if length < 128 { vec![tag, length as u8] } else { vec![tag, 0x82, (length >> 8) as u8, length as u8] };
        [head, content.to_vec()].concat()
    }

    fn certificate(not_after: &[u8], padding: usize) -> Vec<u8> {
        let validity = [element(UTC_TIME, b"200101000000Z"), not_after.to_vec()].concat();
        let parts = [
            element(VERSION, &element(INTEGER, &[2])),
            element(INTEGER, &vec![7; padding]),
            element(SEQUENCE, b""),
            element(SEQUENCE, b"issuer"),
            element(SEQUENCE, &validity),
        ];
        element(SEQUENCE, &element(SEQUENCE, &parts.concat()))
    }

    #[test]
    fn the_end_is_read_from_both_shapes_of_time() {
        for padding in [1, 300] {
            let end = |tag, text: &[u8]| ends_at(&certificate(&element(tag, text), padding));
            assert_eq!(end(UTC_TIME, b"300101000000Z"), Some(1_893_456_000));
            assert_eq!(end(UTC_TIME, b"990101000000Z"), Some(915_148_800));
            assert_eq!(end(GENERALIZED_TIME, b"20500101000001Z"), Some(2_524_608_001));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = certificate(&element(UTC_TIME, b"300101000000Z"), 1);
        for length in 0..whole.len() {
            assert_eq!(ends_at(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(ends_at(&certificate(&element(UTC_TIME, b"301399999999Z"), 1)), None);
        assert_eq!(ends_at(&[SEQUENCE, 0xff, 1, 2, 3]), None);
    }
}
