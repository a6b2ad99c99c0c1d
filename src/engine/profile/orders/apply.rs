//! How purchases, refunds and cancellations change a customer (O2-O8).
//!
//! The row's lifetime totals follow each change. The orders are searched only when the earliest or latest order that
//! counted ceases to count.

use super::order::{Order, REMEMBERED_MAX, Refund, Totals, Waiting, id_hash};
use crate::engine::event::{Event, EventType, Millis, REMEMBERED};
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
}

/// Whether an order with that id is remembered as of `at` (O2).
pub fn is_remembered(row: &Row, blocks: &Blocks, order_id: &str, at: Millis) -> bool {
    let id = id_hash(order_id);
    let orders: &[Order] = blocks.records(row.block, Section::Orders);
    orders.iter().any(|order| order.id() == id && at - order.time() <= REMEMBERED)
}

impl OrderChange<'_> {
    /// Applies a purchase, refund or cancellation.
    pub fn apply(&mut self, event: &Event<'_>) {
        self.fold_old();
        let last_order = self.row.last_order;
        match event.event_type {
            EventType::PURCHASE => self.purchase(event),
            EventType::REFUND if event.order_id.is_none() => self.unlinked_refund(event),
            EventType::REFUND => self.return_order(event, event.amount.unwrap_or(Waiting::ALL)),
            _ => self.return_order(event, Waiting::CANCEL),
        }
        if self.row.last_order != last_order {
            cart::refresh(self.row, self.blocks);
        }
    }

    fn orders(&self) -> &[Order] {
        self.blocks.records(self.row.block, Section::Orders)
    }

    fn totals(&mut self) -> &mut Totals {
        if self.blocks.count(self.row.block, Section::Totals) == 0 {
            self.blocks.splice(&mut self.row.block, Section::Totals, 0, 0, 1);
            self.blocks.records_mut(self.row.block, Section::Totals)[0] = Totals::EMPTY;
        }
        &mut self.blocks.records_mut(self.row.block, Section::Totals)[0]
    }

    /// Folds the orders that are more than 400 days old into the totals.
    fn fold_old(&mut self) {
        let at = self.at;
        let old = self.orders().iter().take_while(|order| at - order.time() > REMEMBERED).count();
        self.fold(old);
    }

    /// Folds the `count` oldest orders into the totals.
    fn fold(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        for index in 0..count {
            let order = self.orders()[index];
            self.totals().fold(&order);
            self.texts.release(order.categories());
            self.texts.release(order.channel());
        }
        self.blocks.splice(&mut self.row.block, Section::Orders, 0, count, 0);
    }

    fn purchase(&mut self, event: &Event<'_>) {
        self.row.placed += 1;
        if self.at - event.time > REMEMBERED {
            let order = Order::new(event, 0, 0);
            self.add_to_row(&order);
            self.totals().fold(&order);
            return;
        }
        let categories = self.texts.intern_set(event.categories.iter());
        let channel = event.channel.as_deref().map_or(0, |channel| self.texts.intern(channel));
        let order = Order::new(event, categories, channel);
        self.add_to_row(&order);
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

    /// Adds a new order to the row's totals.
    fn add_to_row(&mut self, order: &Order) {
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
            self.return_stored(index, &found);
        }
    }

    /// Removes what has waited for more than 400 days.
    fn remove_old_waiting(&mut self) {
        let at = self.at;
        let waiting = |blocks: &Blocks, row: &Row| {
            let waiting: &[Waiting] = blocks.records(row.block, Section::Waiting);
            waiting.iter().position(|known| at - known.time > REMEMBERED)
        };
        while let Some(index) = waiting(self.blocks, self.row) {
            self.blocks.splice(&mut self.row.block, Section::Waiting, index, 1, 0);
        }
    }

    /// Applies a refund or cancellation of an order if the order is stored; otherwise it waits.
    fn return_order(&mut self, event: &Event<'_>, amount: i64) {
        let order = event.order_id.as_deref().map_or(0, id_hash);
        let returned = Waiting { order, time: event.time, amount };
        match self.orders().iter().rposition(|known| known.id() == order) {
            Some(index) => self.return_stored(index, &returned),
            None => self.add_waiting(returned),
        }
    }

    /// Stores a refund or cancellation until its order arrives. At the bound the oldest one is dropped.
    fn add_waiting(&mut self, returned: Waiting) {
        if self.at - returned.time > REMEMBERED {
            return;
        }
        self.remove_old_waiting();
        let waiting: &[Waiting] = self.blocks.records(self.row.block, Section::Waiting);
        let count = waiting.len();
        if count == Waiting::MAX {
            self.overflow.waiting += 1;
            let (oldest, time) =
                (0..count).map(|index| (index, waiting[index].time)).min_by_key(|known| known.1).expect("16");
            if returned.time < time {
                return;
            }
            self.blocks.splice(&mut self.row.block, Section::Waiting, oldest, 1, 0);
        }
        let end = self.blocks.count(self.row.block, Section::Waiting);
        self.blocks.splice(&mut self.row.block, Section::Waiting, end, 0, 1);
        self.blocks.records_mut(self.row.block, Section::Waiting)[end] = returned;
    }

    /// Applies a refund or cancellation to the stored order at `index`.
    fn return_stored(&mut self, index: usize, returned: &Waiting) {
        let order = &mut self.blocks.records_mut::<Order>(self.row.block, Section::Orders)[index];
        let before = *order;
        let mut given = 0;
        match returned.amount {
            Waiting::CANCEL => order.cancel(),
            Waiting::ALL => given = order.refund(None),
            amount => {
                given = order.refund(Some(amount));
                self.overflow.excess_refunds += u32::from(given < amount && !before.cancelled());
            }
        }
        let after = *order;
        if before.counts() {
            self.row.revenue -= before.net();
            if after.counts() {
                self.row.revenue += after.net();
            } else {
                self.row.orders -= 1;
                self.find_first_and_last(before.time());
            }
        }
        self.store_refund(Refund::new(returned.time, given, false));
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
