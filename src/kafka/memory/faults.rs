//! Faults drawn from a seed: the delivery of each request, and delays of markers and fetches.
//!
//! The same seed and the same requests give the same faults. Every fault that happens is counted by its kind.

use crate::random::Random;
use std::collections::BTreeMap;

/// How the next transaction of an identity ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Nothing of it is written to the log.
    Lost,
    /// All of it is written to the log, and the worker gets no answer.
    AnswerLost,
}

/// Everything that can go wrong in a cluster, and between it and its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The request never arrives.
    InitLost,
    PartitionsLost,
    ProduceLost,
    OffsetsLost,
    EndLost,
    /// The request is executed, and its answer never arrives.
    InitAnswerLost,
    PartitionsAnswerLost,
    ProduceAnswerLost,
    OffsetsAnswerLost,
    EndAnswerLost,
    /// The request arrives after its client has given up waiting.
    InitLate,
    PartitionsLate,
    ProduceLate,
    OffsetsLate,
    EndLate,
    /// The request arrives, is answered, and arrives again.
    InitTwice,
    PartitionsTwice,
    ProduceTwice,
    OffsetsTwice,
    EndTwice,
    /// A request to end a transaction arrived again and ended the next one too early.
    EndedEarly,
    /// A marker is written later than the end of its transaction.
    MarkerLate,
    /// The coordinator ended a transaction that took too long.
    TransactionTimeout,
    /// The next owner of a shard ended the open transaction of the previous one.
    HolderFenced,
    /// A request of a writer that has been replaced was refused.
    WriterFenced,
    /// A late request that appends records was refused.
    LateProduceRefused,
    /// A request for a partition that is not in the transaction was refused.
    WriteRefused,
    /// Offsets from an earlier generation of the group, or from a former member, were refused.
    OffsetsFenced,
    Rebalance,
    /// A member's session expired, and its shards were assigned to others.
    MemberLost,
    /// A lost member came back and learned of its loss.
    MemberReturned,
    /// A member was restarted within its session and has its shards again, without a rebalance.
    MemberReplaced,
    /// The earlier holder of a member's name was still running, and has to stop.
    InstanceFenced,
    /// A member cannot reach any broker.
    Cut,
    /// A fetch is answered late.
    FetchSlow,
    /// A partition's leader is unavailable.
    LeaderAway,
    /// A topic that holds time back is silent.
    TopicSilent,
    /// A record of an upstream producer became visible only with the end of its transaction, or never.
    InputHeldBack,
    InputAborted,
    /// The group's offset of a partition was deleted.
    OffsetsForgotten,
}

impl Fault {
    pub const ALL: [Self; 40] = [
        Self::InitLost,
        Self::PartitionsLost,
        Self::ProduceLost,
        Self::OffsetsLost,
        Self::EndLost,
        Self::InitAnswerLost,
        Self::PartitionsAnswerLost,
        Self::ProduceAnswerLost,
        Self::OffsetsAnswerLost,
        Self::EndAnswerLost,
        Self::InitLate,
        Self::PartitionsLate,
        Self::ProduceLate,
        Self::OffsetsLate,
        Self::EndLate,
        Self::InitTwice,
        Self::PartitionsTwice,
        Self::ProduceTwice,
        Self::OffsetsTwice,
        Self::EndTwice,
        Self::EndedEarly,
        Self::MarkerLate,
        Self::TransactionTimeout,
        Self::HolderFenced,
        Self::WriterFenced,
        Self::LateProduceRefused,
        Self::WriteRefused,
        Self::OffsetsFenced,
        Self::Rebalance,
        Self::MemberLost,
        Self::MemberReturned,
        Self::MemberReplaced,
        Self::InstanceFenced,
        Self::Cut,
        Self::FetchSlow,
        Self::LeaderAway,
        Self::TopicSilent,
        Self::InputHeldBack,
        Self::InputAborted,
        Self::OffsetsForgotten,
    ];
}

/// How a request is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Good,
    Lost,
    AnswerLost,
    /// Milliseconds until it arrives.
    Late(i64),
    Twice,
}

/// The kinds of requests that a delivery is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    Init,
    Partitions,
    Produce,
    Offsets,
    End,
}

impl RequestKind {
    fn fault(self, delivery: Delivery) -> Option<Fault> {
        let of_kinds = match delivery {
            Delivery::Good => return None,
            Delivery::Lost => {
                [Fault::InitLost, Fault::PartitionsLost, Fault::ProduceLost, Fault::OffsetsLost, Fault::EndLost]
            }
            Delivery::AnswerLost => [
                Fault::InitAnswerLost,
                Fault::PartitionsAnswerLost,
                Fault::ProduceAnswerLost,
                Fault::OffsetsAnswerLost,
                Fault::EndAnswerLost,
            ],
            Delivery::Late(_) => {
                [Fault::InitLate, Fault::PartitionsLate, Fault::ProduceLate, Fault::OffsetsLate, Fault::EndLate]
            }
            Delivery::Twice => {
                [Fault::InitTwice, Fault::PartitionsTwice, Fault::ProduceTwice, Fault::OffsetsTwice, Fault::EndTwice]
            }
        };
        Some(of_kinds[self as usize])
    }
}

/// A plan of faults. Without a seed there are none.
#[derive(Default)]
pub struct Faults {
    random: Option<Random>,
    /// For each kind of request the chances, in 1/1000, that it is lost, its answer is lost, it is late, or arrives
    /// twice.
    chances: [[u64; 4]; 5],
    pub(super) marker_late: u64,
    fetch_slow: u64,
    /// Shorter than the session time-out, or longer.
    pub(super) transaction_timeout_ms: i64,
    counts: BTreeMap<Fault, u32>,
}

impl Faults {
    /// The plan of a seed: some faults often, some rarely, some never.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x5eed_fa17);
        let mut faults = Self::default();
        // Some kinds of requests are rarer than others: the rarer the kind, the more likely a fault.
        for (kind, usual) in [40, 8, 4, 12, 16].into_iter().enumerate() {
            for chance in &mut faults.chances[kind] {
                *chance = if random.one_in(3) { usual } else { 0 };
            }
        }
        // The fault that tears transactions.
        faults.chances[RequestKind::End as usize][3] = if random.one_in(2) { 60 } else { 0 };
        faults.marker_late = [0, 50, 300][random.below(3) as usize];
        faults.fetch_slow = [0, 20, 200][random.below(3) as usize];
        faults.transaction_timeout_ms = [2_000, 6_000, 6_000, 6_000][random.below(4) as usize];
        faults.random = Some(random);
        faults
    }

    /// Ends all faults. The counts remain.
    pub fn stop(&mut self) {
        self.chances = [[0; 4]; 5];
        self.marker_late = 0;
        self.fetch_slow = 0;
    }

    /// Whether there is a plan. If so, its owner controls time.
    pub fn is_planned(&self) -> bool {
        self.random.is_some()
    }

    pub fn count(&mut self, fault: Fault) {
        *self.counts.entry(fault).or_default() += 1;
    }

    pub fn counts(&self) -> &BTreeMap<Fault, u32> {
        &self.counts
    }

    /// A random number below the bound; 0 without a plan.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.random.as_mut().map_or(0, |random| random.below(bound))
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        if let Some(random) = &mut self.random {
            random.shuffle(items);
        }
    }

    pub(super) fn delivery(&mut self, kind: RequestKind) -> Delivery {
        let Some(random) = &mut self.random else { return Delivery::Good };
        let [lost, answer_lost, late, twice] = self.chances[kind as usize];
        let drawn = random.below(1_000);
        let delivery = match drawn {
            _ if drawn < lost => Delivery::Lost,
            _ if drawn < lost + answer_lost => Delivery::AnswerLost,
            _ if drawn < lost + answer_lost + late => Delivery::Late(random.between(1, 1_500)),
            _ if drawn < lost + answer_lost + late + twice => Delivery::Twice,
            _ => Delivery::Good,
        };
        if let Some(fault) = kind.fault(delivery) {
            self.count(fault);
        }
        delivery
    }

    /// The delay of a marker.
    pub(super) fn marker_delay(&mut self) -> i64 {
        let Some(random) = &mut self.random else { return 0 };
        if random.below(1_000) >= self.marker_late {
            return 0;
        }
        let delay = random.between(1, 400);
        self.count(Fault::MarkerLate);
        delay
    }

    /// The time until the next fetch of a partition is answered.
    pub(super) fn fetch_delay(&mut self) -> i64 {
        let Some(random) = &mut self.random else { return 0 };
        if random.below(1_000) >= self.fetch_slow {
            return random.between(0, 10);
        }
        let delay = random.between(50, 500);
        self.count(Fault::FetchSlow);
        delay
    }
}
