//! How purchases, refunds, cancellations and amendments change a customer (O2-O9).
//!
//! The row's lifetime totals follow each change. The orders are searched only when the earliest or latest order that
//! counted ceases to count. [`super::forget`] has what is forgotten with an order, and at the bounds.

use super::order::{Order, REMEMBERED_MAX, Refund, Totals, id_hash};
use super::returns::{OrderAction, ReturnId, Waiting};
use crate::engine::event::{Event, EventType, Millis, REMEMBERED};
use crate::engine::profile::intervals::Folding;
use crate::engine::profile::row::{NONE, Row};
use crate::engine::profile::storage::{Blocks, Section, Texts};
use crate::engine::profile::{Overflow, cart};

/// The parts of a customer that orders change.
pub struct OrderChange<'p> {
    pub row: &'p mut Row,
    pub blocks: &'p mut Blocks,
    pub texts: &'p mut Texts,
    /// The later of the clock and the event's time.
    pub at: Millis,
    pub overflow: &'p mut Overflow,
    /// Where orders go that are no longer remembered.
    pub folding: Folding<'p>,
}

/// Whether an order with that id is remembered as of `at` (O2).
pub fn is_remembered(row: &Row, blocks: &Blocks, order_id: &str, at: Millis) -> bool {
    let id = id_hash(order_id);
    let orders: &[Order] = blocks.records(row.block, Section::Orders);
    orders.iter().any(|order| order.id() == id && at - order.time() <= REMEMBERED)
}

/// Whether a refund, cancellation or amendment with these ids is known as of `at`: its order is remembered, or it waits
/// (E3).
pub fn is_return_remembered(row: &Row, blocks: &Blocks, order_id: &str, event_id: &str, at: Millis) -> bool {
    let ids: &[ReturnId] = blocks.records(row.block, Section::ReturnIds);
    if ids.is_empty() {
        return false;
    }
    let id = ReturnId::new(id_hash(order_id), event_id);
    let waiting: &[Waiting] = blocks.records(row.block, Section::Waiting);
    let waits = || waiting.iter().any(|known| known.id() == id.event() && at - known.time <= REMEMBERED);
    ids.contains(&id) && (is_remembered(row, blocks, order_id, at) || waits())
}

impl OrderChange<'_> {
    /// Applies a purchase, refund, cancellation or amendment.
    pub fn apply(&mut self, event: &Event<'_>) {
        self.fold_old();
        let last_order = self.row.last_order;
        match event.event_type {
            EventType::PURCHASE => self.purchase(event),
            EventType::REFUND if event.order_id.is_none() => self.unlinked_refund(event),
            _ => self.change_order(event),
        }
        if self.row.last_order != last_order {
            cart::refresh(self.row, self.blocks);
        }
    }

    pub(super) fn orders(&self) -> &[Order] {
        self.blocks.records(self.row.block, Section::Orders)
    }

    pub(super) fn totals(&mut self) -> &mut Totals {
        if self.blocks.count(self.row.block, Section::Totals) == 0 {
            self.blocks.splice(&mut self.row.block, Section::Totals, 0, 0, 1);
            self.blocks.records_mut(self.row.block, Section::Totals)[0] = Totals::EMPTY;
        }
        &mut self.blocks.records_mut(self.row.block, Section::Totals)[0]
    }

    fn purchase(&mut self, event: &Event<'_>) {
        self.row.placed += 1;
        if self.at - event.time > REMEMBERED {
            let order = Order::new(event, 0, 0);
            self.add_counting(&order);
            self.fold_one(&order);
            return;
        }
        let categories = self.texts.intern_set(event.categories.iter());
        let channel = event.channel.as_deref().map_or(0, |channel| self.texts.intern(channel));
        let order = Order::new(event, categories, channel);
        self.add_counting(&order);
        let index = self.orders().iter().rposition(|known| known.time() <= event.time).map_or(0, |index| index + 1);
        self.blocks.splice(&mut self.row.block, Section::Orders, index, 0, 1);
        self.blocks.records_mut(self.row.block, Section::Orders)[index] = order;
        if order.id() != 0 {
            self.apply_waiting(order.id(), index);
        }
        if self.orders().len() > REMEMBERED_MAX {
            self.overflow.orders += 1;
            self.fold(1);
        }
    }

    /// Adds an order that counts to the row's totals.
    fn add_counting(&mut self, order: &Order) {
        let (row, time) = (&mut *self.row, order.time());
        row.orders += 1;
        row.revenue += order.net();
        if row.first_order == NONE || time < row.first_order {
            row.first_order = time;
        }
        row.last_order = row.last_order.max(time);
    }

    /// Applies what waited for an order that has arrived (O6), in order of arrival.
    fn apply_waiting(&mut self, order: u64, index: usize) {
        self.remove_old_waiting();
        loop {
            let waiting: &[Waiting] = self.blocks.records(self.row.block, Section::Waiting);
            let Some(first) = waiting.iter().position(|known| known.order == order) else { return };
            let found = waiting[first];
            self.blocks.splice(&mut self.row.block, Section::Waiting, first, 1, 0);
            self.change_stored(index, &found);
        }
    }

    /// Applies a refund, cancellation or amendment of an order if the order is stored; otherwise it waits. Its id is
    /// remembered with the order or with what waits.
    fn change_order(&mut self, event: &Event<'_>) {
        let order = event.order_id.as_deref().map_or(0, id_hash);
        let id = event.event_id.as_deref().map(|id| ReturnId::new(order, id));
        let event_part = id.map_or(0, ReturnId::event);
        let change = Waiting::new(order, event.time, OrderAction::of(event), event.foreign, event_part);
        let is_kept = match self.orders().iter().rposition(|known| known.id() == order) {
            Some(index) => {
                self.change_stored(index, &change);
                true
            }
            None => self.add_waiting(change),
        };
        if let (Some(id), true) = (id, is_kept) {
            self.remember_return(id);
        }
    }

    /// Stores an action until its order arrives. At the bound the oldest one is dropped. Returns whether it is stored.
    fn add_waiting(&mut self, added: Waiting) -> bool {
        if self.at - added.time > REMEMBERED {
            return false;
        }
        self.remove_old_waiting();
        let waiting: &[Waiting] = self.blocks.records(self.row.block, Section::Waiting);
        let count = waiting.len();
        if count == Waiting::MAX {
            self.overflow.waiting += 1;
            let (oldest, time) =
                (0..count).map(|index| (index, waiting[index].time)).min_by_key(|known| known.1).expect("16");
            if added.time < time {
                return false;
            }
            self.remove_waiting(oldest);
        }
        let end = self.blocks.count(self.row.block, Section::Waiting);
        self.blocks.splice(&mut self.row.block, Section::Waiting, end, 0, 1);
        self.blocks.records_mut(self.row.block, Section::Waiting)[end] = added;
        true
    }

    /// Applies a refund, cancellation or amendment to the stored order at `index`.
    fn change_stored(&mut self, index: usize, change: &Waiting) {
        let before = self.orders()[index];
        let mut given = 0;
        if let OrderAction::Amend(amount) = change.action() {
            self.amend(index, change.time, amount);
        }
        let order = &mut self.blocks.records_mut::<Order>(self.row.block, Section::Orders)[index];
        if change.foreign() {
            order.mark_foreign();
        }
        match change.action() {
            OrderAction::Cancel => order.cancel(),
            OrderAction::Refund(amount) => {
                given = order.refund(amount);
                let is_excess = amount.is_some_and(|amount| given < amount) && !before.cancelled();
                self.overflow.excess_refunds += u32::from(is_excess);
            }
            OrderAction::Amend(_) => {}
        }
        let after = *order;
        self.count_change(&before, &after);
        self.store_refund(Refund::new(change.time, given, false));
    }

    /// Sets what a stored order was worth, unless a later amendment has set it (O9); of amendments at the same time the
    /// last to arrive holds.
    fn amend(&mut self, index: usize, time: Millis, amount: i64) {
        let place = self.orders()[..index].iter().filter(|order| order.amended()).count();
        if self.orders()[index].amended() {
            if self.blocks.section(self.row.block, Section::Amendments)[place] as Millis > time {
                return;
            }
        } else {
            self.blocks.splice(&mut self.row.block, Section::Amendments, place, 0, 1);
        }
        self.blocks.section_mut(self.row.block, Section::Amendments)[place] = time as u64;
        self.blocks.records_mut::<Order>(self.row.block, Section::Orders)[index].amend(amount);
    }

    /// Updates the row's totals after an order changed.
    fn count_change(&mut self, before: &Order, after: &Order) {
        if before.counts() {
            self.row.revenue -= before.net();
            self.row.orders -= 1;
        }
        if after.counts() {
            self.add_counting(after);
        } else if before.counts() {
            self.find_first_and_last(before.time());
        }
    }

    fn unlinked_refund(&mut self, event: &Event<'_>) {
        let given = event.amount.unwrap_or(0);
        self.row.revenue -= given;
        self.totals().unlinked += given;
        self.store_refund(Refund::new(event.time, given, true));
    }

    /// Stores a refund of more than 0 (O8).
    fn store_refund(&mut self, refund: Refund) {
        if refund.given() == 0 {
            return;
        }
        self.totals().refunded += refund.given();
        let begin = self.at - REMEMBERED;
        if refund.time() <= begin {
            return;
        }
        let refunds: &[Refund] = self.blocks.records(self.row.block, Section::Refunds);
        let index = refunds.iter().rposition(|known| known.time() <= refund.time()).map_or(0, |index| index + 1);
        let old = refunds.iter().take_while(|known| known.time() <= begin).count();
        let full = refunds.len() - old == REMEMBERED_MAX;
        self.blocks.splice(&mut self.row.block, Section::Refunds, index, 0, 1);
        self.blocks.records_mut(self.row.block, Section::Refunds)[index] = refund;
        self.overflow.refunds += u32::from(full);
        self.blocks.splice(&mut self.row.block, Section::Refunds, 0, old + usize::from(full), 0);
    }

    /// Searches the earliest and latest order that counts again, after the one at `time` ceased to count.
    fn find_first_and_last(&mut self, time: Millis) {
        if time != self.row.first_order && time != self.row.last_order {
            return;
        }
        let totals = self.blocks.records::<Totals>(self.row.block, Section::Totals).first().unwrap_or(&Totals::EMPTY);
        let mut counting = self.orders().iter().filter(|order| order.counts()).map(Order::time);
        let earliest = counting.next().unwrap_or(NONE);
        let latest = counting.next_back().unwrap_or(earliest).max(totals.last);
        let first = match (totals.first, earliest) {
            (NONE, time) | (time, NONE) => time,
            (folded, remembered) => folded.min(remembered),
        };
        (self.row.first_order, self.row.last_order) = (first, latest);
    }
}
