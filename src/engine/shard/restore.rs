//! A shard made of what was stored of it, and the fingerprint by which two shards are compared.

use super::agenda::Agenda;
use super::capture::{Head, SweepHead};
use super::digest::Digest;
use super::members::Members;
use super::sweep::Sweep;
use super::{Settings, Shard, StoredMark, marks};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::dedup::DuplicateMemory;
use crate::engine::profile::{Detail, Draft, Profiles, RowNumber, TextReference};
use crate::engine::rule::Rules;
use crate::engine::timer::Wheel;
use std::sync::Arc;

/// Customers, ids and marks of a shard in the making.
pub struct Restored {
    profiles: Profiles,
    duplicates: DuplicateMemory,
    marks: marks::Marks,
    /// Texts taken for drafts.
    texts: Vec<TextReference>,
    /// The number of the rules in force, customers that were evaluated with them, and those who wait for a sweep.
    generation: u8,
    members: Members,
    unswept: Members,
    agenda: Agenda,
}

impl Restored {
    /// Nothing yet, with room for what the head says.
    pub fn new(head: &Head) -> Self {
        Self {
            profiles: Profiles::with_room(head.customers, head.rows_used),
            duplicates: DuplicateMemory::restored(&head.ids),
            marks: marks::Marks::default(),
            texts: Vec::new(),
            generation: head.generation,
            members: Members::default(),
            unswept: Members::default(),
            agenda: Agenda::default(),
        }
    }

    /// The reference of a text, for drafts.
    pub fn text(&mut self, text: &str) -> TextReference {
        let reference = self.profiles.take_text(text);
        self.texts.push(reference);
        reference
    }

    /// The reference of a set of categories, for orders; 0 for an empty one.
    pub fn text_set<'t>(&mut self, categories: impl Iterator<Item = &'t str>) -> TextReference {
        let reference = self.profiles.take_text_set(categories);
        self.texts.push(reference);
        reference
    }

    /// Puts a customer into a row.
    ///
    /// # Panics
    /// If the row is taken, or not below the head's `rows_used`; or the id is empty or over 256 bytes.
    pub fn add(&mut self, row: RowNumber, id: &str, draft: &Draft) {
        self.profiles.restore(row, id, draft);
        let is_swept = draft.row.generation == self.generation;
        let members = if is_swept { &mut self.members } else { &mut self.unswept };
        members.enter(draft.held());
        self.agenda.add(draft.row.armed);
    }

    /// Says that a customer of this id is added soon: its place in the index is on its way meanwhile.
    pub fn expect(&self, id: &str) {
        self.profiles.prefetch_cell(Profiles::hash(id.as_bytes()));
    }

    /// Whether a row was filled.
    pub fn has(&self, row: RowNumber) -> bool {
        self.profiles.is_live(row)
    }

    /// Customers so far.
    pub fn customers(&self) -> usize {
        self.profiles.len()
    }

    /// Adds ids to an hour, in the order in which they were accepted. Hours that the head does not list are left out.
    pub fn add_ids(&mut self, hour: i64, ids: impl Iterator<Item = u64>) {
        self.duplicates.restore(hour, ids);
    }

    /// Adds a mark; the latest of a customer counts.
    pub fn add_mark(&mut self, mark: StoredMark) {
        self.marks.restore(mark);
    }

    /// Ids remembered so far, by hour, as the head should list them.
    pub fn ids(&self) -> Vec<(i64, u64)> {
        self.duplicates.head().hours
    }
}

impl Shard {
    /// A shard that stands where the head says. `old_rules` are those before, if a sweep goes on.
    ///
    /// # Panics
    /// If a sweep goes on and there are no old rules.
    pub fn restore(
        settings: Settings,
        rules: Arc<Rules>,
        old_rules: Option<Arc<Rules>>,
        head: &Head,
        restored: Restored,
    ) -> Self {
        let settings = Settings { publish_from: head.publish_from, bootstrap: head.bootstrap, ..settings };
        let Restored { mut profiles, mut duplicates, mut marks, texts, members, unswept, agenda, .. } = restored;
        texts.into_iter().for_each(|reference| profiles.release_text(reference));
        profiles.end_restore();
        duplicates.set_bounds(rules.meaning.dedup_horizon_hours, rules.meaning.dedup_max_ids);
        duplicates.set_stored(duplicates.progress());
        marks.expire(head.watermark);
        let mut wheel = Wheel::new(0, head.watermark);
        for row in profiles.rows() {
            let armed = profiles.row(row).armed;
            if armed != NEVER {
                wheel.insert(row, armed);
            }
        }
        let old_rules = |SweepHead { at, next_row }: SweepHead| Sweep {
            old: old_rules.expect("a sweep has rules that were before"),
            at,
            next_row,
            members: unswept,
        };
        Self {
            profiles,
            duplicates,
            marks,
            wheel,
            members,
            agenda,
            watermark: head.watermark,
            now: head.now,
            latest_event: head.latest_event,
            customers_made: head.customers_made,
            sweep: head.sweep.map(old_rules),
            generation: head.generation,
            digest: Digest::from(head.digest),
            ..Self::new(settings, rules)
        }
    }

    /// A hash of the whole state, down to every record of every customer, but for what costs memory only. Equal for a
    /// shard and what is restored of it.
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
            self.profiles.fingerprint(Detail::All) as Millis,
            self.duplicates.fingerprint() as Millis,
            self.marks.fingerprint(self.watermark) as Millis,
        ];
        let bytes: Vec<u8> = words.into_iter().flat_map(Millis::to_le_bytes).collect();
        xxhash_rust::xxh3::xxh3_64(&bytes)
    }

    /// A hash of what is known of all customers and held for them, whatever rows they are in and however the inputs were
    /// cut into steps: equal for two shards that were told the same events.
    pub fn knowledge(&self) -> u64 {
        self.profiles.fingerprint(Detail::Known) ^ self.marks.fingerprint(self.watermark)
    }
}
