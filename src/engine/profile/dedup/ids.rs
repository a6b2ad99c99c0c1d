//! The ids of one hour, in pieces. Full pieces never change, so they can be shared with the thread that stores them.

use std::sync::Arc;

/// Ids of a piece.
const PIECE: usize = 4_096;

/// A list of ids that grows at its end.
#[derive(Default)]
pub(super) struct Ids {
    full: Vec<Arc<[u64]>>,
    open: Vec<u64>,
}

/// Ids accepted in one hour of the watermark, shared with the memory.
#[derive(Clone, Debug)]
pub struct HourOfIds {
    /// Hours since 1970 UTC.
    pub hour: i64,
    /// Number of ids of the hour before these.
    pub before: usize,
    pieces: Vec<Arc<[u64]>>,
    /// Ids of the first piece that were stored before.
    skip: usize,
}

impl Ids {
    /// An empty list with room for about as many ids as another one has.
    pub fn like(other: &Self) -> Self {
        Self { full: Vec::new(), open: Vec::with_capacity(other.len().min(PIECE)) }
    }

    pub fn len(&self) -> usize {
        self.full.len() * PIECE + self.open.len()
    }

    #[inline]
    pub fn push(&mut self, id: u64) {
        if self.open.len() == PIECE {
            self.close_piece();
        }
        self.open.push(id);
    }

    #[cold]
    fn close_piece(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.full.push(open.into());
    }

    pub fn shrink(&mut self) {
        self.open.shrink_to_fit();
    }

    /// All ids from an index on. Full pieces are shared, the open one is copied.
    pub fn share(&self, hour: i64, from: usize) -> HourOfIds {
        let (piece, skip) = (from / PIECE, from % PIECE);
        let mut pieces: Vec<Arc<[u64]>> = self.full.get(piece..).unwrap_or_default().to_vec();
        if self.full.len() >= piece {
            pieces.push(self.open.as_slice().into());
        }
        HourOfIds { hour, before: from, pieces, skip }
    }

    pub fn bytes(&self) -> usize {
        self.full.len() * PIECE * size_of::<u64>()
            + self.full.capacity() * size_of::<Arc<[u64]>>()
            + self.open.capacity() * size_of::<u64>()
    }
}

impl HourOfIds {
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.pieces.iter().flat_map(|piece| piece.iter().copied()).skip(self.skip)
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_later_ids() {
        let mut ids = Ids::default();
        let all: Vec<u64> = (0..3 * PIECE as u64 + 7).collect();
        for (count, &id) in all.iter().enumerate() {
            if [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE].contains(&count) {
                for from in [0, count / 2, count] {
                    assert_eq!(ids.share(5, from).iter().collect::<Vec<_>>(), all[from..count], "{from} to {count}");
                }
            }
            ids.push(id);
        }
        assert_eq!(ids.len(), all.len());
        assert_eq!(ids.share(5, PIECE + 3).iter().collect::<Vec<_>>(), all[PIECE + 3..]);
    }
}
