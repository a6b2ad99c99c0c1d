//! A producer's hot calls: queueing a record with headers, flushing, and committing a transaction.

use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;
use sys::rd_kafka_resp_err_t as Code;

/// A topic of a producer, looked up once: by its name the client would look it up for each record.
pub struct ProducerTopic<C: ProducerContext> {
    pointer: *mut sys::rd_kafka_topic_t,
    /// The topic is given back before the producer is destroyed.
    producer: Arc<BaseProducer<C>>,
}

// SAFETY: librdkafka's objects may be used by any thread.
unsafe impl<C: ProducerContext> Send for ProducerTopic<C> {}

impl<C: ProducerContext> ProducerTopic<C> {
    pub fn new(producer: &Arc<BaseProducer<C>>, name: &CStr) -> Result<Self, RDKafkaErrorCode> {
        // SAFETY: the producer is alive, and the name is copied. Without settings the topic has those of the producer.
        let pointer =
            unsafe { sys::rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        if pointer.is_null() {
            // SAFETY: reads the error of this thread's last call.
            return Err(unsafe { sys::rd_kafka_last_error() }.into());
        }
        Ok(Self { pointer, producer: Arc::clone(producer) })
    }
}

impl<C: ProducerContext> Drop for ProducerTopic<C> {
    fn drop(&mut self) {
        // SAFETY: it is ours, and the producer is alive.
        unsafe { sys::rd_kafka_topic_destroy(self.pointer) };
    }
}

/// A record for [`produce`].
pub struct RawRecord<'a> {
    pub partition: u32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// Queues a record; its bytes are copied.
pub fn produce<'a, C: ProducerContext>(
    topic: &ProducerTopic<C>,
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
            topic.producer.client().native_ptr(),
            vtype::RD_KAFKA_VTYPE_RKT,
            topic.pointer,
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
        native.release();
        Ok(())
    } else {
        Err(code.into())
    }
}

fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

/// Headers that are destroyed unless librdkafka has taken ownership of them.
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

    /// librdkafka owns the headers now.
    fn release(mut self) {
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

/// Waits until the broker has acknowledged everything queued, or `wait` is over. Needs `delivery.report.only.error`,
/// since no thread serves delivery reports meanwhile.
pub fn flush<C: ProducerContext>(producer: &BaseProducer<C>, wait: Duration) -> Result<(), String> {
    // SAFETY: the producer is alive.
    let code = unsafe { sys::rd_kafka_flush(producer.client().native_ptr(), wait.as_millis() as c_int) };
    match code {
        Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(format!("not all records were acknowledged: {:?}", RDKafkaErrorCode::from(code))),
    }
}

/// Commits the open transaction. An error does not say whether it was committed.
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
        let message = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        let code = sys::rd_kafka_error_code(error).into();
        sys::rd_kafka_error_destroy(error);
        Err((code, message))
    }
}
