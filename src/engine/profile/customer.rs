//! A read view of one customer: all that features may ask.

use super::order::{Order, Refund, Totals};
use super::row::Row;
use crate::engine::event::{EventType, Millis};

/// A customer, as of the latest applied event. An instant of evaluation is never before any accepted event, so windows need only their lower bound.
#[derive(Clone, Copy)]
pub struct Customer<'a> {
    id: &'a str,
}

/// Value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StoredValue<'a> {
    Text(&'a str),
    Number(f64),
    Boolean(bool),
    Time(Millis),
}

impl<'a> Customer<'a> {
    /// A customer without events.
    pub fn unknown(id: &'a str) -> Self {
        Self { id }
    }

    pub fn id(&self) -> &'a str {
        self.id
    }

    pub fn row(&self) -> &'a Row {
        unimplemented!()
    }

    /// Remembered orders by (time, arrival), cancelled ones included.
    pub fn orders(&self) -> &'a [Order] {
        unimplemented!()
    }

    /// Refunds of the last 400 days by time.
    pub fn refunds(&self) -> &'a [Refund] {
        unimplemented!()
    }

    /// What orders no longer remembered left, and lifetime sums of refunds.
    pub fn totals(&self) -> &'a Totals {
        unimplemented!()
    }

    /// Events of the hours whose newest event of that type is after `after` (B1).
    pub fn count_after(&self, _event_type: EventType, _after: Millis) -> u64 {
        unimplemented!()
    }

    /// The smallest newest event of an hour after `after`: when it leaves the window, the count falls.
    pub fn next_newest(&self, _event_type: EventType, _after: Millis) -> Option<Millis> {
        unimplemented!()
    }

    /// The newest event of the hour that holds the n-th latest event (n from 1), if it is after `after`: when it leaves
    /// the window, fewer than n are left.
    pub fn nth_latest(&self, _event_type: EventType, _after: Millis, _n: u64) -> Option<Millis> {
        unimplemented!()
    }

    /// Time of the latest event of the type, at least if it is of the last 400 days.
    pub fn latest(&self, _event_type: EventType) -> Option<Millis> {
        unimplemented!()
    }

    /// Like [`Self::count_after`], for views of a category (B5).
    pub fn views_in_after(&self, _category: &str, _after: Millis) -> u64 {
        unimplemented!()
    }

    /// Like [`Self::next_newest`], for views of a category.
    pub fn next_view_in(&self, _category: &str, _after: Millis) -> Option<Millis> {
        unimplemented!()
    }

    /// Value of a declared attribute by its place in the list of declared ones.
    pub fn attribute(&self, _place: u8) -> Option<StoredValue<'a>> {
        unimplemented!()
    }

    pub fn cart_open(&self, _now: Millis) -> bool {
        unimplemented!()
    }

    /// Latest cart event of the open cart; means nothing while it is closed.
    pub fn cart_last(&self) -> Millis {
        unimplemented!()
    }

    /// Minor units in the open cart, if known; means nothing while it is closed.
    pub fn cart_value(&self) -> Option<i64> {
        unimplemented!()
    }

    pub fn has_category(&self, order: &Order, category: &str) -> bool {
        self.categories(order).any(|known| known == category)
    }

    /// The order's categories, at most eight.
    pub fn categories(&self, _order: &Order) -> impl Iterator<Item = &'a str> {
        std::iter::empty()
    }

    pub fn channel(&self, _order: &Order) -> Option<&'a str> {
        unimplemented!()
    }
}
