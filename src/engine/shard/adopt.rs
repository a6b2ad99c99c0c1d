//! A state that was made anew from the inputs takes over what consumers were told of each customer.
//!
//! Values, since when, life and sequence become those that were published, whatever the inputs would give now. They stand
//! in rules that know no more than their names; the rules in force come next, as new rules do, and their sweep publishes
//! what differs, numbered on (R6). A customer of whom only what was published is known gets a row without events: the
//! sweep ends it.

use super::digest::Verdict;
use super::evaluate::name_of;
use super::{Bootstrap, Census, Shard};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::{HeldValue, Profiles, RowNumber};
use crate::engine::rule::{Rules, Target};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was last published of a customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    pub life: Millis,
    pub sequence: u32,
    pub effective_at: Millis,
    pub values: Vec<PublishedValue>,
}

/// The value of one segmentation or audience; one without a value is not listed.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedValue {
    pub name: Arc<str>,
    pub is_audience: bool,
    /// The segment; `in` or `out`.
    pub value: Arc<str>,
    pub since: Millis,
}

impl Shard {
    /// Holds for each customer what was published of it. `names` are rules with the same event settings that have a place for
    /// each value that was published and for each that is held now; `moment` tells two such states of one journal apart.
    pub fn adopt(&mut self, names: &Arc<Rules>, mut published: BTreeMap<Box<str>, Published>, moment: Millis) {
        let rows: Vec<RowNumber> = self.profiles.rows().collect();
        let mut held = Vec::new();
        for row in rows {
            match published.remove(self.profiles.id(row)) {
                Some(published) => self.hold_published(row, &published, names, &mut held),
                None => self.hold_unpublished(row, names, &mut held),
            }
        }
        for (id, published) in published {
            let row = self.profiles.create(Profiles::hash(id.as_bytes()), &id, names.targets.len());
            self.customers_made = self.customers_made.wrapping_add(1);
            let incarnation = self.customers_made;
            let new = self.profiles.row_mut(row);
            new.clock = published.effective_at;
            new.incarnation = incarnation;
            self.hold_published(row, &published, names, &mut held);
        }
        self.rules = Arc::clone(names);
        self.sweep = None;
        self.count_anew();
        // What was told before is not known.
        self.census = Census::default();
        self.digest.input(moment, Verdict::Adopted, self.watermark, self.profiles.len() as Millis);
    }

    fn hold_published(&mut self, row: RowNumber, published: &Published, names: &Rules, held: &mut Vec<HeldValue>) {
        let Published { life, sequence, effective_at, .. } = *published;
        held.clear();
        held.extend(names.targets.iter().map(|target| held_of(target, published)));
        self.profiles.set_held(row, held);
        let known = self.profiles.row_mut(row);
        known.clock = known.clock.max(effective_at);
        (known.life, known.sequence, known.muted) = (life, sequence, false);
        (known.armed, known.generation) = (NEVER, self.generation);
    }

    /// A customer of whom nothing was published begins now, with a life that no other of this id had. But one from before
    /// the moment at which publishing began, with nothing to be published then, keeps its values to itself.
    fn hold_unpublished(&mut self, row: RowNumber, names: &Rules, held: &mut Vec<HeldValue>) {
        let (at, before) = (self.profiles.row(row).clock.max(self.watermark), self.profiles.row(row).life);
        let is_silent = self.settings.bootstrap == Bootstrap::Nothing
            && self.settings.publish_from.is_some_and(|publish_from| before < publish_from);
        if is_silent {
            let mut own = Vec::new();
            self.profiles.held(row, &mut own);
            held.clear();
            held.extend(names.targets.iter().map(|target| moved(target, &self.rules, &own, at)));
        } else {
            held.clear();
            held.extend(names.targets.iter().map(|target| target.initial(at)));
        }
        self.profiles.set_held(row, held);
        let unknown = self.profiles.row_mut(row);
        if !is_silent {
            (unknown.life, unknown.sequence, unknown.muted) = (at, 0, false);
        }
        (unknown.armed, unknown.generation) = (NEVER, self.generation);
    }
}

/// What a customer holds of a target by what was published.
fn held_of(target: &Target, published: &Published) -> HeldValue {
    let is_it = |value: &&PublishedValue| *value.name == target.name && value.is_audience == target.is_audience();
    let found = published.values.iter().find(is_it);
    let held = found.and_then(|found| {
        let value = target.value_named(&found.value)?;
        // The first segment is held by no dwell (R5).
        let dwells = target.is_audience() || found.since > published.life;
        Some(HeldValue::new(value, found.since, dwells))
    });
    held.unwrap_or_else(|| target.initial(published.effective_at))
}

/// The value that a customer holds under other rules, by its name.
fn moved(target: &Target, rules: &Rules, own: &[HeldValue], at: Millis) -> HeldValue {
    let same = |other: &&Target| other.name == target.name && other.is_audience() == target.is_audience();
    let place = rules.targets.iter().position(|other| same(&other));
    let held = place.and_then(|place| {
        let value = target.value_named(name_of(&rules.targets[place], own[place].value)?)?;
        Some(HeldValue { value, before: HeldValue::NULL, ..own[place] })
    });
    held.unwrap_or_else(|| target.initial(at))
}
