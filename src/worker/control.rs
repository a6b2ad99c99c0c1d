//! The control topic: inputs and rules reach all shards through it by value, so that a replay sees what was in force.
//!
//! It has one partition and is read from its beginning. The owner of shard 0 writes it. The key is the type of a
//! record: `inputs` (the ordered input topics, their ids and their number of partitions, as JSON) first, and again when
//! only the ids change (`shoal rebuild`); `rules/<version>` (the bytes of a rules file).

use super::reading::{Aborted, read_all};
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
}

impl Inputs {
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

/// The content of the control topic up to a position.
#[derive(Default)]
pub struct Control {
    inputs: Option<Inputs>,
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

    fn add_record(&mut self, offset: i64, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        if key == INPUTS_KEY {
            let inputs = serde_json::from_slice(value);
            self.inputs = Some(inputs.map_err(|error| {
                Failure::Stop(format!("the control topic, offset {offset}: expected the inputs as JSON: {error}"))
            })?);
        } else if key.starts_with(RULES_KEY.as_bytes()) {
            let previous = self.newest_rules().map(|rules| &rules.event_settings);
            let rules = read_following(value, previous).map_err(|message| {
                Failure::Stop(format!(
                    "the control topic, offset {offset}: this version of Shoal cannot read the rules: {message}"
                ))
            })?;
            self.rules.insert(offset, rules);
        } else {
            let key = String::from_utf8_lossy(key);
            return Err(Failure::Stop(format!(
                "the control topic, offset {offset}: unknown key {key:?}. Was it written by a later version of Shoal?"
            )));
        }
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

    /// Whether the rules of this version are in force.
    pub fn rules_status(&self, version: &str) -> RulesStatus<'_> {
        match self.newest_rules() {
            None => RulesStatus::New,
            Some(newest) if newest.version == version => RulesStatus::InForce,
            Some(newest) if self.rules.values().any(|known| known.version == version) => {
                RulesStatus::Replaced { by: &newest.version }
            }
            Some(_) => RulesStatus::New,
        }
    }

    /// Checks that these are the inputs of the state, if there is a state.
    ///
    /// # Errors
    /// If the state has other inputs.
    pub fn check_inputs(&self, inputs: &Inputs) -> Result<(), Failure> {
        let Some(known) = &self.inputs else { return Ok(()) };
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

    /// The record with these inputs, if the topic does not have them yet.
    pub fn missing_inputs(&self, inputs: &Inputs) -> Option<ControlRecord> {
        let is_missing = self.inputs.as_ref().is_none_or(|known| known.ids != inputs.ids && !inputs.ids.is_empty());
        let value = || serde_json::to_vec(inputs).expect("inputs are plain data");
        is_missing.then(|| ControlRecord { key: INPUTS_KEY.to_vec(), value: value() })
    }

    /// The records that must be published at the start. Rules that were in force before are published again only with
    /// `force`: otherwise two processes with different files would replace each other's rules in turns.
    ///
    /// # Errors
    /// If the state has other inputs, or the rules cannot follow those in force.
    pub fn missing(&self, inputs: &Inputs, rules: &Rules, force: bool) -> Result<Vec<ControlRecord>, Failure> {
        self.check_inputs(inputs)?;
        let mut missing: Vec<ControlRecord> = self.missing_inputs(inputs).into_iter().collect();
        let is_due = match self.rules_status(&rules.version) {
            RulesStatus::New => true,
            RulesStatus::Replaced { .. } => force,
            RulesStatus::InForce => false,
        };
        if is_due {
            let previous = self.newest_rules().map(|rules| &rules.event_settings);
            read_following(&rules.bytes, previous)
                .map_err(|message| Failure::Stop(format!("the rules file: {message}")))?;
            let key = format!("{RULES_KEY}{}", rules.version).into_bytes();
            missing.push(ControlRecord { key, value: rules.bytes.clone() });
        }
        Ok(missing)
    }
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

/// Whether rules are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesStatus<'a> {
    InForce,
    /// Never published.
    New,
    /// In force before, and replaced by those in force now.
    Replaced {
        by: &'a str,
    },
}

/// Rules from the bytes of a file, or a message with all mistakes.
pub fn read_rules(bytes: &[u8]) -> Result<Arc<Rules>, String> {
    read_following(bytes, None)
}

fn read_following(bytes: &[u8], previous: Option<&EventSettings>) -> Result<Arc<Rules>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    rule::read_following(text, previous).map_err(|mistakes| mistakes.in_one_line())
}
