//! What customers did, by the values that they held before each event: orders, revenue, sessions, exposures.
//!
//! Most events are none of these, and are known by their type. The others add to a table that stands still, at a place
//! for each value held; whoever drives the shard takes the sums when a transaction is committed. They are no part of the
//! state.

use super::Shard;
use super::members::{NULL, VALUES};
use crate::engine::event::{Event, EventType};
use crate::engine::event_settings::EventSettings;
use crate::engine::profile::{HeldValue, Row};
use crate::engine::rule::Target;

/// One thing that a customer did. Money is in minor units of the base currency.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Order { revenue: i64 },
    Session,
    Exposure { cost: i64 },
}

impl Deed {
    /// What an accepted event of a customer is; most are none.
    #[inline]
    pub fn of(event: &Event<'_>, row: &Row, event_settings: &EventSettings) -> Option<Self> {
        match event.event_type {
            EventType::PURCHASE => Some(Self::Order { revenue: event.amount.unwrap_or(0) }),
            EventType::EXPOSURE => Some(Self::Exposure { cost: event.cost.unwrap_or(0) }),
            browsing => {
                (event_settings.is_browsing(browsing) && row.starts_session(event.time)).then_some(Self::Session)
            }
        }
    }
}

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
    #[inline]
    fn count(&mut self, deed: Deed) {
        match deed {
            Deed::Session => self.sessions += 1,
            Deed::Order { revenue } => {
                self.orders += 1;
                self.revenue += revenue;
            }
            Deed::Exposure { cost } => {
                self.exposures += 1;
                self.cost += cost;
            }
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

/// Sums by target and value held.
#[derive(Debug, Default)]
pub(super) struct DeedsByValue {
    sums: Vec<[Deeds; VALUES]>,
    is_empty: bool,
}

impl DeedsByValue {
    /// Counts what was done by a customer who holds these, as [`crate::engine::profile::Profiles::held_bytes`] has them.
    #[inline]
    pub fn count(&mut self, deed: Deed, held: impl ExactSizeIterator<Item = u8>) {
        self.is_empty = false;
        if self.sums.len() < held.len() {
            self.sums.resize(held.len(), [Deeds::default(); VALUES]);
        }
        for (sums, value) in self.sums.iter_mut().zip(held) {
            sums[usize::from(value)].count(deed);
        }
    }
}

impl Shard {
    /// Takes what was done since the last time, by the values of the rules in force that customers held before; null is
    /// [`HeldValue::NULL`]. To be called before new rules are applied, or it is lost.
    pub fn take_deeds(&mut self, mut tell: impl FnMut(&Target, u16, Deeds)) {
        if std::mem::replace(&mut self.deeds.is_empty, true) {
            return;
        }
        for (target, sums) in self.rules.targets.iter().zip(&mut self.deeds.sums) {
            for value in target.values().chain([HeldValue::NULL]) {
                let sum = std::mem::take(&mut sums[usize::from(value).min(NULL)]);
                if !sum.is_empty() {
                    tell(target, value, sum);
                }
            }
        }
    }

    pub(super) fn drop_deeds(&mut self) {
        self.deeds.sums.clear();
        self.deeds.is_empty = true;
    }
}
