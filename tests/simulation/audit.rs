//! What should be in memory: a plain shard is fed what a journal says, from the first record to the last, with no worker,
//! no fault, no snapshot and no recovery. Its digests must be those of the journal, and the state of every worker that
//! stood at one of the transactions must have been its own.
//!
//! The merged order is made anew here, by sorting.

use super::plan::Plan;
use super::world::job;
use shoal::engine::effects::Effects;
use shoal::engine::event::Record;
use shoal::engine::rule::{self, Rules};
use shoal::engine::shard::{Input, Shard};
use shoal::kafka::memory::{Cluster, Stored};
use shoal::kafka::{Own, Topic};
use shoal::worker::journal::{JournalRecord, Operation, StepPart};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A worker's shard as it stood after a transaction, all of it committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub shard: u32,
    pub transaction: u64,
    pub fingerprint: u64,
    /// It had just been recovered.
    pub is_recovered: bool,
}

/// Compares what was seen, and what the journals say, with plain shards; and what those know in the end with what a worker
/// without faults knows that read the same records in steps of its own.
pub fn audit(plan: &Plan, cluster: &Cluster, seen: &[Seen], known: &BTreeMap<u32, u64>) -> Result<(), String> {
    let control = control(cluster)?;
    for shard in 0..plan.shards {
        let (fingerprints, plain) = Plain::follow(plan, cluster, &control, shard)?;
        let knowledge = plain.map(|plain| plain.knowledge());
        if knowledge != known.get(&shard).copied() {
            let expected = known.get(&shard);
            return Err(format!(
                "shard {shard} ends knowing {knowledge:016x?}; a worker without faults {expected:016x?}"
            ));
        }
        for seen in seen.iter().filter(|seen| seen.shard == shard) {
            let Seen { transaction, fingerprint, .. } = *seen;
            let expected = fingerprints.get(&transaction).copied();
            if expected != Some(fingerprint) {
                let when = if seen.is_recovered { "was recovered" } else { "stood" };
                return Err(format!(
                    "shard {shard} {when} at transaction {transaction} with fingerprint {fingerprint:016x}; a plain shard \
                     has {expected:016x?}"
                ));
            }
        }
    }
    Ok(())
}

/// All rules by their offset in control.
fn control(cluster: &Cluster) -> Result<BTreeMap<i64, Arc<Rules>>, String> {
    let mut known: BTreeMap<i64, Arc<Rules>> = BTreeMap::new();
    for stored in cluster.records(Topic::Own(Own::Control), 0) {
        let key = stored.key.as_deref().unwrap_or_default();
        if key.starts_with(b"rules/") {
            let text = String::from_utf8_lossy(stored.value.as_deref().unwrap_or_default()).into_owned();
            let previous = known.values().next_back().map(|rules| &rules.event_settings);
            let rules = rule::read_following(&text, previous);
            known.insert(stored.offset, rules.map_err(|_| format!("control {} cannot be read", stored.offset))?);
        }
    }
    Ok(known)
}

/// A plain shard and what it reads.
struct Plain<'a> {
    plan: &'a Plan,
    number: u32,
    inputs: Vec<Vec<Arc<Stored>>>,
    control: &'a BTreeMap<i64, Arc<Rules>>,
    shard: Option<Shard>,
    effects: Effects,
}

impl<'a> Plain<'a> {
    /// Fingerprints after each transaction of a journal, and the shard at its end.
    fn follow(
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
            let words = |words: &str| format!("shard {number}, transaction {}: {words}", record.transaction);
            record.operations.iter().try_for_each(|operation| plain.redo(operation)).map_err(|told| words(&told))?;
            let Some(shard) = &plain.shard else { continue };
            if shard.digest() != record.digest {
                return Err(words(&format!(
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
                        self.shard = Some(Shard::new(job(self.plan, &rules).shard, rules));
                        Ok(())
                    }
                }
            }
            Operation::Step { now, parts } => self.step(*now, parts),
            Operation::Tick(moment) => self.apply(Input::Tick(*moment)),
            Operation::Sweep(customers) => self.apply(Input::Sweep(*customers)),
            Operation::Fire(deadlines) => self.apply(Input::Fire(*deadlines)),
            Operation::Census(mark) => self.apply(Input::Census(*mark)),
            other => Err(format!("{other:?} has no place here")),
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
        let shard = self.shard.as_mut().ok_or("something is done before the first rules")?;
        shard.apply(input, &mut self.effects);
        self.effects.clear();
        Ok(())
    }
}
