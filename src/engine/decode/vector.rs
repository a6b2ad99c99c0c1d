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

#[cfg(not(target_arch = "x86_64"))]
pub use portable::special_bytes;

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
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
