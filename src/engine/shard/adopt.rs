//! A state that was rebuilt from the inputs adopts what consumers already know of each customer.
//!
//! Values, since when, life and sequence become those that were last published, whatever the inputs would give now.
//! They belong to rules that have the published names and nothing else; the rules in force come next, like any new
//! rules, and their sweep publishes the differences with the following numbers (R6). A customer of which only
//! published values are known gets a row without events, and the sweep ends it.

use super::customers::Customers;
use super::digest::Verdict;
use super::transition::value_name;
use super::{Bootstrap, Census, Shard};
use crate::engine::event::{Millis, NEVER};
use crate::engine::profile::{HeldValue, Profiles, RowNumber};
use crate::engine::rule::{Rules, Target};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was last published of one customer.
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
    /// Lets each customer hold what was published of it. `names` are rules with the same settings for events that have
    /// every published value and every value held now; `moment` distinguishes two adopted states in the digest.
    pub fn adopt(&mut self, names: &Arc<Rules>, mut published: BTreeMap<Box<str>, Published>, moment: Millis) {
        let rows: Vec<RowNumber> = self.customers.profiles.rows().collect();
        let mut held = Vec::new();
        for row in rows {
            match published.remove(self.customers.profiles.id(row)) {
                Some(published) => self.hold_published(row, &published, names, &mut held),
                None => self.hold_unpublished(row, names, &mut held),
            }
        }
        for (id, published) in published {
            held.clear();
            held.extend(names.targets.iter().map(|target| target.initial(published.effective_at)));
            let row = self.customers.create(Profiles::hash(id.as_bytes()), &id, &held);
            self.customers.profiles.row_mut(row).clock = published.effective_at;
            self.hold_published(row, &published, names, &mut held);
        }
        self.rules = Arc::clone(names);
        self.sweep = None;
        self.customers.recount();
        // What was reported before is not known.
        self.census = Census::default();
        self.digest.input(moment, Verdict::Adopted, self.time.watermark, self.customers.profiles.len() as Millis);
    }

    fn hold_published(&mut self, row: RowNumber, published: &Published, names: &Rules, held: &mut Vec<HeldValue>) {
        let Published { life, sequence, effective_at, .. } = *published;
        held.clear();
        held.extend(names.targets.iter().map(|target| held_of(target, published)));
        self.customers.profiles.set_held(row, held);
        let known = self.customers.profiles.row_mut(row);
        known.clock = known.clock.max(effective_at);
        (known.life, known.sequence, known.muted) = (life, sequence, false);
        (known.armed, known.generation) = (NEVER, self.customers.generation);
    }

    /// A customer of which nothing was published begins now, with a life that no earlier customer of this id had. A
    /// customer from before `publish_from` keeps its values unpublished if nothing was to be published at that moment.
    fn hold_unpublished(&mut self, row: RowNumber, names: &Rules, held: &mut Vec<HeldValue>) {
        let Customers { profiles, generation, .. } = &mut self.customers;
        let (clock, life) = (profiles.row(row).clock, profiles.row(row).life);
        let at = clock.max(self.time.watermark);
        let is_silent = self.settings.bootstrap == Bootstrap::Nothing
            && self.settings.publish_from.is_some_and(|publish_from| life < publish_from);
        let mut own = Vec::new();
        profiles.held(row, &mut own);
        held.clear();
        held.extend(names.targets.iter().map(|target| match is_silent {
            true => renamed(target, &self.rules, &own, at),
            false => target.initial(at),
        }));
        profiles.set_held(row, held);
        let unpublished = profiles.row_mut(row);
        if !is_silent {
            (unpublished.life, unpublished.sequence, unpublished.muted) = (at, 0, false);
        }
        (unpublished.armed, unpublished.generation) = (NEVER, *generation);
    }
}

/// The published value of a target, or its initial value.
fn held_of(target: &Target, published: &Published) -> HeldValue {
    let is_same = |value: &&PublishedValue| *value.name == target.name && value.is_audience == target.is_audience();
    let found = published.values.iter().find(is_same);
    let held = found.and_then(|found| {
        let value = target.value_named(&found.value)?;
        // The first segment is not held by dwell (R5).
        let dwells = target.is_audience() || found.since > published.life;
        Some(HeldValue::new(value, found.since, dwells))
    });
    held.unwrap_or_else(|| target.initial(published.effective_at))
}

/// What a customer that holds `own` values of `rules` holds of a target of other rules: the value of the same name.
fn renamed(target: &Target, rules: &Rules, own: &[HeldValue], at: Millis) -> HeldValue {
    let same = |other: &&Target| other.name == target.name && other.is_audience() == target.is_audience();
    let index = rules.targets.iter().position(|other| same(&other));
    let held = index.and_then(|index| {
        let value = target.value_named(value_name(&rules.targets[index], own[index].value)?)?;
        Some(HeldValue { value, before: HeldValue::NULL, ..own[index] })
    });
    held.unwrap_or_else(|| target.initial(at))
}
