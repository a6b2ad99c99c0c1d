//! What all clients share: the broker's side, its clock, and what is on its way and arrives later.

use super::client::Client;
use super::faults::{Break, Fate, Fault, Faults};
use super::members::Group;
use super::partition::{Partition, Stored, Writer};
use super::requests::{Part, Place, Request};
use crate::kafka::Topic;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

/// A member of which nothing is heard for so long has left.
pub const SESSION_TIMEOUT_MS: i64 = 3_000;

/// Something that happens at a moment.
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
    /// One that was late, or arrives a second time.
    Request(Request),
    /// A member's heartbeat, and what it is answered.
    Contact(usize),
    /// Nothing has been heard of a client since then, perhaps.
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
    pub partitions: BTreeMap<Place, Partition>,
    /// Offsets of the group, and those of transactions that have not ended.
    pub committed: BTreeMap<(u16, u32), i64>,
    pub pending: BTreeMap<usize, BTreeMap<(u16, u32), i64>>,
    /// By identity.
    pub producers: Vec<Producer>,
    pub group: Group,
    pub clients: Vec<Client>,
    pub breaks: BTreeMap<usize, VecDeque<Break>>,
    pub transactions: u64,
    /// Input partitions whose leader is away, and topics that have been silent for long.
    pub away: BTreeSet<(u16, u32)>,
    pub silent: BTreeSet<u16>,
    /// Wall clock, if it does not run by itself.
    pub time: Option<i64>,
    pub faults: Faults,
    pub transaction_timeout: Option<i64>,
    /// What will happen, in order.
    later: BTreeMap<(i64, u64), Event>,
    serial: u64,
    /// Ends to arrive again once their writer has made so many more requests.
    ends_again: Vec<(u32, Request)>,
    /// Grows with everything that a waiting worker may want to see.
    pub version: u64,
    pub history: Option<Vec<String>>,
}

impl Shared {
    /// Wall-clock milliseconds of the cluster.
    pub fn clock(&self) -> i64 {
        let running = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        self.time.unwrap_or_else(running)
    }

    pub fn note(&mut self, words: impl FnOnce() -> String) {
        let time = self.time.unwrap_or_default();
        if let Some(history) = &mut self.history {
            history.push(format!("{:>3}.{:03} {}", time.div_euclid(1_000) % 1_000, time.rem_euclid(1_000), words()));
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

    /// Lets time go on, and everything happen that is due.
    pub fn advance(&mut self, to: i64) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= to) {
            self.time = self.time.max(Some(entry.key().0));
            let event = entry.remove();
            self.happen(event);
        }
        self.time = Some(to);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Marker { writer, part } => {
                self.note(|| format!("   marker of {writer:?} lands in {part:?}"));
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
        self.note(|| format!("   late {}: {answer:?}", request.told()));
    }

    /// What becomes of a client's request.
    pub fn fate_of(&mut self, client: usize, request: &Request) -> Fate {
        if self.clients[client].is_cut {
            return Fate::Lost;
        }
        if let (Request::End { writer, .. }, true) = (request, !self.breaks.is_empty())
            && let Some(broken) = self.breaks.get_mut(&writer.identity).and_then(VecDeque::pop_front)
        {
            return if broken == Break::Lost { Fate::Lost } else { Fate::AnswerLost };
        }
        self.faults.fate(request.kind())
    }

    /// Lets a request arrive once more: an end preferably during the writer's next transaction.
    pub fn again(&mut self, request: Request) {
        if matches!(request, Request::End { .. }) && self.faults.below(4) > 0 {
            let requests = 1 + self.faults.below(6) as u32;
            self.ends_again.push((requests, request));
        } else {
            let delay = 1 + self.faults.below(400) as i64;
            self.later(delay, Event::Request(request));
        }
    }

    /// A writer's request was done: an end of the same epoch that was to come again after it comes.
    pub fn let_ends_arrive(&mut self, done: &Request) {
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

    /// What a client that was lost has sent and what has not arrived yet never will: its connections are closed. Kafka's
    /// older protocol could not tell an end that arrives again, as its client comes back, from that of a transaction that
    /// its client has begun meanwhile, and would publish what the group's generation should have fenced.
    pub fn close_connections(&mut self, identity: usize) {
        let is_own = |request: &Request| request.writer().is_some_and(|writer| writer.identity == identity);
        self.ends_again.retain(|(_, request)| !is_own(request));
        self.later.retain(|_, event| !matches!(event, Event::Request(request) if is_own(request)));
    }

    pub fn end(&self, place: Place) -> i64 {
        self.partitions.get(&place).map_or(0, Partition::end)
    }

    pub fn stable_end(&self, place: Place) -> i64 {
        self.partitions.get(&place).map_or(0, Partition::stable_end)
    }

    pub fn append(&mut self, place: Place, stored: Stored) -> i64 {
        self.version += 1;
        self.partitions.entry(place).or_default().append(stored)
    }

    /// Whether fetches of this partition are answered.
    pub fn answers(&self, place: Place) -> bool {
        !matches!(place, (Topic::Input(topic), partition) if self.away.contains(&(topic, partition)))
    }

    /// The number of a transactional id.
    pub fn identity(&mut self, id: &str) -> usize {
        self.producers.iter().position(|producer| producer.id == id).unwrap_or_else(|| {
            self.producers.push(Producer { id: id.to_owned(), ..Producer::default() });
            self.producers.len() - 1
        })
    }

    /// Whether offsets of these input partitions are in a transaction that has not ended.
    pub fn has_pending(&self, shards: &[u32]) -> bool {
        self.pending.values().flat_map(BTreeMap::keys).any(|(_, partition)| shards.contains(partition))
    }

    pub fn count(&mut self, fault: Fault) {
        self.faults.count(fault);
    }
}
