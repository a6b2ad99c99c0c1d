//! A worker's producer: what it asks, step by step, and when it gives up.

use super::faults::Fate;
use super::partition::{Stored, Writer};
use super::requests::{MemberTag, Place, Refusal, Request};
use super::stops::{Point, Stops};
use super::view::{MemoryLog, PATIENCE_MS_MAX, RETRY_MS};
use crate::kafka::{Failure, OutRecord, Topic, Transaction};
use crate::trial::{self, Sabotage};
use std::collections::BTreeMap;

/// How long a client asks in vain before it gives up.
const BUSY_MS_MAX: i64 = 5_000;

impl<S: Stops> MemoryLog<S> {
    /// Asks until there is an answer, or none is to be hoped for.
    pub(super) fn ask(&mut self, at: Point, request: &Request) -> Result<u32, Failure> {
        let since = self.cluster.clock();
        loop {
            self.pass(at);
            let answer = self.ask_once(request)?;
            match answer {
                Ok(given) => return Ok(given),
                Err(Refusal::Busy) => {
                    if !self.wait(RETRY_MS) || self.cluster.clock() > since + BUSY_MS_MAX {
                        return Err(Failure::Rebuild(format!("{}: the coordinator is busy", request.told())));
                    }
                }
                Err(Refusal::Fenced(words) | Refusal::Invalid(words)) => {
                    return Err(Failure::Rebuild(format!("{}: {words}", request.told())));
                }
            }
        }
    }

    fn ask_once(&mut self, request: &Request) -> Result<Result<u32, Refusal>, Failure> {
        let mut shared = self.cluster.lock();
        let fate = shared.fate_of(self.client, request);
        let mut done = None;
        match fate {
            Fate::Good | Fate::AnswerLost | Fate::Twice => done = Some(shared.execute(request, false)),
            Fate::Lost => {}
            Fate::Late(delay) => shared.later_request(delay, request.clone()),
        }
        if fate == Fate::Twice && !matches!(done, Some(Err(Refusal::Busy))) {
            shared.again(request.clone());
        }
        shared.note(|| format!("w{} {} {fate:?}: {done:?}", self.client, request.told()));
        if let Some(Ok(_)) = done {
            shared.let_ends_arrive(request);
        }
        if let (Fate::Good | Fate::Twice, Some(answer)) = (fate, done) {
            return Ok(answer);
        }
        let is_cut = shared.clients[self.client].is_cut;
        let patience = if is_cut { PATIENCE_MS_MAX } else { 50 + shared.faults.below(PATIENCE_MS_MAX) };
        drop(shared);
        self.wait(patience as i64);
        Err(Failure::Rebuild(format!("{}: no answer ({fate:?})", request.told())))
    }

    /// Everything of a transaction, step by step.
    pub(super) fn send(&mut self, writer: Writer, transaction: &Transaction<'_>) -> Result<(), Failure> {
        self.transaction += 1;
        let number = self.transaction;
        // Captured once per transaction.
        let mut member = self.membership();
        for group in self.arrange(transaction) {
            let places: Vec<Place> = group.iter().map(|(place, _)| *place).collect();
            self.ask(Point::Begin, &Request::Partitions { writer, transaction: number, places })?;
            for (place, records) in group {
                let next = self.sequences.entry(place).or_default();
                let sequence = *next;
                *next += 1;
                self.ask(Point::Produce, &Request::Produce { writer, place, sequence, records })?;
            }
        }
        if trial::is_sabotaged(Sabotage::MembershipLate) {
            member = self.membership_by_now();
        }
        if !transaction.offsets.is_empty() {
            let offsets = transaction.offsets.iter();
            let offsets = offsets.map(|input| ((input.topic, input.partition), input.offset)).collect();
            self.ask(Point::Offsets, &Request::Offsets { writer, transaction: number, member, offsets })?;
        }
        self.ask(Point::End, &Request::End { writer, transaction: number })?;
        self.pass(Point::Ended);
        Ok(())
    }

    /// As whom offsets are committed: as the member that the worker last heard it is, and with the newer protocol as the
    /// one that its client knows it is.
    fn membership(&self) -> Option<MemberTag> {
        let shared = self.cluster.lock();
        if !shared.group.is_incremental {
            return self.member.clone();
        }
        // Nobody's tag is refused; that of a worker outside of the group is not asked for.
        let this = &shared.clients[self.client];
        let nobody = || MemberTag { instance: this.instance.clone(), member: 0, generation: 0 };
        Some(this.tag.clone().unwrap_or_else(nobody))
    }

    /// What somebody finds who asks late: a client that was lost has joined again in the background meanwhile, whatever
    /// its worker knows, and with its new membership everything may be committed that went to others in between.
    fn membership_by_now(&self) -> Option<MemberTag> {
        let shared = self.cluster.lock();
        shared.group.tag_of(&shared.clients[self.client].instance)
    }

    /// The requests of a transaction: partitions that are added together, and what is written to each. With faults, in any
    /// order, and a partition's records in up to two requests.
    fn arrange(&self, transaction: &Transaction<'_>) -> Vec<Vec<(Place, Vec<Stored>)>> {
        let mut shared = self.cluster.lock();
        let timestamp = shared.clock();
        let mut by_place: BTreeMap<Place, Vec<Stored>> = BTreeMap::new();
        for record in &transaction.records {
            let place = (Topic::Own(record.topic), record.partition);
            by_place.entry(place).or_default().push(store(record, transaction, timestamp));
        }
        let mut places: Vec<(Place, Vec<Stored>)> = by_place.into_iter().collect();
        shared.faults.shuffle(&mut places);
        let later = if shared.faults.below(2) == 0 { Vec::new() } else { places.split_off(places.len() / 2) };
        let mut groups = vec![places, later];
        groups.retain(|group| !group.is_empty());
        for group in &mut groups {
            let whole = std::mem::take(group);
            let mut rest = Vec::new();
            for (place, mut records) in whole {
                if records.len() > 1 && shared.faults.below(3) == 1 {
                    rest.push((place, records.split_off(records.len() / 2)));
                }
                group.push((place, records));
            }
            group.extend(rest);
        }
        groups
    }
}

fn store(record: &OutRecord<'_>, transaction: &Transaction<'_>, timestamp: i64) -> Stored {
    let headers = &transaction.headers[record.headers.clone()];
    Stored {
        timestamp: Some(timestamp),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect(),
        ..Stored::default()
    }
}
