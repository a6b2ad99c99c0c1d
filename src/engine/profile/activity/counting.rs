//! Counts browsing and engagement events in the customer's hours (B1, B2), and what counts of one's own count (B8).

use super::hours::{
    self, Buffer, GROUP_BYTES_MAX, GROUP_BYTES_MIN, Group, HOURS_MAX, group_before, is_past, newest_hour,
};
use crate::engine::event::{EventType, HOUR, Millis};
use crate::engine::event_settings::Interval;
use crate::engine::profile::intervals::Folding;
use crate::engine::profile::row::{BlockHandle, Row};
use crate::engine::profile::storage::Blocks;

/// Past hours are removed once in this many hours of the customer's time.
const REMOVAL_HOURS: i64 = 240;
/// Up to this number of bytes no type can have more than [`HOURS_MAX`] hours.
const BOUND_BYTES: usize = HOURS_MAX * GROUP_BYTES_MIN;

/// Counts a browsing event and the session it may start; returns how many hours were removed at the bound.
pub fn browse(
    row: &mut Row,
    blocks: &mut Blocks,
    event_type: EventType,
    time: Millis,
    at: Millis,
    folding: &mut Folding<'_>,
) -> u32 {
    let starts = row.starts_session(time);
    row.last_browsing = row.last_browsing.max(time);
    if !starts {
        return count(row, blocks, event_type, time, at, folding);
    }
    let hour = time.div_euclid(HOUR);
    let place = blocks.hours_place(row.block);
    let newest = newest_hour(blocks.hours_at(row.block, place));
    if newest.is_none_or(|newest| newest < hour)
        && !is_past(hour, at)
        && let Some(new) = hours::hour_with_session(hour, event_type, (time - hour * HOUR) as u64)
    {
        blocks.append_hours(&mut row.block, place, &new);
        remove_past_at_times(row, blocks, newest, hour, at, folding);
        if place.1 + new.len() <= BOUND_BYTES {
            return 0;
        }
        return remove_beyond_bound(blocks, &mut row.block, event_type, at, folding)
            + remove_beyond_bound(blocks, &mut row.block, EventType::SESSION, at, folding);
    }
    count(row, blocks, event_type, time, at, folding) + count(row, blocks, EventType::SESSION, time, at, folding)
}

/// Counts an event at `time` as of `at`; returns how many hours of the type were removed at the bound.
pub fn count(
    row: &mut Row,
    blocks: &mut Blocks,
    event_type: EventType,
    time: Millis,
    at: Millis,
    folding: &mut Folding<'_>,
) -> u32 {
    let hour = time.div_euclid(HOUR);
    let ms = (time - hour * HOUR) as u64;
    if is_past(hour, at) {
        folding.add(event_type, time, 1, 0);
        return 0;
    }
    if hours::count_in_last(blocks.hours_mut(row.block), hour, event_type, ms) {
        return 0;
    }
    let bytes = blocks.hours(row.block);
    let mut end = bytes.len();
    let mut found = group_before(bytes, end);
    let newest = found.as_ref().map(Group::hour);
    while let Some(group) = &found
        && group.hour() > hour
    {
        end = group.start;
        found = group_before(bytes, end);
    }
    let group = found.filter(|group| group.hour() == hour).unwrap_or(Group::empty(hour, end));
    let known = group.read(event_type);
    let (latest, events) = known.map_or((ms, 1), |(latest, events)| (latest.max(ms), events + 1));
    let mut buffer = Buffer::new();
    group.rewrite(event_type, latest, events, &mut buffer);
    let range = group.start..group.end;
    blocks.splice_hours(&mut row.block, range, buffer.bytes());
    remove_past_at_times(row, blocks, newest, hour, at, folding);
    if known.is_some() { 0 } else { remove_beyond_bound(blocks, &mut row.block, event_type, at, folding) }
}

/// Counts an event at `time` for each count of one's own that has a bit in `counts`; returns how many of their hours
/// were removed at the bound.
pub fn count_own(
    row: &mut Row,
    blocks: &mut Blocks,
    counts: u32,
    time: Millis,
    at: Millis,
    folding: &mut Folding<'_>,
) -> u32 {
    let mut left = counts;
    let mut removed = 0;
    while left != 0 {
        removed += count(row, blocks, EventType::own_count(left.trailing_zeros() as u8), time, at, folding);
        left &= left - 1;
    }
    removed
}

/// Removes what those counts of one's own that have a bit in `dropped` have counted.
pub fn drop_own(blocks: &mut Blocks, handle: &mut BlockHandle, dropped: u32) {
    let mut end = blocks.hours(*handle).len();
    while let Some(group) = group_before(blocks.hours(*handle), end) {
        let range = group.start..group.end;
        end = group.start;
        if group.has(EventType::OWN_COUNT) {
            let mut buffer = Buffer::new();
            group.without_own(dropped, &mut buffer);
            blocks.splice_hours(handle, range, buffer.bytes());
        }
    }
}

/// Whether one event more may lead to the removal of hours at the bound.
pub fn may_lose_hours(bytes: &[u8]) -> bool {
    bytes.len() + GROUP_BYTES_MAX > BOUND_BYTES
}

/// Removes past hours, now and then when an hour begins. A customer whose first event is not past has none.
fn remove_past_at_times(
    row: &mut Row,
    blocks: &mut Blocks,
    newest: Option<i64>,
    hour: i64,
    at: Millis,
    folding: &mut Folding<'_>,
) {
    if newest.is_some_and(|newest| newest < hour && newest / REMOVAL_HOURS != hour / REMOVAL_HOURS)
        && is_past(row.first_event.div_euclid(HOUR), at)
    {
        remove_past(blocks, &mut row.block, at, folding);
    }
}

/// Removes the hours that no window can reach.
pub fn remove_past(blocks: &mut Blocks, handle: &mut BlockHandle, at: Millis, folding: &mut Folding<'_>) {
    let bytes = blocks.hours(*handle);
    let mut end = bytes.len();
    while let Some(group) = group_before(bytes, end) {
        if is_past(group.hour(), at) {
            break;
        }
        end = group.start;
    }
    if end > 0 {
        fold(&bytes[..end], folding);
        blocks.splice_hours(handle, 0..end, &[]);
    }
}

/// Adds the events of hours that are about to be removed to the intervals that contain them.
fn fold(bytes: &[u8], folding: &mut Folding<'_>) {
    let mut end = bytes.len();
    while let Some(group) = group_before(bytes, end).filter(|_| !folding.intervals.is_empty()) {
        end = group.start;
        fold_group(&group, folding, |_| true);
    }
}

/// The same for the selected types of one hour.
fn fold_group(group: &Group<'_>, folding: &mut Folding<'_>, is_removed: impl Fn(EventType) -> bool) {
    let mut before = None;
    // The intervals are in order of what they count: each type is read once.
    for Interval { counted, .. } in folding.intervals {
        if before.replace(*counted) != Some(*counted) && is_removed(*counted) && group.read(*counted).is_some() {
            folding.add(*counted, group.hour() * HOUR, group.events(*counted) as i64, 0);
        }
    }
}

/// Removes the oldest hour of a type, or of all counts of one's own, if there are more than [`HOURS_MAX`].
fn remove_beyond_bound(
    blocks: &mut Blocks,
    handle: &mut BlockHandle,
    event_type: EventType,
    at: Millis,
    folding: &mut Folding<'_>,
) -> u32 {
    if blocks.hours(*handle).len() <= BOUND_BYTES {
        return 0;
    }
    remove_past(blocks, handle, at, folding);
    let bytes = blocks.hours(*handle);
    let (mut end, mut hours, mut oldest) = (bytes.len(), 0, None);
    while let Some(group) = group_before(bytes, end) {
        end = group.start;
        if group.has(event_type) {
            hours += 1;
            oldest = Some(group);
        }
    }
    let Some(oldest) = oldest.filter(|_| hours > HOURS_MAX) else { return 0 };
    let mut buffer = Buffer::new();
    match event_type.own_count_index() {
        Some(_) => {
            fold_group(&oldest, folding, |counted| counted.own_count_index().is_some());
            oldest.without_own(u32::MAX, &mut buffer);
        }
        None => {
            fold_group(&oldest, folding, |counted| counted == event_type);
            oldest.rewrite(event_type, 0, 0, &mut buffer);
        }
    }
    let range = oldest.start..oldest.end;
    blocks.splice_hours(handle, range, buffer.bytes());
    1
}
