//! Customers' actions, by the values that the customers held before each event: orders, revenue, sessions, exposures.
//!
//! Most events are no action, which follows from their type alone. An action is added to one entry per value held; the
//! sums are taken when a transaction is committed.

use super::member_counts::{NULL, VALUES};
use crate::engine::event::{Event, EventType};
use crate::engine::event_settings::EventSettings;
use crate::engine::profile::{HeldValue, Row};
use crate::engine::rule::{Rules, Target};

/// An action of a customer. Money is in minor units of the base currency.
#[derive(Clone, Copy, Debug)]
pub enum CustomerAction {
    Order { revenue: i64 },
    Session,
    Exposure { cost: i64 },
}

impl CustomerAction {
    /// The action that an accepted event reports, if any.
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

/// Sums of actions. Money is in minor units of the base currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActionCounts {
    pub orders: u64,
    pub revenue: i64,
    pub sessions: u64,
    pub exposures: u64,
    /// The cost of the exposures.
    pub cost: i64,
}

impl ActionCounts {
    #[inline]
    fn count(&mut self, action: CustomerAction) {
        match action {
            CustomerAction::Session => self.sessions += 1,
            CustomerAction::Order { revenue } => {
                self.orders += 1;
                self.revenue += revenue;
            }
            CustomerAction::Exposure { cost } => {
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
pub struct ActionCountsByValue {
    sums: Vec<[ActionCounts; VALUES]>,
    is_empty: bool,
}

impl ActionCountsByValue {
    /// Counts an action of a customer that holds these values ([`crate::engine::profile::Profiles::held_bytes`]).
    #[inline]
    pub fn count(&mut self, action: CustomerAction, held: impl ExactSizeIterator<Item = u8>) {
        self.is_empty = false;
        if self.sums.len() < held.len() {
            self.sums.resize(held.len(), [ActionCounts::default(); VALUES]);
        }
        for (sums, value) in self.sums.iter_mut().zip(held) {
            sums[usize::from(value)].count(action);
        }
    }

    /// Hands out the sums since the last call by the values of `rules`, which are those that customers held; null is
    /// [`HeldValue::NULL`].
    pub fn take(&mut self, rules: &Rules, mut f: impl FnMut(&Target, u16, ActionCounts)) {
        if std::mem::replace(&mut self.is_empty, true) {
            return;
        }
        for (target, sums) in rules.targets.iter().zip(&mut self.sums) {
            for value in target.values().chain([HeldValue::NULL]) {
                let sum = std::mem::take(&mut sums[usize::from(value).min(NULL)]);
                if !sum.is_empty() {
                    f(target, value, sum);
                }
            }
        }
    }

    /// Drops all sums: other rules have other values.
    pub fn clear(&mut self) {
        self.sums.clear();
        self.is_empty = true;
    }
}
