//! Customers per coming deadline. The timer wheel cannot be counted, since stale entries stay in it.
//!
//! Time is divided into pieces of 2^20 ms (17.5 minutes), and 1,024 pieces form a page (12.4 days), so that a page can
//! be skipped or summed at once. Deadlines after the year 2248 are not counted.

use crate::engine::event::Millis;

const PIECE_BITS: u32 = 20;
const PAGE_BITS: u32 = 10;
const PIECES: usize = 1 << PAGE_BITS;
/// Deadlines from this moment on are not counted.
const END: Millis = 1 << 43;

/// Customers with a deadline, by piece of time.
#[derive(Clone, Debug, Default)]
pub struct DeadlineCounts {
    /// Pages from 1970 on; a page without deadlines is not kept.
    pages: Vec<Option<Box<Page>>>,
}

#[derive(Clone, Debug)]
struct Page {
    pieces: [u32; PIECES],
    sum: u32,
}

/// Page and piece of a moment, if it is counted. A moment before 1970 counts as 1970.
fn page_and_piece(moment: Millis) -> Option<(usize, usize)> {
    let piece = (moment < END).then(|| (moment.max(0) >> PIECE_BITS) as usize)?;
    Some((piece >> PAGE_BITS, piece % PIECES))
}

impl DeadlineCounts {
    pub fn add(&mut self, moment: Millis) {
        let Some((page_index, piece)) = page_and_piece(moment) else { return };
        if page_index >= self.pages.len() {
            self.pages.resize_with(page_index + 1, || None);
        }
        let page = self.pages[page_index].get_or_insert_with(|| Box::new(Page { pieces: [0; PIECES], sum: 0 }));
        page.pieces[piece] += 1;
        page.sum += 1;
    }

    pub fn remove(&mut self, moment: Millis) {
        let Some((page_index, piece)) = page_and_piece(moment) else { return };
        let Some(page) = &mut self.pages[page_index] else { return };
        page.pieces[piece] -= 1;
        page.sum -= 1;
        if page.sum == 0 {
            self.pages[page_index] = None;
        }
    }

    /// Deadlines before the end of the piece that contains `until`.
    pub fn until(&self, until: Millis) -> u64 {
        let Some((last, piece)) = page_and_piece(until) else {
            return self.pages.iter().flatten().map(|page| u64::from(page.sum)).sum();
        };
        let before = self.pages.iter().take(last).flatten().map(|page| u64::from(page.sum)).sum::<u64>();
        let last = self.pages.get(last).and_then(Option::as_ref);
        before + last.map_or(0, |page| page.pieces[..=piece].iter().map(|count| u64::from(*count)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{DAY, HOUR, NEVER};
    use crate::random::Random;

    #[test]
    fn counts_agree_with_a_list() {
        let seed = 11;
        let mut random = Random(seed);
        let (mut counts, mut list) = (DeadlineCounts::default(), Vec::new());
        for round in 0..20_000 {
            let moment = match random.below(20) {
                0 => NEVER,
                1 => -5,
                _ => 1_577_836_800_000 + random.below(600 * DAY as u64) as Millis,
            };
            if random.below(3) == 0 && !list.is_empty() {
                let gone = list.swap_remove(random.below(list.len() as u64) as usize);
                counts.remove(gone);
            }
            counts.add(moment);
            list.push(moment);
            if round % 500 == 0 {
                let until = 1_577_836_800_000 + random.below(700 * DAY as u64) as Millis;
                let end = ((until >> PIECE_BITS) + 1) << PIECE_BITS;
                let expected = list.iter().filter(|moment| **moment < end).count() as u64;
                assert_eq!(counts.until(until), expected, "seed {seed}, round {round}");
                assert!(end - until <= HOUR / 3);
            }
        }
        list.into_iter().for_each(|moment| counts.remove(moment));
        assert!(counts.pages.iter().all(Option::is_none), "an empty page was kept");
    }
}
