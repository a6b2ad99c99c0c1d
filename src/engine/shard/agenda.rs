//! How many customers have their next deadline when, kept as deadlines are armed: the wheel cannot tell, since entries
//! that have grown stale stay in it.
//!
//! Time is cut into pieces of 2^20 ms (17.5 minutes), and 1,024 of them make a page (12.4 days), so a page that is of no
//! concern is passed over at once. What is armed for after the year 2248 is not counted.

use super::Shard;
use crate::engine::event::Millis;
use crate::engine::profile::RowNumber;

const PIECE_BITS: u32 = 20;
const PAGE_BITS: u32 = 10;
const PIECES: usize = 1 << PAGE_BITS;
/// Moments from here on are not counted.
const END: Millis = 1 << 43;

/// Customers with a deadline, by piece of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    /// From 1970 on.
    pages: Vec<Option<Box<Page>>>,
}

#[derive(Clone, Debug)]
struct Page {
    pieces: [u32; PIECES],
    sum: u32,
}

/// Page and piece of a moment, if it is counted. What is before 1970 is long due.
fn place_of(moment: Millis) -> Option<(usize, usize)> {
    let piece = (moment < END).then(|| (moment.max(0) >> PIECE_BITS) as usize)?;
    Some((piece >> PAGE_BITS, piece % PIECES))
}

impl Agenda {
    pub fn add(&mut self, moment: Millis) {
        let Some((page, piece)) = place_of(moment) else { return };
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new(Page { pieces: [0; PIECES], sum: 0 }));
        page.pieces[piece] += 1;
        page.sum += 1;
    }

    pub fn remove(&mut self, moment: Millis) {
        let Some((place, piece)) = place_of(moment) else { return };
        let Some(page) = &mut self.pages[place] else { return };
        page.pieces[piece] -= 1;
        page.sum -= 1;
        if page.sum == 0 {
            self.pages[place] = None;
        }
    }

    /// How many stand before the end of the piece that `until` is in.
    pub fn until(&self, until: Millis) -> u64 {
        let Some((last, piece)) = place_of(until) else {
            return self.pages.iter().flatten().map(|page| u64::from(page.sum)).sum();
        };
        let before = self.pages.iter().take(last).flatten().map(|page| u64::from(page.sum)).sum::<u64>();
        let last = self.pages.get(last).and_then(Option::as_ref);
        before + last.map_or(0, |page| page.pieces[..=piece].iter().map(|count| u64::from(*count)).sum())
    }
}

impl Shard {
    /// How many customers have a deadline within so many milliseconds of the watermark, or a late one; up to 17.5 minutes
    /// more.
    pub fn due_within(&self, ms: Millis) -> u64 {
        self.agenda.until(self.watermark.saturating_add(ms))
    }

    /// Sets a customer's deadline, in whatever way it is or is not in the wheel.
    pub(super) fn set_armed(&mut self, row: RowNumber, deadline: Millis) {
        self.agenda.remove(self.profiles.row(row).armed);
        self.profiles.row_mut(row).armed = deadline;
        self.agenda.add(deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{DAY, HOUR, NEVER};
    use crate::random::Random;

    #[test]
    fn it_counts_like_a_list() {
        let seed = 11;
        let mut random = Random(seed);
        let (mut agenda, mut list) = (Agenda::default(), Vec::new());
        for round in 0..20_000 {
            let moment = match random.below(20) {
                0 => NEVER,
                1 => -5,
                _ => 1_577_836_800_000 + random.below(600 * DAY as u64) as Millis,
            };
            if random.below(3) == 0 && !list.is_empty() {
                let gone = list.swap_remove(random.below(list.len() as u64) as usize);
                agenda.remove(gone);
            }
            agenda.add(moment);
            list.push(moment);
            if round % 500 == 0 {
                let until = 1_577_836_800_000 + random.below(700 * DAY as u64) as Millis;
                let end = ((until >> PIECE_BITS) + 1) << PIECE_BITS;
                let expected = list.iter().filter(|moment| **moment < end).count() as u64;
                assert_eq!(agenda.until(until), expected, "seed {seed}, round {round}");
                assert!(end - until <= HOUR / 3);
            }
        }
        list.into_iter().for_each(|moment| agenda.remove(moment));
        assert!(agenda.pages.iter().all(Option::is_none), "nothing is left");
    }
}
