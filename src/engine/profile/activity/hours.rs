//! The packed form of a customer's hours: events of browsing and engagement per type and UTC hour (B1).
//!
//! The hours are bytes, the newest hour last. The bytes of an hour, a group, can be read from their end: windows read
//! the newest hour first and stop at their beginning.
//!
//! ```text
//! entry (3 bytes) per common type of the hour: ms of the newest event within the hour (22 bits), events - 1 (2 bits)
//! item (6 bytes) per count of one's own (B8): ms (22), index (6), events (20)
//! 1 byte with the number of these items, if there are any
//! item (6 bytes) per declared type, or common one with over four events: ms (22), type (6), events (20)
//! 1 byte with the number of items (7 bits) and whether there are counts of one's own (1), if there are any of both
//! trailer (4 bytes): which common types have an entry (9 bits), whether there are items (1), hours since 1970 (21),
//!     whether there is one session that has no entry because it is at the earliest of the entries' times (1)
//! ```
//!
//! The last bit is the usual case of a customer who visits once in an hour: the session then takes no space.

use crate::engine::event::{EventType, HOUR, Millis, REMEMBERED};

/// Hours per customer and type at most; counts of one's own are one type together.
pub const HOURS_MAX: usize = 2_048;
/// Bytes of an hour with one event, which no hour is smaller than.
pub const GROUP_BYTES_MIN: usize = ENTRY + TRAILER;
const ENTRY: usize = 3;
const ITEM: usize = 6;
const TRAILER: usize = 4;
/// Bytes of an hour with all types: nine entries or items, and 32 items each of declared types and counts of one's own.
pub const GROUP_BYTES_MAX: usize = 9 * ITEM + 2 * (32 * ITEM + 1) + TRAILER;
const NEWEST: u64 = (1 << 22) - 1;
const ITEM_EVENTS_MAX: u64 = (1 << 20) - 1;
/// Up to this number of events of a type, each event more is seen in the count: an hour counts no further.
pub const EVENTS_TOLD_APART: u64 = ITEM_EVENTS_MAX - 1;
const SESSION: u32 = 8;
const COMMON_TYPES: u32 = (1 << 9) - 1;
const HAS_ITEMS: u32 = 1 << 9;
const HAS_OWN: u8 = 1 << 7;
/// The code of no item.
const NO_CODE: u8 = u8::MAX;
const HOUR_SHIFT: u32 = 10;
const SESSION_AT_EARLIEST: u32 = 1 << 31;

/// Whether an hour is before every window of 400 days at or after `at`.
pub fn is_past(hour: i64, at: Millis) -> bool {
    (hour + 1) * HOUR - 1 <= at - REMEMBERED
}

/// One hour in the customer's bytes.
pub struct Group<'a> {
    pub start: usize,
    pub end: usize,
    trailer: u32,
    /// All bytes of the group.
    bytes: &'a [u8],
    items: &'a [u8],
    /// Items of counts of one's own.
    own: &'a [u8],
}

/// The bit of a common type in the trailer; `None` for other types.
fn common_bit(event_type: EventType) -> Option<u32> {
    match event_type {
        EventType::SESSION => Some(SESSION),
        _ if event_type < EventType::VIEW || event_type > EventType::EXPOSURE => None,
        _ => Some(u32::from(event_type.0 - EventType::VIEW.0)),
    }
}

/// Bytes of the entries of an hour by the trailer's bits: a table, as not every processor counts bits.
static ENTRY_BYTES: [u8; 512] = {
    let mut bytes = [0; 512];
    let mut bits = 0;
    while bits < 512 {
        bytes[bits] = (bits as u32).count_ones() as u8 * ENTRY as u8;
        bits += 1;
    }
    bytes
};

#[inline]
fn entry_bytes(bits: u32) -> usize {
    usize::from(ENTRY_BYTES[(bits & COMMON_TYPES) as usize])
}

#[inline]
fn hour_of(trailer: u32) -> i64 {
    i64::from((trailer & !SESSION_AT_EARLIEST) >> HOUR_SHIFT)
}

/// The entry that starts at a byte. Four bytes can be read, because a trailer follows.
#[inline]
fn entry_at(bytes: &[u8], start: usize) -> u64 {
    let four = bytes[start..start + 4].try_into().expect("four bytes");
    u64::from(u32::from_le_bytes(four) & 0xff_ffff)
}

/// The bytes of an entry or item as a number.
fn number(item: &[u8]) -> u64 {
    item.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The hour whose bytes end at `end`.
#[inline]
pub fn group_before(bytes: &[u8], end: usize) -> Option<Group<'_>> {
    let mut at = end.checked_sub(TRAILER)?;
    let trailer = u32::from_le_bytes(bytes[at..end].try_into().expect("four bytes"));
    let (mut items, mut own): (&[u8], &[u8]) = (&[], &[]);
    if trailer & HAS_ITEMS != 0 {
        let has_own = bytes[at - 1] & HAS_OWN != 0;
        items = items_before(bytes, &mut at);
        if has_own {
            own = items_before(bytes, &mut at);
        }
    }
    let start = at - entry_bytes(trailer);
    Some(Group { start, end, trailer, bytes: &bytes[start..end], items, own })
}

/// The newest hour.
#[inline]
pub fn newest_hour(bytes: &[u8]) -> Option<i64> {
    bytes.last_chunk::<TRAILER>().map(|trailer| hour_of(u32::from_le_bytes(*trailer)))
}

/// The items whose number is in the byte before `at`, which then is their beginning.
#[inline]
fn items_before<'a>(bytes: &'a [u8], at: &mut usize) -> &'a [u8] {
    let end = *at - 1;
    *at = end - usize::from(bytes[end] & !HAS_OWN) * ITEM;
    &bytes[*at..end]
}

impl Group<'_> {
    /// An hour without events, to be inserted at `start`.
    pub fn empty(hour: i64, start: usize) -> Self {
        Self { start, end: start, trailer: (hour as u32) << HOUR_SHIFT, bytes: &[], items: &[], own: &[] }
    }

    #[inline]
    pub fn hour(&self) -> i64 {
        hour_of(self.trailer)
    }

    /// The newest event's ms within the hour and the number of events of a type.
    #[inline]
    pub fn read(&self, event_type: EventType) -> Option<(u64, u64)> {
        if let Some(bit) = common_bit(event_type)
            && self.trailer & 1 << bit != 0
        {
            let entry = entry_at(self.bytes, entry_bytes(self.trailer & ((1 << bit) - 1)));
            return Some((entry & NEWEST, (entry >> 22) + 1));
        }
        if event_type == EventType::SESSION && self.trailer & SESSION_AT_EARLIEST != 0 {
            return Some((earliest(&self.bytes[..entry_bytes(self.trailer)]), 1));
        }
        let (items, code) = self.items_of(event_type);
        let item = items.chunks_exact(ITEM).map(number).find(|&item| item_code(item) == code)?;
        Some((item & NEWEST, item >> 28))
    }

    /// The list of items in which a type is, and what stands for it there.
    fn items_of(&self, event_type: EventType) -> (&[u8], u8) {
        match event_type.own_count_index() {
            Some(index) => (self.own, index),
            None => (self.items, event_type.0),
        }
    }

    /// Whether it has events of a type, or of any count of one's own if the type is one.
    pub fn has(&self, event_type: EventType) -> bool {
        if event_type.own_count_index().is_some() { !self.own.is_empty() } else { self.read(event_type).is_some() }
    }

    /// Number of events of a type.
    #[inline]
    pub fn events(&self, event_type: EventType) -> u64 {
        match common_bit(event_type) {
            Some(bit) if self.trailer & 1 << bit != 0 => {
                (entry_at(self.bytes, entry_bytes(self.trailer & ((1 << bit) - 1))) >> 22) + 1
            }
            Some(SESSION) if self.trailer & SESSION_AT_EARLIEST != 0 => 1,
            _ if self.items.is_empty() && self.own.is_empty() => 0,
            _ => self.read(event_type).map_or(0, |(_, events)| events),
        }
    }

    /// Writes the hour with another count of one type; 0 events remove the type.
    pub fn rewrite(&self, event_type: EventType, newest: u64, events: u64, into: &mut Buffer) {
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
        let has_item = events > if common_bit(event_type).is_some() { 4 } else { 0 };
        let (own_code, code) = event_type.own_count_index().map_or((NO_CODE, event_type.0), |index| (index, NO_CODE));
        let others = |code: u8| move |item: &&[u8]| item_code(number(item)) != code;
        let changed = |code: u8| {
            let item = newest | u64::from(code) << 22 | events.min(ITEM_EVENTS_MAX) << 28;
            (has_item && code != NO_CODE).then_some(item)
        };
        let own = into.push_items(self.own.chunks_exact(ITEM).filter(others(own_code)), changed(own_code));
        into.end_own(own);
        let items = into.push_items(self.items.chunks_exact(ITEM).filter(others(code)), changed(code));
        into.end(trailer, own, items);
    }

    /// Writes the hour without those counts of one's own that have a bit in `dropped`.
    pub fn without_own(&self, dropped: u32, into: &mut Buffer) {
        into.push(&self.bytes[..entry_bytes(self.trailer)]);
        let is_kept = |item: &&[u8]| dropped >> item_code(number(item)) & 1 == 0;
        let own = into.push_items(self.own.chunks_exact(ITEM).filter(is_kept), None);
        into.end_own(own);
        let items = into.push_items(self.items.chunks_exact(ITEM), None);
        into.end(self.trailer & !HAS_ITEMS, own, items);
    }
}

/// Counts one more event of a type in the last hour of the bytes if that changes only the type's entry.
pub fn count_in_last(bytes: &mut [u8], hour: i64, event_type: EventType, ms: u64) -> bool {
    let Some(bit) = common_bit(event_type).filter(|&bit| bit != SESSION) else { return false };
    let Some(group) = group_before(bytes, bytes.len()) else { return false };
    let Some((newest, events @ 1..=3)) = group.read(event_type) else { return false };
    let carries_session = group.trailer & SESSION_AT_EARLIEST != 0
        && ms > newest
        && earliest(&group.bytes[..entry_bytes(group.trailer)]) == newest;
    if group.hour() != hour || group.trailer & 1 << bit == 0 || carries_session {
        return false;
    }
    let start = group.start + entry_bytes(group.trailer & ((1 << bit) - 1));
    let entry = newest.max(ms) | events << 22;
    bytes[start..start + ENTRY].copy_from_slice(&entry.to_le_bytes()[..ENTRY]);
    true
}

/// The bytes of an hour with one event of a common type that starts a session.
pub fn hour_with_session(hour: i64, event_type: EventType, ms: u64) -> Option<[u8; ENTRY + TRAILER]> {
    let trailer = (hour as u32) << HOUR_SHIFT | SESSION_AT_EARLIEST | 1 << common_bit(event_type)?;
    let mut bytes = [0; ENTRY + TRAILER];
    bytes[..4].copy_from_slice(&(ms as u32).to_le_bytes());
    bytes[ENTRY..].copy_from_slice(&trailer.to_le_bytes());
    Some(bytes)
}

/// The earliest of the entries' times.
fn earliest(entries: &[u8]) -> u64 {
    entries.chunks_exact(ENTRY).map(|entry| number(entry) & NEWEST).min().expect("an entry")
}

/// The type of an item, or the index of its count of one's own.
fn item_code(item: u64) -> u8 {
    (item >> 22 & 63) as u8
}

/// The bytes of one hour while it is rewritten.
pub struct Buffer {
    bytes: [u8; GROUP_BYTES_MAX],
    length: usize,
}

impl Buffer {
    pub fn new() -> Self {
        Self { bytes: [0; GROUP_BYTES_MAX], length: 0 }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Appends items, then one more, and returns their number.
    fn push_items<'i>(&mut self, items: impl Iterator<Item = &'i [u8]>, one_more: Option<u64>) -> u8 {
        let start = self.length;
        items.for_each(|item| self.push(item));
        one_more.into_iter().for_each(|item| self.push(&item.to_le_bytes()[..ITEM]));
        ((self.length - start) / ITEM) as u8
    }

    /// Ends the items of counts of one's own.
    fn end_own(&mut self, own: u8) {
        if own > 0 {
            self.push(&[own]);
        }
    }

    /// Ends the hour; without anything in it, it takes no space.
    fn end(&mut self, trailer: u32, own: u8, items: u8) {
        if self.length == 0 {
            return;
        }
        if own == 0 && items == 0 {
            return self.push(&trailer.to_le_bytes());
        }
        self.push(&[items | if own > 0 { HAS_OWN } else { 0 }]);
        self.push(&(trailer | HAS_ITEMS).to_le_bytes());
    }
}

/// The hours of a type whose newest event is after `after`, latest first: that event's time and the number of events.
#[inline]
pub fn after(bytes: &[u8], event_type: EventType, after: Millis) -> impl Iterator<Item = (Millis, u64)> {
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

/// Number of events of a type in the hours whose newest event is after `after`, if there are no more than `enough`;
/// otherwise any number from `enough` on. The newest event's time is read only in the hour that contains `after`.
pub fn count_up_to(bytes: &[u8], event_type: EventType, after: Millis, enough: u64) -> u64 {
    let (mut end, mut sum) = (bytes.len(), 0);
    let containing = after.div_euclid(HOUR);
    if let Some(bit) = common_bit(event_type) {
        (end, sum) = count_common_from(bytes, bit, containing + 1, enough);
    }
    while sum < enough
        && let Some(group) = group_before(bytes, end).filter(|group| group.hour() >= containing)
    {
        end = group.start;
        if group.hour() > containing {
            sum += group.events(event_type);
        } else if let Some((newest, events)) = group.read(event_type)
            && containing * HOUR + newest as Millis > after
        {
            sum += events;
        }
    }
    sum
}

/// Number of events of a common type in the newest hours, those from `first` on, up to the first hour with items or to
/// `enough`; and where these hours begin. Most customers have no items, and this is the hottest loop over the state.
#[inline]
fn count_common_from(bytes: &[u8], bit: u32, first: i64, enough: u64) -> (usize, u64) {
    let at_earliest = if bit == SESSION { SESSION_AT_EARLIEST } else { 0 };
    let (entry, before) = (1 << bit, (1 << bit) - 1);
    let (mut end, mut sum) = (bytes.len(), 0);
    while sum < enough
        && let Some(trailer) = bytes[..end].last_chunk::<TRAILER>().map(|bytes| u32::from_le_bytes(*bytes))
    {
        if hour_of(trailer) < first || trailer & HAS_ITEMS != 0 {
            break;
        }
        end -= TRAILER + entry_bytes(trailer);
        if trailer & entry != 0 {
            // The number of events is in the two highest bits of the entry.
            sum += u64::from(bytes[end + entry_bytes(trailer & before) + ENTRY - 1] >> 6) + 1;
        } else if trailer & at_earliest != 0 {
            sum += 1;
        }
    }
    (end, sum)
}

/// Number of events of a type in the hours that begin in an interval.
pub fn count_between(bytes: &[u8], event_type: EventType, from: Millis, to: Millis) -> u64 {
    let (mut end, mut sum) = (bytes.len(), 0);
    while let Some(group) = group_before(bytes, end) {
        let begins = group.hour() * HOUR;
        if begins < from {
            break;
        }
        end = group.start;
        if begins < to {
            sum += group.events(event_type);
        }
    }
    sum
}
