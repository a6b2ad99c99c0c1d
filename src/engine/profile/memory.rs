//! The one place with `unsafe` in the profiles: prefetches, words of a block seen as records, ids seen as text,
//! large pages.

/// Records of whole words without padding, for which every content is valid.
///
/// # Safety
/// The type is `repr(C)`, has the alignment of `u64`, no padding, and consists of integers only.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: repr(C): four u64.
unsafe impl Plain for super::order::Order {}
// SAFETY: repr(C): two i64.
unsafe impl Plain for super::order::Refund {}
// SAFETY: repr(C): four u32, six i64: 64 bytes without padding.
unsafe impl Plain for super::order::Totals {}
// SAFETY: repr(C): u64, two i64.
unsafe impl Plain for super::order::Waiting {}
// SAFETY: repr(C): two u32, one i64.
unsafe impl Plain for super::hours::CategoryHour {}

const fn words_per<T: Plain>() -> usize {
    assert!(align_of::<T>() == align_of::<u64>() && size_of::<T>().is_multiple_of(8) && size_of::<T>() > 0);
    size_of::<T>() / 8
}

/// The words as records; a rest that is no whole record is left out.
pub(super) fn records<T: Plain>(words: &[u64]) -> &[T] {
    let count = words.len() / const { words_per::<T>() };
    // SAFETY: `Plain` allows any content, the alignments are equal, and `count` records lie within `words`.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), count) }
}

/// Like [`records`], to change them.
pub(super) fn records_mut<T: Plain>(words: &mut [u64]) -> &mut [T] {
    let count = words.len() / const { words_per::<T>() };
    // SAFETY: as in `records`; `Plain` types have no padding, so writing them leaves every word initialised.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), count) }
}

/// The records as words.
pub(super) fn words<T: Plain>(records: &[T]) -> &[u64] {
    // SAFETY: `Plain` types are whole words without padding, with the alignment of one.
    unsafe { std::slice::from_raw_parts(records.as_ptr().cast(), records.len() * const { words_per::<T>() }) }
}

/// The words as bytes.
pub(super) fn bytes(words: &[u64]) -> &[u8] {
    // SAFETY: bytes have no alignment, and every word is eight initialised bytes.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 8) }
}

/// Like [`bytes`], to change them.
pub(super) fn bytes_mut(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: as in `bytes`; any eight bytes are a word.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 8) }
}

/// The bytes of an id as text. Asked several times per event, so not checked again.
pub(super) fn text(id: &[u8]) -> &str {
    debug_assert!(std::str::from_utf8(id).is_ok());
    // SAFETY: ids come as `&str` and are stored and read whole.
    unsafe { std::str::from_utf8_unchecked(id) }
}

/// Asks for large pages for memory that is used at random places: a customer's row and block then cost far fewer
/// walks through page tables. A wish: where the system does not grant it, nothing changes.
pub(super) fn ask_for_large_pages<T>(memory: &[T], capacity: usize) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 1 << 21;
        let start = memory.as_ptr().addr();
        let (from, to) = (start.next_multiple_of(PAGE), (start + capacity * size_of::<T>()) / PAGE * PAGE);
        if from < to {
            // SAFETY: the range lies within one allocation; the advice changes no content.
            unsafe { libc::madvise(from as *mut _, to - from, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (memory, capacity);
}

/// Asks the memory for the cache line at `place`, ahead of its use.
#[inline]
pub(super) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on the caches, and the place is a valid reference.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
