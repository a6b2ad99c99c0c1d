//! The queue of customers to forget at the bound of memory (R7): first those without orders, then the others, each by
//! the UTC day of the latest event and then by the bytes of the id.
//!
//! The queue is built when the bound is first reached. Events only move a customer back in it, so a stale entry is
//! corrected when it comes up, and events themselves cost nothing.

use crate::engine::profile::{Profiles, RowNumber};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A customer's position in the queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct QueueKey {
    has_orders: bool,
    day: u16,
    id: Box<str>,
}

/// The queue of one shard.
#[derive(Default)]
pub struct ForgetQueue {
    queue: Option<BinaryHeap<Reverse<QueueKey>>>,
}

impl ForgetQueue {
    /// Removes and returns the customer to forget next; there must be one.
    pub fn next(&mut self, profiles: &Profiles) -> RowNumber {
        let key = |row| Reverse(QueueKey::of(profiles, row));
        let queue = self.queue.get_or_insert_with(|| profiles.rows().map(key).collect());
        loop {
            let Reverse(key) = queue.pop().expect("every customer is in the queue");
            let Some(row) = profiles.find(Profiles::hash(key.id.as_bytes()), &key.id) else { continue };
            let current = QueueKey::of(profiles, row);
            if current == key {
                return row;
            }
            queue.push(Reverse(current));
        }
    }

    /// Adds a customer that was just created.
    pub fn add(&mut self, profiles: &Profiles, row: RowNumber) {
        if let Some(queue) = &mut self.queue {
            queue.push(Reverse(QueueKey::of(profiles, row)));
        }
    }
}

impl QueueKey {
    fn of(profiles: &Profiles, row: RowNumber) -> Self {
        let customer = profiles.customer(row);
        let row = customer.row();
        Self { has_orders: row.placed > 0, day: row.last_event_day, id: customer.id().into() }
    }
}
