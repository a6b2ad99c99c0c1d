//! Captures of a shard between its inputs: stored naively, restored, and compared with the original shard.
//!
//! A shard that continues from a restored state must do exactly what the original shard does.

use crate::random::Random;
use shoal::engine::effects::Effects;
use shoal::engine::profile::dedup::HourOfIds;
use shoal::engine::profile::{
    AttributeParts, CategoryHour, CustomerBuilder, CustomerImage, CustomerImages, InternedValue, OrderParts,
    TextReference, split_set,
};
use shoal::engine::rule::Rules;
use shoal::engine::shard::{Head, Input, Part, Restored, Settings, Shard, StoredMark};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One capture as a store contains it.
#[derive(Default)]
struct Group {
    texts: BTreeMap<TextReference, Arc<str>>,
    customers: Vec<CustomerImages>,
    ids: Vec<HourOfIds>,
    marks: Vec<StoredMark>,
}

/// A capture in progress.
struct Capture {
    head: Head,
    fingerprint: u64,
    knowledge: u64,
    rules: Arc<Rules>,
    old_rules: Option<Arc<Rules>>,
    group: Group,
    /// Whether the shard had an input since the capture began.
    is_behind: bool,
}

/// Takes captures of a shard between its inputs, and compares them with it.
#[derive(Default)]
pub struct Follower {
    stored: Vec<Group>,
    capture: Option<Capture>,
    /// The original shard, after a restored one has replaced it: it gets the same inputs.
    twin: Option<Shard>,
    old_rules: Option<Arc<Rules>>,
    pub restored: u64,
}

impl Follower {
    /// Before an input: applies it to the twin too.
    pub fn follow(&mut self, shard: &Shard, input: &Input<'_>) {
        if let Some(capture) = &mut self.capture {
            capture.is_behind = true;
        }
        if let Input::Rules(_) | Input::RulesAfterRebuild(_) = input {
            self.old_rules = Some(Arc::clone(shard.rules()));
        }
        let Some(twin) = &mut self.twin else { return };
        let same = match input {
            Input::Records { now, records } => Input::Records { now: *now, records },
            Input::Skipped(record) => Input::Skipped(record),
            Input::Tick(moment) => Input::Tick(*moment),
            Input::Rules(rules) => Input::Rules(Arc::clone(rules)),
            Input::RulesAfterRebuild(rules) => Input::RulesAfterRebuild(Arc::clone(rules)),
            &Input::Sweep { now, customers } => Input::Sweep { now, customers },
            Input::Fire(customers) => Input::Fire(*customers),
            Input::Census(mark) => Input::Census(*mark),
        };
        twin.apply(same, &mut Effects::default());
    }

    /// After an input: a capture may begin, continue, end or be abandoned.
    pub fn between(&mut self, shard: &mut Shard, settings: &Settings, random: &mut Random) {
        match &mut self.capture {
            None if random.chance(10) => {
                if random.chance(10) {
                    self.stored.clear();
                    shard.forget_stored();
                }
                self.capture = Some(self.begin(shard));
            }
            None => {}
            Some(_) if random.chance(3) => {
                self.capture = None;
                shard.end_capture(false);
            }
            Some(capture) => {
                for _ in 0..random.below(8) {
                    let Some(part) = shard.capture(1 + random.below(4)) else {
                        let capture = self.capture.take().expect("a capture is in progress");
                        return self.end(capture, shard, settings, random);
                    };
                    capture.group.add(part);
                }
            }
        }
    }

    /// Verifies that the shard and its twin are equal at the end.
    pub fn finish(&self, shard: &Shard) {
        if let Some(twin) = &self.twin {
            assert_eq!(shard.digest(), twin.digest(), "the restored shard has processed its inputs differently");
            assert_eq!(shard.fingerprint(), twin.fingerprint(), "the restored shard has another state at the end");
        }
    }

    fn begin(&self, shard: &mut Shard) -> Capture {
        let (fingerprint, knowledge) = (shard.fingerprint(), shard.knowledge());
        Capture {
            head: shard.begin_capture(),
            fingerprint,
            knowledge,
            rules: Arc::clone(shard.rules()),
            old_rules: self.old_rules.clone(),
            group: Group::default(),
            is_behind: false,
        }
    }

    fn end(&mut self, capture: Capture, shard: &mut Shard, settings: &Settings, random: &mut Random) {
        let is_stored = random.chance(80);
        // A capture that was stored, but not reported as stored, is captured again.
        shard.end_capture(is_stored && random.chance(90));
        self.stored.push(capture.group);
        let restored = restore(&self.stored, &capture.head);
        assert_eq!(restored.customers(), capture.head.customers);
        assert_eq!(restored.ids(), capture.head.ids.hours);
        let old_rules = capture.head.sweep.and(capture.old_rules);
        let restored = Shard::restore(settings.clone(), capture.rules, old_rules, &capture.head, restored);
        assert_eq!(restored.knowledge(), capture.knowledge, "the restored state contains something else");
        assert_eq!(restored.fingerprint(), capture.fingerprint, "the restored state differs");
        self.restored += 1;
        if !is_stored {
            self.stored.pop();
        } else if !capture.is_behind && random.chance(50) {
            self.twin = Some(std::mem::replace(shard, restored));
        }
    }
}

impl Group {
    fn add(&mut self, part: Part) {
        match part {
            Part::Texts(texts) => self.texts.extend(texts),
            Part::Customers(images) => self.customers.push(images),
            Part::Ids(ids) => self.ids.extend(ids),
            Part::Marks(marks) => self.marks.extend(marks),
        }
    }
}

/// The state after all captures; of each row the latest one counts.
fn restore(groups: &[Group], head: &Head) -> Restored {
    let mut restored = Restored::new(head);
    let mut seen = std::collections::BTreeSet::new();
    for group in groups.iter().rev() {
        for image in group.customers.iter().flat_map(CustomerImages::iter) {
            if seen.insert(image.number) && image.is_alive() {
                add(&mut restored, &image, &group.texts);
            }
        }
    }
    let mut hours: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for ids in groups.iter().flat_map(|group| &group.ids) {
        let known = hours.entry(ids.hour).or_default();
        assert!(known.len() >= ids.before, "ids are missing");
        known.truncate(ids.before);
        known.extend(ids.iter());
    }
    hours.into_iter().for_each(|(hour, ids)| restored.add_ids(hour, ids.into_iter()));
    for group in groups {
        group.marks.iter().for_each(|mark| restored.add_mark(*mark));
    }
    restored
}

fn add(restored: &mut Restored, image: &CustomerImage<'_>, texts: &BTreeMap<TextReference, Arc<str>>) {
    let mut builder = CustomerBuilder::default();
    builder.begin(image.id());
    builder.row = image.row.clone();
    image.held().for_each(|held| builder.push_held(held));
    image.totals().into_iter().for_each(|totals| builder.set_totals(totals));
    image.latest().for_each(|(event_type, time)| builder.push_latest(event_type, time));
    let text = |restored: &mut Restored, reference: TextReference| match reference {
        0 => 0,
        _ => restored.text(&texts[&reference]),
    };
    for attribute in image.attributes() {
        let value = match attribute.value {
            InternedValue::Text(reference) => InternedValue::Text(text(restored, reference)),
            InternedValue::Texts(0) => InternedValue::Texts(0),
            InternedValue::Texts(set) => InternedValue::Texts(restored.texts(split_set(&texts[&set]))),
            other => other,
        };
        builder.push_attribute(AttributeParts { value, ..attribute });
    }
    image.waiting().iter().for_each(|waiting| builder.push_waiting(*waiting));
    for order in image.orders() {
        let parts = order.parts();
        let channel = text(restored, parts.channel);
        let categories = match parts.categories {
            0 => 0,
            known => restored.text_set(split_set(&texts[&known])),
        };
        builder.push_order(&OrderParts { categories, channel, ..parts });
    }
    image.refunds().iter().for_each(|refund| builder.push_refund(refund.time(), refund.given(), refund.unlinked()));
    for views in image.category_hours() {
        builder.push_category_hour(CategoryHour { category: text(restored, views.category), ..*views });
    }
    image.cart().for_each(|event| builder.push_cart_event(event));
    image.amendments().for_each(|time| builder.push_amendment(time));
    image.return_ids().iter().for_each(|id| builder.push_return_id(*id));
    image.folded_intervals().for_each(|folded| builder.push_folded_interval(*folded));
    builder.set_hours(image.hours());
    restored.add(image.number, image.id(), &builder);
}
