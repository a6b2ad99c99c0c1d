//! What the profiles ask of the memory itself: prefetches, large pages, and words of a block seen as records, bytes or
//! text.
//!
//! Records and bytes are seen by safe casts of `zerocopy`. The other three need unsafe code, and this is the only file
//! of the profiles that has any.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A record in which every content is valid: casts from and to words need no check but of the length.
pub trait Record: FromBytes + IntoBytes + Immutable + KnownLayout {}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout> Record for T {}

const WHOLE_RECORDS: &str = "a section has whole records";

/// Records have the alignment of a word and a whole number of words, so only their number remains to be checked.
const fn assert_whole_words<T: Record>() {
    assert!(align_of::<T>() == align_of::<u64>() && size_of::<T>().is_multiple_of(8) && size_of::<T>() > 0);
}

/// The words as records.
#[inline]
pub fn records<T: Record>(words: &[u64]) -> &[T] {
    const { assert_whole_words::<T>() };
    let Ok(records) = <[T]>::ref_from_bytes(words.as_bytes()) else { panic!("{WHOLE_RECORDS}") };
    records
}

/// Like [`records`], to change them.
#[inline]
pub fn records_mut<T: Record>(words: &mut [u64]) -> &mut [T] {
    const { assert_whole_words::<T>() };
    let Ok(records) = <[T]>::mut_from_bytes(words.as_mut_bytes()) else { panic!("{WHOLE_RECORDS}") };
    records
}

/// The records as words.
#[inline]
pub fn words<T: Record>(records: &[T]) -> &[u64] {
    const { assert_whole_words::<T>() };
    let Ok(words) = <[u64]>::ref_from_bytes(records.as_bytes()) else { panic!("{WHOLE_RECORDS}") };
    words
}

/// The words as bytes, in the order of the machine.
#[inline]
pub fn bytes(words: &[u64]) -> &[u8] {
    words.as_bytes()
}

/// Like [`bytes`], to change them.
#[inline]
pub fn bytes_mut(words: &mut [u64]) -> &mut [u8] {
    words.as_mut_bytes()
}

/// The bytes of an id as text. Not checked again, because several parts of an evaluation ask for it.
pub fn text(id: &[u8]) -> &str {
    debug_assert!(std::str::from_utf8(id).is_ok());
    // SAFETY: ids come as `&str` and are stored and read whole.
    unsafe { std::str::from_utf8_unchecked(id) }
}

/// Asks for large pages for memory that is read at random addresses, as a customer's row and block then cost far fewer
/// walks through page tables. A hint: where the system ignores it, nothing changes.
pub fn ask_for_large_pages<T>(memory: &[T], capacity: usize) {
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

/// Fetches the cache line of a value ahead of its use.
#[inline]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on the caches, and the address is that of a valid reference.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
