//! The batch in which all records come from Kafka, live ones and those that are read again.

use crate::kafka::raw::queue::Messages;
use crate::kafka::{Batch, Record};

/// Messages of one partition; they stay in librdkafka's fetch buffers.
#[derive(Default)]
pub struct KafkaBatch {
    pub(super) messages: Messages,
}

impl Batch for KafkaBatch {
    fn len(&self) -> usize {
        self.messages.len()
    }

    #[inline]
    fn record(&self, index: usize) -> Record<'_> {
        let message = self.messages.get(index);
        Record { offset: message.offset, timestamp: message.timestamp, key: message.key, value: message.value }
    }

    fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        self.messages.header(index, name)
    }

    fn discard(&mut self, count: usize) {
        self.messages.discard(count);
    }
}
