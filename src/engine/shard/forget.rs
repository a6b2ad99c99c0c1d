//! Who is forgotten first at the bound of memory (R7): customers without orders, then the others, each by the UTC day
//! of their latest event, then by the bytes of their ids.
//!
//! The queue is made when the bound is first reached. A customer's place only ever moves back, so an entry that has
//! grown stale is put back at its place when it comes up: nothing is paid per event.

use crate::engine::profile::{Profiles, RowNumber};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    has_orders: bool,
    day: u16,
    id: Box<str>,
}

/// The queue of one shard.
#[derive(Default)]
pub struct ForgetQueue {
    queue: Option<BinaryHeap<Reverse<Place>>>,
}

impl ForgetQueue {
    /// Takes the customer to forget next; there must be one.
    pub fn next(&mut self, profiles: &Profiles) -> RowNumber {
        let queue =
            self.queue.get_or_insert_with(|| profiles.rows().map(|row| Reverse(Place::of(profiles, row))).collect());
        loop {
            let Reverse(place) = queue.pop().expect("every customer has a place in the queue");
            let Some(row) = profiles.find(Profiles::hash(place.id.as_bytes()), &place.id) else { continue };
            let current = Place::of(profiles, row);
            if current == place {
                return row;
            }
            queue.push(Reverse(current));
        }
    }

    /// Tells of a customer made since.
    pub fn add(&mut self, profiles: &Profiles, row: RowNumber) {
        if let Some(queue) = &mut self.queue {
            queue.push(Reverse(Place::of(profiles, row)));
        }
    }
}

impl Place {
    fn of(profiles: &Profiles, row: RowNumber) -> Self {
        let customer = profiles.customer(row);
        let row = customer.row();
        Self { has_orders: row.placed > 0, day: row.last_event_day, id: customer.id().into() }
    }
}
