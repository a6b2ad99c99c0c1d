//! A shard: partition *p* of every input topic with the state of the customers keyed to it.
//!
//! [`Shard::apply`] is the only way in; the same inputs in the same order give the same effects and the same digest,
//! live, in recovery, in replay and in tests. This file holds the door, the three passes over a chunk of records and
//! the firing of deadlines; an event's own path is in `admit`, evaluation in `evaluate`, new rules in `sweep`, the end
//! of a customer in `leave`.

mod admit;
mod adopt;
mod agenda;
mod capture;
mod census;
mod deeds;
mod digest;
mod evaluate;
mod forget;
mod leave;
mod marks;
mod members;
mod restore;
mod sweep;

pub use adopt::{Published, PublishedValue};
pub use capture::{Head, Part, SweepHead};
pub use census::Census;
pub use deeds::Deeds;
pub use marks::{Mark, StoredMark};
pub use restore::Restored;

use super::decode::{Decoder, Source};
use super::effects::{Effects, Trigger};
use super::event::{Event, EventType, HOUR, Millis, Reason, Record, Rejection};
use super::profile::dedup::DuplicateMemory;
use super::profile::{HeldValue, Profiles, RowNumber};
use super::rule::{Decision, ForecastScratch, Rules, Truths};
use super::timer::Wheel;
use digest::{Digest, Verdict};
use std::sync::Arc;

/// How a shard is told what it is; fixed for its life.
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
    /// New rules (R6); taken only when the sweep of the ones before has ended.
    Rules(Arc<Rules>),
    /// Evaluates up to so many customers with new rules.
    Sweep(u32),
    /// Brings the first so many customers with a deadline that is due up to the watermark, in order of deadline and row.
    Fire(u32),
    /// Hands out what was counted for alerts in the minutes before this one, counted from 1970.
    Census(i64),
}

/// The state machine of one shard.
pub struct Shard {
    settings: Settings,
    rules: Arc<Rules>,
    decoder: Decoder,
    profiles: Profiles,
    duplicates: DuplicateMemory,
    marks: marks::Marks,
    forget: forget::ForgetQueue,
    wheel: Wheel,
    /// What is counted of the customers beside their state.
    members: members::Members,
    agenda: agenda::Agenda,
    deeds: deeds::DeedsByValue,
    watermark: Millis,
    now: Millis,
    latest_event: Millis,
    customers_made: u32,
    sweep: Option<sweep::Sweep>,
    capture: Option<capture::Capture>,
    /// Counts rules taken; a row with another number has yet to be swept.
    generation: u8,
    census: Census,
    digest: Digest,
    scratch: Work,
}

/// Buffers of evaluations, kept to spare allocations.
#[derive(Default)]
struct Work {
    before: Truths,
    after: Truths,
    decided: Vec<Decision>,
    /// All values held before the evaluation, and after it.
    held: Vec<HeldValue>,
    held_after: Vec<HeldValue>,
    forecast: ForecastScratch,
    due: Vec<(RowNumber, Millis)>,
    /// When the event that is being applied came, for [`Census`]; [`Millis::MIN`] where there is none.
    arrived: Millis,
}

impl Shard {
    /// Records per pass: what fits the caches together with the rows it prefetches.
    pub const CHUNK: usize = 256;

    /// A shard without customers, under its first rules.
    pub fn new(settings: Settings, rules: Arc<Rules>) -> Self {
        Self {
            decoder: Decoder::new(&rules.event_settings),
            census: Census::new(&rules),
            duplicates: DuplicateMemory::new(
                rules.event_settings.dedup_horizon_hours,
                rules.event_settings.dedup_max_ids,
            ),
            settings,
            rules,
            profiles: Profiles::new(),
            marks: marks::Marks::default(),
            forget: forget::ForgetQueue::default(),
            wheel: Wheel::new(0, Millis::MIN),
            members: members::Members::default(),
            agenda: agenda::Agenda::default(),
            deeds: deeds::DeedsByValue::default(),
            watermark: Millis::MIN,
            now: Millis::MIN,
            latest_event: Millis::MIN,
            customers_made: 0,
            sweep: None,
            capture: None,
            generation: 0,
            digest: Digest::default(),
            scratch: Work::default(),
        }
    }

    /// Applies one input and adds what follows from it to `effects`.
    ///
    /// # Panics
    /// If more than [`Shard::CHUNK`] records come at once, or new rules during a sweep: the caller is broken.
    pub fn apply(&mut self, input: Input<'_>, effects: &mut Effects) {
        self.scratch.arrived = Millis::MIN;
        match input {
            Input::Records { now, records } => {
                self.now = self.now.max(now);
                self.apply_records(records, effects);
            }
            Input::Skipped(record) => {
                let message = "the process ended each time it came to this record, also when it was tried alone";
                self.reject(record, 0, &Rejection { reason: Reason::Crash, message: message.into() }, effects);
                effects.counts.records += 1;
            }
            Input::Tick(wall_clock) => {
                self.now = self.now.max(wall_clock);
                self.raise_watermark(wall_clock);
                self.digest.input(wall_clock, Verdict::Tick, self.watermark, 0);
            }
            Input::Rules(rules) => self.take_rules(rules),
            Input::Sweep(customers) => self.sweep(customers, effects),
            Input::Fire(deadlines) => self.fire(deadlines as usize, effects),
            Input::Census(mark) => self.make_report(mark, effects),
        }
    }

    /// A hash of all inputs with their verdicts and of all outputs but for the time of their detection.
    pub fn digest(&self) -> u64 {
        self.digest.value()
    }

    /// Deadlines up to this moment may fire (T3); the smallest [`Millis`] before the first accepted event or tick.
    pub fn watermark(&self) -> Millis {
        self.watermark
    }

    /// The latest time of an accepted event, if there was one.
    pub fn latest_event(&self) -> Option<Millis> {
        (self.latest_event != Millis::MIN).then_some(self.latest_event)
    }

    /// A moment before which no deadline is due; `None` without any deadline.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.wheel.next_due()
    }

    /// Whether deadlines are due that have yet to fire ([`Input::Fire`]).
    pub fn has_due(&self) -> bool {
        self.next_deadline().is_some_and(|deadline| deadline <= self.watermark)
    }

    /// Whether customers have yet to be evaluated with the rules taken last ([`Input::Sweep`]).
    pub fn sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// The rules before, while customers have yet to be evaluated with the new ones.
    pub fn old_rules(&self) -> Option<&Rules> {
        self.sweep.as_ref().map(|sweep| &*sweep.old)
    }

    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The customers' state, to read.
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// The row of the customer of this id.
    pub fn find(&self, id: &str) -> Option<RowNumber> {
        self.profiles.find(Profiles::hash(id.as_bytes()), id)
    }

    /// Entries of the wheel, stale ones too, and the memory they take.
    pub fn timers(&self) -> (usize, usize) {
        (self.wheel.len(), self.wheel.bytes())
    }

    /// How far back event ids are really remembered: less than the horizon when there are too many (E3).
    pub fn duplicates(&self) -> &DuplicateMemory {
        &self.duplicates
    }

    /// Three passes, so that the memory a record needs is on its way while others are worked on: decode and prefetch
    /// the index; find the row and prefetch it; prefetch the row's variable parts; update.
    fn apply_records(&mut self, records: &[Record<'_>], effects: &mut Effects) {
        assert!(records.len() <= Self::CHUNK, "{} records in one chunk, at most {}", records.len(), Self::CHUNK);
        let mut decoded = Vec::with_capacity(records.len());
        for record in records {
            let event = self.decoder.decode(record, &self.settings.source, self.now);
            let hash = event.as_ref().map_or(0, |event| Profiles::hash(event.customer_id.as_bytes()));
            self.profiles.prefetch_slot(hash);
            decoded.push((event, hash, None));
        }
        for (_, hash, row) in &mut decoded {
            *row = self.profiles.prefetch_row(*hash);
        }
        for (event, hash, row) in &decoded {
            if let Some(row) = *row {
                self.profiles.prefetch_blocks(row);
                if let Some(id) = event.as_ref().ok().and_then(|event| event.event_id.as_deref()) {
                    self.duplicates.prefetch(duplicate_hash(*hash, self.profiles.row(row).incarnation, id));
                }
            }
        }
        for (place, ((event, hash, _), record)) in decoded.iter().zip(records).enumerate() {
            match event {
                Ok(event) => self.admit(record, event, *hash, effects),
                Err(rejection) => self.reject(record, place, rejection, effects),
            }
        }
        effects.counts.records += records.len() as u64;
    }

    fn reject(&mut self, record: &Record<'_>, place: usize, rejection: &Rejection, effects: &mut Effects) {
        effects.counts.rejected[rejection.reason as usize] += 1;
        let message = effects.keep(&rejection.message);
        effects.rejected.push(super::effects::Rejected {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            reason: rejection.reason,
            message,
            record: place as u32,
            detected_at: self.now,
        });
        self.digest.input(record.offset, Verdict::Rejected(rejection.reason), 0, 0);
    }

    /// Raises the watermark by an accepted event or tick at `moment` (T3).
    fn raise_watermark(&mut self, moment: Millis) {
        let candidate = moment - self.rules.event_settings.grace;
        if candidate <= self.watermark {
            return;
        }
        let hour_before = self.watermark.div_euclid(HOUR);
        self.watermark = candidate;
        if candidate.div_euclid(HOUR) != hour_before {
            self.duplicates.expire(candidate.div_euclid(HOUR));
            self.marks.expire(candidate);
        }
    }

    /// Handles the first `customers` that are due. Wheel entries that are stale, because the customer's deadline was
    /// handled or moved since, do not count: so which ones it are follows from the state alone, and not from how the
    /// wheel came to look as it does.
    fn fire(&mut self, customers: usize, effects: &mut Effects) {
        let mut due = std::mem::take(&mut self.scratch.due);
        let mut left = customers;
        while left > 0 {
            due.clear();
            self.wheel.advance(self.watermark, left, |row| self.profiles.row(row).armed, &mut due);
            if due.is_empty() {
                break;
            }
            for (ahead, &(row, at)) in due.iter().enumerate() {
                if let Some(&(next, _)) = due.get(ahead + 8) {
                    self.profiles.prefetch_number(next);
                }
                if self.profiles.row(row).armed == at {
                    self.catch_up(row, self.watermark, effects);
                    left -= 1;
                }
            }
        }
        self.scratch.due = due;
    }

    /// Fires a customer's deadlines up to `until`, each at its own instant, in order (T4, T6).
    fn catch_up(&mut self, row: RowNumber, until: Millis, effects: &mut Effects) {
        self.sweep_customer(row, effects);
        while self.profiles.row(row).armed <= until {
            self.fire_deadline(row, effects);
        }
    }

    /// Moves a customer's deadline forward if `deadline` comes before the one that is armed. A later one needs nothing:
    /// when the armed one fires, the next is computed afresh.
    fn arm(&mut self, row: RowNumber, deadline: Millis) {
        if deadline < self.profiles.row(row).armed {
            self.set_armed(row, deadline);
            self.wheel.insert(row, deadline);
        }
    }
}

/// The hash under which an event id of a customer is remembered. The incarnation makes an erasure forget them (E3).
fn duplicate_hash(customer: u64, incarnation: u32, event_id: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(
        event_id.as_bytes(),
        customer ^ (u64::from(incarnation) << 32 | u64::from(incarnation)),
    )
}

/// The trigger of changes caused by an event.
fn trigger_of(record: &Record<'_>, event: &Event<'_>, rules: &Rules, effects: &mut Effects) -> Trigger {
    Trigger {
        topic: record.topic,
        partition: record.partition,
        offset: record.offset,
        event_id: event.event_id.as_deref().map(|id| effects.keep(id)),
        event_type: effects.keep(rules.event_settings.type_name(event.event_type)),
        time: event.time,
    }
}

/// Whether an event of this type tells only about the customer's right to be known (E3, R3).
fn is_about_consent(event_type: EventType) -> bool {
    matches!(event_type, EventType::ERASE | EventType::OPT_OUT | EventType::OPT_IN)
}
