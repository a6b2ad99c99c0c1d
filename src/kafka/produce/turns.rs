//! The two producers of a worker, used in turn.
//!
//! A transaction that is acknowledged is committed, but the coordinator has yet to write its markers, and refuses the
//! producer's next transaction until it has; the client retries after 20 ms. The next transaction is therefore that of
//! the other producer. It is begun after the one before was acknowledged, so a worker never has two open transactions,
//! and in each partition their records stand in order. Readers of committed records see nothing of the second before
//! the markers of the first. Of two offsets of the group the one written later counts, whichever marker comes first.
//!
//! Both identities are fenced before a worker or its successor publishes anything.

use super::{Publisher, Refusal, Step};
use crate::kafka::{Compression, Failure, KafkaSettings, Transaction, producer_ids};
use rdkafka::consumer::ConsumerGroupMetadata;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most markers of a transaction are written this long after its end.
const MARKER_WAIT: Duration = Duration::from_millis(10);

/// See the module.
pub struct Publishers {
    producers: [Turn; 2],
    /// Which one published last.
    last: usize,
}

struct Turn {
    publisher: Publisher,
    /// When its next transaction is best begun.
    ready_at: Instant,
}

impl Publishers {
    /// Makes the producers and fences every earlier one of the same identities.
    pub fn open(settings: &KafkaSettings, compression: Compression, transactional_id: &str) -> Result<Self, Failure> {
        let open = |id: &String| {
            let publisher = Publisher::open(settings, compression, id)?;
            Ok(Turn { publisher, ready_at: Instant::now() })
        };
        let [first, second] = producer_ids(transactional_id);
        Ok(Self { producers: [open(&first)?, open(&second)?], last: 1 })
    }

    /// The step at which the last transaction ended.
    pub fn step(&self) -> Step {
        self.producers[self.last].publisher.step()
    }

    /// Publishes with the producer whose turn it is. Returns when the next transaction is best begun.
    pub fn publish(
        &mut self,
        transaction: &Transaction<'_>,
        inputs: &[String],
        group: &Arc<ConsumerGroupMetadata>,
    ) -> Result<Instant, Refusal> {
        self.last = 1 - self.last;
        let turn = &mut self.producers[self.last];
        let published = turn.publisher.publish(transaction, inputs, group);
        turn.ready_at = Instant::now() + MARKER_WAIT;
        published.map(|()| self.producers[1 - self.last].ready_at)
    }
}
