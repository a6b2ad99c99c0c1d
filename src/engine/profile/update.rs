//! Creates, changes and removes customers.

use super::cart::{self, CartChange};
use super::held_value::HeldValue;
use super::intervals::Folding;
use super::orders::{self, Order, OrderChange};
use super::row::{ID_INLINE, Row, RowNumber};
use super::storage::{Section, memory};
use super::{Overflow, Profiles, activity, attributes};
use crate::engine::event::{DAY, Event, EventType, Millis};
use crate::engine::event_settings::{EventSettings, Interval};

impl Profiles {
    /// A new customer with `values` held values, all [`HeldValue::NONE`]. There must be none with this id.
    pub fn create(&mut self, hash: u64, id: &str, values: usize) -> RowNumber {
        let number = self.slab.allocate();
        self.touch(number);
        self.index.insert(hash, number);
        let row = self.slab.get_mut(number);
        row.alive = true;
        row.id_length = u8::try_from(id.len() - 1).expect("an id has 1 to 256 bytes");
        row.block = self.blocks.make(number);
        if id.len() <= ID_INLINE {
            row.id[..id.len()].copy_from_slice(id.as_bytes());
        } else {
            self.blocks.splice(&mut row.block, Section::Id, 0, 0, id.len().div_ceil(8));
            let words = self.blocks.section_mut(row.block, Section::Id);
            memory::bytes_mut(words)[..id.len()].copy_from_slice(id.as_bytes());
        }
        self.blocks.splice(&mut row.block, Section::HeldValues, 0, 0, values);
        self.blocks.section_mut(row.block, Section::HeldValues).fill(HeldValue::NONE.pack());
        self.compact();
        number
    }

    /// Removes a customer with everything that is known of it.
    pub fn remove(&mut self, row: RowNumber) {
        self.touch(row);
        let hash = Self::hash(self.id(row).as_bytes());
        self.index.remove(hash, row);
        let block = &mut self.slab.get_mut(row).block;
        for order in self.blocks.records::<Order>(*block, Section::Orders) {
            self.texts.release(order.categories());
            self.texts.release(order.channel());
        }
        attributes::release(&self.blocks, &mut self.texts, *block);
        activity::release(&mut self.blocks, &mut self.texts, block);
        self.blocks.destroy(*block);
        self.folded_intervals.remove(row);
        self.slab.release(row);
        self.compact();
    }

    /// Whether the event is a purchase whose order is remembered as of `at`, the later of clock and its time (O2).
    pub fn is_duplicate_order(&self, row: RowNumber, event: &Event<'_>, at: Millis) -> bool {
        let Some(order_id) = event.order_id.as_deref() else { return false };
        event.event_type == EventType::PURCHASE && orders::is_remembered(self.row(row), &self.blocks, order_id, at)
    }

    /// Whether the event is a refund, cancellation or amendment of an order, and its id is that of an earlier one which
    /// is remembered as of `at` (E3).
    pub fn is_duplicate_return(&self, row: RowNumber, event: &Event<'_>, at: Millis) -> bool {
        let (Some(order_id), Some(event_id)) = (event.order_id.as_deref(), event.event_id.as_deref()) else {
            return false;
        };
        event.event_type.is_about_known_orders()
            && orders::is_return_remembered(self.row(row), &self.blocks, order_id, event_id, at)
    }

    /// Applies an accepted event as of `at`, the later of the clock and its time. Changes neither the clock nor held
    /// values.
    #[inline(never)]
    pub fn update(
        &mut self,
        row: RowNumber,
        event: &Event<'_>,
        at: Millis,
        event_settings: &EventSettings,
    ) -> Overflow {
        self.touch(row);
        let Self { slab, blocks, texts, folded_intervals, .. } = self;
        let mut folding = Folding { row, intervals: &event_settings.intervals, folded: folded_intervals };
        let row = slab.get_mut(row);
        let (event_type, mut overflow) = (event.event_type, Overflow::default());
        update_row(row, event, event_settings);
        let cart = cart::concerns(event_type).then(|| CartChange::new(blocks, row.block, event, at));
        if event_settings.is_browsing(event_type) {
            overflow.hours = activity::browse(row, blocks, event_type, event.time, at, &mut folding);
        } else if event_settings.is_counted(event_type) {
            overflow.hours = activity::count(row, blocks, event_type, event.time, at, &mut folding);
        }
        if event_type == EventType::VIEW {
            overflow.categories = activity::count_views(blocks, texts, &mut row.block, event, at);
        } else if let Some(change) = cart {
            overflow.cart = change.write(blocks, &mut row.block);
            cart::refresh(row, blocks);
        } else if event_type.is_about_orders() {
            OrderChange { row, blocks, texts, at, overflow: &mut overflow, folding }.apply(event);
        }
        attributes::record_latest(blocks, &mut row.block, event_type, event.time);
        for (index, value) in &event.attributes {
            attributes::set(blocks, texts, &mut row.block, event.time, *index, value);
        }
        self.compact();
        overflow
    }

    /// Counts an event at `time` for each count of one's own that has a bit in `counts` (B8), as of `at` as above;
    /// returns how many of their hours were removed at the bound.
    #[inline(never)]
    pub fn count_own(&mut self, row: RowNumber, counts: u32, time: Millis, at: Millis, intervals: &[Interval]) -> u32 {
        self.touch(row);
        let Self { slab, blocks, folded_intervals, .. } = self;
        let mut folding = Folding { row, intervals, folded: folded_intervals };
        let removed = activity::count_own(slab.get_mut(row), blocks, counts, time, at, &mut folding);
        self.compact();
        removed
    }

    /// Removes what those counts of one's own that have a bit in `dropped` have counted.
    pub fn drop_own_counts(&mut self, row: RowNumber, dropped: u32) {
        self.touch(row);
        activity::drop_own(&mut self.blocks, &mut self.slab.get_mut(row).block, dropped);
        self.folded_intervals.drop_own(row, dropped);
        self.compact();
    }

    /// Lets a customer enter rules with other absolute intervals as of `at`. What `old` ones have counted stays
    /// counted; a new one counts what is remembered now, so everything older is folded into the old ones first.
    pub fn change_intervals(&mut self, row: RowNumber, at: Millis, old: &[Interval], new: &[Interval]) {
        if old == new && self.folded_intervals.of(row).is_empty() {
            return;
        }
        self.fold_past(row, at, old);
        self.folded_intervals.retain(row, new);
    }

    /// Forgets what was folded of intervals that are no longer in the rules.
    pub fn retain_intervals(&mut self, row: RowNumber, intervals: &[Interval]) {
        self.touch(row);
        self.folded_intervals.retain(row, intervals);
    }

    /// Folds all that is no longer remembered as of `at`.
    fn fold_past(&mut self, row: RowNumber, at: Millis, intervals: &[Interval]) {
        self.touch(row);
        let Self { slab, blocks, texts, folded_intervals, .. } = self;
        let mut folding = Folding { row, intervals, folded: folded_intervals };
        let row = slab.get_mut(row);
        activity::remove_past(blocks, &mut row.block, at, &mut folding);
        OrderChange { row, blocks, texts, at, overflow: &mut Overflow::default(), folding }.fold_old();
        self.compact();
    }

    /// Clears a chunk of blocks if too much of the blocks' memory is free.
    #[inline]
    fn compact(&mut self) {
        if self.blocks.should_clear() {
            self.clear_chunk();
        }
    }

    #[inline(never)]
    fn clear_chunk(&mut self) {
        let Some(chunk) = self.blocks.begin_clearing(&mut self.owners) else { return };
        for &(owner, _) in &self.owners {
            memory::prefetch(self.slab.get(owner));
        }
        for &(owner, granules) in &self.owners {
            let block = &mut self.slab.get_mut(owner).block;
            *block = self.blocks.move_away(*block, granules);
        }
        self.blocks.finish_clearing(chunk);
    }

    /// Replaces the content of `into` by the customer's held values, one per segmentation and audience. They are stored
    /// packed, so they cannot be borrowed.
    pub fn held(&self, row: RowNumber, into: &mut Vec<HeldValue>) {
        into.clear();
        into.extend(
            self.blocks.section(self.row(row).block, Section::HeldValues).iter().map(|&word| HeldValue::unpack(word)),
        );
    }

    /// The value of one segmentation or audience.
    #[inline]
    pub fn held_value(&self, row: RowNumber, target: usize) -> u16 {
        HeldValue::unpack(self.blocks.section(self.row(row).block, Section::HeldValues)[target]).value
    }

    /// The held values without their times: one byte each, 255 for null.
    pub fn held_bytes(&self, row: RowNumber) -> impl ExactSizeIterator<Item = u8> + use<'_> {
        self.blocks.section(self.row(row).block, Section::HeldValues).iter().map(|&word| HeldValue::byte_of(word))
    }

    /// Sets the held values. Their number may differ from before, with new rules.
    pub fn set_held(&mut self, row: RowNumber, held: &[HeldValue]) {
        self.touch(row);
        let block = &mut self.slab.get_mut(row).block;
        let known = self.blocks.count(*block, Section::HeldValues);
        if known != held.len() {
            self.blocks.splice(block, Section::HeldValues, 0, known, held.len());
        }
        let words = self.blocks.section_mut(*block, Section::HeldValues);
        for (word, value) in words.iter_mut().zip(held) {
            *word = value.pack();
        }
    }
}

/// Updates the fields of the row that every event changes.
fn update_row(row: &mut Row, event: &Event<'_>, event_settings: &EventSettings) {
    row.first_event = row.first_event.min(event.time);
    row.last_event_day = row.last_event_day.max((event.time / DAY) as u16);
    if event_settings.is_activity(event.event_type) {
        row.last_activity = row.last_activity.max(event.time);
    }
}
