//! Views per category and hour (B5).

use super::blocks::{Blocks, Handle};
use super::hours::{self, CategoryHour};
use super::section::Section;
use super::texts::Texts;
use crate::engine::event::{Event, HOUR, Millis};

/// B5: counts a view for each of its categories; returns how many pairs were cut off.
pub(super) fn views(blocks: &mut Blocks, texts: &mut Texts, handle: &mut Handle, event: &Event<'_>, at: Millis) -> u32 {
    if hours::is_past(event.time.div_euclid(HOUR), at) {
        return 0;
    }
    event.categories.iter().map(|category| view(blocks, texts, handle, category, event.time, at)).sum()
}

fn view(blocks: &mut Blocks, texts: &mut Texts, handle: &mut Handle, category: &str, time: Millis, at: Millis) -> u32 {
    let hour = time.div_euclid(HOUR);
    let known: &mut [CategoryHour] = blocks.records_mut(*handle, Section::CategoryHours);
    let place = known.iter().rposition(|views| views.hour() <= hour).map_or(0, |place| place + 1);
    if let Some(reference) = texts.find(category) {
        let same_hour = known[..place].iter_mut().rev().take_while(|views| views.hour() == hour);
        if let Some(views) = { same_hour }.find(|views| views.category == reference) {
            views.events = views.events.saturating_add(1);
            views.newest = views.newest.max(time);
            return 0;
        }
    }
    let views = CategoryHour { category: texts.take(category), events: 1, newest: time };
    blocks.splice(handle, Section::CategoryHours, place, 0, 1);
    let known: &mut [CategoryHour] = blocks.records_mut(*handle, Section::CategoryHours);
    known[place] = views;
    let past = known.iter().take_while(|views| hours::is_past(views.hour(), at)).count();
    forget(blocks, texts, handle, 0, past);
    let known: &[CategoryHour] = blocks.records(*handle, Section::CategoryHours);
    if known.len() <= CategoryHour::MAX {
        return 0;
    }
    let oldest_hour = known.iter().take_while(|views| views.hour() == known[0].hour());
    let smallest = oldest_hour.enumerate().min_by_key(|(_, views)| texts.get(views.category)).expect("a pair").0;
    forget(blocks, texts, handle, smallest, 1);
    1
}

fn forget(blocks: &mut Blocks, texts: &mut Texts, handle: &mut Handle, from: usize, count: usize) {
    if count == 0 {
        return;
    }
    for views in &blocks.records::<CategoryHour>(*handle, Section::CategoryHours)[from..from + count] {
        texts.release(views.category);
    }
    blocks.splice(handle, Section::CategoryHours, from, count, 0);
}

/// Gives back the texts of all pairs.
pub(super) fn release(blocks: &mut Blocks, texts: &mut Texts, handle: &mut Handle) {
    let count = blocks.count(*handle, Section::CategoryHours);
    forget(blocks, texts, handle, 0, count);
}
