//! What goes wrong, drawn from a seed: the fate of each request, markers and fetches that take their time.
//!
//! The same seed and the same requests give the same faults. Every fault that really happens is counted by its kind.

use crate::random::Random;
use std::collections::BTreeMap;

/// How the next transaction of an identity ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Nothing of it is in the log.
    Lost,
    /// All of it is in the log, and the worker does not get to know.
    AnswerLost,
}

/// Everything that can go wrong in a cluster, and between it and its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A request never arrives.
    InitLost,
    PartitionsLost,
    ProduceLost,
    OffsetsLost,
    EndLost,
    /// It is done, and its answer never arrives.
    InitAnswerLost,
    PartitionsAnswerLost,
    ProduceAnswerLost,
    OffsetsAnswerLost,
    EndAnswerLost,
    /// It arrives after its client has given it up.
    InitLate,
    PartitionsLate,
    ProduceLate,
    OffsetsLate,
    EndLate,
    /// It arrives, is answered, and arrives again.
    InitTwice,
    PartitionsTwice,
    ProduceTwice,
    OffsetsTwice,
    EndTwice,
    /// An end that arrived again ended the next transaction before its time.
    EndedEarly,
    /// A marker lands later than the end of its transaction.
    MarkerLate,
    /// The coordinator ended a transaction that took too long.
    TransactionTimeout,
    /// The next owner of a shard ended the open transaction of the last.
    HolderFenced,
    /// A request of a writer that has been replaced was refused.
    WriterFenced,
    /// So was a late one that appends records.
    LateProduceRefused,
    /// A request for a partition that is not in the transaction was refused.
    WriteRefused,
    /// Offsets from an earlier generation of the group, or from somebody who is no member any more, were refused.
    OffsetsFenced,
    Rebalance,
    /// A member was not heard of for so long that its shards went to others.
    MemberLost,
    /// It came back, and found that out.
    MemberReturned,
    /// A member was started again in time and has its shards again, without a rebalance.
    MemberReplaced,
    /// The earlier holder of a member's name was still there, and is told to stop.
    InstanceFenced,
    /// A member can reach nobody.
    Cut,
    /// A fetch is answered late.
    FetchSlow,
    /// A partition's leader is away.
    LeaderAway,
    /// A topic that holds time back is silent.
    TopicSilent,
    /// A record of a producer of inputs became visible only with the end of its transaction, or never.
    InputHeldBack,
    InputAborted,
    /// The group's offset of a partition is gone.
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

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Good,
    Lost,
    AnswerLost,
    /// Milliseconds until it arrives.
    Late(i64),
    Twice,
}

/// The five kinds of requests that fates are drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Init,
    Partitions,
    Produce,
    Offsets,
    End,
}

impl Kind {
    fn fault(self, fate: Fate) -> Option<Fault> {
        let of_kinds = match fate {
            Fate::Good => return None,
            Fate::Lost => {
                [Fault::InitLost, Fault::PartitionsLost, Fault::ProduceLost, Fault::OffsetsLost, Fault::EndLost]
            }
            Fate::AnswerLost => [
                Fault::InitAnswerLost,
                Fault::PartitionsAnswerLost,
                Fault::ProduceAnswerLost,
                Fault::OffsetsAnswerLost,
                Fault::EndAnswerLost,
            ],
            Fate::Late(_) => {
                [Fault::InitLate, Fault::PartitionsLate, Fault::ProduceLate, Fault::OffsetsLate, Fault::EndLate]
            }
            Fate::Twice => {
                [Fault::InitTwice, Fault::PartitionsTwice, Fault::ProduceTwice, Fault::OffsetsTwice, Fault::EndTwice]
            }
        };
        Some(of_kinds[self as usize])
    }
}

/// A plan of faults. The plan without a seed has none.
#[derive(Default)]
pub struct Faults {
    random: Option<Random>,
    /// Chances of each kind of request to be lost, to lose its answer, to be late and to arrive twice, in 1/1000.
    chances: [[u64; 4]; 5],
    pub(super) marker_late: u64,
    fetch_slow: u64,
    /// Shorter than the time-out of a session, or longer.
    pub(super) transaction_timeout_ms: i64,
    counts: BTreeMap<Fault, u32>,
}

impl Faults {
    /// The plan of a seed: some faults often, some rarely, some never.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x5eed_fa17);
        let mut faults = Self::default();
        // How often each kind is asked for differs: the rarer it is, the more likely must a fault be.
        for (kind, usual) in [40, 8, 4, 12, 16].into_iter().enumerate() {
            for chance in &mut faults.chances[kind] {
                *chance = if random.one_in(3) { usual } else { 0 };
            }
        }
        // The one that tears transactions apart.
        faults.chances[Kind::End as usize][3] = if random.one_in(2) { 60 } else { 0 };
        faults.marker_late = [0, 50, 300][random.below(3) as usize];
        faults.fetch_slow = [0, 20, 200][random.below(3) as usize];
        faults.transaction_timeout_ms = [2_000, 6_000, 6_000, 6_000][random.below(4) as usize];
        faults.random = Some(random);
        faults
    }

    /// From now on nothing goes wrong any more; what happened is still known.
    pub fn stop(&mut self) {
        self.chances = [[0; 4]; 5];
        self.marker_late = 0;
        self.fetch_slow = 0;
    }

    /// Whether there is a plan at all: then time is what the plan's owner makes it.
    pub fn is_planned(&self) -> bool {
        self.random.is_some()
    }

    pub fn count(&mut self, fault: Fault) {
        *self.counts.entry(fault).or_default() += 1;
    }

    pub fn counts(&self) -> &BTreeMap<Fault, u32> {
        &self.counts
    }

    /// A number below the bound; 0 without a plan.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.random.as_mut().map_or(0, |random| random.below(bound))
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        if let Some(random) = &mut self.random {
            random.shuffle(items);
        }
    }

    pub(super) fn fate(&mut self, kind: Kind) -> Fate {
        let Some(random) = &mut self.random else { return Fate::Good };
        let [lost, answer_lost, late, twice] = self.chances[kind as usize];
        let drawn = random.below(1_000);
        let fate = match drawn {
            _ if drawn < lost => Fate::Lost,
            _ if drawn < lost + answer_lost => Fate::AnswerLost,
            _ if drawn < lost + answer_lost + late => Fate::Late(random.between(1, 1_500)),
            _ if drawn < lost + answer_lost + late + twice => Fate::Twice,
            _ => Fate::Good,
        };
        if let Some(fault) = kind.fault(fate) {
            self.count(fault);
        }
        fate
    }

    /// How long a marker takes.
    pub(super) fn marker_delay(&mut self) -> i64 {
        let Some(random) = &mut self.random else { return 0 };
        if random.below(1_000) >= self.marker_late {
            return 0;
        }
        let delay = random.between(1, 400);
        self.count(Fault::MarkerLate);
        delay
    }

    /// How long until the next fetch of a partition is answered.
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
