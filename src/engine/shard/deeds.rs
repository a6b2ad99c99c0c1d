//! What customers did, by the values that they held before each event: orders, revenue, sessions, exposures.
//!
//! Most events are none of these, and are known by their type. The others add to a table that stands still, at a place
//! for each value held; whoever drives the shard takes the sums when a transaction is committed. They are no part of the
//! state.

use super::Shard;
use super::members::{place_of, places};
use crate::engine::event::{Event, EventType};
use crate::engine::meaning::Meaning;
use crate::engine::profile::{Held, Row};
use crate::engine::rule::Target;

/// Sums of what was done. Money is in minor units of the base currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    pub orders: u64,
    pub revenue: i64,
    pub sessions: u64,
    pub exposures: u64,
    /// Of the exposures.
    pub cost: i64,
}

impl Deeds {
    /// What an accepted event of a customer is; most are none.
    #[inline]
    pub(super) fn of(event: &Event<'_>, row: &Row, meaning: &Meaning) -> Option<Self> {
        match event.event_type {
            EventType::PURCHASE => Some(Self { orders: 1, revenue: event.amount.unwrap_or(0), ..Self::default() }),
            EventType::EXPOSURE => Some(Self { exposures: 1, cost: event.cost.unwrap_or(0), ..Self::default() }),
            event_type if meaning.is_browsing(event_type) && row.starts_session(event.time) => {
                Some(Self { sessions: 1, ..Self::default() })
            }
            _ => None,
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.orders += other.orders;
        self.revenue += other.revenue;
        self.sessions += other.sessions;
        self.exposures += other.exposures;
        self.cost += other.cost;
    }

    pub fn is_empty(&self) -> bool {
        self.orders == 0 && self.sessions == 0 && self.exposures == 0
    }
}

/// Sums by values held.
#[derive(Debug, Default)]
pub(super) struct DeedsByValue {
    sums: Vec<Deeds>,
    is_empty: bool,
}

impl DeedsByValue {
    pub fn add(&mut self, deeds: &Deeds, held: impl Iterator<Item = Held>) {
        self.is_empty = false;
        for (target, held) in held.enumerate() {
            let place = place_of(target, held.value);
            if place >= self.sums.len() {
                self.sums.resize(place_of(target + 1, 0), Deeds::default());
            }
            self.sums[place].add(deeds);
        }
    }
}

impl Shard {
    /// Takes what was done since the last time, by the values of the rules in force that customers held before; null is
    /// [`Held::NULL`]. To be called before new rules are applied, or it is lost.
    pub fn take_deeds(&mut self, mut tell: impl FnMut(&Target, u16, Deeds)) {
        if std::mem::replace(&mut self.deeds.is_empty, true) {
            return;
        }
        let sums = &mut self.deeds.sums;
        for (target, value, place) in places(&self.rules) {
            let Some(sum) = sums.get_mut(place).filter(|sum| !sum.is_empty()) else { continue };
            tell(target, value, std::mem::take(sum));
        }
    }

    pub(super) fn drop_deeds(&mut self) {
        self.deeds.sums.fill(Deeds::default());
        self.deeds.is_empty = true;
    }
}
