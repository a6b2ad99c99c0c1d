//! Views per category and hour (B5), in order of hours.

use super::hours;
use crate::engine::event::{Event, HOUR, Millis};
use crate::engine::profile::row::BlockHandle;
use crate::engine::profile::storage::{Blocks, Section, TextReference, Texts};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Views of one category in one hour.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CategoryHour {
    /// Interned category.
    pub category: TextReference,
    pub events: u32,
    /// Time of the newest view.
    pub newest: Millis,
}

impl CategoryHour {
    /// Pairs of hour and category per customer at most.
    pub const MAX: usize = 64;

    pub fn hour(&self) -> i64 {
        self.newest.div_euclid(HOUR)
    }
}

/// Counts a view for each of its categories; returns how many pairs were removed at the bound.
pub fn count_views(
    blocks: &mut Blocks,
    texts: &mut Texts,
    handle: &mut BlockHandle,
    event: &Event<'_>,
    at: Millis,
) -> u32 {
    if hours::is_past(event.time.div_euclid(HOUR), at) {
        return 0;
    }
    event.categories.iter().map(|category| count_view(blocks, texts, handle, category, event.time, at)).sum()
}

fn count_view(
    blocks: &mut Blocks,
    texts: &mut Texts,
    handle: &mut BlockHandle,
    category: &str,
    time: Millis,
    at: Millis,
) -> u32 {
    let hour = time.div_euclid(HOUR);
    let known: &mut [CategoryHour] = blocks.records_mut(*handle, Section::CategoryHours);
    let index = known.iter().rposition(|views| views.hour() <= hour).map_or(0, |index| index + 1);
    if let Some(reference) = texts.find(category) {
        let same_hour = known[..index].iter_mut().rev().take_while(|views| views.hour() == hour);
        if let Some(views) = { same_hour }.find(|views| views.category == reference) {
            views.events = views.events.saturating_add(1);
            views.newest = views.newest.max(time);
            return 0;
        }
    }
    let views = CategoryHour { category: texts.intern(category), events: 1, newest: time };
    blocks.splice(handle, Section::CategoryHours, index, 0, 1);
    let known: &mut [CategoryHour] = blocks.records_mut(*handle, Section::CategoryHours);
    known[index] = views;
    let past = known.iter().take_while(|views| hours::is_past(views.hour(), at)).count();
    remove(blocks, texts, handle, 0, past);
    let known: &[CategoryHour] = blocks.records(*handle, Section::CategoryHours);
    if known.len() <= CategoryHour::MAX {
        return 0;
    }
    let oldest_hour = known.iter().take_while(|views| views.hour() == known[0].hour());
    let smallest = oldest_hour.enumerate().min_by_key(|(_, views)| texts.get(views.category)).expect("a pair").0;
    remove(blocks, texts, handle, smallest, 1);
    1
}

/// Removes `count` pairs from an index on and releases their texts.
fn remove(blocks: &mut Blocks, texts: &mut Texts, handle: &mut BlockHandle, from: usize, count: usize) {
    if count == 0 {
        return;
    }
    for views in &blocks.records::<CategoryHour>(*handle, Section::CategoryHours)[from..from + count] {
        texts.release(views.category);
    }
    blocks.splice(handle, Section::CategoryHours, from, count, 0);
}

/// Removes all pairs and releases their texts.
pub fn release(blocks: &mut Blocks, texts: &mut Texts, handle: &mut BlockHandle) {
    let count = blocks.count(*handle, Section::CategoryHours);
    remove(blocks, texts, handle, 0, count);
}
