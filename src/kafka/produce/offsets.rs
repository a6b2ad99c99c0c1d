//! Sends the offsets of a transaction, within a bound that holds.
//!
//! librdkafka sends them to the group's coordinator, and does not look at the time-out while it waits for that: when
//! brokers had gone and come back one after the other, the call was seen not to return any more, with the worker in it.
//! So a thread makes the call. If it does not return in time, thread and producer are left behind: the next producer of
//! the same identity fences this one, so that it can publish nothing whenever the call returns.

use crate::kafka::Failure;
use crate::kafka::client::stop;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How much longer than its time-out the call may take.
const MARGIN: Duration = Duration::from_secs(2);

/// What the thread is to send.
struct Request {
    offsets: Arc<TopicPartitionList>,
    group: Arc<ConsumerGroupMetadata>,
    wait: Duration,
}

/// The thread's other side. The thread ends with it.
pub struct OffsetSender {
    requests: Sender<Request>,
    answers: Receiver<KafkaResult<()>>,
}

impl OffsetSender {
    pub fn start<C: ProducerContext + 'static>(producer: &Arc<BaseProducer<C>>) -> Result<Self, Failure> {
        let (requests, waiting) = channel::<Request>();
        let (answer, answers) = channel();
        // Between two calls the producer belongs to its publisher alone, which destroys it when it is dropped.
        let producer: Weak<BaseProducer<C>> = Arc::downgrade(producer);
        let serve = move || {
            for Request { offsets, group, wait } in waiting {
                let Some(producer) = producer.upgrade() else { return };
                let sent = producer.send_offsets_to_transaction(&offsets, &group, wait);
                drop(producer);
                if answer.send(sent).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("kafka-offsets".into()).spawn(serve);
        thread.map_err(stop("the thread that sends offsets cannot be started"))?;
        Ok(Self { requests, answers })
    }

    /// Sends offsets as part of the open transaction.
    ///
    /// # Errors
    /// If the client does not answer in time: the producer cannot be used any more.
    pub fn send(
        &self,
        offsets: &Arc<TopicPartitionList>,
        group: &Arc<ConsumerGroupMetadata>,
        wait: Duration,
    ) -> Result<KafkaResult<()>, Failure> {
        let request = Request { offsets: Arc::clone(offsets), group: Arc::clone(group), wait };
        let lost = || Failure::Rebuild("the thread that sends offsets has ended".into());
        self.requests.send(request).map_err(|_| lost())?;
        self.answers.recv_timeout(wait + MARGIN).map_err(|_| {
            Failure::Rebuild(format!(
                "the client did not answer within {:?} when the offsets of a transaction were sent; it is replaced",
                wait + MARGIN
            ))
        })
    }
}
