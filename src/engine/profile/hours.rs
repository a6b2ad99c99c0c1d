//! Browsing and engagement, counted per type and UTC hour (B1), and views per hour and category (B5).
//!
//! The hours of a customer are bytes, the newest hour last. An hour is written so that it can be read from its end:
//! windows look at the newest first and stop where they begin.
//!
//! ```text
//! entry (3 bytes) per common type of the hour: newest event's ms within the hour (22 bits), events - 1 (2 bits)
//! item (6 bytes) per declared type, or common one with over four events: ms (22), type (6), events (20)
//! 1 byte with the number of items, if there are any
//! trailer (4 bytes): which common types have an entry (9 bits), whether there are items (1), hours since 1970 (21),
//!     whether there is one session that has no entry because it stands at the earliest of the entries' times (1)
//! ```
//!
//! The last is the rule where somebody comes, looks around once and leaves: a session costs nothing there.

use super::blocks::{Blocks, Handle};
use crate::engine::event::{EventType, HOUR, Millis, REMEMBERED};

/// Hours kept per customer and type.
pub const HOURS_MAX: usize = 2_048;
/// An hour with one event: no list of fewer bytes has more than [`HOURS_MAX`] hours.
const GROUP_BYTES_MIN: usize = ENTRY + TRAILER;
const ENTRY: usize = 3;
const ITEM: usize = 6;
const TRAILER: usize = 4;
/// An hour with all types: nine entries or items, 32 items.
const GROUP_BYTES_MAX: usize = 9 * ITEM + 32 * ITEM + 1 + TRAILER;
const NEWEST: u64 = (1 << 22) - 1;
const ITEM_EVENTS_MAX: u64 = (1 << 20) - 1;
const SESSION: u32 = 8;
const COMMON_TYPES: u32 = (1 << 9) - 1;
const HAS_ITEMS: u32 = 1 << 9;
const HOUR_SHIFT: u32 = 10;
const SESSION_AT_EARLIEST: u32 = 1 << 31;
/// Hours of the past are looked for once in so many hours of the customer's time.
const TIDY_HOURS: i64 = 240;

/// Views of one category in one hour.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct CategoryHour {
    pub category: u32,
    pub events: u32,
    pub newest: Millis,
}

impl CategoryHour {
    pub const MAX: usize = 64;

    pub fn hour(&self) -> i64 {
        self.newest.div_euclid(HOUR)
    }
}

/// Whether nothing of an hour can be in a window of 400 days any more.
pub(super) fn is_past(hour: i64, at: Millis) -> bool {
    (hour + 1) * HOUR - 1 <= at - REMEMBERED
}

/// One hour, in the customer's bytes.
struct Group<'a> {
    start: usize,
    end: usize,
    trailer: u32,
    entries: &'a [u8],
    items: &'a [u8],
}

/// Place of a type in the trailer, unless it is a declared one.
fn common(event_type: EventType) -> Option<u32> {
    match event_type {
        EventType::SESSION => Some(SESSION),
        _ if event_type < EventType::VIEW || event_type > EventType::EXPOSURE => None,
        _ => Some(u32::from(event_type.0 - EventType::VIEW.0)),
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The hour whose bytes end at `end`.
#[inline]
fn group_before(bytes: &[u8], end: usize) -> Option<Group<'_>> {
    let mut place = end.checked_sub(TRAILER)?;
    let trailer = u32::from_le_bytes(bytes[place..end].try_into().expect("four bytes"));
    let mut items: &[u8] = &[];
    if trailer & HAS_ITEMS != 0 {
        place -= 1;
        let length = usize::from(bytes[place]) * ITEM;
        items = &bytes[place - length..place];
        place -= length;
    }
    let start = place - (trailer & COMMON_TYPES).count_ones() as usize * ENTRY;
    Some(Group { start, end, trailer, entries: &bytes[start..place], items })
}

impl Group<'_> {
    fn hour(&self) -> i64 {
        i64::from((self.trailer & !SESSION_AT_EARLIEST) >> HOUR_SHIFT)
    }

    /// Ms within the hour of the newest event of a type, and number of events.
    #[inline]
    fn read(&self, event_type: EventType) -> Option<(u64, u64)> {
        if let Some(bit) = common(event_type)
            && self.trailer & 1 << bit != 0
        {
            let place = (self.trailer & ((1 << bit) - 1)).count_ones() as usize * ENTRY;
            let entry = little_endian(&self.entries[place..place + ENTRY]);
            return Some((entry & NEWEST, (entry >> 22) + 1));
        }
        if event_type == EventType::SESSION && self.trailer & SESSION_AT_EARLIEST != 0 {
            return Some((earliest(self.entries), 1));
        }
        let item = self.items.chunks_exact(ITEM).map(little_endian).find(|&item| item_type(item) == event_type)?;
        Some((item & NEWEST, item >> 28))
    }

    /// Writes the hour with other events of one type; none of them removes the type.
    fn rewrite(&self, event_type: EventType, newest: u64, events: u64, into: &mut Buffer) {
        let changed = |of: EventType| if of == event_type { Some((newest, events)) } else { self.read(of) };
        let mut trailer = (self.hour() as u32) << HOUR_SHIFT;
        for bit in 0..SESSION {
            if let Some((newest, events @ 1..=4)) = changed(EventType(EventType::VIEW.0 + bit as u8)) {
                trailer |= 1 << bit;
                into.push(&(newest | (events - 1) << 22).to_le_bytes()[..ENTRY]);
            }
        }
        match changed(EventType::SESSION) {
            Some((newest, 1)) if trailer & COMMON_TYPES != 0 && newest == earliest(&into.bytes[..into.length]) => {
                trailer |= SESSION_AT_EARLIEST;
            }
            Some((newest, events @ 1..=4)) => {
                trailer |= 1 << SESSION;
                into.push(&(newest | (events - 1) << 22).to_le_bytes()[..ENTRY]);
            }
            _ => {}
        }
        let items_start = into.length;
        for item in self.items.chunks_exact(ITEM).filter(|item| item_type(little_endian(item)) != event_type) {
            into.push(item);
        }
        if events > if common(event_type).is_some() { 4 } else { 0 } {
            let item = newest | u64::from(event_type.0) << 22 | events.min(ITEM_EVENTS_MAX) << 28;
            into.push(&item.to_le_bytes()[..ITEM]);
        }
        let items = (into.length - items_start) / ITEM;
        if items > 0 {
            trailer |= HAS_ITEMS;
            into.push(&[items as u8]);
        }
        if into.length > 0 {
            into.push(&trailer.to_le_bytes());
        }
    }
}

/// The earliest of the entries' times.
fn earliest(entries: &[u8]) -> u64 {
    entries.chunks_exact(ENTRY).map(|entry| little_endian(entry) & NEWEST).min().expect("an entry")
}

fn item_type(item: u64) -> EventType {
    EventType((item >> 22 & 63) as u8)
}

/// The bytes of one hour while it is written anew.
struct Buffer {
    bytes: [u8; GROUP_BYTES_MAX],
    length: usize,
}

impl Buffer {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

/// The hours of a type whose newest event is after `after`, latest first: that event's time, and number of events.
#[inline]
pub(super) fn after(bytes: &[u8], event_type: EventType, after: Millis) -> impl Iterator<Item = (Millis, u64)> {
    let mut end = bytes.len();
    std::iter::from_fn(move || {
        while let Some(group) = group_before(bytes, end) {
            if (group.hour() + 1) * HOUR - 1 <= after {
                break;
            }
            end = group.start;
            if let Some((newest, events)) = group.read(event_type) {
                let newest = group.hour() * HOUR + newest as Millis;
                if newest > after {
                    return Some((newest, events));
                }
            }
        }
        end = 0;
        None
    })
}

/// Counts an event at `time` as of `at`; returns how many hours of the type were cut off.
pub(super) fn add(blocks: &mut Blocks, handle: &mut Handle, event_type: EventType, time: Millis, at: Millis) -> u32 {
    let hour = time.div_euclid(HOUR);
    if is_past(hour, at) {
        return 0;
    }
    let bytes = blocks.hours(*handle);
    let mut end = bytes.len();
    let mut found = group_before(bytes, end);
    while let Some(group) = &found
        && group.hour() > hour
    {
        end = group.start;
        found = group_before(bytes, end);
    }
    let fresh = Group { start: end, end, trailer: (hour as u32) << HOUR_SHIFT, entries: &[], items: &[] };
    let is_newest = end == bytes.len();
    let (before, group) = match found {
        Some(group) if group.hour() == hour => (group.hour(), group),
        Some(group) => (group.hour(), fresh),
        None => (hour, fresh),
    };
    let known = group.read(event_type);
    let time = (time - hour * HOUR) as u64;
    let (newest, events) = known.map_or((time, 1), |(newest, events)| (newest.max(time), events + 1));
    let mut buffer = Buffer { bytes: [0; GROUP_BYTES_MAX], length: 0 };
    group.rewrite(event_type, newest, events, &mut buffer);
    let range = group.start..group.end;
    blocks.splice_hours(handle, range, &buffer.bytes[..buffer.length]);
    if is_newest && before / TIDY_HOURS != hour / TIDY_HOURS {
        tidy(blocks, handle, at);
    }
    if known.is_none() && blocks.hours(*handle).len() > HOURS_MAX * GROUP_BYTES_MIN {
        tidy(blocks, handle, at);
        return cut(blocks, handle, event_type);
    }
    0
}

/// Forgets hours that no window reaches any more.
fn tidy(blocks: &mut Blocks, handle: &mut Handle, at: Millis) {
    let bytes = blocks.hours(*handle);
    let mut end = bytes.len();
    while let Some(group) = group_before(bytes, end) {
        if is_past(group.hour(), at) {
            break;
        }
        end = group.start;
    }
    if end > 0 {
        blocks.splice_hours(handle, 0..end, &[]);
    }
}

/// Removes the oldest hour of a type if there are more than [`HOURS_MAX`].
fn cut(blocks: &mut Blocks, handle: &mut Handle, event_type: EventType) -> u32 {
    let bytes = blocks.hours(*handle);
    let (mut end, mut hours, mut oldest) = (bytes.len(), 0, None);
    while let Some(group) = group_before(bytes, end) {
        end = group.start;
        if group.read(event_type).is_some() {
            hours += 1;
            oldest = Some(group);
        }
    }
    let Some(oldest) = oldest.filter(|_| hours > HOURS_MAX) else { return 0 };
    let mut buffer = Buffer { bytes: [0; GROUP_BYTES_MAX], length: 0 };
    oldest.rewrite(event_type, 0, 0, &mut buffer);
    let range = oldest.start..oldest.end;
    blocks.splice_hours(handle, range, &buffer.bytes[..buffer.length]);
    1
}
