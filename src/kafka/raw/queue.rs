//! The queue of one partition of a consumer, and the messages read from it.
//!
//! Invariants: one thread reads a queue (`&mut self`). Queues and messages keep their client alive and are destroyed
//! before it: destroying a client while a queue still exists never returns.

use crate::kafka::inbox::Inbox;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::any::Any;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;
use sys::rd_kafka_resp_err_t as Code;

/// The queue of one partition of one consumer. Records fetched of the partition come here and nowhere else.
pub struct PrivateQueue<C: ConsumerContext + 'static> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    name: CString,
    partition: u32,
    /// Notified by a callback when the queue has something new.
    inbox: Option<Arc<Inbox>>,
    // Dropped last: fields are dropped in this order, and `drop` has destroyed the queue before.
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread; reading needs `&mut self`.
unsafe impl<C: ConsumerContext + 'static> Send for PrivateQueue<C> {}

/// What a queue contains besides messages.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueEvent {
    /// The partition was read up to this offset, its end (the last stable offset for a read-committed consumer).
    End(i64),
    Error {
        code: RDKafkaErrorCode,
        message: String,
    },
}

impl<C: ConsumerContext + 'static> PrivateQueue<C> {
    /// Separates the partition's queue from the consumer's. To be called before the partition is assigned.
    pub fn new(consumer: &Arc<BaseConsumer<C>>, topic: &str, partition: u32, inbox: Option<Arc<Inbox>>) -> Self {
        let name = CString::new(topic).expect("a topic name without NUL");
        let client = consumer.client().native_ptr();
        // SAFETY: client and name are alive; the queue is destroyed in `drop`, before our share of the client. The
        // callback gets a pointer into the `Arc` that is kept beside the queue, and `drop` ends the callbacks first.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition as i32);
            let queue = NonNull::new(queue).expect("every partition of a consumer has a queue");
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            if let Some(inbox) = &inbox {
                let opaque = Arc::as_ptr(inbox).cast_mut().cast::<c_void>();
                sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(notify_records), opaque);
            }
            queue
        };
        Self { queue, name, partition, inbox, consumer: Arc::clone(consumer) }
    }

    /// The end of the partition as of the last fetch, markers and open transactions included.
    pub fn known_end(&self) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: client and name are alive; the call only reads what is cached.
        let code = unsafe {
            let client = self.consumer.client().native_ptr();
            sys::rd_kafka_get_watermark_offsets(client, self.name.as_ptr(), self.partition as i32, &mut low, &mut high)
        };
        (code == Code::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }

    /// Whether the queue is empty: cheaper than a read that returns nothing.
    pub fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) == 0 }
    }

    /// Appends at most `count_max` messages and returns their number. Waits until `count_max` are there or `wait` is
    /// over (whole milliseconds).
    ///
    /// # Panics
    /// If `messages` still has messages of another consumer.
    pub fn read(
        &mut self,
        wait: Duration,
        count_max: usize,
        messages: &mut Messages,
        on_event: &mut dyn FnMut(QueueEvent),
    ) -> usize {
        messages.keep_alive(&self.consumer);
        let start = messages.list.len();
        messages.list.reserve(count_max);
        // SAFETY: room for `count_max` pointers follows `start`; the call fills as many as it returns; `&mut self`
        // keeps other readers away.
        unsafe {
            let count = sys::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                wait.as_millis() as c_int,
                messages.list.as_mut_ptr().add(start),
                count_max,
            );
            messages.list.set_len(start + usize::try_from(count).unwrap_or(0));
        }
        self.remove_events(start, messages, on_event);
        let count = messages.list.len() - start;
        if messages.len() == 0 {
            messages.client = None;
        }
        count
    }

    /// Removes from the list, from `start` on, what is not a message.
    fn remove_events(&self, start: usize, messages: &mut Messages, on_event: &mut dyn FnMut(QueueEvent)) {
        let mut kept = start;
        for index in start..messages.list.len() {
            let pointer = messages.list[index];
            // SAFETY: a message just read, destroyed only by `Messages` or below.
            let message = unsafe { &*pointer };
            if message.err == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                messages.list[kept] = pointer;
                kept += 1;
            } else {
                on_event(self.event_of(message));
                // SAFETY: not kept in the list, so nothing else destroys it.
                unsafe { sys::rd_kafka_message_destroy(pointer) };
            }
        }
        messages.list.truncate(kept);
    }

    fn event_of(&self, message: &sys::rd_kafka_message_t) -> QueueEvent {
        if message.err == Code::RD_KAFKA_RESP_ERR__PARTITION_EOF {
            return QueueEvent::End(message.offset);
        }
        // SAFETY: the text lives as long as the message.
        let text = unsafe { CStr::from_ptr(sys::rd_kafka_message_errstr(message)) }.to_string_lossy();
        let (name, partition) = (self.name.to_string_lossy(), self.partition);
        QueueEvent::Error {
            code: message.err.into(),
            message: format!("{name}[{partition}] at offset {}: {text}", message.offset),
        }
    }
}

impl<C: ConsumerContext + 'static> Drop for PrivateQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue comes from `rd_kafka_queue_get_partition` and is destroyed once, here. The callback is
        // called under the queue's lock, which the first call takes: after it no callback runs, and the inbox may go.
        unsafe {
            if self.inbox.is_some() {
                sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            }
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Called by librdkafka's threads when a queue has something new.
extern "C" fn notify_records(_client: *mut sys::rd_kafka_t, inbox: *mut c_void) {
    // SAFETY: the pointer that `PrivateQueue::new` passed; the queue keeps the inbox alive until callbacks have ended.
    unsafe { &*inbox.cast::<Inbox>() }.notify_records();
}

/// Messages that borrow librdkafka's fetch buffers until they are discarded: first in, first out.
#[derive(Default)]
pub struct Messages {
    list: Vec<*mut sys::rd_kafka_message_t>,
    /// Index of the first message that was not discarded.
    head: usize,
    /// Keeps the client alive from which the messages come.
    client: Option<Arc<dyn Any + Send + Sync>>,
}

// SAFETY: messages may be read and destroyed on any thread.
unsafe impl Send for Messages {}

/// One message, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RawMessage<'a> {
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

impl Messages {
    pub fn len(&self) -> usize {
        self.list.len() - self.head
    }

    #[inline]
    pub fn get(&self, index: usize) -> RawMessage<'_> {
        // SAFETY: messages live until they are discarded, which needs `&mut self`.
        unsafe {
            let message = &*self.list[self.head + index];
            let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            let timestamp = sys::rd_kafka_message_timestamp(message, &mut kind);
            RawMessage {
                offset: message.offset,
                timestamp: (timestamp >= 0).then_some(timestamp),
                key: bytes(message.key, message.key_len),
                value: bytes(message.payload, message.len),
            }
        }
    }

    /// Bytes of keys and values of the last `count` messages.
    pub fn bytes_of_last(&self, count: usize) -> u64 {
        let last = &self.list[self.list.len().saturating_sub(count).max(self.head)..];
        // SAFETY: as in `get`.
        last.iter().map(|&message| unsafe { (*message).len + (*message).key_len } as u64).sum()
    }

    pub fn offset(&self, index: usize) -> i64 {
        // SAFETY: as in `get`.
        unsafe { (*self.list[self.head + index]).offset }
    }

    /// The value of the first header with this name.
    pub fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        let name = CString::new(name).ok()?;
        let (mut headers, mut value, mut length) = (ptr::null_mut(), ptr::null(), 0);
        // SAFETY: as in `get`; headers and value belong to the message. librdkafka parses the headers of a message at
        // the first request, so this writes to it; `Messages` is not `Sync`, so no other thread reads it meanwhile.
        unsafe {
            let message = self.list[self.head + index];
            let code = sys::rd_kafka_message_headers(message, &mut headers);
            if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            let code = sys::rd_kafka_header_get(headers, 0, name.as_ptr(), &mut value, &mut length);
            if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            bytes(value.cast_mut(), length)
        }
    }

    /// Removes and destroys the first `count` messages.
    pub fn discard(&mut self, count: usize) {
        let end = self.head + count;
        for &message in &self.list[self.head..end] {
            // SAFETY: each pointer is destroyed once, since `head` moves past it; the client is still alive.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
        self.head = end;
        if self.head == self.list.len() {
            self.list.clear();
            self.head = 0;
            self.client = None;
        } else if self.head > self.list.len() / 2 {
            self.list.drain(..self.head);
            self.head = 0;
        }
    }

    /// Moves the messages from `index` on to the end of `other`.
    pub fn move_tail(&mut self, index: usize, other: &mut Self) {
        if index < self.len() {
            other.client.clone_from(&self.client);
            other.list.extend(self.list.drain(self.head + index..));
        }
    }

    fn keep_alive<C: ConsumerContext + 'static>(&mut self, consumer: &Arc<BaseConsumer<C>>) {
        match &self.client {
            Some(client) if self.len() > 0 => {
                let same = ptr::addr_eq(Arc::as_ptr(client), Arc::as_ptr(consumer));
                assert!(same, "a batch has messages of one client");
            }
            _ => self.client = Some(Arc::clone(consumer) as _),
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.discard(self.len());
    }
}

/// # Safety
/// `pointer` is null or points to `length` bytes that live as long as the caller's `'a`.
unsafe fn bytes<'a>(pointer: *mut c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised by the caller.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length) })
}
