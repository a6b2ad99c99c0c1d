//! The control topic: inputs and rules reach all shards through it by value, so that a replay sees what was in force.
//!
//! It has one partition and is read from its beginning. The owner of shard 0 writes it. The key is the type of a
//! record: `inputs` (the group, the ordered input topics, their ids and their number of partitions, and whether the
//! membership topic is kept, as JSON) first, alone in its transaction, and again when only the ids or the group change
//! (`shoal rebuild`, `shoal change-group`), or when the membership topic is given up; `rules/<version>` (the bytes of a
//! rules file).
//!
//! The first `inputs` record names the group to which Shoal's own topics belong. If two groups start at the same time
//! on the same new topics, the record that came second is ignored, and its group stops before it publishes anything
//! else.

use super::reading::{Aborted, read_all};
use super::transaction::outbox::Memberships;
use super::transaction::publish::ExtraRecord;
use crate::engine::event_settings::EventSettings;
use crate::engine::rule::{self, Rules};
use crate::kafka::{Batch, Failure, Log, Own, Position, Topic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const CONTROL: Topic = Topic::Own(Own::Control);
const INPUTS_KEY: &[u8] = b"inputs";
const RULES_KEY: &str = "rules/";
/// Records read at once.
const RECORDS_MAX: usize = 64;

/// The inputs of the state; they cannot change while there is a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    pub topics: Vec<String>,
    pub partitions: u32,
    /// The id of each topic, which changes when it is recreated; empty if the brokers have no ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The group to which Shoal's own topics belong; empty in records of versions that did not record it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The group to which they belonged before `shoal change-group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
    /// Every membership is published, so that the topic has all customers. Once it is not, it is never complete again.
    #[serde(default = "is_kept", skip_serializing_if = "is_true")]
    pub membership: bool,
}

fn is_kept() -> bool {
    true
}

fn is_true(kept: &bool) -> bool {
    *kept
}

impl Inputs {
    /// Whether this record takes effect after `known`: it is of the same group, the first that names a group, or moves
    /// the topics to another group.
    fn follows(&self, known: &Self) -> bool {
        known.group.is_empty() || self.group == known.group || self.moved_from.as_ref() == Some(&known.group)
    }

    fn record(&self) -> ControlRecord {
        let value = serde_json::to_vec(self).expect("inputs are plain data");
        ControlRecord { key: INPUTS_KEY.to_vec(), value }
    }

    /// The first topic whose id differs: its index, and both ids.
    fn recreated<'a>(&'a self, now: &'a Self) -> Option<(usize, &'a str, &'a str)> {
        let mut ids = self.ids.iter().zip(&now.ids).enumerate();
        ids.find(|(_, (then, now))| then != now).map(|(index, (then, now))| (index, then.as_str(), now.as_str()))
    }
}

/// A record to be published to the control topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

impl ControlRecord {
    /// The record as part of a transaction of shard 0.
    pub fn as_extra(&self) -> ExtraRecord<'_> {
        ExtraRecord { topic: Own::Control, key: &self.key, value: &self.value }
    }
}

/// What a record of the control topic is, by its key.
enum RecordType {
    Inputs,
    Rules,
}

impl RecordType {
    fn of(offset: i64, key: &[u8]) -> Result<Self, Failure> {
        match key {
            INPUTS_KEY => Ok(Self::Inputs),
            key if key.starts_with(RULES_KEY.as_bytes()) => Ok(Self::Rules),
            key => {
                let key = String::from_utf8_lossy(key);
                Err(Failure::Stop(format!(
                    "the control topic, offset {offset}: unknown key {key:?}. Was it written by a later version of Shoal?"
                )))
            }
        }
    }
}

/// The inputs of the state, and the group to which Shoal's own topics belong, as far as the control topic was read.
/// Who needs no more reads the topic without its rules files, which take much longer to compile.
#[derive(Default)]
pub struct KnownInputs(Option<Inputs>);

impl KnownInputs {
    /// Adds records; their rules files are not looked at.
    pub fn add(&mut self, batch: &impl Batch) -> Result<(), Failure> {
        for index in 0..batch.len() {
            let record = batch.record(index);
            if let RecordType::Inputs = RecordType::of(record.offset, record.key.unwrap_or_default())? {
                self.add_record(record.offset, record.value.unwrap_or_default())?;
            }
        }
        Ok(())
    }

    fn add_record(&mut self, offset: i64, value: &[u8]) -> Result<(), Failure> {
        let mut inputs: Inputs = serde_json::from_slice(value).map_err(|error| {
            Failure::Stop(format!("the control topic, offset {offset}: expected the inputs as JSON: {error}"))
        })?;
        if self.0.as_ref().is_none_or(|known| inputs.follows(known)) {
            inputs.membership &= self.0.as_ref().is_none_or(|known| known.membership);
            self.0 = Some(inputs);
        }
        Ok(())
    }

    /// The group to which Shoal's own topics belong, if it is known.
    pub fn group(&self) -> Option<&str> {
        self.0.as_ref().map(|inputs| inputs.group.as_str()).filter(|group| !group.is_empty())
    }

    /// Checks that Shoal's own topics do not belong to another group.
    ///
    /// # Errors
    /// If they do.
    pub fn check_group(&self, group: &str) -> Result<(), Failure> {
        match self.group() {
            Some(owner) if owner != group => Err(Failure::Stop(of_another_group(owner, group))),
            _ => Ok(()),
        }
    }

    /// The record that moves Shoal's own topics to another group; `None` without a state.
    pub fn moved_to(&self, group: &str) -> Option<ControlRecord> {
        let known = self.0.as_ref()?;
        Some(Inputs { group: group.to_owned(), moved_from: Some(known.group.clone()), ..known.clone() }.record())
    }
}

/// The content of the control topic up to a position.
#[derive(Default)]
pub struct Control {
    inputs: KnownInputs,
    rules: BTreeMap<i64, Arc<Rules>>,
    next: i64,
}

impl Control {
    /// Reads from the current position to the end of the topic.
    pub fn read_to_end<L: Log>(&mut self, log: &mut L, stop: &AtomicBool) -> Result<(), Aborted> {
        let end = read_all(log, (CONTROL, 0), self.next, stop, |batch| self.add(batch))?;
        self.next = self.next.max(end);
        Ok(())
    }

    /// Adds records; those that were added before are ignored.
    pub fn add(&mut self, batch: &impl Batch) -> Result<(), Failure> {
        for index in 0..batch.len() {
            let record = batch.record(index);
            if record.offset < self.next {
                continue;
            }
            self.next = record.offset + 1;
            self.add_record(record.offset, record.key.unwrap_or_default(), record.value.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Adds a record as if it had been published.
    pub fn add_unpublished(&mut self, record: &ControlRecord) -> Result<(), Failure> {
        let offset = self.next;
        self.next += 1;
        self.add_record(offset, &record.key, &record.value)
    }

    fn add_record(&mut self, offset: i64, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        match RecordType::of(offset, key)? {
            RecordType::Inputs => self.inputs.add_record(offset, value),
            RecordType::Rules => self.add_rules(offset, value),
        }
    }

    fn add_rules(&mut self, offset: i64, value: &[u8]) -> Result<(), Failure> {
        let previous = self.newest_rules().map(|rules| &rules.event_settings);
        let rules = read_following(value, previous).map_err(|message| {
            Failure::Stop(format!(
                "the control topic, offset {offset}: this version of Shoal cannot read the rules: {message}"
            ))
        })?;
        self.rules.insert(offset, rules);
        Ok(())
    }

    /// The offset up to which the topic was read.
    pub fn next(&self) -> i64 {
        self.next
    }

    pub fn rules_at(&self, offset: i64) -> Option<&Arc<Rules>> {
        self.rules.get(&offset)
    }

    pub fn newest_rules(&self) -> Option<&Arc<Rules>> {
        self.rules.values().next_back()
    }

    /// The first rules at or after an offset, with their offset.
    pub fn rules_from(&self, offset: i64) -> Option<(i64, &Arc<Rules>)> {
        self.rules.range(offset..).next().map(|(&offset, rules)| (offset, rules))
    }

    /// The rules in force, with their offset.
    pub fn rules_in_force(&self) -> Option<(i64, &Arc<Rules>)> {
        self.rules.iter().next_back().map(|(&offset, rules)| (offset, rules))
    }

    /// Whether these rules are in force.
    pub fn rules_status(&self, rules: &Rules) -> RulesStatus {
        match self.newest_rules() {
            Some(newest) if newest.version == rules.version => RulesStatus::InForce,
            Some(newest) if newest.revision > rules.revision => RulesStatus::Older,
            Some(newest) if newest.revision < rules.revision => RulesStatus::New,
            Some(_) if self.rules.values().any(|known| known.version == rules.version) => RulesStatus::Replaced,
            None | Some(_) => RulesStatus::New,
        }
    }

    /// Checks that Shoal's own topics do not belong to another group.
    ///
    /// # Errors
    /// If they do.
    pub fn check_group(&self, group: &str) -> Result<(), Failure> {
        self.inputs.check_group(group)
    }

    /// Which memberships are published. All processes follow the topic, whatever they are configured to do: otherwise
    /// the membership topic could be incomplete without anything that says so.
    pub fn memberships(&self) -> Memberships {
        match &self.inputs.0 {
            Some(Inputs { membership: false, .. }) => Memberships::Tombstones,
            _ => Memberships::All,
        }
    }

    /// Checks that these are the inputs of the state, if there is a state, and that it belongs to this group.
    ///
    /// # Errors
    /// If the state has other inputs or belongs to another group.
    pub fn check_inputs(&self, inputs: &Inputs) -> Result<(), Failure> {
        self.check_group(&inputs.group)?;
        let Some(known) = &self.inputs.0 else { return Ok(()) };
        if (&known.topics, known.partitions) != (&inputs.topics, inputs.partitions) {
            return Err(Failure::Stop(format!(
                "the state was made from the inputs {:?} with {} partitions; configured are {:?} with {}. Inputs, their order \
                 and their partitions cannot change while there is a state: for other inputs, configure another group and \
                 other output topics",
                known.topics, known.partitions, inputs.topics, inputs.partitions
            )));
        }
        match known.recreated(inputs) {
            Some((index, then, now)) => Err(Failure::Stop(format!(
                "the input topic {} was recreated, or this is another cluster: it has id {now}, the state was made from the one \
                 with id {then}. If it has the same records at the same offsets, `shoal rebuild` rebuilds the state from it; \
                 otherwise begin without state, with another group and other output topics",
                known.topics[index]
            ))),
            None => Ok(()),
        }
    }

    /// Checks that memberships are not to be published again. A process that runs need not be stopped for this.
    ///
    /// # Errors
    /// If they are.
    pub fn check_memberships(&self, inputs: &Inputs) -> Result<(), Failure> {
        match self.memberships() {
            Memberships::Tombstones if inputs.membership => Err(Failure::Stop(NOT_KEPT.to_owned())),
            _ => Ok(()),
        }
    }

    /// The record with these inputs, if the topic does not have them yet.
    pub fn missing_inputs(&self, inputs: &Inputs) -> Option<ControlRecord> {
        let is_missing = self.inputs.0.as_ref().is_none_or(|known| {
            known.ids != inputs.ids && !inputs.ids.is_empty()
                || known.group.is_empty() && !inputs.group.is_empty()
                || known.membership && !inputs.membership
        });
        is_missing.then(|| inputs.record())
    }

    /// The record with these rules, if they must be published at the start: they have a higher revision than those in
    /// force, or the same and were never in force. With `force` they are published also if they have a lower revision
    /// or were in force before: otherwise two processes with different files would replace each other's rules in turns.
    ///
    /// # Errors
    /// If the rules cannot follow those in force.
    pub fn missing_rules(&self, rules: &Rules, force: bool) -> Result<Option<ControlRecord>, Failure> {
        let is_due = match self.rules_status(rules) {
            RulesStatus::New => true,
            RulesStatus::Replaced | RulesStatus::Older => force,
            RulesStatus::InForce => false,
        };
        if !is_due {
            return Ok(None);
        }
        let previous = self.newest_rules().map(|rules| &rules.event_settings);
        read_following(&rules.bytes, previous)
            .map_err(|message| Failure::Stop(format!("the rules file: {message}")))?;
        let key = format!("{RULES_KEY}{}", rules.version).into_bytes();
        Ok(Some(ControlRecord { key, value: rules.bytes.clone() }))
    }
}

/// Why memberships cannot be published again.
const NOT_KEPT: &str = "the topic `membership` is out of date: customers changed while `membership` of [output] was false, and \
                        Shoal cannot publish again what did not change. Set `membership = false`; to have the topic again, begin \
                        a new state with another group and other output topics, for example with `shoal seed`";

/// Why a process of one group does not work on the topics of another.
pub fn of_another_group(owner: &str, group: &str) -> String {
    format!(
        "Shoal's own topics belong to the group {owner}, and the configured group is {group}. Two groups on the same topics \
         would publish every change twice. For another service, configure other `topics` of [kafka]; to continue this state \
         under the new group, stop every process of {owner} and run `shoal change-group --from {owner}`"
    )
}

/// The control topic as a worker follows it.
#[derive(Default)]
pub struct FollowedControl<B> {
    pub topic: Control,
    /// The topic was read to its end once, and is fetched from there.
    is_live: bool,
    batch: B,
}

impl<B: Batch> FollowedControl<B> {
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Starts to fetch the topic from the position up to which it was read.
    pub fn start<L: Log<Batch = B>>(&mut self, log: &mut L) -> Result<(), Failure> {
        log.start(&[Position { topic: CONTROL, partition: 0, offset: self.topic.next() }])?;
        self.is_live = true;
        Ok(())
    }

    /// Adds the records that were fetched since the last call.
    pub fn read_live<L: Log<Batch = B>>(&mut self, log: &mut L) -> Result<(), Failure> {
        if self.is_live {
            log.read(CONTROL, 0, RECORDS_MAX, &mut self.batch)?;
            self.topic.add(&self.batch)?;
            self.batch.clear();
        }
        Ok(())
    }
}

/// Whether rules are in force (R6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesStatus {
    InForce,
    /// Never published, or of a higher revision than those in force.
    New,
    /// In force before, and replaced by those in force now.
    Replaced,
    /// Of a lower revision than those in force.
    Older,
}

/// Rules from the bytes of a file, or a message with all mistakes.
pub fn read_rules(bytes: &[u8]) -> Result<Arc<Rules>, String> {
    read_following(bytes, None)
}

fn read_following(bytes: &[u8], previous: Option<&EventSettings>) -> Result<Arc<Rules>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    rule::read_following(text, previous).map_err(|mistakes| mistakes.in_one_line())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::Record;

    #[derive(Default)]
    struct Records(Vec<(Vec<u8>, Vec<u8>)>);

    impl Batch for Records {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn record(&self, index: usize) -> Record<'_> {
            let (key, value) = &self.0[index];
            Record { offset: index as i64, timestamp: None, key: Some(key), value: Some(value) }
        }

        fn header(&self, _: usize, _: &str) -> Option<&[u8]> {
            None
        }

        fn discard(&mut self, count: usize) {
            self.0.drain(..count);
        }
    }

    #[test]
    fn whose_topics_they_are_is_known_without_reading_the_rules() {
        let inputs = |group: &str, moved_from: Option<&str>| {
            let (topics, moved_from) = (vec!["events".to_owned()], moved_from.map(str::to_owned));
            let (ids, group) = (Vec::new(), group.into());
            let record = Inputs { topics, partitions: 2, ids, group, moved_from, membership: true }.record();
            (record.key, record.value)
        };
        let rules = |text: &str| (b"rules/1".to_vec(), text.as_bytes().to_vec());
        let mut records = Records(vec![inputs("first", None), rules("not rules"), inputs("second", None)]);
        let mut known = KnownInputs::default();
        known.add(&records).unwrap();
        assert_eq!(known.group(), Some("first"), "the record of another group takes no effect");
        assert!(known.check_group("first").is_ok() && known.check_group("second").is_err());
        let failure = Control::default().add(&records).expect_err("the rules are no rules").to_string();
        assert!(failure.contains("offset 1: this version of Shoal cannot read the rules"), "{failure}");
        records.0.push(inputs("second", Some("first")));
        let mut known = KnownInputs::default();
        known.add(&records).unwrap();
        assert_eq!(known.group(), Some("second"));
        records.0.push((b"new".to_vec(), Vec::new()));
        let failure = known.add(&records).expect_err("an unknown key").to_string();
        assert!(failure.contains("offset 4: unknown key \"new\""), "{failure}");
    }
    #[test]
    fn a_membership_topic_that_was_given_up_stays_so() {
        let inputs = |membership| Inputs {
            topics: vec!["events".into()],
            partitions: 2,
            ids: vec!["a".into()],
            group: "shop".into(),
            moved_from: None,
            membership,
        };
        let (kept, given_up) = (inputs(true), inputs(false));
        let text = String::from_utf8(kept.record().value).unwrap();
        assert!(!text.contains("membership"), "a record of before means the same: {text}");
        let mut control = Control::default();
        assert_eq!((control.memberships(), control.missing_inputs(&given_up).is_some()), (Memberships::All, true));
        control.add_unpublished(&kept.record()).unwrap();
        assert_eq!((control.memberships(), control.missing_inputs(&kept)), (Memberships::All, None));
        let record = control.missing_inputs(&given_up).expect("it is given up now");
        control.check_memberships(&given_up).unwrap();
        control.add_unpublished(&record).unwrap();
        assert_eq!((control.memberships(), control.missing_inputs(&given_up)), (Memberships::Tombstones, None));
        control.check_inputs(&kept).unwrap();
        let failure = control.check_memberships(&kept).expect_err("it is out of date").to_string();
        assert!(failure.contains("out of date") && failure.contains("Set `membership = false`"), "{failure}");
        let moved = control.inputs.moved_to("other").unwrap();
        control.add_unpublished(&moved).unwrap();
        control.add_unpublished(&Inputs { group: "other".into(), ..kept }.record()).unwrap();
        assert_eq!(control.memberships(), Memberships::Tombstones, "for good, also for another group");
    }
}
