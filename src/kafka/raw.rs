//! The only unsafe code of the crate's Kafka side: calls of librdkafka for which the `rdkafka` crate has no equal.
//!
//! * `rd_kafka_consume_batch_queue` on a queue of our own takes half the CPU of `BaseConsumer::poll`. The crate's
//!   consumer queue must not be read this way: it would swallow rebalance events. So partitions are forwarded to a
//!   [`PrivateQueue`].
//! * `rd_kafka_flush` and `rd_kafka_commit_transaction`: the crate's versions have a floor of 100 ms.
//! * `rd_kafka_producev` without an allocation per header.
//!
//! Invariants: a queue is read by one thread (`&mut self`). Queue and messages keep their client alive, and are
//! destroyed before it: a client that is destroyed while a private queue still lives hangs for ever.
#![allow(unsafe_code)]

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka_sys as sys;
use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;
use sys::rd_kafka_resp_err_t as Code;

/// A queue that receives the messages of forwarded partitions of one consumer.
pub struct PrivateQueue<C: ConsumerContext + 'static> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Topics by name; their place is what messages are told apart by.
    names: Vec<String>,
    c_names: Vec<CString>,
    /// Topic handles met so far, with the place of their name.
    handles: Vec<(*mut sys::rd_kafka_topic_t, u16)>,
    /// Forwarded partitions: undone before the queue goes.
    forwarded: Vec<NonNull<sys::rd_kafka_queue_t>>,
    // Dropped last: fields are dropped in this order, and `drop` has destroyed the queue before.
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread; reading needs `&mut self`. The topic handles are only
// compared, and asked for their name while a message holds them.
unsafe impl<C: ConsumerContext + 'static> Send for PrivateQueue<C> {}

/// What stood in the queue besides messages.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueEvent {
    /// The partition was read up to this offset, its end (the last stable offset for a read-committed consumer).
    End {
        topic: u16,
        partition: u32,
        offset: i64,
    },
    Error {
        code: rdkafka::types::RDKafkaErrorCode,
        words: String,
    },
}

/// Neighbours from one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct RawRun {
    pub topic: u16,
    pub partition: u32,
    pub messages: Range<usize>,
}

impl<C: ConsumerContext + 'static> PrivateQueue<C> {
    pub fn new(consumer: Arc<BaseConsumer<C>>, names: Vec<String>) -> Self {
        // SAFETY: the client is alive; the queue is destroyed in `drop`, before our share of the client.
        let queue = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).expect("rd_kafka_queue_new returns a queue");
        let c_names = names.iter().map(|name| CString::new(name.as_str()).expect("a topic name without NUL")).collect();
        Self { queue, names, c_names, handles: Vec::new(), forwarded: Vec::new(), consumer }
    }

    /// Sends the partition's messages here from now on; to be called before it is assigned.
    pub fn forward(&mut self, topic: u16, partition: u32) {
        let name = &self.c_names[usize::from(topic)];
        let client = self.consumer.client().native_ptr();
        // SAFETY: client, name and our queue are alive; the partition's queue is held until `unforward`.
        unsafe {
            let partition_queue = sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition as i32);
            if let Some(partition_queue) = NonNull::new(partition_queue) {
                sys::rd_kafka_queue_forward(partition_queue.as_ptr(), self.queue.as_ptr());
                self.forwarded.push(partition_queue);
            }
        }
    }

    /// Undoes [`PrivateQueue::forward`] for all partitions.
    pub fn unforward(&mut self) {
        for partition_queue in self.forwarded.drain(..) {
            // SAFETY: got from `rd_kafka_queue_get_partition` and not destroyed yet.
            unsafe {
                sys::rd_kafka_queue_forward(partition_queue.as_ptr(), ptr::null_mut());
                sys::rd_kafka_queue_destroy(partition_queue.as_ptr());
            }
        }
    }

    /// The end of a partition as the last fetch showed it, markers and open transactions included.
    pub fn known_end(&self, topic: u16, partition: u32) -> Option<i64> {
        let name = &self.c_names[usize::from(topic)];
        let (mut low, mut high) = (-1, -1);
        // SAFETY: client and name are alive; the call only reads what is cached.
        let code = unsafe {
            let client = self.consumer.client().native_ptr();
            sys::rd_kafka_get_watermark_offsets(client, name.as_ptr(), partition as i32, &mut low, &mut high)
        };
        (code == Code::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }

    /// Appends at most `count_max` messages, waiting until so many are there or `wait` is over (whole milliseconds).
    pub fn take(
        &mut self,
        wait: Duration,
        count_max: usize,
        messages: &mut Messages,
        on_event: &mut dyn FnMut(QueueEvent),
    ) -> usize {
        if messages.list.is_empty() {
            let keeps_alive: Arc<dyn Any + Send + Sync> = Arc::clone(&self.consumer) as _;
            messages.client = Some(keeps_alive);
        }
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
        messages.list.len() - start
    }

    /// Makes runs of what was taken, and takes out what is not a message.
    fn sort_out(&mut self, start: usize, messages: &mut Messages, on_event: &mut dyn FnMut(QueueEvent)) {
        let mut kept = start;
        for place in start..messages.list.len() {
            let pointer = messages.list[place];
            // SAFETY: a message just taken, destroyed only by `Messages` or below.
            let message = unsafe { &*pointer };
            if message.err == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                let (topic, partition) = (self.topic_of(message.rkt), message.partition as u32);
                messages.list[kept] = pointer;
                match messages.runs.last_mut() {
                    Some(run) if run.topic == topic && run.partition == partition => run.messages.end = kept + 1,
                    _ => messages.runs.push(RawRun { topic, partition, messages: kept..kept + 1 }),
                }
                kept += 1;
            } else {
                on_event(self.event_of(message));
                // SAFETY: not kept, so nobody else will.
                unsafe { sys::rd_kafka_message_destroy(pointer) };
            }
        }
        messages.list.truncate(kept);
    }

    fn event_of(&mut self, message: &sys::rd_kafka_message_t) -> QueueEvent {
        if message.err == Code::RD_KAFKA_RESP_ERR__PARTITION_EOF {
            let topic = self.topic_of(message.rkt);
            return QueueEvent::End { topic, partition: message.partition as u32, offset: message.offset };
        }
        // SAFETY: the text lives as long as the message.
        let words = unsafe { CStr::from_ptr(sys::rd_kafka_message_errstr(message)) }.to_string_lossy().into_owned();
        let place = if message.rkt.is_null() {
            String::new()
        } else {
            let topic = usize::from(self.topic_of(message.rkt));
            format!("{}[{}] at {}: ", self.names[topic], message.partition, message.offset)
        };
        QueueEvent::Error { code: message.err.into(), words: format!("{place}{words}") }
    }

    fn topic_of(&mut self, handle: *mut sys::rd_kafka_topic_t) -> u16 {
        match self.handles.iter().find(|(known, _)| *known == handle) {
            Some(&(_, topic)) => topic,
            None => self.meet(handle),
        }
    }

    fn meet(&mut self, handle: *mut sys::rd_kafka_topic_t) -> u16 {
        // SAFETY: the message from which the handle comes holds it.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(handle)) }.to_string_lossy();
        let topic = self.names.iter().position(|known| *known == name).expect("a message of a forwarded topic") as u16;
        self.handles.push((handle, topic));
        topic
    }
}

impl<C: ConsumerContext + 'static> Drop for PrivateQueue<C> {
    fn drop(&mut self) {
        self.unforward();
        // SAFETY: made by `rd_kafka_queue_new`, destroyed once, here.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

/// Messages that borrow librdkafka's fetch buffers until cleared or dropped.
#[derive(Default)]
pub struct Messages {
    list: Vec<*mut sys::rd_kafka_message_t>,
    runs: Vec<RawRun>,
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
        self.list.len()
    }

    pub fn runs(&self) -> &[RawRun] {
        &self.runs
    }

    #[inline]
    pub fn get(&self, place: usize) -> RawMessage<'_> {
        // SAFETY: messages live until `clear`, which needs `&mut self`.
        unsafe {
            let message = &*self.list[place];
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

    pub fn clear(&mut self) {
        for message in self.list.drain(..) {
            // SAFETY: each pointer is destroyed once; the client is still held.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
        self.runs.clear();
        self.client = None;
    }

    /// Moves the messages from `place` on, all of one partition, to the end of `other`.
    pub fn move_tail(&mut self, place: usize, other: &mut Self) {
        if place >= self.list.len() {
            return;
        }
        other.client = self.client.clone();
        for run in &self.runs {
            let moved = run.messages.start.max(place)..run.messages.end;
            if !moved.is_empty() {
                let start = other.list.len();
                other.list.extend_from_slice(&self.list[moved]);
                let messages = start..other.list.len();
                other.runs.push(RawRun { messages, ..run.clone() });
            }
        }
        self.list.truncate(place);
        self.runs.retain_mut(|run| {
            run.messages.end = run.messages.end.min(place);
            !run.messages.is_empty()
        });
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.clear();
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
) -> Result<(), rdkafka::types::RDKafkaErrorCode> {
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
        code => Err(format!("not all records were acknowledged: {:?}", rdkafka::types::RDKafkaErrorCode::from(code))),
    }
}

/// Commits the open transaction. An error says nothing about whether it was committed.
pub fn commit_transaction<C: ProducerContext>(producer: &BaseProducer<C>, wait: Duration) -> Result<(), String> {
    // SAFETY: the producer is alive; the error is ours to destroy.
    unsafe {
        let error = sys::rd_kafka_commit_transaction(producer.client().native_ptr(), wait.as_millis() as c_int);
        if error.is_null() {
            return Ok(());
        }
        let words = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        Err(words)
    }
}
