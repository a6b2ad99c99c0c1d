//! The state that all clients share: the brokers' side, its clock, and events that happen later.

use super::client::Client;
use super::faults::{Break, Delivery, Fault, Faults};
use super::members::Group;
use super::partition::{Partition, Stored, Writer};
use super::requests::{Part, Request, TopicPartition};
use crate::kafka::Topic;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

/// A member without heartbeats for this time is removed from the group.
pub const SESSION_TIMEOUT_MS: i64 = 3_000;

/// Something that happens at a certain moment.
#[derive(Debug)]
pub(super) enum Event {
    Marker {
        writer: Writer,
        part: Part,
    },
    TransactionTimeout {
        writer: Writer,
        begun: i64,
    },
    /// A request that is late, or arrives a second time.
    Request(Request),
    /// A member's heartbeat, and its answer.
    Contact(usize),
    /// A client may have sent no heartbeat since then.
    Silence {
        client: usize,
        since: i64,
    },
}

/// What the coordinator knows of a transactional identity.
#[derive(Default)]
pub(super) struct Producer {
    pub id: String,
    pub epoch: u32,
    pub state: State,
}

/// An offset that was written for the group.
#[derive(Clone, Copy)]
pub(super) struct GroupOffset {
    pub offset: i64,
    /// When it was written, by the order of writes.
    pub written: u64,
}

#[derive(Default)]
pub(super) enum State {
    #[default]
    Empty,
    Ongoing {
        transaction: u64,
        parts: BTreeSet<Part>,
        begun: i64,
    },
    Ending {
        is_commit: bool,
        left: BTreeSet<Part>,
    },
    Ended {
        is_commit: bool,
    },
}

#[derive(Default)]
pub(super) struct Shared {
    pub shards: u32,
    pub partitions: BTreeMap<TopicPartition, Partition>,
    /// Offsets of the group, and by identity those of transactions that have not ended.
    pub committed: BTreeMap<(u16, u32), GroupOffset>,
    pub pending: BTreeMap<usize, BTreeMap<(u16, u32), GroupOffset>>,
    /// By identity.
    pub producers: Vec<Producer>,
    pub group: Group,
    pub clients: Vec<Client>,
    /// By the first identity of a worker.
    pub breaks: BTreeMap<usize, VecDeque<Break>>,
    pub transactions: u64,
    /// Input partitions whose leader is unavailable, and silent topics.
    pub away: BTreeSet<(u16, u32)>,
    pub silent: BTreeSet<u16>,
    /// Wall clock, if it does not run by itself.
    pub time: Option<i64>,
    pub faults: Faults,
    pub transaction_timeout: Option<i64>,
    /// Future events in order.
    later: BTreeMap<(i64, u64), Event>,
    serial: u64,
    /// Requests to end a transaction that arrive again after their writer has sent this number of further requests.
    ends_again: Vec<(u32, Request)>,
    /// Increases with every event that a waiting worker may want to see.
    pub version: u64,
    pub history: Option<Vec<String>>,
}

impl Shared {
    /// Wall-clock milliseconds of the cluster.
    pub fn clock(&self) -> i64 {
        let running = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        self.time.unwrap_or_else(running)
    }

    pub fn note(&mut self, message: impl FnOnce() -> String) {
        let time = self.time.unwrap_or_default();
        if let Some(history) = &mut self.history {
            history.push(format!("{:>3}.{:03} {}", time.div_euclid(1_000) % 1_000, time.rem_euclid(1_000), message()));
        }
    }

    pub fn later(&mut self, delay: i64, event: Event) {
        self.serial += 1;
        self.later.insert((self.clock() + delay, self.serial), event);
    }

    pub fn later_request(&mut self, delay: i64, request: Request) {
        self.later(delay, Event::Request(request));
    }

    /// When the next event is due.
    pub fn next_event(&self) -> Option<i64> {
        self.later.keys().next().map(|(moment, _)| *moment)
    }

    /// Advances time and executes every event that is due.
    pub fn advance(&mut self, to: i64) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= to) {
            self.time = self.time.max(Some(entry.key().0));
            let event = entry.remove();
            self.execute_event(event);
        }
        self.time = Some(to);
    }

    fn execute_event(&mut self, event: Event) {
        match event {
            Event::Marker { writer, part } => {
                self.note(|| format!("   marker of {writer:?} is written to {part:?}"));
                self.land_marker(writer, part);
            }
            Event::TransactionTimeout { writer, begun } => self.time_out(writer, begun),
            Event::Request(request) => self.arrive_late(request),
            Event::Contact(client) => self.contact(client),
            Event::Silence { client, since } => self.lose_if_silent(client, since),
        }
    }

    fn arrive_late(&mut self, request: Request) {
        let answer = self.execute(&request, true);
        self.note(|| format!("   late {}: {answer:?}", request.describe()));
    }

    /// How a client's request is delivered.
    pub fn delivery_of(&mut self, client: usize, request: &Request) -> Delivery {
        if self.clients[client].is_cut {
            return Delivery::Lost;
        }
        if let (Request::End { .. }, true) = (request, !self.breaks.is_empty())
            && let Some(broken) = self.breaks.get_mut(&self.clients[client].identities[0]).and_then(VecDeque::pop_front)
        {
            return if broken == Break::Lost { Delivery::Lost } else { Delivery::AnswerLost };
        }
        self.faults.delivery(request.kind())
    }

    /// Makes a request arrive once more; one that ends a transaction preferably during the writer's next transaction.
    pub fn repeat(&mut self, request: Request) {
        if matches!(request, Request::End { .. }) && self.faults.below(4) > 0 {
            let requests = 1 + self.faults.below(6) as u32;
            self.ends_again.push((requests, request));
        } else {
            let delay = 1 + self.faults.below(400) as i64;
            self.later(delay, Event::Request(request));
        }
    }

    /// A writer's request was executed: requests to end a transaction that were to arrive again after it arrive now.
    pub fn deliver_repeated_ends(&mut self, done: &Request) {
        let Some(writer) = done.writer().filter(|_| !self.ends_again.is_empty()) else { return };
        let mut due = Vec::new();
        self.ends_again.retain_mut(|(requests, end)| {
            if end.writer() != Some(writer) || end.transaction() == done.transaction() {
                return true;
            }
            *requests -= 1;
            if *requests == 0 {
                due.push(end.clone());
            }
            *requests > 0
        });
        due.into_iter().for_each(|end| self.arrive_late(end));
    }

    /// Drops the requests of a lost client that have not arrived yet, since its connections are closed. Otherwise a
    /// repeated request to end a transaction, which Kafka's older protocol cannot attribute to one, could commit a
    /// later transaction that the group's generation should have fenced.
    pub fn close_connections(&mut self, identities: [usize; 2]) {
        let is_own = |request: &Request| request.writer().is_some_and(|writer| identities.contains(&writer.identity));
        self.ends_again.retain(|(_, request)| !is_own(request));
        self.later.retain(|_, event| !matches!(event, Event::Request(request) if is_own(request)));
    }

    pub fn end(&self, topic_partition: TopicPartition) -> i64 {
        self.partitions.get(&topic_partition).map_or(0, Partition::end)
    }

    pub fn stable_end(&self, topic_partition: TopicPartition) -> i64 {
        self.partitions.get(&topic_partition).map_or(0, Partition::stable_end)
    }

    pub fn append(&mut self, topic_partition: TopicPartition, stored: Stored) -> i64 {
        self.version += 1;
        self.partitions.entry(topic_partition).or_default().append(stored)
    }

    /// Whether fetches of this partition are answered.
    pub fn answers(&self, topic_partition: TopicPartition) -> bool {
        !matches!(topic_partition, (Topic::Input(topic), partition) if self.away.contains(&(topic, partition)))
    }

    /// The number of a transactional id.
    pub fn identity(&mut self, id: &str) -> usize {
        self.producers.iter().position(|producer| producer.id == id).unwrap_or_else(|| {
            self.producers.push(Producer { id: id.to_owned(), ..Producer::default() });
            self.producers.len() - 1
        })
    }

    /// Notes an offset that was written for the group. Of two the one that was written later counts, also if its
    /// transaction ended first: so does Kafka's group coordinator.
    pub fn commit_offset(&mut self, input: (u16, u32), offset: GroupOffset) {
        let known = self.committed.entry(input).or_insert(offset);
        if known.written < offset.written {
            *known = offset;
        }
    }

    /// The number of a write to the group's offsets: later ones have higher numbers.
    pub fn next_write(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Whether offsets of these input partitions are in a transaction that has not ended.
    pub fn has_pending(&self, shards: &[u32]) -> bool {
        self.pending.values().flat_map(BTreeMap::keys).any(|(_, partition)| shards.contains(partition))
    }

    pub fn count(&mut self, fault: Fault) {
        self.faults.count(fault);
    }
}
