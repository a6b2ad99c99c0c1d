//! States that workers should have had: a plain shard replays a journal from the first record to the last, without
//! worker, fault, snapshot or recovery. Its digests must equal those of the journal, and the state of every worker that
//! was observed after a transaction must have been equal to that of the plain shard.
//!
//! Records are merged here by sorting, independently of the worker.

use super::plan::Plan;
use shoal::engine::effects::Effects;
use shoal::engine::event::Record;
use shoal::engine::rule::{self, Rules};
use shoal::engine::shard::{Input, Shard};
use shoal::kafka::memory::{Cluster, Stored};
use shoal::kafka::{Own, Topic};
use shoal::worker::journal::{JournalRecord, Operation, StepPart};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state of a worker's shard after a committed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedState {
    pub shard: u32,
    pub transaction: u64,
    pub fingerprint: u64,
    /// The shard had just been recovered.
    pub is_recovered: bool,
}

/// Compares the observed states and the journals with plain shards, and what those know at the end with what a worker
/// without faults knows, which read the same records in steps of its own.
pub fn audit(
    plan: &Plan,
    cluster: &Cluster,
    observed: &[ObservedState],
    known: &BTreeMap<u32, u64>,
) -> Result<(), String> {
    let control = control(cluster)?;
    for shard in 0..plan.shards {
        let (fingerprints, plain) = Plain::replay(plan, cluster, &control, shard)?;
        let knowledge = plain.map(|plain| plain.knowledge());
        if knowledge != known.get(&shard).copied() {
            let expected = known.get(&shard);
            return Err(format!(
                "shard {shard} knows {knowledge:016x?} at the end, a worker without faults {expected:016x?}"
            ));
        }
        for state in observed.iter().filter(|state| state.shard == shard) {
            let ObservedState { transaction, fingerprint, .. } = *state;
            let expected = fingerprints.get(&transaction).copied();
            if expected != Some(fingerprint) {
                let when = if state.is_recovered { "was recovered" } else { "was observed" };
                return Err(format!(
                    "shard {shard} {when} at transaction {transaction} with fingerprint {fingerprint:016x}; a plain shard \
                     has {expected:016x?}"
                ));
            }
        }
    }
    Ok(())
}

/// All rules by their offset in the control topic.
fn control(cluster: &Cluster) -> Result<BTreeMap<i64, Arc<Rules>>, String> {
    let mut known: BTreeMap<i64, Arc<Rules>> = BTreeMap::new();
    for stored in cluster.records(Topic::Own(Own::Control), 0) {
        let key = stored.key.as_deref().unwrap_or_default();
        if key.starts_with(b"rules/") {
            let text = String::from_utf8_lossy(stored.value.as_deref().unwrap_or_default()).into_owned();
            let previous = known.values().next_back().map(|rules| &rules.event_settings);
            let rules = rule::read_following(&text, previous);
            known.insert(
                stored.offset,
                rules.map_err(|_| {
                    format!("the rules at offset {} of the control topic cannot be read", stored.offset)
                })?,
            );
        }
    }
    Ok(known)
}

/// A plain shard and its inputs.
struct Plain<'a> {
    plan: &'a Plan,
    number: u32,
    inputs: Vec<Vec<Arc<Stored>>>,
    control: &'a BTreeMap<i64, Arc<Rules>>,
    shard: Option<Shard>,
    effects: Effects,
}

impl<'a> Plain<'a> {
    /// Replays a journal: fingerprints after each transaction, and the shard at the end.
    fn replay(
        plan: &'a Plan,
        cluster: &Cluster,
        control: &'a BTreeMap<i64, Arc<Rules>>,
        number: u32,
    ) -> Result<(BTreeMap<u64, u64>, Option<Shard>), String> {
        let inputs = (0..plan.inputs).map(|topic| cluster.records(Topic::Input(topic), number)).collect();
        let mut plain = Self { plan, number, inputs, control, shard: None, effects: Effects::default() };
        let mut fingerprints = BTreeMap::new();
        for stored in cluster.records(Topic::Own(Own::Journal), number) {
            let record = JournalRecord::read(stored.value.as_deref().unwrap_or_default())
                .map_err(|unreadable| format!("journal of shard {number}: {unreadable}"))?;
            let located = |message: &str| format!("shard {number}, transaction {}: {message}", record.transaction);
            record
                .operations
                .iter()
                .try_for_each(|operation| plain.redo(operation))
                .map_err(|error| located(&error))?;
            let Some(shard) = &plain.shard else { continue };
            if shard.digest() != record.digest {
                return Err(located(&format!(
                    "the journal has digest {:016x}, a plain shard {:016x}",
                    record.digest,
                    shard.digest()
                )));
            }
            fingerprints.insert(record.transaction, shard.fingerprint());
        }
        Ok((fingerprints, plain.shard))
    }

    fn redo(&mut self, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::Control(offset) => {
                let rules = self.control.get(offset).ok_or(format!("no rules at offset {offset} of control"))?;
                let rules = Arc::clone(rules);
                match &mut self.shard {
                    Some(_) => self.apply(Input::Rules(rules)),
                    None => {
                        self.shard = Some(Shard::new(self.plan.config(&rules).shard, rules));
                        Ok(())
                    }
                }
            }
            Operation::Step { now, parts } => self.step(*now, parts),
            Operation::Tick(moment) => self.apply(Input::Tick(*moment)),
            &Operation::Sweep { now, customers } => self.apply(Input::Sweep { now, customers }),
            Operation::Fire(deadlines) => self.apply(Input::Fire(*deadlines)),
            Operation::Census(mark) => self.apply(Input::Census(*mark)),
            other => Err(format!("unexpected operation {other:?}")),
        }
    }

    fn step(&mut self, now: i64, parts: &[StepPart]) -> Result<(), String> {
        let mut merged = Vec::new();
        for part in parts {
            let mut arrival = i64::MIN;
            for stored in &self.inputs[usize::from(part.topic)] {
                if (part.from..part.to).contains(&stored.offset) {
                    arrival = arrival.max(stored.timestamp.unwrap_or(now).min(now));
                    merged.push((arrival, part.topic, Arc::clone(stored)));
                }
            }
        }
        merged.sort_by_key(|(arrival, topic, stored)| (*arrival, *topic, stored.offset));
        let records: Vec<Record<'_>> = merged
            .iter()
            .map(|(_, topic, stored)| Record {
                topic: *topic,
                partition: self.number,
                offset: stored.offset,
                arrival: stored.timestamp,
                key: stored.key.as_deref(),
                value: stored.value.as_deref().unwrap_or_default(),
            })
            .collect();
        records.chunks(Shard::CHUNK).try_for_each(|records| self.apply(Input::Records { now, records }))
    }

    fn apply(&mut self, input: Input<'_>) -> Result<(), String> {
        let shard = self.shard.as_mut().ok_or("an operation before the first rules")?;
        shard.apply(input, &mut self.effects);
        self.effects.clear();
        Ok(())
    }
}
