//! Memory for the variable parts of customers: blocks of 16-byte granules in large chunks, addressed by `u32`.
//!
//! Free blocks of up to 255 granules are kept in one list per size, threaded through the blocks themselves. Larger
//! blocks (customers with thousands of orders or hours) are allocations of their own.
//!
//! Customers that grow alike would leave ever more free blocks of sizes nobody needs again. So when more than a
//! sixteenth is free, a chunk with much free space is cleared: its blocks move elsewhere. For that the first word of a
//! block starts with its owner's row, or with [`FREE`], and chunks can be walked from their start.

use super::memory;
use super::row::RowNumber;

/// Place of a block.
pub(super) type Handle = u32;

/// Words of a granule: 16 bytes.
pub(super) const GRANULE: usize = 2;
/// Granules of a chunk: 64 KiB, cleared in some 20 µs.
const CHUNK: usize = 1 << 12;
/// Granules of a region, which holds 512 chunks: 32 MiB, of which only what is used is resident.
const REGION: usize = CHUNK << 9;
/// A small shard does not ask for large pages: they cost time to clear.
const LARGE_PAGES_FROM: usize = CHUNK << 5;
/// So many chunks are looked at for the one to clear.
const CANDIDATES: usize = 64;
/// Of so many granules one may be free.
const FREE_SHARE: usize = 16;
/// Largest block inside a chunk.
const GRANULES_MAX: usize = 255;
/// Handles from here on are places in the list of large blocks.
const LARGE: u32 = 1 << 31;
/// Owner of a free block, and end of a list.
const FREE: u32 = u32::MAX;

pub(super) struct Blocks {
    regions: Vec<Box<[u64]>>,
    /// Chunks in use, in the regions one after another.
    chunks: usize,
    large: Vec<Box<[u64]>>,
    large_unused: Vec<u32>,
    /// By number of granules, the first free block of that size or [`FREE`].
    free: [Handle; GRANULES_MAX + 1],
    /// The chunk that new blocks come from, and how many of its granules were handed out.
    current: usize,
    handed_out: usize,
    /// Chunks without blocks.
    empty: Vec<u32>,
    /// Granules in free lists, by chunk.
    free_in_chunk: Vec<u16>,
    free_granules: usize,
    /// Where to look for a chunk to clear.
    cursor: usize,
}

impl Blocks {
    pub fn new() -> Self {
        Self {
            regions: Vec::new(),
            chunks: 0,
            large: Vec::new(),
            large_unused: Vec::new(),
            free: [FREE; GRANULES_MAX + 1],
            current: 0,
            handed_out: CHUNK,
            empty: Vec::new(),
            free_in_chunk: Vec::new(),
            free_granules: 0,
            cursor: 0,
        }
    }

    /// The words from a block's start; past its end there is something else.
    #[inline]
    pub fn words(&self, handle: Handle) -> &[u64] {
        if handle & LARGE != 0 {
            return &self.large[(handle & !LARGE) as usize];
        }
        &self.regions[handle as usize / REGION][handle as usize % REGION * GRANULE..]
    }

    #[inline]
    pub fn words_mut(&mut self, handle: Handle) -> &mut [u64] {
        if handle & LARGE != 0 {
            return &mut self.large[(handle & !LARGE) as usize];
        }
        &mut self.regions[handle as usize / REGION][handle as usize % REGION * GRANULE..]
    }

    /// A block with any content.
    pub fn allocate(&mut self, granules: usize) -> Handle {
        if granules > GRANULES_MAX {
            return self.allocate_large(granules);
        }
        if self.free[granules] != FREE {
            let handle = self.free[granules];
            self.unlink(handle);
            return handle;
        }
        if self.handed_out + granules > CHUNK {
            self.next_chunk();
        }
        let handle = self.current * CHUNK + self.handed_out;
        self.handed_out += granules;
        handle as Handle
    }

    /// Gives a block of that many granules back.
    pub fn release(&mut self, handle: Handle, granules: usize) {
        if handle & LARGE != 0 {
            self.large[(handle & !LARGE) as usize] = Box::default();
            self.large_unused.push(handle & !LARGE);
        } else {
            self.link(handle, granules);
        }
    }

    /// Another block with the first `words` words of this one, which is given back.
    pub fn reallocate(&mut self, handle: Handle, granules: usize, to_granules: usize, words: usize) -> Handle {
        let target = self.copy(handle, to_granules, words);
        self.release(handle, granules);
        target
    }

    fn copy(&mut self, handle: Handle, to_granules: usize, words: usize) -> Handle {
        let target = self.allocate(to_granules);
        if (handle | target) & LARGE == 0 && handle as usize / REGION == target as usize / REGION {
            let region = &mut self.regions[handle as usize / REGION];
            let from = handle as usize % REGION * GRANULE;
            region.copy_within(from..from + words, target as usize % REGION * GRANULE);
        } else {
            let mut place = std::mem::take(self.home(target));
            let start = if target & LARGE != 0 { 0 } else { target as usize % REGION * GRANULE };
            place[start..start + words].copy_from_slice(&self.words(handle)[..words]);
            *self.home(target) = place;
        }
        target
    }

    /// Bytes of all blocks, used or free, and of the free ones.
    pub fn bytes(&self) -> (usize, usize) {
        let granule = GRANULE * size_of::<u64>();
        let large: usize = self.large.iter().map(|block| size_of_val(&**block)).sum();
        let unused = CHUNK - self.handed_out + self.empty.len() * CHUNK;
        (self.chunks * CHUNK * granule + large, (self.free_granules + unused) * granule)
    }

    /// A chunk to clear, if too much is free. Its free blocks are taken out of the lists; its other blocks, found by
    /// [`Self::owners`], must move, and [`Self::cleared`] follows.
    pub fn chunk_to_clear(&mut self) -> Option<usize> {
        if self.free_granules * FREE_SHARE <= self.chunks * CHUNK {
            return None;
        }
        let candidates = (0..CANDIDATES).map(|step| (self.cursor + step) % self.chunks);
        let chunk = candidates.filter(|&chunk| chunk != self.current).max_by_key(|&chunk| self.free_in_chunk[chunk])?;
        self.cursor = (self.cursor + CANDIDATES) % self.chunks;
        if self.free_in_chunk[chunk] == 0 {
            return None;
        }
        let (mut place, end) = (chunk * CHUNK, (chunk + 1) * CHUNK);
        while place < end {
            let word = self.words(place as Handle)[0];
            place += match owner(word) {
                Some(_) => super::section::size(self.words(place as Handle)),
                None => {
                    self.unlink(place as Handle);
                    (word >> 32) as usize
                }
            };
        }
        Some(chunk)
    }

    /// The owners of a chunk's blocks.
    pub fn owners(&self, chunk: usize, into: &mut Vec<RowNumber>) {
        into.clear();
        let (mut place, end) = (chunk * CHUNK, (chunk + 1) * CHUNK);
        while place < end {
            let words = self.words(place as Handle);
            into.extend(owner(words[0]));
            place += owner(words[0]).map_or((words[0] >> 32) as usize, |_| super::section::size(words));
        }
    }

    /// Moves a block out of a chunk that is cleared.
    pub fn move_away(&mut self, handle: Handle) -> Handle {
        let granules = super::section::size(self.words(handle));
        self.copy(handle, granules, granules * GRANULE)
    }

    /// All blocks of the chunk were moved.
    pub fn cleared(&mut self, chunk: usize) {
        self.empty.push(chunk as u32);
    }

    /// The memory that a block lies in.
    fn home(&mut self, handle: Handle) -> &mut Box<[u64]> {
        if handle & LARGE != 0 {
            &mut self.large[(handle & !LARGE) as usize]
        } else {
            &mut self.regions[handle as usize / REGION]
        }
    }

    fn allocate_large(&mut self, granules: usize) -> Handle {
        let block = vec![0; granules * GRANULE].into_boxed_slice();
        match self.large_unused.pop() {
            Some(place) => {
                self.large[place as usize] = block;
                place | LARGE
            }
            None => {
                self.large.push(block);
                (self.large.len() - 1) as u32 | LARGE
            }
        }
    }

    /// An empty chunk to take blocks from; what is left of the last one becomes a free block.
    fn next_chunk(&mut self) {
        let left = CHUNK - self.handed_out;
        if left > 0 {
            self.link((self.current * CHUNK + self.handed_out) as Handle, left);
        }
        self.current = self.empty.pop().map_or(self.chunks, |chunk| chunk as usize);
        if self.current == self.chunks {
            assert!((self.chunks + 1) * CHUNK <= LARGE as usize, "at most 32 GiB of customers' blocks per shard");
            if self.chunks * CHUNK == self.regions.len() * REGION {
                self.regions.push(vec![0; REGION * GRANULE].into_boxed_slice());
            }
            if self.chunks * CHUNK % REGION == if self.regions.len() == 1 { LARGE_PAGES_FROM } else { 0 } {
                let region = self.regions.last().expect("a region");
                memory::ask_for_large_pages(region, region.len());
            }
            self.chunks += 1;
            self.free_in_chunk.push(0);
        }
        self.handed_out = 0;
    }

    /// Puts a free block into its list: owner and size, then the neighbours in the list.
    fn link(&mut self, handle: Handle, granules: usize) {
        let first = self.free[granules];
        let words = self.words_mut(handle);
        words[0] = u64::from(FREE) | (granules as u64) << 32;
        words[1] = u64::from(FREE) | u64::from(first) << 32;
        if first != FREE {
            let word = &mut self.words_mut(first)[1];
            *word = *word & !u64::from(FREE) | u64::from(handle);
        }
        self.free[granules] = handle;
        self.free_granules += granules;
        self.free_in_chunk[handle as usize / CHUNK] += granules as u16;
    }

    /// Takes a free block out of its list.
    fn unlink(&mut self, handle: Handle) {
        let words = self.words(handle);
        let (granules, before, after) = ((words[0] >> 32) as usize, words[1] as u32, (words[1] >> 32) as u32);
        if before == FREE {
            self.free[granules] = after;
        } else {
            let word = &mut self.words_mut(before)[1];
            *word = *word & u64::from(FREE) | u64::from(after) << 32;
        }
        if after != FREE {
            let word = &mut self.words_mut(after)[1];
            *word = *word & !u64::from(FREE) | u64::from(before);
        }
        self.free_granules -= granules;
        self.free_in_chunk[handle as usize / CHUNK] -= granules as u16;
    }
}

/// The owner of a block, from its first word.
pub(super) fn owner(word: u64) -> Option<RowNumber> {
    let owner = word as u32;
    (owner != FREE).then_some(owner)
}
