//! A read view of one customer: all that features can read.

use super::activity::{self, CategoryHour};
use super::attributes::{self, StoredValue};
use super::held_value::HeldValue;
use super::orders::{Order, Refund, Totals};
use super::row::Row;
use super::storage::{Section, TextReference};
use super::{Profiles, cart};
use crate::engine::event::{EventType, Millis};
use crate::engine::event_settings::Interval;
use std::cmp::Ordering;

/// A customer as of the latest applied event.
///
/// The instant of an evaluation is never before any accepted event, so a window needs only its lower bound. Windows
/// reach back at most 400 days.
#[derive(Clone, Copy)]
pub struct Customer<'a> {
    /// The bytes of a text, checked only when the id is read, which is rare.
    pub(super) id: &'a [u8],
    pub(super) row: &'a Row,
    /// The bytes of the hours, found once because several windows read them.
    pub(super) hours: &'a [u8],
    /// `None` if the customer is unknown.
    pub(super) profiles: Option<&'a Profiles>,
}

static EMPTY_ROW: Row = Row::EMPTY;

impl<'a> Customer<'a> {
    /// A customer without events.
    pub fn unknown(id: &'a str) -> Self {
        Self { id: id.as_bytes(), row: &EMPTY_ROW, hours: &[], profiles: None }
    }

    pub fn id(&self) -> &'a str {
        std::str::from_utf8(self.id).expect("ids are text")
    }

    pub fn row(&self) -> &'a Row {
        self.row
    }

    /// Remembered orders by (time, arrival), cancelled ones included.
    pub fn orders(&self) -> &'a [Order] {
        self.profiles.map_or(&[], |profiles| profiles.blocks.records(self.row.block, Section::Orders))
    }

    /// Refunds of the last 400 days by time.
    pub fn refunds(&self) -> &'a [Refund] {
        self.profiles.map_or(&[], |profiles| profiles.blocks.records(self.row.block, Section::Refunds))
    }

    /// Totals of the orders that are no longer stored one by one, and lifetime sums of refunds.
    pub fn totals(&self) -> &'a Totals {
        let totals: Option<&[Totals]> =
            self.profiles.map(|profiles| profiles.blocks.records(self.row.block, Section::Totals));
        totals.and_then(<[Totals]>::first).unwrap_or(&Totals::EMPTY)
    }

    /// The hours of a type whose newest event is after `after`, latest first: that event's time and the number of
    /// events.
    pub fn hours_after(&self, event_type: EventType, after: Millis) -> impl Iterator<Item = (Millis, u64)> + use<'a> {
        activity::after(self.hours, event_type, after)
    }

    /// Number of events in the hours whose newest event of that type is after `after` (B1).
    pub fn count_after(&self, event_type: EventType, after: Millis) -> u64 {
        self.count_up_to(event_type, after, u64::MAX)
    }

    /// The same, if there are no more than `enough`; otherwise any number from `enough` on.
    #[inline]
    pub fn count_up_to(&self, event_type: EventType, after: Millis, enough: u64) -> u64 {
        activity::count_up_to(self.hours, event_type, after, enough)
    }

    /// Whether the next event may lead to the removal of hours at the bound, so that counts fall by it.
    pub fn may_lose_hours(&self) -> bool {
        activity::may_lose_hours(self.hours)
    }

    /// The newest event of the oldest hour in the window: when it leaves the window, the count falls.
    pub fn next_newest(&self, event_type: EventType, after: Millis) -> Option<Millis> {
        self.hours_after(event_type, after).last().map(|(newest, _)| newest)
    }

    /// The newest event of the hour that contains the n-th latest event (n from 1), if it is after `after`: when it
    /// leaves the window, fewer than n events are left.
    pub fn nth_latest(&self, event_type: EventType, after: Millis, n: u64) -> Option<Millis> {
        let mut seen = 0;
        let mut hours = self.hours_after(event_type, after);
        hours
            .find(|(_, events)| {
                seen += events;
                seen >= n
            })
            .map(|(newest, _)| newest)
    }

    /// Number of events of the interval's type in the interval, which has whole hours.
    pub fn events_between(&self, interval: &Interval) -> i64 {
        let remembered = activity::count_between(self.hours, interval.counted, interval.from, interval.to);
        remembered as i64 + self.folded_interval(interval).0
    }

    /// Count and net amount of an interval, as far as it is no longer remembered singly.
    pub fn folded_interval(&self, interval: &Interval) -> (i64, i64) {
        let Some(profiles) = self.profiles else { return (0, 0) };
        profiles.folded_intervals.sum(profiles.blocks.owner(self.row.block), interval)
    }

    /// Time of the latest event of the type. An event older than 400 days may be unknown.
    pub fn latest(&self, event_type: EventType) -> Option<Millis> {
        match event_type {
            EventType::PURCHASE => self.orders().last().map(Order::time),
            EventType::REFUND | EventType::CANCEL | EventType::AMEND | EventType::PROFILE => {
                attributes::latest(&self.profiles?.blocks, self.row.block, event_type)
            }
            _ => self.hours_after(event_type, Millis::MIN).next().map(|(newest, _)| newest),
        }
    }

    /// Like [`Self::count_after`], for views of a category (B5).
    pub fn views_in_after(&self, category: &str, after: Millis) -> u64 {
        self.category_hours(category, after).map(|views| u64::from(views.events)).sum()
    }

    /// Like [`Self::next_newest`], for views of a category.
    pub fn next_view_in(&self, category: &str, after: Millis) -> Option<Millis> {
        self.category_hours(category, after).map(|views| views.newest).min()
    }

    /// The category of most views in the hours whose newest view of it is after `after`; of several, that of the latest
    /// view, then the one with the smallest bytes.
    pub fn top_viewed_after(&self, after: Millis) -> Option<&'a str> {
        let profiles = self.profiles?;
        let pairs = self.pairs();
        let mut best: Option<(u64, Millis, &'a str)> = None;
        for (index, pair) in pairs.iter().enumerate().filter(|(_, pair)| pair.newest > after) {
            let same = |other: &&CategoryHour| other.category == pair.category && other.newest > after;
            if pairs[..index].iter().any(|other| same(&other)) {
                continue;
            }
            let hours = pairs[index..].iter().filter(same);
            let (views, latest) = hours.fold((0, Millis::MIN), |(views, latest), hour| {
                (views + u64::from(hour.events), latest.max(hour.newest))
            });
            let category = profiles.texts.get(pair.category);
            let is_better = best.is_none_or(|(most, newest, of)| match (views, latest).cmp(&(most, newest)) {
                Ordering::Equal => category.as_bytes() < of.as_bytes(),
                order => order.is_gt(),
            });
            if is_better {
                best = Some((views, latest, category));
            }
        }
        best.map(|(_, _, category)| category)
    }

    /// Like [`Self::next_newest`], for views of any category.
    pub fn next_view_of_any(&self, after: Millis) -> Option<Millis> {
        self.pairs().iter().map(|views| views.newest).filter(|newest| *newest > after).min()
    }

    /// Views per category and hour.
    fn pairs(&self) -> &'a [CategoryHour] {
        self.profiles.map_or(&[], |profiles| profiles.blocks.records(self.row.block, Section::CategoryHours))
    }

    /// The value of a segmentation or audience by its index; [`HeldValue::NULL`] if there is none.
    pub fn held(&self, index: u16) -> u16 {
        let profiles = self.profiles.map(|profiles| profiles.blocks.section(self.row.block, Section::HeldValues));
        let word = profiles.and_then(|held| held.get(usize::from(index)));
        word.map_or(HeldValue::NULL, |word| HeldValue::unpack(*word).value)
    }

    fn category_hours(&self, category: &str, after: Millis) -> impl Iterator<Item = &'a CategoryHour> + use<'a> {
        let known = self.profiles.and_then(|profiles| Some((profiles, profiles.texts.find(category)?)));
        let (views, reference): (&[CategoryHour], TextReference) = match known {
            Some((profiles, reference)) => (profiles.blocks.records(self.row.block, Section::CategoryHours), reference),
            None => (&[], 0),
        };
        views.iter().filter(move |views| views.category == reference && views.newest > after)
    }

    /// Value of an attribute by its index in the list of declared ones.
    pub fn attribute(&self, index: u8) -> Option<StoredValue<'a>> {
        let profiles = self.profiles?;
        attributes::get(&profiles.blocks, &profiles.texts, self.row.block, index)
    }

    pub fn cart_open(&self, now: Millis) -> bool {
        now < self.row.cart_until
    }

    /// Time of the latest cart event of the open cart; meaningless while it is closed.
    pub fn cart_last(&self) -> Millis {
        self.row.cart_until.saturating_sub(cart::OPEN)
    }

    /// Minor units in the open cart, if known; meaningless while it is closed.
    pub fn cart_value(&self) -> Option<i64> {
        let profiles = self.profiles.filter(|_| self.row.cart_value_known)?;
        cart::total(&profiles.blocks, self.row.block)
    }

    pub fn has_category(&self, order: &Order, category: &str) -> bool {
        self.categories(order).any(|known| known == category)
    }

    /// The order's categories, at most eight, in order of their bytes.
    pub fn categories(&self, order: &Order) -> impl Iterator<Item = &'a str> + use<'a> {
        let reference = order.categories();
        self.profiles.into_iter().flat_map(move |profiles| profiles.texts.set(reference))
    }

    pub fn channel(&self, order: &Order) -> Option<&'a str> {
        let profiles = self.profiles.filter(|_| order.channel() != 0)?;
        Some(profiles.texts.get(order.channel()))
    }
}
