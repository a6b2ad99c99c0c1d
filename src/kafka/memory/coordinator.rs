//! How the transaction coordinator and the partitions' leaders answer a producer's requests.
//!
//! In the older protocol a request to end a transaction names its writer's epoch but not the transaction. So one that
//! arrives a second time can end the next transaction. Leaders ask the coordinator before a writer's first record in a
//! transaction (since Kafka 3.6), so no transaction stays open that the coordinator does not know.

use super::faults::Fault;
use super::partition::{Stored, Writer};
use super::requests::{MemberTag, Part, Refusal, Request, TopicPartition};
use super::shared::{Event, GroupOffset, Shared, State};

impl Shared {
    /// Executes a request. Returns the new epoch for `Init`, otherwise 0.
    pub(super) fn execute(&mut self, request: &Request, is_late: bool) -> Result<u32, Refusal> {
        let answer = match request {
            Request::Init { identity } => self.init(*identity),
            Request::Partitions { writer, transaction, topic_partitions } => self.add_parts(
                *writer,
                *transaction,
                topic_partitions.iter().map(|&topic_partition| Part::Log(topic_partition)),
            ),
            Request::Produce { writer, topic_partition, sequence, records } => {
                self.produce(*writer, *topic_partition, *sequence, records)
            }
            Request::Offsets { writer, transaction, member, offsets } => {
                if !is_late {
                    self.add_parts(*writer, *transaction, std::iter::once(Part::Group))?;
                }
                self.add_offsets(*writer, member.as_ref(), offsets)
            }
            Request::End { writer, transaction } => self.end_transaction(*writer, *transaction),
        };
        match (&answer, request) {
            (Err(Refusal::Fenced(_)), Request::Produce { .. }) if is_late => {
                self.faults.count(Fault::LateProduceRefused);
            }
            (Err(Refusal::Fenced(_)), _) if request.writer().is_some() => self.faults.count(Fault::WriterFenced),
            _ => {}
        }
        answer
    }

    /// Registers a new holder of the identity, after aborting the transaction that an earlier one left open.
    fn init(&mut self, identity: usize) -> Result<u32, Refusal> {
        let producer = &mut self.producers[identity];
        match producer.state {
            State::Ongoing { .. } => {
                // The markers carry the next epoch, so that the earlier holder is fenced in every partition.
                producer.epoch += 1;
                self.begin_end(identity, false);
                if matches!(self.producers[identity].state, State::Ending { .. }) {
                    return Err(Refusal::Busy);
                }
            }
            State::Ending { .. } => return Err(Refusal::Busy),
            State::Empty | State::Ended { .. } => {}
        }
        let producer = &mut self.producers[identity];
        producer.epoch += 1;
        producer.state = State::Empty;
        Ok(producer.epoch)
    }

    fn check_epoch(&self, writer: Writer) -> Result<(), Refusal> {
        let producer = &self.producers[writer.identity];
        if producer.epoch == writer.epoch {
            return Ok(());
        }
        Err(Refusal::Fenced(format!("`{}` has epoch {}, not {}", producer.id, producer.epoch, writer.epoch)))
    }

    fn add_parts(
        &mut self,
        writer: Writer,
        transaction: u64,
        added: impl Iterator<Item = Part>,
    ) -> Result<u32, Refusal> {
        self.check_epoch(writer)?;
        let (now, timeout) = (self.clock(), self.transaction_timeout);
        let state = &mut self.producers[writer.identity].state;
        match state {
            State::Ending { .. } => return Err(Refusal::Busy),
            State::Ongoing { parts, .. } => parts.extend(added),
            State::Empty | State::Ended { .. } => {
                *state = State::Ongoing { transaction, parts: added.collect(), begun: now };
                if let Some(timeout) = timeout {
                    self.later(timeout, Event::TransactionTimeout { writer, begun: now });
                }
            }
        }
        Ok(0)
    }

    fn produce(
        &mut self,
        writer: Writer,
        topic_partition: TopicPartition,
        sequence: u32,
        records: &[Stored],
    ) -> Result<u32, Refusal> {
        let partition = self.partitions.entry(topic_partition).or_default();
        if partition.epoch_of(writer.identity) > writer.epoch {
            return Err(Refusal::Fenced(format!("{topic_partition:?} has a newer writer")));
        }
        if !partition.has_open(writer.identity) {
            self.check_epoch(writer)?;
            let state = &self.producers[writer.identity].state;
            if !matches!(state, State::Ongoing { parts, .. } if parts.contains(&Part::Log(topic_partition))) {
                self.faults.count(Fault::WriteRefused);
                return Err(Refusal::Invalid(format!("{topic_partition:?} is in no transaction of `{writer:?}`")));
            }
        }
        let partition = self.partitions.entry(topic_partition).or_default();
        match partition.write(writer, sequence, records) {
            Ok(_) => Ok(0),
            Err(expected) => {
                Err(Refusal::Invalid(format!("{topic_partition:?} expects request {expected}, not {sequence}")))
            }
        }
    }

    fn add_offsets(
        &mut self,
        writer: Writer,
        member: Option<&MemberTag>,
        offsets: &[((u16, u32), i64)],
    ) -> Result<u32, Refusal> {
        self.check_epoch(writer)?;
        let state = &self.producers[writer.identity].state;
        if !matches!(state, State::Ongoing { parts, .. } if parts.contains(&Part::Group)) {
            return Err(Refusal::Invalid(format!("the group's offsets are in no transaction of {writer:?}")));
        }
        if let Some(member) = member
            && let Err(message) = self.group.check(member)
        {
            self.faults.count(Fault::OffsetsFenced);
            return Err(Refusal::Fenced(message));
        }
        let written = self.next_write();
        let offsets = offsets.iter().map(|&(input, offset)| (input, GroupOffset { offset, written }));
        self.pending.entry(writer.identity).or_default().extend(offsets);
        Ok(0)
    }

    fn end_transaction(&mut self, writer: Writer, transaction: u64) -> Result<u32, Refusal> {
        self.check_epoch(writer)?;
        match &self.producers[writer.identity].state {
            State::Ongoing { transaction: ongoing, .. } => {
                if *ongoing != transaction {
                    self.faults.count(Fault::EndedEarly);
                }
                self.begin_end(writer.identity, true);
                Ok(0)
            }
            State::Ending { .. } => Err(Refusal::Busy),
            State::Ended { is_commit: true } => Ok(0),
            State::Empty | State::Ended { is_commit: false } => {
                Err(Refusal::Invalid(format!("`{}` has no transaction to end", self.producers[writer.identity].id)))
            }
        }
    }

    /// Decides how the ongoing transaction ends, and sends its markers.
    pub(super) fn begin_end(&mut self, identity: usize, is_commit: bool) {
        let producer = &mut self.producers[identity];
        let writer = Writer { identity, epoch: producer.epoch };
        let State::Ongoing { parts, .. } = std::mem::take(&mut producer.state) else { return };
        producer.state = State::Ending { is_commit, left: parts.clone() };
        self.transactions += u64::from(is_commit);
        for part in parts {
            match self.faults.marker_delay() {
                0 => self.land_marker(writer, part),
                delay => self.later(delay, Event::Marker { writer, part }),
            }
        }
    }

    /// A marker arrives; with the last one the transaction has ended.
    pub(super) fn land_marker(&mut self, writer: Writer, part: Part) {
        let State::Ending { is_commit, left } = &mut self.producers[writer.identity].state else { return };
        let is_commit = *is_commit;
        left.remove(&part);
        if left.is_empty() {
            self.producers[writer.identity].state = State::Ended { is_commit };
        }
        match part {
            Part::Log(topic_partition) => self.partitions.entry(topic_partition).or_default().mark(writer, is_commit),
            Part::Group => {
                let offsets = self.pending.remove(&writer.identity).unwrap_or_default();
                if is_commit {
                    offsets.into_iter().for_each(|(input, offset)| self.commit_offset(input, offset));
                }
            }
        }
        self.version += 1;
    }

    /// The coordinator ends a transaction that has been open for too long, and fences its writer.
    pub(super) fn time_out(&mut self, writer: Writer, begun: i64) {
        let producer = &mut self.producers[writer.identity];
        let is_same = matches!(producer.state, State::Ongoing { begun: since, .. } if since == begun);
        if is_same && producer.epoch == writer.epoch {
            producer.epoch += 1;
            self.faults.count(Fault::TransactionTimeout);
            self.begin_end(writer.identity, false);
        }
    }
}
