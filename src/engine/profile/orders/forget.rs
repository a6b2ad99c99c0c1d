//! What is forgotten of a customer's orders: orders that are old or beyond the bound (O3), what has waited too long or
//! too many (O6), and the ids that are known no longer than these (E3).

use super::apply::OrderChange;
use super::order::Order;
use super::returns::{ReturnId, Waiting};
use crate::engine::event::{EventType, REMEMBERED};
use crate::engine::profile::row::Row;
use crate::engine::profile::storage::{Blocks, Section};

impl OrderChange<'_> {
    /// Folds the orders that are more than 400 days old into the totals.
    pub fn fold_old(&mut self) {
        let at = self.at;
        let old = self.orders().iter().take_while(|order| at - order.time() > REMEMBERED).count();
        self.fold(old);
    }

    /// Folds the `count` oldest orders into the totals.
    pub(super) fn fold(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let mut amended = 0;
        for index in 0..count {
            let order = self.orders()[index];
            self.fold_one(&order);
            self.texts.release(order.categories());
            self.texts.release(order.channel());
            if order.id() != 0 {
                self.forget_returns(|id| id.is_of(order.id()));
            }
            amended += usize::from(order.amended());
        }
        self.blocks.splice(&mut self.row.block, Section::Orders, 0, count, 0);
        if amended > 0 {
            self.blocks.splice(&mut self.row.block, Section::Amendments, 0, amended, 0);
        }
    }

    /// Adds an order that is not remembered singly to the totals, and to the absolute intervals if it counts.
    pub(super) fn fold_one(&mut self, order: &Order) {
        self.totals().fold(order);
        if order.counts() {
            self.folding.add(EventType::PURCHASE, order.time(), 1, order.net());
        }
    }

    /// Removes what has waited for more than 400 days.
    pub(super) fn remove_old_waiting(&mut self) {
        let at = self.at;
        let old = |blocks: &Blocks, row: &Row| {
            let waiting: &[Waiting] = blocks.records(row.block, Section::Waiting);
            waiting.iter().position(|known| at - known.time > REMEMBERED)
        };
        while let Some(index) = old(self.blocks, self.row) {
            self.remove_waiting(index);
        }
    }

    /// Removes an action that waits, unapplied.
    pub(super) fn remove_waiting(&mut self, index: usize) {
        let event = self.blocks.records::<Waiting>(self.row.block, Section::Waiting)[index].id();
        self.blocks.splice(&mut self.row.block, Section::Waiting, index, 1, 0);
        if event != 0 {
            self.forget_returns(|id| id.event() == event);
        }
    }

    /// Remembers an id; at the bound the one that was remembered first is dropped.
    pub(super) fn remember_return(&mut self, id: ReturnId) {
        if self.blocks.count(self.row.block, Section::ReturnIds) == ReturnId::MAX {
            self.remove_old_waiting();
        }
        let mut end = self.blocks.count(self.row.block, Section::ReturnIds);
        if end == ReturnId::MAX {
            self.overflow.return_ids += 1;
            self.blocks.splice(&mut self.row.block, Section::ReturnIds, 0, 1, 0);
            end -= 1;
        }
        self.blocks.splice(&mut self.row.block, Section::ReturnIds, end, 0, 1);
        self.blocks.records_mut(self.row.block, Section::ReturnIds)[end] = id;
    }

    fn forget_returns(&mut self, is_forgotten: impl Fn(ReturnId) -> bool) {
        let position = |blocks: &Blocks, row: &Row| {
            let ids: &[ReturnId] = blocks.records(row.block, Section::ReturnIds);
            ids.iter().position(|id| is_forgotten(*id))
        };
        while let Some(index) = position(self.blocks, self.row) {
            self.blocks.splice(&mut self.row.block, Section::ReturnIds, index, 1, 0);
        }
    }
}
