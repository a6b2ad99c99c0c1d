//! The only unsafe code of the crate's Kafka side: calls of librdkafka for which the `rdkafka` crate has no equal.
//!
//! * `rd_kafka_consume_batch_queue` on a partition's own queue takes half the CPU of `BaseConsumer::poll`. The consumer's
//!   queue must not be read this way: it would swallow its events.
//! * `rd_kafka_flush` and `rd_kafka_commit_transaction`: the crate's versions have a floor of 100 ms.
//! * `rd_kafka_producev` without an allocation per header.
//!
//! Invariants: a queue is read by one thread (`&mut self`). Queue and messages keep their client alive, and are
//! destroyed before it: a client that is destroyed while a queue still lives hangs for ever.
#![allow(unsafe_code)]

use super::inbox::Inbox;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;
use sys::rd_kafka_resp_err_t as Code;

/// The queue of one partition of one consumer: what is fetched of it comes here and nowhere else.
pub struct PrivateQueue<C: ConsumerContext + 'static> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    name: CString,
    partition: u32,
    /// Marked by a callback when the queue has something new.
    inbox: Option<Arc<Inbox>>,
    // Dropped last: fields are dropped in this order, and `drop` has destroyed the queue before.
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread; reading needs `&mut self`.
unsafe impl<C: ConsumerContext + 'static> Send for PrivateQueue<C> {}

/// What stood in the queue besides messages.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueEvent {
    /// The partition was read up to this offset, its end (the last stable offset for a read-committed consumer).
    End(i64),
    Error {
        code: RDKafkaErrorCode,
        words: String,
    },
}

impl<C: ConsumerContext + 'static> PrivateQueue<C> {
    /// Parts the partition's queue from the consumer's; to be called before the partition is assigned.
    pub fn new(consumer: &Arc<BaseConsumer<C>>, topic: &str, partition: u32, inbox: Option<Arc<Inbox>>) -> Self {
        let name = CString::new(topic).expect("a topic name without NUL");
        let client = consumer.client().native_ptr();
        // SAFETY: client and name are alive; the queue is destroyed in `drop`, before our share of the client. The callback
        // gets a pointer into the `Arc` that is held beside the queue, and `drop` ends the callbacks first.
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

    /// The end of the partition as the last fetch showed it, markers and open transactions included.
    pub fn known_end(&self) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: client and name are alive; the call only reads what is cached.
        let code = unsafe {
            let client = self.consumer.client().native_ptr();
            sys::rd_kafka_get_watermark_offsets(client, self.name.as_ptr(), self.partition as i32, &mut low, &mut high)
        };
        (code == Code::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }

    /// Whether nothing is in the queue: cheaper than a take that gives nothing.
    pub fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) == 0 }
    }

    /// Appends at most `count_max` messages, waiting until so many are there or `wait` is over (whole milliseconds).
    ///
    /// # Panics
    /// If messages of another consumer are still there.
    pub fn take(
        &mut self,
        wait: Duration,
        count_max: usize,
        messages: &mut Messages,
        on_event: &mut dyn FnMut(QueueEvent),
    ) -> usize {
        messages.hold(&self.consumer);
        let start = messages.list.len();
        messages.list.reserve(count_max);
        // SAFETY: room for `count_max` pointers follows `start`; the call fills as many as it returns; `&mut self`
        // keeps other readers away.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                wait.as_millis() as c_int,
                messages.list.as_mut_ptr().add(start),
                count_max,
            );
            messages.list.set_len(start + usize::try_from(taken).unwrap_or(0));
        }
        self.sort_out(start, messages, on_event);
        let taken = messages.list.len() - start;
        if messages.len() == 0 {
            messages.client = None;
        }
        taken
    }

    /// Takes out what is not a message.
    fn sort_out(&self, start: usize, messages: &mut Messages, on_event: &mut dyn FnMut(QueueEvent)) {
        let mut kept = start;
        for place in start..messages.list.len() {
            let pointer = messages.list[place];
            // SAFETY: a message just taken, destroyed only by `Messages` or below.
            let message = unsafe { &*pointer };
            if message.err == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                messages.list[kept] = pointer;
                kept += 1;
            } else {
                on_event(self.event_of(message));
                // SAFETY: not kept, so nobody else will.
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
        let words = unsafe { CStr::from_ptr(sys::rd_kafka_message_errstr(message)) }.to_string_lossy();
        let (name, partition) = (self.name.to_string_lossy(), self.partition);
        QueueEvent::Error {
            code: message.err.into(),
            words: format!("{name}[{partition}] at offset {}: {words}", message.offset),
        }
    }
}

impl<C: ConsumerContext + 'static> Drop for PrivateQueue<C> {
    fn drop(&mut self) {
        // SAFETY: got from `rd_kafka_queue_get_partition`, destroyed once, here. The callback is called under the queue's
        // lock, which the first call takes: afterwards none is under way, and the inbox may go.
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
    // SAFETY: the pointer that `PrivateQueue::new` gave; the queue holds the inbox until callbacks have ended.
    unsafe { &*inbox.cast::<Inbox>() }.notify_records();
}

/// Messages that borrow librdkafka's fetch buffers until they are discarded: first in, first out.
#[derive(Default)]
pub struct Messages {
    list: Vec<*mut sys::rd_kafka_message_t>,
    /// The first that is still there.
    head: usize,
    /// Holds the client that the messages come from.
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
    pub fn get(&self, place: usize) -> RawMessage<'_> {
        // SAFETY: messages live until they are discarded, which needs `&mut self`.
        unsafe {
            let message = &*self.list[self.head + place];
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

    pub fn offset(&self, place: usize) -> i64 {
        // SAFETY: as in `get`.
        unsafe { (*self.list[self.head + place]).offset }
    }

    /// The value of the first header of this name.
    pub fn header(&self, place: usize, name: &str) -> Option<&[u8]> {
        let name = CString::new(name).ok()?;
        let (mut headers, mut value, mut length) = (ptr::null_mut(), ptr::null(), 0);
        // SAFETY: as in `get`; headers and value belong to the message. librdkafka reads the headers of a message when it is
        // first asked, so this writes to it; `Messages` is not `Sync`, so nobody else reads it meanwhile.
        unsafe {
            let message = self.list[self.head + place];
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

    /// Lets go of the first so many.
    pub fn discard(&mut self, count: usize) {
        let end = self.head + count;
        for &message in &self.list[self.head..end] {
            // SAFETY: each pointer is destroyed once, since `head` moves past it; the client is still held.
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

    /// Moves the messages from `place` on to the end of `other`.
    pub fn move_tail(&mut self, place: usize, other: &mut Self) {
        if place < self.len() {
            other.client.clone_from(&self.client);
            other.list.extend(self.list.drain(self.head + place..));
        }
    }

    fn hold<C: ConsumerContext + 'static>(&mut self, consumer: &Arc<BaseConsumer<C>>) {
        match &self.client {
            Some(held) if self.len() > 0 => {
                let same = ptr::addr_eq(Arc::as_ptr(held), Arc::as_ptr(consumer));
                assert!(same, "a batch holds messages of one client");
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

/// A record for [`produce`].
pub struct RawRecord<'a> {
    pub topic: &'a CStr,
    pub partition: u32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// Queues a record; its bytes are copied.
pub fn produce<'a, C: ProducerContext>(
    producer: &BaseProducer<C>,
    record: &RawRecord<'_>,
    headers: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>,
) -> Result<(), RDKafkaErrorCode> {
    let native = Headers::new(headers);
    let (key, key_length) = parts(record.key);
    let (value, value_length) = parts(record.value);
    // SAFETY: tags and types as `rd_kafka_producev` documents them; F_COPY copies key and value before it returns; on
    // success the headers belong to librdkafka.
    let code = unsafe {
        use sys::rd_kafka_vtype_t as vtype;
        sys::rd_kafka_producev(
            producer.client().native_ptr(),
            vtype::RD_KAFKA_VTYPE_TOPIC,
            record.topic.as_ptr(),
            vtype::RD_KAFKA_VTYPE_PARTITION,
            record.partition as i32,
            vtype::RD_KAFKA_VTYPE_MSGFLAGS,
            sys::RD_KAFKA_MSG_F_COPY,
            vtype::RD_KAFKA_VTYPE_KEY,
            key,
            key_length,
            vtype::RD_KAFKA_VTYPE_VALUE,
            value,
            value_length,
            vtype::RD_KAFKA_VTYPE_HEADERS,
            native.pointer,
            vtype::RD_KAFKA_VTYPE_END,
        )
    };
    if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
        native.give_away();
        Ok(())
    } else {
        Err(code.into())
    }
}

fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

/// Headers that are destroyed unless librdkafka has taken them over.
struct Headers<'a> {
    pointer: *mut sys::rd_kafka_headers_t,
    _bytes: PhantomData<&'a [u8]>,
}

impl<'a> Headers<'a> {
    fn new(headers: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>) -> Self {
        if headers.len() == 0 {
            return Self { pointer: ptr::null_mut(), _bytes: PhantomData };
        }
        // SAFETY: names and values are copied by the call.
        unsafe {
            let pointer = sys::rd_kafka_headers_new(headers.len());
            for (name, value) in headers {
                let (name_at, name_length) = (name.as_ptr().cast::<c_char>(), name.len() as isize);
                let code = sys::rd_kafka_header_add(
                    pointer,
                    name_at,
                    name_length,
                    value.as_ptr().cast(),
                    value.len() as isize,
                );
                debug_assert_eq!(code, Code::RD_KAFKA_RESP_ERR_NO_ERROR);
            }
            Self { pointer, _bytes: PhantomData }
        }
    }

    fn give_away(mut self) {
        self.pointer = ptr::null_mut();
    }
}

impl Drop for Headers<'_> {
    fn drop(&mut self) {
        if !self.pointer.is_null() {
            // SAFETY: still ours.
            unsafe { sys::rd_kafka_headers_destroy(self.pointer) };
        }
    }
}

/// Waits until the broker has acknowledged everything queued, or `wait` is over. Without the crate's floor of 100 ms;
/// needs `delivery.report.only.error`, since nobody serves delivery reports meanwhile.
pub fn flush<C: ProducerContext>(producer: &BaseProducer<C>, wait: Duration) -> Result<(), String> {
    // SAFETY: the producer is alive.
    let code = unsafe { sys::rd_kafka_flush(producer.client().native_ptr(), wait.as_millis() as c_int) };
    match code {
        Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(format!("not all records were acknowledged: {:?}", RDKafkaErrorCode::from(code))),
    }
}

/// Commits the open transaction. An error says nothing about whether it was committed.
pub fn commit_transaction<C: ProducerContext>(
    producer: &BaseProducer<C>,
    wait: Duration,
) -> Result<(), (RDKafkaErrorCode, String)> {
    // SAFETY: the producer is alive; the error is ours to destroy.
    unsafe {
        let error = sys::rd_kafka_commit_transaction(producer.client().native_ptr(), wait.as_millis() as c_int);
        if error.is_null() {
            return Ok(());
        }
        let words = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        let code = sys::rd_kafka_error_code(error).into();
        sys::rd_kafka_error_destroy(error);
        Err((code, words))
    }
}
