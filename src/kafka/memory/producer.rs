//! A worker's producer: its requests, step by step, and when it gives up.

use super::faults::Delivery;
use super::partition::{Stored, Writer};
use super::requests::{MemberTag, Refusal, Request, TopicPartition};
use super::scheduler::{Point, Scheduler};
use super::view::{MemoryLog, PATIENCE_MS_MAX, RETRY_MS};
use crate::kafka::{Failure, OutRecord, Topic, Transaction};
use std::collections::BTreeMap;

/// How long a client retries while the coordinator is busy.
const BUSY_MS_MAX: i64 = 5_000;

impl<S: Scheduler> MemoryLog<S> {
    /// Sends a request until it is answered, or gives up.
    pub(super) fn ask(&mut self, at: Point, request: &Request) -> Result<u32, Failure> {
        let since = self.cluster.clock();
        loop {
            self.pass(at);
            let answer = self.ask_once(request)?;
            match answer {
                Ok(given) => return Ok(given),
                Err(Refusal::Busy) => {
                    if !self.wait(RETRY_MS) || self.cluster.clock() > since + BUSY_MS_MAX {
                        return Err(Failure::Rebuild(format!("{}: the coordinator is busy", request.describe())));
                    }
                }
                Err(Refusal::Fenced(message) | Refusal::Invalid(message)) => {
                    return Err(Failure::Rebuild(format!("{}: {message}", request.describe())));
                }
            }
        }
    }

    fn ask_once(&mut self, request: &Request) -> Result<Result<u32, Refusal>, Failure> {
        let mut shared = self.cluster.lock();
        let delivery = shared.delivery_of(self.client, request);
        let mut done = None;
        match delivery {
            Delivery::Good | Delivery::AnswerLost | Delivery::Twice => done = Some(shared.execute(request, false)),
            Delivery::Lost => {}
            Delivery::Late(delay) => shared.later_request(delay, request.clone()),
        }
        if delivery == Delivery::Twice && !matches!(done, Some(Err(Refusal::Busy))) {
            shared.repeat(request.clone());
        }
        shared.note(|| format!("w{} {} {delivery:?}: {done:?}", self.client, request.describe()));
        if let Some(Ok(_)) = done {
            shared.deliver_repeated_ends(request);
        }
        if let (Delivery::Good | Delivery::Twice, Some(answer)) = (delivery, done) {
            return Ok(answer);
        }
        let is_cut = shared.clients[self.client].is_cut;
        let patience = if is_cut { PATIENCE_MS_MAX } else { 50 + shared.faults.below(PATIENCE_MS_MAX) };
        drop(shared);
        self.wait(patience as i64);
        Err(Failure::Rebuild(format!("{}: no answer ({delivery:?})", request.describe())))
    }

    /// Sends all requests of a transaction, step by step.
    pub(super) fn send(&mut self, writer: Writer, transaction: &Transaction<'_>) -> Result<(), Failure> {
        self.transaction += 1;
        let number = self.transaction;
        // Captured once per transaction.
        let member = self.membership();
        for group in self.arrange(transaction) {
            let topic_partitions: Vec<TopicPartition> =
                group.iter().map(|(topic_partition, _)| *topic_partition).collect();
            self.ask(Point::Begin, &Request::Partitions { writer, transaction: number, topic_partitions })?;
            for (topic_partition, records) in group {
                let next = self.sequences.entry((writer.identity, topic_partition)).or_default();
                let sequence = *next;
                *next += 1;
                self.ask(Point::Produce, &Request::Produce { writer, topic_partition, sequence, records })?;
            }
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

    /// The membership with which offsets are committed: that of the last assignment, and under the protocol of KIP-848
    /// the one that the client has now.
    fn membership(&self) -> Option<MemberTag> {
        let shared = self.cluster.lock();
        if !shared.group.is_incremental {
            return self.member.clone();
        }
        // The tag of a client without membership is refused; that of a worker outside the group is not used.
        let this = &shared.clients[self.client];
        let no_member = || MemberTag { instance: this.instance.clone(), member: 0, generation: 0 };
        Some(this.tag.clone().unwrap_or_else(no_member))
    }

    /// Groups the requests of a transaction: partitions that are added together, and the records for each. With faults
    /// they are in random order, and a partition's records are in up to two requests.
    fn arrange(&self, transaction: &Transaction<'_>) -> Vec<Vec<(TopicPartition, Vec<Stored>)>> {
        let mut shared = self.cluster.lock();
        let timestamp = shared.clock();
        let mut by_partition: BTreeMap<TopicPartition, Vec<Stored>> = BTreeMap::new();
        for record in &transaction.records {
            let topic_partition = (Topic::Own(record.topic), record.partition);
            by_partition.entry(topic_partition).or_default().push(store(record, transaction, timestamp));
        }
        let mut topic_partitions: Vec<(TopicPartition, Vec<Stored>)> = by_partition.into_iter().collect();
        shared.faults.shuffle(&mut topic_partitions);
        let later = if shared.faults.below(2) == 0 {
            Vec::new()
        } else {
            topic_partitions.split_off(topic_partitions.len() / 2)
        };
        let mut groups = vec![topic_partitions, later];
        groups.retain(|group| !group.is_empty());
        for group in &mut groups {
            let whole = std::mem::take(group);
            let mut rest = Vec::new();
            for (topic_partition, mut records) in whole {
                if records.len() > 1 && shared.faults.below(3) == 1 {
                    rest.push((topic_partition, records.split_off(records.len() / 2)));
                }
                group.push((topic_partition, records));
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
