//! A shard: partition *p* of every input topic with the state of the customers keyed to it.
//!
//! [`Shard::apply`] is the only way in; the same inputs in the same order give the same effects and the same digest,
//! live, in recovery, in replay and in tests. This file holds the entry point and the passes over a chunk of records.
//! From there an event goes through `process_event` (dropped, or applied to its customer), `evaluation` (what the
//! rules make of the customer) and `changes` (the changes that are recorded). Its data travels in parameters: an
//! `IncomingEvent`, an `Evaluation`, an `EvaluationContext`.

mod process_event;

mod create_customer;
mod deadlines;
mod remove_customer;
mod sweep;

mod census;
mod changes;
mod evaluation;
mod incoming;
mod transition;

mod counts;
mod customers;
mod digest;
mod forget;
mod marks;
mod time;

mod adopt;
mod capture;
mod restore;

pub use adopt::{Published, PublishedValue};
pub use capture::{Head, Part, SweepHead};
pub use census::Census;
pub use counts::action_counts::ActionCounts;
pub use marks::{Mark, StoredMark};
pub use restore::Restored;

use super::decode::{Decoder, Source};
use super::effects::{Effects, Rejected};
use super::event::{Event, Millis, Reason, Record, Rejection};
use super::profile::dedup::DuplicateMemory;
use super::profile::{Profiles, RowNumber};
use super::rule::{Rules, Target};
use super::timer::Wheel;
use customers::Customers;
use digest::{Digest, Verdict};
use incoming::{IdHash, IncomingEvent};
use std::sync::Arc;

/// What a shard is given when it is made, fixed for its life.
#[derive(Clone, Debug)]
pub struct Settings {
    pub source: Source,
    /// Evaluations before this moment are neither published nor numbered (R11).
    pub publish_from: Option<Millis>,
    /// What is published at that moment.
    pub bootstrap: Bootstrap,
}

/// What is published of every customer's values when publishing begins (R11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    Nothing,
    Membership,
    Changes,
}

/// Everything that can happen to a shard.
pub enum Input<'a> {
    /// Up to [`Shard::CHUNK`] records in their merged order (T7); `now` is the journalled wall clock.
    Records { now: Millis, records: &'a [Record<'a>] },
    /// A record that killed the process and is left out (E1, `crash`).
    Skipped(&'a Record<'a>),
    /// The wall clock (T3).
    Tick(Millis),
    /// New rules (R6), which must wait until the sweep of the previous ones has ended.
    Rules(Arc<Rules>),
    /// The rules in force, for a state that a rebuild made ([`Shard::adopt`]). They are swept in like new rules, but
    /// are not new to the customers, whose clocks move with changes only (R6).
    RulesAfterRebuild(Arc<Rules>),
    /// Evaluates up to this number of customers with new rules; `now` is the journalled wall clock.
    Sweep { now: Millis, customers: u32 },
    /// Fires the deadlines of up to this number of customers, those due up to the watermark, in order of deadline and
    /// row.
    Fire(u32),
    /// Reports what was counted for alerts in the minutes before this one, counted from 1970.
    Census(i64),
}

/// The state machine of one shard.
pub struct Shard {
    settings: Settings,
    /// The rules in force, and the decoder made of their settings.
    rules: Arc<Rules>,
    decoder: Decoder,
    /// The sweep of the rules in force, until it has ended.
    sweep: Option<sweep::Sweep>,
    customers: Customers,
    /// The customers' deadlines.
    wheel: Wheel,
    /// Event ids of the last hours (E3).
    duplicates: DuplicateMemory,
    marks: marks::Marks,
    forget: forget::ForgetQueue,
    time: time::ShardTime,
    census: Census,
    digest: Digest,
    capture: Option<capture::Capture>,
    /// Memory that is reused; it holds no data from one input to the next.
    buffers: evaluation::EvaluationBuffers,
    due: Vec<(RowNumber, Millis)>,
}

impl Shard {
    /// Records per pass: what fits the caches together with the rows that it prefetches.
    pub const CHUNK: usize = 256;

    /// A shard without customers, under its first rules.
    pub fn new(settings: Settings, rules: Arc<Rules>) -> Self {
        Self {
            settings,
            decoder: Decoder::new(&rules.event_settings),
            sweep: None,
            customers: Customers::new(Profiles::new(), 0, 0, Default::default()),
            wheel: Wheel::new(0, Millis::MIN),
            duplicates: DuplicateMemory::new(
                rules.event_settings.dedup_horizon_hours,
                rules.event_settings.dedup_max_ids,
            ),
            marks: marks::Marks::default(),
            forget: forget::ForgetQueue::default(),
            time: time::ShardTime::UNKNOWN,
            census: Census::new(&rules),
            digest: Digest::default(),
            capture: None,
            buffers: Default::default(),
            due: Vec::new(),
            rules,
        }
    }

    /// Applies one input and adds what follows from it to `effects`.
    ///
    /// # Panics
    /// If there are more than [`Shard::CHUNK`] records, or if new rules come during a sweep: both are faults of the
    /// caller.
    #[inline(never)]
    pub fn apply(&mut self, input: Input<'_>, effects: &mut Effects) {
        let rules = Arc::clone(&self.rules);
        match input {
            Input::Records { now, records } => {
                self.time.now = self.time.now.max(now);
                self.apply_records(&rules, records, effects);
            }
            Input::Skipped(record) => self.skip(record, effects),
            Input::Tick(wall_clock) => self.tick(wall_clock),
            Input::Rules(rules) => sweep::begin_sweep(self, rules, true),
            Input::RulesAfterRebuild(rules) => sweep::begin_sweep(self, rules, false),
            Input::Sweep { now, customers } => {
                self.time.now = self.time.now.max(now);
                self.sweep(&rules, customers, effects);
            }
            Input::Fire(customers) => deadlines::fire(self, &rules, customers as usize, effects),
            Input::Census(minute) => census::report(self, minute, effects),
        }
    }

    /// Three passes, so that the memory that a record needs is on its way while others are worked on: decode and
    /// prefetch the index; find the row and prefetch it; prefetch the row's variable part. Then the events are
    /// processed in order.
    fn apply_records(&mut self, rules: &Rules, records: &[Record<'_>], effects: &mut Effects) {
        assert!(records.len() <= Self::CHUNK, "{} records in one chunk, at most {}", records.len(), Self::CHUNK);
        let mut decoded = Vec::new();
        decoded.resize_with(records.len(), || Decoded::EMPTY);
        for (record, decoded) in records.iter().zip(&mut decoded) {
            match self.decoder.decode_into(record, &self.settings.source, self.time.now, &mut decoded.event) {
                Ok(()) => {
                    decoded.customer_hash = Profiles::hash(decoded.event.customer_id.as_bytes());
                    self.customers.profiles.prefetch_slot(decoded.customer_hash);
                }
                Err(rejection) => decoded.rejection = Some(rejection),
            }
        }
        for decoded in decoded.iter_mut().filter(|decoded| decoded.rejection.is_none()) {
            decoded.row = self.customers.profiles.prefetch_row(decoded.customer_hash);
        }
        for Decoded { event, customer_hash, row, id_hash, .. } in &mut decoded {
            if let Some(row) = row {
                *id_hash = self.prefetch_state(event, *customer_hash, *row);
            }
        }
        for (index, (decoded, record)) in decoded.iter().zip(records).enumerate() {
            match &decoded.rejection {
                None => {
                    let Decoded { event, customer_hash, row, id_hash, .. } = decoded;
                    let arrival = self.time.arrival(record, &rules.event_settings);
                    let (customer_hash, expected_row, id_hash) = (*customer_hash, *row, *id_hash);
                    let incoming = IncomingEvent { record, event, customer_hash, expected_row, id_hash, arrival };
                    process_event::process_event(self, rules, &incoming, effects);
                }
                Some(rejection) => self.reject(record, index, rejection, effects),
            }
        }
        effects.counts.records += records.len() as u64;
    }

    /// Returns the hash of the event's id, if the row is that of its customer.
    #[inline]
    fn prefetch_state(&self, event: &Event<'_>, customer_hash: u64, row: RowNumber) -> Option<IdHash> {
        let profiles = &self.customers.profiles;
        profiles.prefetch_blocks(row);
        let id_hash = IdHash::new(event, customer_hash, profiles.row(row).incarnation)?;
        self.duplicates.prefetch(id_hash.hash);
        Some(id_hash)
    }

    fn reject(&mut self, record: &Record<'_>, index: usize, rejection: &Rejection, effects: &mut Effects) {
        effects.counts.rejected[rejection.reason as usize] += 1;
        let message = effects.keep(&rejection.message);
        effects.rejected.push(Rejected {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            reason: rejection.reason,
            message,
            record: index as u32,
            detected_at: self.time.now,
        });
        self.digest.input(record.offset, Verdict::Rejected(rejection.reason), 0, 0);
    }

    fn skip(&mut self, record: &Record<'_>, effects: &mut Effects) {
        let message = "the process ended every time this record was applied, even when it was applied alone";
        self.reject(record, 0, &Rejection { reason: Reason::Crash, message: message.into() }, effects);
        effects.counts.records += 1;
    }

    fn tick(&mut self, wall_clock: Millis) {
        self.time.now = self.time.now.max(wall_clock);
        self.raise_watermark(wall_clock);
        self.digest.input(wall_clock, Verdict::Tick, self.time.watermark, 0);
    }

    /// Evaluates the next `customers` with the new rules.
    fn sweep(&mut self, rules: &Rules, customers: u32, effects: &mut Effects) {
        for _ in 0..customers {
            let Some(sweep) = &mut self.sweep else { return };
            let Some(row) = self.customers.profiles.next_row(sweep.next_row) else {
                self.sweep = None;
                return;
            };
            sweep.next_row = row + 1;
            if !self.customers.is_swept(row) {
                deadlines::sweep_customer(self, rules, row, effects);
            }
        }
    }

    /// Raises the watermark by an accepted event or a tick at `moment` (T3), and drops what no later event can need.
    fn raise_watermark(&mut self, moment: Millis) {
        if self.time.raise_watermark(moment - self.rules.event_settings.grace) {
            self.duplicates.expire(self.time.hour());
            self.marks.expire(self.time.watermark);
        }
    }
}

/// A record between the passes.
struct Decoded<'a> {
    event: Event<'a>,
    rejection: Option<Rejection>,
    customer_hash: u64,
    /// The first row that the index has for the hash.
    row: Option<RowNumber>,
    id_hash: Option<IdHash>,
}

impl Decoded<'_> {
    const EMPTY: Self = Self { event: Event::EMPTY, rejection: None, customer_hash: 0, row: None, id_hash: None };
}

/// What can be asked of a shard.
impl Shard {
    /// A hash of all inputs with their verdicts, and of all outputs except for the time of their detection.
    pub fn digest(&self) -> u64 {
        self.digest.value()
    }

    /// Deadlines up to this moment may fire (T3); [`Millis::MIN`] before the first accepted event or tick.
    pub fn watermark(&self) -> Millis {
        self.time.watermark
    }

    /// The latest time of an accepted event, if there was one.
    pub fn latest_event(&self) -> Option<Millis> {
        (self.time.latest_event != Millis::MIN).then_some(self.time.latest_event)
    }

    /// A moment before which no deadline is due; `None` without any deadline.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.wheel.next_due()
    }

    /// Whether deadlines are due that have yet to fire ([`Input::Fire`]).
    pub fn has_due(&self) -> bool {
        self.next_deadline().is_some_and(|deadline| deadline <= self.time.watermark)
    }

    /// Whether customers have yet to be evaluated with the rules in force ([`Input::Sweep`]).
    pub fn sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// The minute to be reported now ([`Input::Census`]): once per minute of the watermark, after all deadlines before
    /// it have fired.
    pub fn census_due(&self) -> Option<i64> {
        if self.has_due() { None } else { self.census.due(&self.rules, self.time.watermark) }
    }

    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The previous rules, while customers have yet to be evaluated with the rules in force.
    pub fn old_rules(&self) -> Option<&Rules> {
        self.sweep.as_ref().map(|sweep| &*sweep.old_rules)
    }

    /// The customers' state, for reading.
    pub fn profiles(&self) -> &Profiles {
        &self.customers.profiles
    }

    /// The row of the customer with this id.
    pub fn find(&self, id: &str) -> Option<RowNumber> {
        self.profiles().find(Profiles::hash(id.as_bytes()), id)
    }

    /// How far back event ids are really remembered: less than the horizon when there are too many (E3).
    pub fn duplicates(&self) -> &DuplicateMemory {
        &self.duplicates
    }

    /// Entries of the wheel, stale ones too, and the memory that they take.
    pub fn timers(&self) -> (usize, usize) {
        (self.wheel.len(), self.wheel.bytes())
    }

    /// How many customers have a deadline within this time of the watermark, or a late one; up to 17.5 minutes more.
    pub fn due_within(&self, ms: Millis) -> u64 {
        self.customers.counts.deadlines.until(self.time.watermark.saturating_add(ms))
    }

    /// Calls `f` with each value of each target, null included, and the number of customers that hold it. During a
    /// sweep the customers that it has not reached are counted under the targets of the previous rules, so a caller
    /// that adds up must do so by names.
    pub fn member_counts(&self, mut f: impl FnMut(&Target, u16, u32)) {
        self.customers.counts.swept.for_each(&self.rules, &mut f);
        if let Some(sweep) = &self.sweep {
            self.customers.counts.unswept.for_each(&sweep.old_rules, &mut f);
        }
    }

    /// Calls `f` with the customers' actions since the last call, by each value held before them, null included. Must
    /// be called before new rules are applied, which drop the counts.
    pub fn take_actions(&mut self, f: impl FnMut(&Target, u16, ActionCounts)) {
        self.customers.actions.take(&self.rules, f);
    }
}
