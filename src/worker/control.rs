//! The control topic: what gives a shard its meaning travels through it by value, so that replay sees what was seen live.
//!
//! One partition, read from its beginning. Keys say what a record is: `inputs` (the ordered input topics, their ids and
//! their number of partitions, as JSON) first, and again when only the ids are others (`shoal rebuild`),
//! `rules/<version>` (the bytes of a rules file). The owner of shard 0 writes them.

use super::publish::Beside;
use super::tail::{Ended, read_all};
use crate::engine::event_settings::EventSettings;
use crate::engine::rule::{self, Rules};
use crate::kafka::{Batch, Failure, Log, Own, Topic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const INPUTS_KEY: &[u8] = b"inputs";
const RULES_KEY: &str = "rules/";

/// The inputs a log was started with; they are fixed for the life of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    pub topics: Vec<String>,
    pub partitions: u32,
    /// Of each topic what tells it from another one of its name; none in older records, and where brokers give none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
}

impl Inputs {
    /// The first topic that is another than then, by its id: place, id then, id now.
    fn made_anew<'a>(&'a self, now: &'a Self) -> Option<(usize, &'a str, &'a str)> {
        let mut ids = self.ids.iter().zip(&now.ids).enumerate();
        ids.find(|(_, (then, now))| then != now).map(|(place, (then, now))| (place, then.as_str(), now.as_str()))
    }
}

/// A record to be written to the control topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

impl ControlRecord {
    /// As it goes with a transaction of shard 0.
    pub fn beside(&self) -> Beside<'_> {
        Beside { topic: Own::Control, key: &self.key, value: &self.value }
    }
}

/// Everything in the control topic up to a position.
#[derive(Default)]
pub struct Control {
    inputs: Option<Inputs>,
    rules: BTreeMap<i64, Arc<Rules>>,
    next: i64,
}

impl Control {
    /// Reads on to the end as it stands now.
    pub fn read_to_end<L: Log>(&mut self, log: &mut L, stop: &AtomicBool) -> Result<(), Ended> {
        let end = read_all(log, (Topic::Own(Own::Control), 0), self.next, stop, |batch| self.take(batch))?;
        self.next = self.next.max(end);
        Ok(())
    }

    /// Takes records that came live; those known already are passed over.
    pub fn take(&mut self, batch: &impl Batch) -> Result<(), Failure> {
        for place in 0..batch.len() {
            let record = batch.record(place);
            if record.offset < self.next {
                continue;
            }
            self.next = record.offset + 1;
            self.enter(record.offset, record.key.unwrap_or_default(), record.value.unwrap_or_default())?;
        }
        Ok(())
    }

    fn enter(&mut self, offset: i64, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        if key == INPUTS_KEY {
            let inputs = serde_json::from_slice(value);
            self.inputs =
                Some(inputs.map_err(|error| Failure::Stop(format!("control record {offset}, inputs: {error}")))?);
        } else if key.starts_with(RULES_KEY.as_bytes()) {
            let previous = self.newest_rules().map(|rules| &rules.event_settings);
            let rules = read_following(value, previous).map_err(|words| {
                Failure::Stop(format!("control record {offset} holds rules that this version cannot read: {words}"))
            })?;
            self.rules.insert(offset, rules);
        } else {
            let key = String::from_utf8_lossy(key);
            return Err(Failure::Stop(format!(
                "control record {offset} is of unknown kind {key:?}; written by a later version?"
            )));
        }
        Ok(())
    }

    pub fn next(&self) -> i64 {
        self.next
    }

    pub fn rules_at(&self, offset: i64) -> Option<&Arc<Rules>> {
        self.rules.get(&offset)
    }

    pub fn newest_rules(&self) -> Option<&Arc<Rules>> {
        self.rules.values().next_back()
    }

    /// The first rules at or after an offset, with theirs.
    pub fn rules_from(&self, offset: i64) -> Option<(i64, &Arc<Rules>)> {
        self.rules.range(offset..).next().map(|(&offset, rules)| (offset, rules))
    }

    /// The rules in force, with their offset.
    pub fn rules_in_force(&self) -> Option<(i64, &Arc<Rules>)> {
        self.rules.iter().next_back().map(|(&offset, rules)| (offset, rules))
    }

    /// How the rules of this version stand to those in force.
    pub fn standing(&self, version: &str) -> Standing<'_> {
        match self.newest_rules() {
            None => Standing::New,
            Some(newest) if newest.version == version => Standing::InForce,
            Some(newest) if self.rules.values().any(|known| known.version == version) => {
                Standing::Replaced { by: &newest.version }
            }
            Some(_) => Standing::New,
        }
    }

    /// Whether these are the inputs of the state, if there is one yet.
    ///
    /// # Errors
    /// If the log was started with other inputs.
    pub fn check_inputs(&self, inputs: &Inputs) -> Result<(), Failure> {
        let Some(known) = &self.inputs else { return Ok(()) };
        if (&known.topics, known.partitions) != (&inputs.topics, inputs.partitions) {
            return Err(Failure::Stop(format!(
                "the journal is of the inputs {:?} with {} partitions; configured are {:?} with {}. Inputs, their order and \
                 their partitions are fixed for the life of the state: use other topics of our own and another group for \
                 other inputs",
                known.topics, known.partitions, inputs.topics, inputs.partitions
            )));
        }
        match known.made_anew(inputs) {
            Some((place, then, now)) => Err(Failure::Stop(format!(
                "the input topic {} is not the one of then: it has id {now}, the state was made from the one with id {then}. \
                 It was deleted and made anew, or this is another cluster. If the same records stand at the same offsets, \
                 `shoal rebuild` makes the state from it; else begin anew, with other topics of our own and another group",
                known.topics[place]
            ))),
            None => Ok(()),
        }
    }

    /// The record that says that these are the inputs from now on, if that is not what is known.
    pub fn inputs_anew(&self, inputs: &Inputs) -> Option<ControlRecord> {
        let is_news = self.inputs.as_ref().is_none_or(|known| known.ids != inputs.ids && !inputs.ids.is_empty());
        let value = || serde_json::to_vec(inputs).expect("plain data");
        is_news.then(|| ControlRecord { key: INPUTS_KEY.to_vec(), value: value() })
    }

    /// What has to be published at the start. Rules that were in force before come back only by `force`: otherwise two
    /// processes with different files would take turns.
    ///
    /// # Errors
    /// If the state is of other inputs, or the rules cannot follow those in force.
    pub fn missing(&self, inputs: &Inputs, rules: &Rules, force: bool) -> Result<Vec<ControlRecord>, Failure> {
        self.check_inputs(inputs)?;
        let mut missing: Vec<ControlRecord> = self.inputs_anew(inputs).into_iter().collect();
        let is_due = match self.standing(&rules.version) {
            Standing::New => true,
            Standing::Replaced { .. } => force,
            Standing::InForce => false,
        };
        if is_due {
            let previous = self.newest_rules().map(|rules| &rules.event_settings);
            read_following(&rules.bytes, previous)
                .map_err(|words| Failure::Stop(format!("the rules file: {words}")))?;
            let key = format!("{RULES_KEY}{}", rules.version).into_bytes();
            missing.push(ControlRecord { key, value: rules.bytes.clone() });
        }
        Ok(missing)
    }
}

/// How rules stand to those in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    InForce,
    /// Never published.
    New,
    /// In force once, and replaced by those that are now.
    Replaced {
        by: &'a str,
    },
}

/// Rules from the bytes of a file, or all mistakes in words.
pub fn read_rules(bytes: &[u8]) -> Result<Arc<Rules>, String> {
    read_following(bytes, None)
}

fn read_following(bytes: &[u8], previous: Option<&EventSettings>) -> Result<Arc<Rules>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    rule::read_following(text, previous).map_err(|mistakes| mistakes.in_one_line())
}
