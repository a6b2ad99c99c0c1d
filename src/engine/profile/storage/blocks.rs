//! An allocator for the variable parts of customers: blocks of 16-byte granules in large chunks, addressed by `u32`.
//!
//! Free blocks of up to 255 granules are kept in one list per size, threaded through the blocks themselves. Larger
//! blocks (customers with thousands of orders or hours) are allocations of their own.
//!
//! Customers that grow alike leave free blocks of sizes that are not needed again. Therefore, when more than a
//! sixteenth of the memory is free, a chunk with much free space is cleared: its blocks move elsewhere. To allow that,
//! the first word of a block starts with its owner's row, or with [`FREE`], and chunks can be walked from their start.

use super::layout::{FREE, GRANULE, owner, size};
use super::memory;
use crate::engine::profile::row::{BlockHandle, RowNumber};

/// Granules of a chunk: 64 KiB, cleared in some 20 µs.
const CHUNK: usize = 1 << 12;
/// Granules of a region, which holds 512 chunks: 32 MiB, of which only what is used is resident.
const REGION: usize = CHUNK << 9;
/// A small shard does not ask for large pages: they cost time to clear.
const LARGE_PAGES_FROM: usize = CHUNK << 5;
/// Chunks among which the one to clear is chosen.
const CANDIDATES: usize = 64;
/// One granule in this many may be free.
const FREE_SHARE: usize = 16;
/// Largest block inside a chunk.
const GRANULES_MAX: usize = 255;
/// Handles from here on are indexes in the list of large blocks.
const LARGE: u32 = 1 << 31;

pub struct Blocks {
    regions: Vec<Box<[u64]>>,
    /// Chunks in use, in the regions one after another.
    chunks: usize,
    large: Vec<Box<[u64]>>,
    large_unused: Vec<u32>,
    /// The first free block by number of granules, or [`FREE`].
    free: [BlockHandle; GRANULES_MAX + 1],
    /// The chunk that new blocks come from, and how many of its granules are allocated.
    current: usize,
    allocated: usize,
    /// Chunks without blocks.
    empty: Vec<u32>,
    /// Granules in free lists, by chunk.
    free_in_chunk: Vec<u16>,
    free_granules: usize,
    /// The chunk from which the search for one to clear continues.
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
            allocated: CHUNK,
            empty: Vec::new(),
            free_in_chunk: Vec::new(),
            free_granules: 0,
            cursor: 0,
        }
    }

    /// The words from a block's start on, beyond its end too.
    #[inline]
    pub fn words(&self, handle: BlockHandle) -> &[u64] {
        if handle & LARGE != 0 {
            return &self.large[(handle & !LARGE) as usize];
        }
        &self.regions[handle as usize / REGION][handle as usize % REGION * GRANULE..]
    }

    /// The row of a customer's block.
    pub fn owner(&self, handle: BlockHandle) -> RowNumber {
        owner(self.words(handle)[0]).expect("a customer has the block")
    }

    #[inline]
    pub fn words_mut(&mut self, handle: BlockHandle) -> &mut [u64] {
        if handle & LARGE != 0 {
            return &mut self.large[(handle & !LARGE) as usize];
        }
        &mut self.regions[handle as usize / REGION][handle as usize % REGION * GRANULE..]
    }

    /// A block whose content the caller must write.
    pub fn allocate(&mut self, granules: usize) -> BlockHandle {
        if granules > GRANULES_MAX {
            return self.allocate_large(granules);
        }
        if self.free[granules] != FREE {
            let handle = self.free[granules];
            self.unlink(handle);
            return handle;
        }
        if self.allocated + granules > CHUNK {
            self.next_chunk();
        }
        let handle = self.current * CHUNK + self.allocated;
        self.allocated += granules;
        handle as BlockHandle
    }

    /// Frees a block of that many granules.
    pub fn release(&mut self, handle: BlockHandle, granules: usize) {
        if handle & LARGE != 0 {
            self.large[(handle & !LARGE) as usize] = Box::default();
            self.large_unused.push(handle & !LARGE);
        } else {
            self.link(handle, granules);
        }
    }

    /// Moves a block to one of another size, with its first `words` words.
    pub fn reallocate(
        &mut self,
        handle: BlockHandle,
        granules: usize,
        to_granules: usize,
        words: usize,
    ) -> BlockHandle {
        let target = self.copy(handle, to_granules, words);
        self.release(handle, granules);
        target
    }

    fn copy(&mut self, handle: BlockHandle, to_granules: usize, words: usize) -> BlockHandle {
        let target = self.allocate(to_granules);
        if (handle | target) & LARGE == 0 && handle as usize / REGION == target as usize / REGION {
            let region = &mut self.regions[handle as usize / REGION];
            let from = handle as usize % REGION * GRANULE;
            region.copy_within(from..from + words, target as usize % REGION * GRANULE);
        } else {
            let mut memory = std::mem::take(self.memory_of(target));
            let start = if target & LARGE != 0 { 0 } else { target as usize % REGION * GRANULE };
            memory[start..start + words].copy_from_slice(&self.words(handle)[..words]);
            *self.memory_of(target) = memory;
        }
        target
    }

    /// Bytes of all blocks, used or free, and of the free ones.
    pub fn bytes(&self) -> (usize, usize) {
        let granule = GRANULE * size_of::<u64>();
        let large: usize = self.large.iter().map(|block| size_of_val(&**block)).sum();
        let unused = CHUNK - self.allocated + self.empty.len() * CHUNK;
        (self.chunks * CHUNK * granule + large, (self.free_granules + unused) * granule)
    }

    /// Whether so much memory is free that a chunk is to be cleared.
    #[inline]
    pub fn should_clear(&self) -> bool {
        self.free_granules * FREE_SHARE > self.chunks * CHUNK
    }

    /// Chooses a chunk to clear, and removes its free blocks from the lists. The caller must move its other blocks,
    /// whose owners and sizes are put into `owners`, and then call [`Self::finish_clearing`].
    pub fn begin_clearing(&mut self, owners: &mut Vec<(RowNumber, usize)>) -> Option<usize> {
        owners.clear();
        let candidates = (0..CANDIDATES).map(|step| (self.cursor + step) % self.chunks);
        let chunk = candidates.filter(|&chunk| chunk != self.current).max_by_key(|&chunk| self.free_in_chunk[chunk])?;
        self.cursor = (self.cursor + CANDIDATES) % self.chunks;
        if self.free_in_chunk[chunk] == 0 {
            return None;
        }
        let (mut granule, end) = (chunk * CHUNK, (chunk + 1) * CHUNK);
        while granule < end {
            let words = self.words(granule as BlockHandle);
            granule += match owner(words[0]) {
                Some(row) => {
                    let size = size(words);
                    owners.push((row, size));
                    size
                }
                None => {
                    let size = (words[0] >> 32) as usize;
                    self.unlink(granule as BlockHandle);
                    size
                }
            };
        }
        Some(chunk)
    }

    /// Moves a block of this size out of the chunk that is being cleared.
    pub fn move_away(&mut self, handle: BlockHandle, granules: usize) -> BlockHandle {
        self.copy(handle, granules, granules * GRANULE)
    }

    /// Marks a chunk as empty, after all its blocks were moved.
    pub fn finish_clearing(&mut self, chunk: usize) {
        self.empty.push(chunk as u32);
    }

    /// The allocation that contains a block.
    fn memory_of(&mut self, handle: BlockHandle) -> &mut Box<[u64]> {
        if handle & LARGE != 0 {
            &mut self.large[(handle & !LARGE) as usize]
        } else {
            &mut self.regions[handle as usize / REGION]
        }
    }

    fn allocate_large(&mut self, granules: usize) -> BlockHandle {
        let block = vec![0; granules * GRANULE].into_boxed_slice();
        match self.large_unused.pop() {
            Some(index) => {
                self.large[index as usize] = block;
                index | LARGE
            }
            None => {
                self.large.push(block);
                (self.large.len() - 1) as u32 | LARGE
            }
        }
    }

    /// Continues in an empty chunk; the rest of the current one becomes a free block.
    fn next_chunk(&mut self) {
        let left = CHUNK - self.allocated;
        if left > 0 {
            self.link((self.current * CHUNK + self.allocated) as BlockHandle, left);
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
        self.allocated = 0;
    }

    /// Inserts a free block into its list and writes its first words: owner and size, then the neighbours in the list.
    fn link(&mut self, handle: BlockHandle, granules: usize) {
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

    /// Removes a free block from its list.
    fn unlink(&mut self, handle: BlockHandle) {
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
