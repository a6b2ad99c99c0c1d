//! The lower bound of costs: the client delivers every message, and it is discarded.

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;
use std::fmt;
use std::ptr;

/// Settings of the client that matter here.
pub struct Fetching {
    pub batch: usize,
    pub queue_backoff_ms: u32,
    pub queued_messages_min: u32,
    pub read_committed: bool,
}

impl fmt::Display for Fetching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let isolation = if self.read_committed { "committed" } else { "uncommitted" };
        write!(
            f,
            "{} at once, back-off {} ms, queue {} k, {isolation}",
            self.batch,
            self.queue_backoff_ms,
            self.queued_messages_min / 1_000
        )
    }
}

/// Reads this number of messages of a topic from its beginning; `config` names the brokers.
pub fn discard(mut config: ClientConfig, topic: &str, partitions: i32, events: u64, fetching: &Fetching) {
    config
        .set("group.id", "bench-discard")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("check.crcs", "false")
        .set("fetch.wait.max.ms", "100")
        .set("isolation.level", if fetching.read_committed { "read_committed" } else { "read_uncommitted" })
        .set("fetch.queue.backoff.ms", fetching.queue_backoff_ms.to_string())
        .set("queued.min.messages", fetching.queued_messages_min.to_string());
    let consumer: BaseConsumer = config.create().expect("consumer");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("offset");
    }
    consumer.assign(&list).expect("assign");
    let mut messages = vec![ptr::null_mut(); fetching.batch];
    let (mut seen, mut bytes) = (0, 0);
    // SAFETY: the queue is the consumer's own and destroyed before it; with a manual assignment there are no rebalance
    // events that batch calls could swallow; every message is destroyed once.
    unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        while seen < events {
            let taken = sys::rd_kafka_consume_batch_queue(queue, 5, messages.as_mut_ptr(), messages.len());
            for &message in &messages[..usize::try_from(taken).expect("no error")] {
                bytes += (*message).len;
                seen += u64::from((*message).err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
                sys::rd_kafka_message_destroy(message);
            }
        }
        sys::rd_kafka_queue_destroy(queue);
    }
    std::hint::black_box(bytes);
}
