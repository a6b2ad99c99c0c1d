//! Sixteen bytes of a text at once, with the vector instructions that every x86-64 processor has, and without.

/// A bit for each byte that is a quote, a backslash or below 0x20.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn special_bytes(bytes: &[u8; 16]) -> u32 {
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { special_bytes_sse2(bytes) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn special_bytes_sse2(bytes: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: the sixteen bytes are there, and the instruction asks for no alignment.
    let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
    let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
    let control = _mm_cmpeq_epi8(bytes, _mm_min_epu8(bytes, _mm_set1_epi8(0x1F)));
    _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control)) as u32
}

/// Whether all bytes are ASCII.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn is_ascii(bytes: &[u8]) -> bool {
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { is_ascii_sse2(bytes) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn is_ascii_sse2(bytes: &[u8]) -> bool {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128};
    // SAFETY: the sixteen bytes are there, and the instruction asks for no alignment.
    let load = |bytes: &[u8; 16]| unsafe { _mm_loadu_si128(bytes.as_ptr().cast::<__m128i>()) };
    let (chunks, Some(last)) = (bytes.as_chunks::<16>().0, bytes.last_chunk()) else { return bytes.is_ascii() };
    let (fours, rest) = chunks.as_chunks::<4>();
    let mut found = load(last);
    for [a, b, c, d] in fours {
        let pairs = _mm_or_si128(_mm_or_si128(load(a), load(b)), _mm_or_si128(load(c), load(d)));
        found = _mm_or_si128(found, pairs);
    }
    found = rest.iter().fold(found, |found, chunk| _mm_or_si128(found, load(chunk)));
    _mm_movemask_epi8(found) == 0
}

#[cfg(not(target_arch = "x86_64"))]
pub use portable::{is_ascii, special_bytes};

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    pub fn is_ascii(bytes: &[u8]) -> bool {
        bytes.is_ascii()
    }

    #[inline]
    pub fn special_bytes(bytes: &[u8; 16]) -> u32 {
        let bits = bytes.map(|byte| u32::from(matches!(byte, b'"' | b'\\' | 0..0x20)));
        bits.iter().rev().fold(0, |all, bit| all << 1 | bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_of_every_length() {
        for length in 0..200 {
            let mut bytes = vec![0x7F; length];
            assert!(is_ascii(&bytes), "{length}");
            for at in 0..length {
                bytes[at] = 0x80;
                assert!(!is_ascii(&bytes), "{at} of {length}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn every_byte_at_every_offset() {
        for byte in 0..=u8::MAX {
            for at in 0..16 {
                let mut bytes = *b"abcdefgh~\x7f\x80\xff !#[";
                bytes[at] = byte;
                let special = u32::from(matches!(byte, b'"' | b'\\' | 0..0x20)) << at;
                assert_eq!(special_bytes(&bytes), special, "{byte} at {at}");
                assert_eq!(portable::special_bytes(&bytes), special, "{byte} at {at}");
            }
        }
    }
}
