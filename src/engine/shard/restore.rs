//! Restores a shard from what was stored of it, and the fingerprint by which two shards are compared.

use super::capture::{Head, SweepHead};
use super::counts::CustomerCounts;
use super::customers::Customers;
use super::digest::Digest;
use super::sweep::{Sweep, ended_counts};
use super::time::ShardTime;
use super::{Settings, Shard, StoredMark, marks};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::dedup::DuplicateMemory;
use crate::engine::profile::{CustomerBuilder, FingerprintScope, Profiles, RowNumber, TextReference};
use crate::engine::rule::Rules;
use crate::engine::timer::Wheel;
use std::sync::Arc;

/// Customers, ids and marks of a shard that is being restored.
pub struct Restored {
    profiles: Profiles,
    duplicates: DuplicateMemory,
    marks: marks::Marks,
    wheel: Wheel,
    /// References of texts, held until all customers are added.
    texts: Vec<TextReference>,
    /// The number of the rules in force.
    generation: u8,
    counts: CustomerCounts,
    /// Customers that are not in the index yet, by the hashes of their ids.
    to_enter: Vec<(u64, RowNumber)>,
}

/// Customers entered into the index at once.
const ENTERED_AT_ONCE: usize = 2_048;

impl Restored {
    /// Begins a restoration, with room for the number of customers that the head gives.
    pub fn new(head: &Head) -> Self {
        Self {
            profiles: Profiles::with_capacity(head.customers, head.rows_used),
            duplicates: DuplicateMemory::restored(&head.ids),
            marks: marks::Marks::default(),
            wheel: Wheel::new(0, head.watermark),
            texts: Vec::new(),
            generation: head.generation,
            counts: CustomerCounts::default(),
            to_enter: Vec::with_capacity(ENTERED_AT_ONCE),
        }
    }

    /// The reference of a text, for the customers that are added.
    pub fn text(&mut self, text: &str) -> TextReference {
        let reference = self.profiles.intern_text(text);
        self.texts.push(reference);
        reference
    }

    /// The reference of the texts of an attribute; 0 for an empty set.
    pub fn texts<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> TextReference {
        let reference = self.profiles.intern_texts(texts);
        self.texts.push(reference);
        reference
    }

    /// The reference of a set of categories, for orders; 0 for an empty set.
    pub fn text_set<'t>(&mut self, categories: impl Iterator<Item = &'t str>) -> TextReference {
        let reference = self.profiles.intern_text_set(categories);
        self.texts.push(reference);
        reference
    }

    /// Adds a customer in a row; the builder was begun with its id.
    ///
    /// # Panics
    /// If the row is taken, or not below the head's `rows_used`.
    pub fn add(&mut self, row: RowNumber, id: &str, builder: &CustomerBuilder) {
        self.profiles.restore(row, builder);
        let is_swept = builder.row.generation == self.generation;
        self.counts.members(is_swept).add(builder.held());
        self.counts.deadlines.add(builder.row.armed);
        if builder.row.armed != NEVER {
            self.wheel.insert(row, builder.row.armed);
        }
        self.to_enter.push((Profiles::hash(id.as_bytes()), row));
        if self.to_enter.len() == ENTERED_AT_ONCE {
            self.enter();
        }
    }

    fn enter(&mut self) {
        self.profiles.index_restored(&self.to_enter);
        self.to_enter.clear();
    }

    /// Customers added so far.
    pub fn customers(&self) -> usize {
        self.profiles.len() + self.to_enter.len()
    }

    /// Adds ids of an hour in the order in which they were accepted. Hours that the head does not list are ignored.
    pub fn add_ids(&mut self, hour: i64, ids: impl Iterator<Item = u64>) {
        self.duplicates.restore(hour, ids);
    }

    /// Adds a mark; the latest mark of a customer counts.
    pub fn add_mark(&mut self, mark: StoredMark) {
        self.marks.restore(mark);
    }

    /// How many ids were added, by hour, as the head should list them.
    pub fn ids(&self) -> Vec<(i64, u64)> {
        self.duplicates.head().hours
    }
}

impl Shard {
    /// A shard in the state that the head describes. `old_rules` are the previous rules, needed during a sweep.
    ///
    /// # Panics
    /// If a sweep has not ended and there are no old rules.
    pub fn restore(
        settings: Settings,
        rules: Arc<Rules>,
        old_rules: Option<Arc<Rules>>,
        head: &Head,
        mut restored: Restored,
    ) -> Self {
        restored.enter();
        let settings = Settings { publish_from: head.publish_from, bootstrap: head.bootstrap, ..settings };
        let Restored { mut profiles, mut duplicates, mut marks, wheel, texts, counts, .. } = restored;
        texts.into_iter().for_each(|reference| profiles.release_text(reference));
        profiles.end_restore();
        duplicates.set_bounds(rules.event_settings.dedup_horizon_hours, rules.event_settings.dedup_max_ids);
        duplicates.set_stored(duplicates.progress());
        marks.expire(head.watermark);
        let sweep = |SweepHead { at, next_row, moves_clocks }: SweepHead| {
            let old_rules = old_rules.expect("a sweep has old rules");
            Sweep { ended_counts: ended_counts(&rules, &old_rules), old_rules, at, next_row, moves_clocks }
        };
        Self {
            customers: Customers::new(profiles, head.generation, head.customers_made, counts),
            duplicates,
            marks,
            wheel,
            time: ShardTime::new(head.watermark, head.now, head.latest_event),
            sweep: head.sweep.map(sweep),
            census: head.census.clone(),
            digest: Digest::from(head.digest),
            ..Self::new(settings, rules)
        }
    }

    /// A hash of the whole state, down to every record of every customer, but without what only affects memory. It is
    /// equal for a shard and for the shard restored from its captures.
    pub fn fingerprint(&self) -> u64 {
        let Head { watermark, now, latest_event, customers_made, generation, digest, ids, .. } = self.head();
        let sweep = self.sweep.as_ref().map_or(0, |sweep| sweep.at ^ Millis::from(sweep.next_row) << 1 | 1);
        let words = [
            watermark,
            now,
            latest_event,
            Millis::from(customers_made),
            Millis::from(generation),
            digest as Millis,
            ids.latest_hour,
            ids.lost_hour.unwrap_or(Millis::MIN),
            sweep,
            self.customers.profiles.fingerprint(FingerprintScope::All) as Millis,
            self.duplicates.fingerprint() as Millis,
            self.marks.fingerprint(self.time.watermark) as Millis,
        ];
        let bytes: Vec<u8> = words.into_iter().flat_map(Millis::to_le_bytes).collect();
        xxhash_rust::xxh3::xxh3_64(&bytes) ^ self.census.fingerprint()
    }

    /// A hash of what is known of all customers and of the values they hold, whatever their rows are and however the
    /// inputs were divided into steps: it is equal for two shards that processed the same events.
    pub fn knowledge(&self) -> u64 {
        self.customers.profiles.fingerprint(FingerprintScope::Customers) ^ self.marks.fingerprint(self.time.watermark)
    }
}
